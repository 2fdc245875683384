"""Test the ranks of the truth, where markers tell it, against those of the certificate.

A rank falls into one of ten bins; `ratio` is how much commoner a bin was in the locked block than by
chance. Alarm: less than half of that effect, by a Shiryaev-Roberts statistic of 1 / (ratio / 2 + 1 / 2)
above 1e5. Confirmation, valid at any time: the product of (ratio / 2 + 1 / 2) above 1000.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["N_BINS", "RankTest", "chance_of_bins", "rank_bin", "ranks_needed"]

N_BINS = 10
ALARM, SURE = 1e5, 1e3
_MOST = 1e12


def rank_bin(rank: float, n_items: int) -> int:
    """Return the bin of a rank among `n_items`, 0 for the best."""
    return min(N_BINS - 1, int(N_BINS * rank / n_items))


def chance_of_bins(n_items: int) -> np.ndarray:
    """Probability of each bin by chance, (N_BINS,)."""
    bins = [rank_bin(rank, n_items) for rank in range(n_items)]
    return np.bincount(bins, minlength=N_BINS) / n_items


def ranks_needed(ratio: np.ndarray, n_items: int) -> tuple[float, float]:
    """Events after which an effect that is gone alarms, and after which a whole one is confirmed.

    Parameters
    ----------
    ratio : array of shape (N_BINS,)
        How much commoner each bin is than by chance.
    n_items : int
        Size of the vocabulary.

    Returns
    -------
    alarm, sure : float
        Infinite where there is no effect.
    """
    chance = chance_of_bins(n_items)
    half = np.log(0.5 * ratio + 0.5)
    lost, shown = -float(chance @ half), float((chance * ratio) @ half)
    return (
        math.log(ALARM) / lost if lost > 0 else math.inf,
        math.log(SURE) / shown if shown > 0 else math.inf,
    )


class RankTest:
    """Watch the ranks of the truth.

    Parameters
    ----------
    ratio : array of shape (N_BINS,)
        How much commoner each bin was in the locked block than by chance.
    n_items : int
        Size of the vocabulary.

    Attributes
    ----------
    n : int
        Events so far.
    alarm : bool
        Whether less than half of the certificate's effect is there.
    above_since : int or None
        Event at which the ranks were shown to be above chance; None so far.

    Raises
    ------
    ValueError
        If a ratio is not above 0, or their number is wrong.
    """

    def __init__(self, ratio: np.ndarray, n_items: int) -> None:
        if ratio.shape != (N_BINS,) or not (np.isfinite(ratio).all() and (ratio > 0).all()):
            raise ValueError(f"need {N_BINS} ratios above 0, got {ratio}")
        self._half = (0.5 * ratio + 0.5).tolist()
        self._n_items = n_items
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        self.n, self.alarm = 0, False
        self.above_since: int | None = None
        self._odds, self._proof = 0.0, 1.0

    def add(self, rank: float) -> bool:
        """Take the rank of a truth, 0 for the best; return whether something changed."""
        before = self.alarm, self.above_since
        gain = self._half[rank_bin(rank, self._n_items)]
        self.n += 1
        self._odds = min(_MOST, (1.0 + self._odds) / gain)
        self._proof = min(_MOST, self._proof * gain)
        if self.alarm:
            self._proof = max(self._proof, 1.0)  # from any event on
            if self._proof > SURE:
                self.alarm, self._odds = False, 0.0
        elif self._odds > ALARM:
            self.alarm, self._proof, self.above_since = True, 1.0, None
        elif self.above_since is None and self._proof > SURE:
            self.above_since = self.n
        return before != (self.alarm, self.above_since)
