"""Score answers as their truths come in, with intervals and a null that hold at any time.

**The null** is that what was shown and what was answered have nothing to do with each other: truths
came in an order that the answers do not know. A decoder that likes some words, which are also shown
more often, is under this null; a test against 1 / n is fooled by it. So each truth is compared with
the truths before it (among the same candidates): u = the rank of its evidence, p over prior, among
theirs in the same answer, divided by their number; ties are broken at random. If any order of the
truths is as likely as any other, the u are independent and uniform, whatever is shown how often
[1]_. Wealth is bet on small u; it is a martingale under the null, and exceeds 1 / alpha at any time
with a probability of at most alpha.

**Intervals** are confidence sequences: they hold at all times together. Shares and ranks by the
mixture of Robbins for what lies in [0, 1], bits by its asymptotic form [2]_.

References
----------
.. [1] Vovk et al. 2005, Algorithmic learning in a random world, doi:10.1007/b106715
.. [2] Waudby-Smith et al. 2024, doi:10.1214/24-AOS2408
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

__all__ = ["ALPHA", "Score", "mean_interval", "share_interval"]

ALPHA = 0.05  # of the test, and of intervals
_POWERS = np.array([0.3, 0.5, 0.7, 0.85, 0.95])  # bets p * u ** (p - 1): truths are often the first
_SLOPES = np.array([0.05, 0.15, 0.4, 0.8])  # bets 1 + s * (1 - 2 u): they are somewhat better
_RHO = 0.2  # of the mixture for bits: narrowest after about 100 events


class Score:
    """Running score of answers whose truth is known.

    Parameters
    ----------
    seed : int
        Breaks ties; the same answers have the same score.

    Attributes
    ----------
    counted : set of int
        Numbers of the readouts that are in it.
    since : int or None
        Events after which it was above chance; None as long as it is not.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.counted: set[int] = set()
        self.since: int | None = None
        self._sums: dict[str, float] = defaultdict(float)
        self._truths: dict[bytes, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._wealth = np.zeros(len(_POWERS) + len(_SLOPES))  # logarithms
        self._most = 0.0
        self._first, self._last = math.inf, -math.inf

    def add(
        self,
        posterior: np.ndarray,
        prior: np.ndarray,
        truth: int,
        *,
        seq: int,
        onset: float,
        abstained: bool = False,
    ) -> None:
        """Add an answer.

        Parameters
        ----------
        posterior, prior : array of shape (n_items,)
            Probabilities after and before the signal; a prior of 0 excludes an item.
        truth : int
            Number of the true item. If it was excluded, or nothing else could be answered, the answer
            is counted and tells nothing.
        seq : int
            Number of the readout.
        onset : float
            Of the event, in s.
        abstained : bool
            Whether the decoder abstained. Such answers count like others, and are counted apart.
        """
        self.counted.add(seq)
        possible = prior > 0
        n_items = int(possible.sum())
        if n_items < 2 or not possible[truth]:
            self._sums["n_outside"] += 1
            return
        above = int((posterior[possible] > posterior[truth]).sum())
        tied = int((posterior[possible] == posterior[truth]).sum())
        first = min(1.0, 1 / tied) if above == 0 else 0.0
        bits = math.log2(max(posterior[truth], 1e-300) / prior[truth])
        for name, value in (
            ("n", 1.0),
            ("top_1", first),
            ("top_10", min(1.0, max(0.0, (10 - above) / tied))),
            ("rank", 1 - (above + (tied - 1) / 2) / (n_items - 1)),
            ("bits", bits),
            ("bits_squared", bits * bits),
            ("chance_1", 1 / n_items),
            ("chance_10", min(1.0, 10 / n_items)),
            ("n_answered", float(not abstained)),
            ("right", first * (not abstained)),
        ):
            self._sums[name] += value
        if math.isfinite(onset):
            self._first, self._last = min(self._first, onset), max(self._last, onset)
        self._bet(posterior, prior, truth, np.packbits(possible).tobytes())

    def _bet(self, posterior: np.ndarray, prior: np.ndarray, truth: int, among: bytes) -> None:
        truths = self._truths[among]
        truths[truth] += 1
        items = np.fromiter(truths, np.int64, len(truths))
        counts = np.fromiter(truths.values(), np.int64, len(truths))
        evidence = posterior[items] / prior[items]
        own = posterior[truth] / prior[truth]
        better, same = counts[evidence > own].sum(), counts[evidence == own].sum()
        u = (better + same * (1.0 - self._rng.random())) / counts.sum()
        powers = np.log(_POWERS) + (_POWERS - 1.0) * math.log(u)
        self._wealth += np.concatenate((powers, np.log1p(_SLOPES * (1.0 - 2.0 * u))))
        now = float(np.logaddexp.reduce(self._wealth)) - math.log(len(self._wealth))
        self._most = max(self._most, now)
        if self.since is None and now >= -math.log(ALPHA):
            self.since = int(self._sums["n"])

    @property
    def n(self) -> int:
        """Answers so far, those that tell nothing included."""
        return len(self.counted)

    @property
    def p(self) -> float:
        """Anytime-valid p of the null that answers know nothing of truths."""
        return min(1.0, math.exp(-self._most))

    def summary(self) -> dict[str, Any]:
        """Return the score so far.

        Returns
        -------
        dict
            ``n``, ``top_1``, ``top_10``, ``rank``, ``bits`` (beyond the prior, an event) and
            ``bits_per_minute``, each with ``value``, ``low``, ``high`` and ``chance``; ``n_answered``,
            ``right_of_answered``, ``n_outside``, ``p``, ``since`` and ``verdict``, a sentence.
        """
        s, n = self._sums, int(self._sums["n"])
        told: dict[str, Any] = {"n": n, "n_outside": int(s["n_outside"])}
        if n:
            chances = {"top_1": s["chance_1"] / n, "top_10": s["chance_10"] / n, "rank": 0.5}
            for name, chance in chances.items():
                told[name] = _row(s[name] / n, share_interval(s[name], n), chance)
            bits = mean_interval(s["bits"], s["bits_squared"], n)
            told["bits"] = _row(s["bits"] / n, bits, 0.0)
            if n > 1 and self._last > self._first:
                rate = 60.0 * (n - 1) / (self._last - self._first)  # events a minute
                scaled = None if bits is None else (rate * bits[0], rate * bits[1])
                told["bits_per_minute"] = _row(rate * s["bits"] / n, scaled, 0.0)
            told["n_answered"] = int(s["n_answered"])
            told["right_of_answered"] = s["right"] / s["n_answered"] if s["n_answered"] else None
        verdict = "not above chance so far" if self.since is None else (
            f"above chance since event {self.since}"
        )  # fmt: skip
        return told | {"p": self.p, "since": self.since, "verdict": verdict}


def _row(value: float, interval: tuple[float, float] | None, chance: float) -> dict[str, Any]:
    low, high = (None, None) if interval is None else interval
    return {"value": value, "low": low, "high": high, "chance": chance}


def share_interval(total: float, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Confidence sequence of the mean of values in [0, 1].

    Parameters
    ----------
    total : float
        Their sum.
    n : int
        Their number, at least 1.
    alpha : float
        Probability of ever leaving out the mean.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> low, high = share_interval(30, 60)
    >>> round(low, 2), round(high, 2)
    (0.3, 0.7)
    """
    rest = n - total
    log_beta = (
        math.lgamma(total + 0.5) + math.lgamma(rest + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
    )
    limit = math.log(1 / alpha) - log_beta

    def is_in(p: float) -> bool:
        lost = (total * math.log(p) if total else 0.0) + (rest * math.log1p(-p) if rest else 0.0)
        return -lost < limit

    centre = min(max(total / n, 1e-12), 1 - 1e-12)
    low, high = 0.0, 1.0
    inside, outside = centre, 1e-300
    if not is_in(outside):
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_in(middle) else (inside, middle)
        low = inside
    inside, outside = centre, 1 - 1e-16
    if not is_in(outside):
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_in(middle) else (inside, middle)
        high = inside
    return low, high


def mean_interval(
    total: float, squares: float, n: int, alpha: float = ALPHA
) -> tuple[float, float] | None:
    """Asymptotic confidence sequence of a mean.

    Parameters
    ----------
    total, squares : float
        Sums of the values and of their squares.
    n : int
        Their number.
    alpha : float
        Probability of ever leaving out the mean, where values are many.

    Returns
    -------
    (float, float) or None
        None with fewer than 10 values.
    """
    if n < 10:
        return None
    mean = total / n
    spread = math.sqrt(max(squares / n - mean * mean, 0.0) * n / (n - 1))
    weight = n * _RHO**2 + 1
    half = spread * math.sqrt(2 * weight / (n * _RHO) ** 2 * math.log(math.sqrt(weight) / alpha))
    return mean - half, mean + half
