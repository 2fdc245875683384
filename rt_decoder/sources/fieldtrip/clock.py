"""Times of samples from their numbers, for a stream without stamps.

A FieldTrip buffer counts samples and reports no times. It shows only that a sample had arrived by
some time on this machine's clock: never before it was taken, often later. The clock is the straight
line just below these points.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import exp

import numpy as np

__all__ = ["SampleClock"]

MEMORY = 20.0  # s; follows a drift of 200 ppm
RATE_SPREAD = 6e-4  # prior standard deviation of the rate, relative to the nominal one
LATE_WEIGHT = 0.1  # weight of a point above the line; a point below has 1
LARGEST_STEP = 0.025  # s; a loss upstream or a pause must be longer than this to be noticed
SETTLED = 1.0  # s; it is decided after two periods of this length


class SampleClock:
    """Straight line from sample numbers to times, below the times at which samples were seen.

    It is fitted by least squares with a memory of 20 s; a point above the line has a tenth of the
    weight of a point below (an expectile [1]_). A point far below moves the line at once. Points
    far above are ignored, unless they stay above for two seconds without coming nearer. Then
    samples were lost before the buffer, or the acquisition paused: the line jumps up to them.

    At 1 kHz, seen with 1 ms of exponential jitter, it is steady to half a sample from 2 s on. A
    constant delay (the acquisition's blocks of 28 samples and more) cannot be detected.

    Parameters
    ----------
    sfreq : float
        Nominal rate in Hz.

    Attributes
    ----------
    n_steps : int
        Number of jumps of the line.

    References
    ----------
    .. [1] Newey & Powell (1987), Asymmetric least squares estimation and testing, Econometrica
       55:819, doi:10.2307/1911031
    """

    def __init__(self, sfreq: float) -> None:
        self._nominal = 1.0 / sfreq
        self._memory = MEMORY * sfreq
        self._step = LARGEST_STEP * sfreq
        self.n_steps = 0
        self._period = self._nominal
        self._at: int | None = None  # sample number at which the line has `_level`
        self._level = 0.0
        self._p0, self._p1, self._p2 = 1.0, 0.0, RATE_SPREAD**2  # covariance of level and slope
        self._spread = 0.0  # mean distance from the line, in samples
        self._late_until = 0.0
        self._lows: list[float] = []  # lowest residual of each second that points were far above
        self._given: deque[tuple[int, float, float]] = deque(maxlen=4096)

    def observe(self, number: int, arrival: float) -> None:
        """Take note that sample `number` had arrived by `arrival` (s, this machine's clock)."""
        if self._at is None:
            self._at, self._level = number, arrival
            return
        ahead = number - self._at
        residual = (arrival - self._level) / self._period - ahead
        limit = max(self._step, 8.0 * self._spread)
        if residual > limit:
            self._wait_and_see(residual, limit, arrival)
            return
        self._lows.clear()
        if residual < -limit:
            self._level += residual * self._period
        else:
            self._spread += (abs(residual) - self._spread) / 32.0
            self._follow(number, ahead, residual)

    def times(self, first: int, stop: int) -> np.ndarray:
        """Return the times (n,) in s of samples `first` to `stop` - 1, which are delivered next."""
        start = self._time(first)
        self._given.append((first, start, self._period))
        return start + self._period * np.arange(stop - first)

    def time_of(self, number: int) -> float:
        """Return the time in s of one sample, as delivered even if the line has moved since."""
        before = bisect_right(self._given, number, key=lambda block: block[0]) - 1
        if before < 0:
            return self._time(number)
        first, start, period = self._given[before]
        return start + period * (number - first)

    def _time(self, number: int) -> float:
        return self._level + self._period * (number - (self._at or 0))

    def _follow(self, number: int, ahead: int, residual: float) -> None:
        """Recursive least squares; residuals in samples."""
        weight = (LATE_WEIGHT if residual > 0 else 1.0) / max(1.0, self._spread) ** 2
        grown = exp(min(ahead / self._memory, 20.0))
        p0 = (self._p0 + 2.0 * ahead * self._p1 + ahead * ahead * self._p2) * grown
        p1 = (self._p1 + ahead * self._p2) * grown
        k0, k1 = weight * p0 / (1.0 + weight * p0), weight * p1 / (1.0 + weight * p0)
        self._p0, self._p1 = p0 * (1.0 - k0), p1 * (1.0 - k0)
        self._p2 = self._p2 * grown - k1 * p1
        self._level += self._period * (ahead + k0 * residual)
        period = self._period * (1.0 + k1 * residual)
        self._period = min(max(period, 0.99 * self._nominal), 1.01 * self._nominal)
        self._at = number

    def _wait_and_see(self, residual: float, limit: float, arrival: float) -> None:
        if not self._lows:
            self._lows, self._late_until = [residual], arrival + SETTLED
        elif arrival < self._late_until:
            self._lows[-1] = min(self._lows[-1], residual)
        else:
            # a backlog that is being worked off comes nearer; a lasting step does not
            if len(self._lows) > 1 and self._lows[-1] > self._lows[-2] - limit / 4.0:
                self._level += self._lows[-1] * self._period
                self.n_steps += 1
                self._lows.clear()
                return
            self._lows = [self._lows[-1], residual]
            self._late_until = arrival + SETTLED
