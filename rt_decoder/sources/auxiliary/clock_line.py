"""Sample times of one of several joined streams, smoothed."""

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

    Parameters
    ----------
    sfreq : float
        Nominal rate in Hz.

    Attributes
    ----------
    times, stamps, flags : arrays of shape (n,)
        Of the samples of the last update, valid until the next; times and stamps in s on this
        machine's LSL clock. Where `flags` has `Reason.HELD` the stamp is to be used: whether
        samples were lost there is not decided yet.
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
        """Correct and smooth new stamps.

        Parameters
        ----------
        source : SampleSource
            The source, asked for its clock correction once a second.
        stamps : array of shape (n,), float64
            Raw, in s on the sender's clock.
        arrival : float
            Time of arrival in s on this machine's LSL clock.

        Raises
        ------
        RateMismatch
            If the stamps run at another rate than declared.
        """
        if arrival >= self._check_at:
            with contextlib.suppress(TimeoutError):  # meanwhile the last one is good enough
                self.correction = source.correction(0.0)
            self._check_at = arrival + REFRESH
        self.stamps = self._stamps.take(len(stamps))
        np.add(stamps, self.correction, out=self.stamps)
        # No arrivals: they tell a loss from a clock that was set, which makes no difference here.
        timed = self._base.update(self.stamps)
        self.times, self.flags = timed.times, timed.flags

    def start_again(self) -> None:
        """Forget the line; the stamps of the last update become its times."""
        self._base.reset()
        self._check_at = -math.inf
        self.times, self.flags = self.stamps, np.full(len(self.stamps), Reason.HELD, FLAGS)
