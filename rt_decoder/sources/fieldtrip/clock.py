"""Time of a sample from its number, where a stream has no stamps.

A FieldTrip buffer counts samples and says nothing of time. What can be seen is that by some time
on this machine's clock there were so many samples: never before they were taken, often later. The
clock is the line under these points.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import exp

import numpy as np

__all__ = ["SampleClock"]

MEMORY = 20.0  # s; follows a drift of 200 ppm
RATE_SPREAD = 6e-4  # of real rates about the nominal one, before anything is known
LATE_WEIGHT = 0.1  # of a point above the line, against 1 of one below
LARGEST_STEP = 0.025  # s; what a loss upstream or a pause must exceed to be one
SETTLED = 1.0  # s, twice, that it must have lasted


class SampleClock:
    """Line from sample numbers to times, under the times at which samples were seen.

    Least squares with a memory of 20 s in which a point above the line weighs a tenth of one below
    (an expectile, after [1]_). A point far below moves the line at once. Points far above are
    left out, until they have neither come back nor come nearer for two seconds: then samples
    are missing before the buffer, or the acquisition paused, and the line jumps up to them.

    At 1 kHz, seen with 1 ms of exponential jitter, it is steady to half a sample from 2 s on. A
    delay that is always there (blocks of the acquisition, 28 samples and more) cannot be seen.

    Parameters
    ----------
    sfreq : float
        Nominal rate in Hz.

    Attributes
    ----------
    n_steps : int
        How often the line had to jump.

    References
    ----------
    .. [1] Newey & Powell, Asymmetric least squares estimation and testing, Econometrica 55 (1987),
       doi:10.2307/1911031
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
        """By `arrival` s, sample `number` was there."""
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
        """Times (n,) in s of samples `first` to `stop` - 1, which are about to be delivered."""
        start = self._time(first)
        self._given.append((first, start, self._period))
        return start + self._period * np.arange(stop - first)

    def time_of(self, number: int) -> float:
        """Time in s of one sample: as delivered, however the line has moved since."""
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
            # a backlog that is being worked off comes nearer; what stays is for good
            if len(self._lows) > 1 and self._lows[-1] > self._lows[-2] - limit / 4.0:
                self._level += self._lows[-1] * self._period
                self.n_steps += 1
                self._lows.clear()
                return
            self._lows = [self._lows[-1], residual]
            self._late_until = arrival + SETTLED
