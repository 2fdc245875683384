"""The whole loop of a session, from pull to hop: once it is warm, no pull allocates an array."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.source import Pulled
from tests.cleaned import SFREQ, fitted, scene

WARM, COUNTED = 200, 40  # pulls; CPython keeps up to 2000 freed tuples, of which a hop makes many


class Endless:
    """A source that gives rows of one recording again and again, out of memory of its own."""

    name = "endless"

    def __init__(self, n: int) -> None:
        recording = scene()
        self.info = recording.info
        self._data, self._n, self._at = np.array(recording.data), n, 0
        self._data = np.concatenate([self._data, self._data[::-1]])  # without a step
        self._stamps = local_clock() - 3600 + np.arange(n) / SFREQ

    def open(self, timeout: float = 5.0) -> None:
        pass

    def close(self) -> None:
        pass

    def waiting(self) -> int:
        return 0

    def correction(self, timeout: float = 5.0) -> float:
        return 0.25

    def pull(self, timeout: float, n: int = 1) -> Pulled:
        if self._at + self._n > len(self._data):
            self._at = 0
        rows = self._data[self._at : self._at + self._n]
        self._at += self._n
        self._stamps += self._n / SFREQ
        return Pulled(rows, self._stamps, float(self._stamps[-1]) + 0.25)


class Counting:
    """Ends a session after some pulls, and measures the memory that each of the last ones borrows."""

    def __init__(self) -> None:
        self.n, self.borrowed = 0, list[int]()
        self.first = self.last = 0

    def __call__(self) -> bool:
        self.n += 1
        if self.n == WARM:
            tracemalloc.start()
        if self.n < WARM + 2:
            return False
        self.last, peak = tracemalloc.get_traced_memory()
        if self.n == WARM + 2:
            self.first = self.last
        else:
            self.borrowed.append(peak - self._before)
        self._before = self.last
        tracemalloc.reset_peak()
        return self.n == WARM + 2 + COUNTED


@pytest.mark.parametrize("n", [1, 1000])
def test_no_pull_allocates_an_array(n: int) -> None:
    session = Session(fitted()[0], Endless(n), LiveOptions(force=True))
    session.attach(Sinks())
    counting = Counting()
    try:
        session.run(counting)
    finally:
        tracemalloc.stop()
    session.close()
    assert counting.last - counting.first < 40 * 400  # whole numbers of counts; no array a pull
    # the stamps of 1000 samples are 8000 bytes, their 16 channels 128000; the median, as other threads
    # allocate now and then
    assert np.median(counting.borrowed) < 6000
