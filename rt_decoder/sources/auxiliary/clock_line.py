"""Where the samples of one of several joined streams are in time."""

from __future__ import annotations

import contextlib
import math

import numpy as np

from rt_decoder.kernels.memory import Rows
from rt_decoder.signal import FLAGS, Reason
from rt_decoder.source import SampleSource
from rt_decoder.timing.timebase import TimeBase

__all__ = ["ClockLine"]

REFRESH = 1.0  # s between looks at the clock correction


class ClockLine:
    """Corrected stamps of a source, and the smooth times of its samples.

    Attributes
    ----------
    times, stamps, flags : arrays of shape (n,)
        Of the samples of the last update, valid until the next. Where `flags` has `Reason.HELD`
        the stamp is to be used: the line does not know yet what it means.
    correction : float
        Seconds that were added to the raw stamps.
    """

    def __init__(self, sfreq: float) -> None:
        self._base = TimeBase(sfreq, history=0.0)
        self._stamps = Rows((), np.float64)
        self.correction, self._check_at = 0.0, -math.inf
        self.times = self.stamps = np.empty(0)
        self.flags = np.empty(0, FLAGS)

    def update(self, source: SampleSource, stamps: np.ndarray, arrival: float) -> None:
        """Place raw `stamps` (n,); RateMismatch where they run at another rate."""
        if arrival >= self._check_at:
            with contextlib.suppress(TimeoutError):  # the last one is good enough meanwhile
                self.correction = source.correction(0.0)
            self._check_at = arrival + REFRESH
        self.stamps = self._stamps.take(len(stamps))
        np.add(stamps, self.correction, out=self.stamps)
        # No arrivals: they tell a loss from a clock that was set, and both are the same here.
        self.times, _, self.flags, _ = self._base.update(self.stamps)

    def start_again(self) -> None:
        """Forget the line; the samples of the last update are where their stamps say."""
        self._base.reset()
        self._check_at = -math.inf
        self.times, self.flags = self.stamps, np.full(len(self.stamps), Reason.HELD, FLAGS)
