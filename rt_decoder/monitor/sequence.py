"""Test, event by event, whether the response is absent, inverted or shifted.

Shiryaev-Roberts statistics of Gaussian log-likelihood ratios, clipped at four standard deviations,
alarm at a million: where the response is at least half of calibration's, that takes a million events
in the mean. One event alone never alarms. What is wrong is named apart from the alarm, by the mean score
at every lag since the response changed; the alarm is lifted when that mean is above half of
calibration's again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels.response import likelihood_step, mean_rows
from rt_decoder.monitor.response import LAGS

__all__ = ["Finding", "ResponseTest", "events_to_notice", "n_to_name"]

ALARM = 1e6
DOUBT = 1e3
_MOST = 1e12  # so that a long alarm can end
_NEAR = 0.040  # s; a smaller shift is none
_TOLD_APART = 0.5  # least difference of means at a lag that is tested
_HALF = 0.5
_SURE_PEAK, _SURE_NONE = 5.0, 4.0  # standard errors; the largest of 61 lags is sought


class Finding(NamedTuple):
    """What is wrong with the response."""

    what: str  # "absent", "inverted", "shifted", or "" while not clear
    lag: float = 0.0  # s by which the response comes later


def n_to_name(d: float) -> int:
    """Events whose mean score, of standard deviation 1/`d` each, tells 1 from 0 at four errors."""
    return int(np.clip(math.ceil((8 / d) ** 2), 20, 600))


def events_to_notice(d: float) -> dict[str, int]:
    """Events after which faults are noticed, by what is wrong."""
    needed = {"absent": 92, "inverted": 12, "shifted": 40}
    return {fault: max(2, math.ceil(n / d**2)) for fault, n in needed.items()}


class ResponseTest:
    """Watch the scores of events for a change.

    Parameters
    ----------
    profile : array of shape (2 * LAGS + 1,)
        Mean score at each lag in calibration.
    spread : float
        Standard deviation of the score at no lag.
    spreads : array of shape (2 * LAGS + 1,)
        Standard deviation of the difference of the score at each lag from that.
    lag : float
        Length of a lag in s.

    Attributes
    ----------
    n : int
        Events so far.
    n_needed : int
        Events before anything is said in favour.
    alarm : bool
        Whether the response is another one than in calibration.
    finding : Finding
        What is wrong, while `alarm`.

    Raises
    ------
    ValueError
        If shapes do not fit, or the spread is not above 0.
    """

    def __init__(self, profile: np.ndarray, spread: float, spreads: np.ndarray, lag: float) -> None:
        n_lags = 2 * LAGS + 1
        if profile.shape != (n_lags,) or spreads.shape != (n_lags,) or not 0 < spread < math.inf:
            raise ValueError(
                f"need profile and spreads at {n_lags} lags and a spread above 0, got "
                f"{profile.shape}, {spreads.shape} and {spread:g}"
            )
        self._lag, self._spread = lag, float(spread)
        self._null = _HALF * (profile - 1.0)
        self._moved = 1.0 - profile[::-1]
        far = np.abs(np.arange(-LAGS, LAGS + 1)) * lag > _NEAR + 1e-9
        tested = far & (self._moved - self._null > _TOLD_APART) & (spreads > 0)
        self._spreads = np.where(tested, spreads, 0.0)
        self.n_needed = n_to_name(1 / self._spread)
        self._kept = np.zeros((self.n_needed, n_lags))
        self._mean = np.zeros(n_lags)
        self._odds = np.zeros(2 + n_lags)
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        self.n = 0
        self.alarm, self.finding = False, Finding("")
        self._odds[:] = 0.0
        self._since = [0, 0, 0]  # events before the response may have changed, by fault
        self._begun = 0  # events before it did
        self.doubt = 0.0

    def add(self, scores: np.ndarray) -> bool:
        """Take the scores of an event (2 * LAGS + 1,); return whether alarm or finding changed."""
        self._kept[self.n % self.n_needed] = scores
        self.n += 1
        moved = likelihood_step(
            scores, LAGS, self._spread, self._null, self._moved, self._spreads, _MOST, self._odds
        )
        found = (float(self._odds[0]), float(self._odds[1]), moved)
        self.doubt = max(found)
        for fault, odds in enumerate(found):
            if odds < 1.0 and not self.alarm:
                self._since[fault] = self.n
        before = self.alarm, self.finding
        if not self.alarm and self.doubt >= ALARM:
            self.alarm, self._begun = True, self._since[found.index(self.doubt)]
        if self.alarm:
            self._judge()
        return before != (self.alarm, self.finding)

    @property
    def level(self) -> float:
        """Mean score at no lag of the newest events, at most `n_needed`; NaN without any."""
        n = min(self.n, self.n_needed)
        if n == 0:
            return math.nan
        mean_rows(self._kept, self.n, n, self._mean)
        return float(self._mean[LAGS])

    @property
    def in_doubt(self) -> bool:
        """Whether something may be wrong, without being sure."""
        return self.doubt >= DOUBT or (self.n >= self.n_needed and self.level <= _HALF)

    @property
    def fits(self) -> bool:
        """Whether enough events show a response as in calibration."""
        return self.n >= self.n_needed and not self.alarm and self.level > _HALF

    def _judge(self) -> None:
        n = min(self.n - self._begun, self.n_needed)
        mean_rows(self._kept, self.n, n, self._mean)
        if n == self.n_needed and self._mean[LAGS] > _HALF:
            n_events = self.n
            self.reset()
            self.n = self._begun = n_events
            self._since = [n_events] * 3
            return
        if self.finding.what and (self.n - self._begun) % self.n_needed:
            return  # a name is only changed by a whole window, of which none overlap
        if (finding := self._name(n)) is not None:
            self.finding = finding

    def _name(self, n: int) -> Finding | None:
        """Name what is wrong by the mean of `n` events; None while it is not clear."""
        error = self._spread / math.sqrt(n)
        high, low = int(self._mean.argmax()), int(self._mean.argmin())
        peak, depth = float(self._mean[high]), -float(self._mean[low])
        sure, most = n == self.n_needed, max(peak, depth)
        if most <= _HALF:
            return Finding("absent") if sure or (1 - most) / error > _SURE_NONE else None
        if not sure and most / error < _SURE_PEAK:
            return None
        place = high if peak >= depth else low
        late = (place - LAGS) * self._lag
        if abs(late) <= _NEAR + 1e-9:
            return Finding("inverted") if depth > peak else None
        return Finding("shifted", late) if peak >= depth else Finding("absent")
