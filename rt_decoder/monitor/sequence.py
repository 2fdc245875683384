"""Test, event by event, whether the response is absent, inverted, shifted or mirrored.

Shiryaev-Roberts statistics of Gaussian log-likelihood ratios, clipped at four standard deviations,
alarm at a hundred thousand: where the response is just half of calibration's, that takes as many events in
the mean, each of the four. One event alone never alarms. Another's response may be partly alike:
"absent" is a mean of the statistics of none and of a quarter. What differs between left and right
becomes its opposite where they are exchanged, which is "mirrored"; there the alarm takes as long where nothing
is left of it. What is wrong is named apart from the alarm, by the mean score
at every lag since the response changed; the alarm is lifted when that mean is above half of
calibration's again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels.response import ENOUGH, likelihood_step, mean_rows
from rt_decoder.monitor.response import LAGS

__all__ = ["Finding", "ResponseTest", "events_to_notice", "n_to_name"]

ALARM = 1e5
DOUBT = 1e3
_MOST = 1e12  # so that a long alarm can end
_NEAR = 0.040  # s; a smaller shift is none
_TOLD_APART = 0.5  # least difference of means at a lag that is tested
_HALF = 0.5
_TURNED, _ALIKE = (
    0.75,
    0.35,
)  # least of the sides' response that is opposite; the rest differs by less
_SURE_PEAK, _SURE_NONE = 5.0, 4.0  # standard errors; the largest of 61 lags is sought


class Finding(NamedTuple):
    """What is wrong with the response."""

    what: str  # "absent", "inverted", "shifted", "mirrored", or "" while not clear
    lag: float = 0.0  # s by which the response comes later


def n_to_name(d: float) -> int:
    """Events whose mean score, of standard deviation 1/`d` each, tells 1 from 0 at four errors."""
    return int(np.clip(math.ceil((8 / d) ** 2), 20, 600))


def events_to_notice(d: float) -> dict[str, int]:
    """Events after which faults are noticed, by what is wrong.

    Parameters
    ----------
    d : float
        Mean over standard deviation of the score in calibration; for "mirrored" of the sides' score.

    Returns
    -------
    dict of str to int
    """
    needed = {"absent": 92, "inverted": 12, "shifted": 40, "mirrored": 25}
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
    sides : tuple of float or None
        Standard deviation of the score of what differs between left and right, and the mean score at no
        lag where they are exchanged; None if that is not tested.

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
    least_shift : float
        Smallest shift in s that is noticed; inf if none is.

    Raises
    ------
    ValueError
        If shapes do not fit, or the spread is not above 0.
    """

    def __init__(
        self,
        profile: np.ndarray,
        spread: float,
        spreads: np.ndarray,
        lag: float,
        sides: tuple[float, float] | None = None,
    ) -> None:
        n_lags = 2 * LAGS + 1
        if profile.shape != (n_lags,) or spreads.shape != (n_lags,) or not 0 < spread < math.inf:
            raise ValueError(
                f"need profile and spreads at {n_lags} lags and a spread above 0, got "
                f"{profile.shape}, {spreads.shape} and {spread:g}"
            )
        self._lag, self._spread = lag, float(spread)
        self._sides, self._alike = (0.0, 0.0) if sides is None else map(float, sides)
        self._null = _HALF * (profile - 1.0)
        self._moved = 1.0 - profile[::-1]
        far = np.abs(np.arange(-LAGS, LAGS + 1)) * lag > _NEAR + 1e-9
        tested = far & (self._moved - self._null > _TOLD_APART) & (spreads > 0)
        self._spreads = np.where(tested, spreads, 0.0)
        away = np.abs(np.flatnonzero(tested) - LAGS) * lag
        self.least_shift = float(away.min()) if len(away) else math.inf
        self.n_needed = n_to_name(1 / self._spread)
        self._kept = np.zeros((self.n_needed, n_lags + 1))  # the last is of the sides
        self._mean = np.zeros(n_lags + 1)
        self._odds, self._sides_odds = np.zeros(3 + n_lags), 0.0
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        self.n = 0
        self.alarm, self.finding = False, Finding("")
        self._odds[:] = self._sides_odds = 0.0
        self._since = [0, 0, 0, 0]  # events before the response may have changed, by fault
        self._begun = 0  # events before it did
        self.doubt = 0.0

    def add(self, scores: np.ndarray, sides: float = math.nan) -> bool:
        """Take the scores of an event; return whether alarm or finding changed.

        Parameters
        ----------
        scores : array of shape (2 * LAGS + 1,)
            At each lag.
        sides : float
            Of what differs between left and right, at no lag.

        Returns
        -------
        bool
        """
        row = self.n % self.n_needed
        self._kept[row, :-1], self._kept[row, -1] = scores, sides
        self.n += 1
        moved = likelihood_step(
            scores, LAGS, self._spread, self._null, self._moved, self._spreads, _MOST, self._odds
        )
        absent = 0.5 * float(self._odds[0] + self._odds[1])
        found = (absent, float(self._odds[2]), moved, self._sides_step(sides))
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

    def _sides_step(self, score: float) -> float:
        """Add an event to the statistic of left and right exchanged: a score of -1 against 0."""
        if self._sides > 0 and score == score:
            limit = 4.0 * self._sides
            score = min(max(score, -1.0 - limit), limit)
            gain = (score**2 - (score + 1.0) ** 2) / (2.0 * self._sides**2)
            self._sides_odds = min(_MOST, (1.0 + self._sides_odds) * math.exp(min(gain, ENOUGH)))
        return self._sides_odds

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
        mirrored = self._sides > 0 and self._mean[-1] < 0
        if n == self.n_needed and self._mean[LAGS] > _HALF and not mirrored:
            n_events = self.n
            self.reset()
            self.n = self._begun = n_events
            self._since = [n_events] * 4
            return
        if self.finding.what and (self.n - self._begun) % self.n_needed:
            return  # a name is only changed by a whole window, of which none overlap
        if (finding := self._name(n)) is not None:
            self.finding = finding

    def _is_mirrored(self, n: int, peak: float) -> bool:
        """Whether the mean of `n` events says that left and right are exchanged."""
        if not self._sides > 0:
            return False
        turned, error = -float(self._mean[-1]), self._sides / math.sqrt(n)  # an alarm came before
        is_alike = (
            abs(self._mean[LAGS] - self._alike) < _ALIKE
        )  # and not just inverted, or in disorder
        return is_alike and turned > max(peak, _TURNED, 3.0 * error)

    def _name(self, n: int) -> Finding | None:
        """Name what is wrong by the mean of `n` events; None while it is not clear."""
        error = self._spread / math.sqrt(n)
        lags = self._mean[:-1]
        high, low = int(lags.argmax()), int(lags.argmin())
        peak, depth = float(self._mean[high]), -float(self._mean[low])
        sure, most = n == self.n_needed, max(peak, depth)
        if self._is_mirrored(n, peak):
            return Finding("mirrored")
        if most <= _HALF:
            return Finding("absent") if sure or (1 - most) / error > _SURE_NONE else None
        if not sure and most / error < _SURE_PEAK:
            return None
        place = high if peak >= depth else low
        late = (place - LAGS) * self._lag
        if abs(late) <= _NEAR + 1e-9:
            return Finding("inverted") if depth > peak else None
        return Finding("shifted", late) if peak >= depth else Finding("absent")
