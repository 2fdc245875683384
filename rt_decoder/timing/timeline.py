"""Find the sample nearest to a marker's time among recent samples.

The clock line (`timebase`) assigns each sample a time that never changes. If the sender's clock was
set, samples between that moment and its detection have a wrong time. The time line corrects them,
so that a marker stamped by the same clock still finds its sample. The result depends only on the
samples so far, not on when it is asked for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import Reason

__all__ = ["Timeline"]

_HELD = int(Reason.HELD)
_AHEAD = 1.0  # s by which markers may come before their samples
_FAR = 2.0  # s before the oldest sample; no marker is that late


class _Epoch(NamedTuple):
    """A stretch of samples on one clock; positions count samples received."""

    change: int  # estimated sample at which the clock was set
    start: int  # sample at which that was detected, the first with a time of this epoch
    shift: float  # s to add to the times of the samples between


class Timeline:
    """Times and indices of the newest samples.

    Parameters
    ----------
    size : int
        Number of samples to keep.
    sfreq : float
        Nominal rate in Hz.
    """

    def __init__(self, size: int, sfreq: float) -> None:
        self.size, self.sfreq = size, sfreq
        self._times = np.zeros(size)
        self._index = np.zeros(size, np.int64)
        self._held = np.zeros(size, bool)
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.n_samples = 0
        self._epochs = [_Epoch(0, 0, 0.0)]

    def begin_epoch(self, change: int, start: int, shift: float) -> None:
        """Begin an epoch on another clock.

        Parameters
        ----------
        change : int
            Number of samples received before the clock was set.
        start : int
            Number of samples received before the first with a time of the new epoch.
        shift : float
            Seconds to add to the times of the samples between.
        """
        self._epochs.append(_Epoch(max(change, self._epochs[-1].start), start, shift))

    @property
    def memory(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times, indices and whether they are held, (size,) each, where `kernels.timeline` writes."""
        return self._times, self._index, self._held

    def grow(self, n: int) -> None:
        """Count samples that were written to `memory`; begin their epochs first."""
        self.n_samples += n
        while len(self._epochs) > 1 and self._epochs[1].start <= self.n_samples - self.size:
            del self._epochs[0]

    @property
    def newest(self) -> float:
        """Time of the newest sample; -inf before the first."""
        return float(self._times[(self.n_samples - 1) % self.size]) if self.n_samples else -math.inf

    def index_of(self, time: float, came: int) -> int | None:
        """Find the index nearest to `time`, or raise LookupError; see `TimeBase.index_of`."""
        oldest = max(0, self.n_samples - self.size)
        if math.isnan(self.newest):
            return None
        settled = False
        for number, epoch in enumerate(self._epochs):
            stop = self._stop(number)
            reached = self._first_at(time, max(epoch.start, oldest), stop)
            settled = self._first_settled(max(reached, came - 1), stop) < stop
            if settled and (answer := self._answer(time, came, number, oldest)) is not None:
                return answer
        if not settled:
            return None
        begins = self._time(self._epochs[0], max(self._epochs[0].change, oldest))
        # Far back, the clock may have been set: a marker may come before the samples that tell.
        soon = came + math.ceil(_AHEAD * self.sfreq)
        if begins - time > _FAR and not self._has_settled(soon):
            return None
        if time > begins:
            raise LookupError(f"marker at {time:.3f} s, where the clock jumped")
        when = "before the first sample" if oldest == 0 else "too long ago"
        raise LookupError(f"marker {begins - time:.3f} s {when}")

    def _has_settled(self, sample: int) -> bool:
        """Whether a sample from this one on has come that is not held."""
        return self._first_settled(max(sample, 0), self.n_samples) < self.n_samples

    def _stop(self, number: int) -> int:
        """First sample after this epoch."""
        last = number + 1 == len(self._epochs)
        return self.n_samples if last else self._epochs[number + 1].start

    def _first_at(self, time: float, low: int, high: int) -> int:
        """First sample from `low` on at `time` or later; `high` if there is none."""
        while low < high:
            middle = (low + high) // 2
            if self._times[middle % self.size] >= time:
                high = middle
            else:
                low = middle + 1
        return low

    def _first_settled(self, sample: int, stop: int) -> int:
        while sample < stop and self._held[sample % self.size]:
            sample += 1
        return sample

    def _answer(self, time: float, came: int, newest: int, oldest: int) -> int | None:
        """Find the nearest sample on the epochs up to `newest`; of several, nearest to arrival."""
        best, least = None, math.inf
        half = 0.5 / self.sfreq
        for number in range(newest + 1):
            epoch = self._epochs[number]
            first = max(epoch.change, oldest)
            # samples after the next setting of the clock belong to the next epoch
            last = (self._epochs[number + 1].change if number < newest else self._stop(number)) - 1
            if last < first or time < self._time(epoch, first) - half:
                continue
            if number < newest and time > self._time(epoch, last) + half:
                continue
            place = self._nearest(epoch, time, first, last)
            if abs(place - came) < least:
                best, least = (epoch, first, last), abs(place - came)
        return None if best is None else self._index_at(time, *best)

    def _time(self, epoch: _Epoch, sample: int) -> float:
        time = float(self._times[sample % self.size])
        return time + epoch.shift if sample < epoch.start else time

    def _bracket(self, epoch: _Epoch, time: float, low: int, high: int) -> tuple[int, int]:
        """Find two neighbouring samples with `time` between them."""
        while high - low > 1:
            middle = (low + high) // 2
            if self._time(epoch, middle) <= time:
                low = middle
            else:
                high = middle
        return low, high

    def _nearest(self, epoch: _Epoch, time: float, low: int, high: int) -> int:
        low, high = self._bracket(epoch, time, low, high)
        return low if time - self._time(epoch, low) < self._time(epoch, high) - time else high

    def _index_at(self, time: float, epoch: _Epoch, low: int, high: int) -> int:
        low, high = self._bracket(epoch, time, low, high)
        first, last = (int(self._index[k % self.size]) for k in (low, high))
        before = time - self._time(epoch, low)
        span = self._time(epoch, high) - self._time(epoch, low)
        if before <= 0:
            return first
        if before >= span:
            return last
        if last - first <= 1:
            return first if before <= span - before else last
        return first + math.floor(before / span * (last - first) + 0.5)  # among lost samples
