"""Predict brain samples by maps that saw neither the event nor chose their penalty on it.

Outer folds are groups joined to a few; the penalty of a fold is chosen, for each channel, by inner
folds of its own training events. Tables of predictors that differ in the scale of a part (`bands`)
are candidates like penalties. All channels, times, penalties and permutations share one
eigendecomposition a fold and table. This module knows nothing of words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.gram import RidgeGram
from calibration.ridge import alphas_default
from calibration.ridge_checks import checked
from calibration.splits import blocks, encode_groups, leave_group_out

__all__ = ["NestedRidge", "Penalties", "Split", "joined_groups"]

MOST_FOLDS = 8
N_ALPHAS = 8

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Split(NamedTuple):
    """How n events are held out."""

    groups: np.ndarray  # (n,) events of one are held out together
    onsets: np.ndarray  # (n,) s, on one axis over all recordings
    purge: float  # s around a held-out event, excluded from training


class Penalties(NamedTuple):
    """What was chosen for each outer fold and channel."""

    table: np.ndarray  # (n_folds, c) int, number of the table of predictors
    alpha: np.ndarray  # (n_folds, c)


def joined_groups(groups: np.ndarray, onsets: np.ndarray, most: int = MOST_FOLDS) -> np.ndarray:
    """Join groups that follow each other in time to at most `most`.

    Parameters
    ----------
    groups : array of shape (n,)
    onsets : array of shape (n,)
        s.
    most : int

    Returns
    -------
    array of shape (n,), int
        Numbered from 0 in order of time.

    Raises
    ------
    ValueError
        If there are fewer than three groups: one to test, two to choose the penalty.

    Examples
    --------
    >>> joined_groups(np.array(list("aabbcd")), np.arange(6.0), 3)
    array([0, 0, 0, 0, 1, 2])
    """
    order = np.argsort(onsets, kind="stable")
    codes = encode_groups(np.asarray(groups)[order])
    n_groups = int(codes.max(initial=-1)) + 1
    if n_groups < 3:
        raise ValueError(
            f"need at least 3 groups, one to test and two to choose the penalty, got {n_groups}"
        )
    joined = np.empty(len(codes), np.int64)
    joined[order] = blocks(n_groups, min(most, n_groups))[codes]
    return joined


class NestedRidge:
    """Ridge maps from tables of predictors to c channels at t times, penalties chosen nested.

    Parameters
    ----------
    tables : sequence of array of shape (n, p)
        Candidates for the predictors of n events, for example with other scales of a part.
    split : Split
        Its groups are joined to at most eight outer folds.
    alphas : array of shape (n_alphas,), optional
        Penalties to choose from; by default eight from 1e-3 to 1e4 times the mean eigenvalue of
        each table.

    Attributes
    ----------
    fold : array of shape (n,), int
        Outer fold that tests each event.

    Raises
    ------
    ValueError
        If there are fewer than three groups, a fold has nothing to train on, or a table does not
        vary.
    """

    def __init__(
        self,
        tables: Sequence[np.ndarray],
        split: Split,
        alphas: np.ndarray | None = None,
    ) -> None:
        self._tables = [checked(table, "predictors") for table in tables]
        self._alphas = [
            alphas_default(table, N_ALPHAS)
            if alphas is None
            else np.sort(np.asarray(alphas, float))
            for table in self._tables
        ]
        self._split = split
        self.fold = joined_groups(split.groups, split.onsets)
        self._folds = leave_group_out(self.fold, split.onsets, split.purge)
        self._grams: dict[int, RidgeGram] = {}

    def choose(
        self, Y: np.ndarray, score: Score, progress: Callable[[float], None] | None = None
    ) -> Penalties:
        """Choose table and penalty of each outer fold and channel by its inner folds.

        Parameters
        ----------
        Y : array of shape (n, c, t)
        score : callable
            Takes predictions, truth and fold of the training events; returns a score (c, t), of
            which the mean over times is maximised.
        progress : callable or None
            Called with the share done, 0 to 1.

        Returns
        -------
        Penalties
            Of a tie, the middle one.
        """
        chosen = []
        for number, (train, _) in enumerate(self._folds):
            inner = leave_group_out(self.fold[train], self._split.onsets[train], self._split.purge)
            seen, codes = Y[train], encode_groups(self.fold[train])
            rows = []
            for table, alphas in zip(self._tables, self._alphas, strict=True):
                gram = RidgeGram(table[train])
                for found in gram.sweep(_flat(seen), inner, alphas, centred=True):
                    rows.append(score(found.reshape(seen.shape), seen, codes).mean(axis=1))
            chosen.append(_best(np.array(rows)))
            if progress is not None:
                progress((number + 1) / len(self._folds))
        numbers = np.repeat(np.arange(len(self._tables)), [len(one) for one in self._alphas])
        picked = np.array(chosen)
        return Penalties(numbers[picked], np.concatenate(self._alphas)[picked])

    def predict(self, Y: np.ndarray, penalties: Penalties) -> np.ndarray:
        """Predict every event by the map of the fold that did not see it.

        Parameters
        ----------
        Y : array of shape (n, c, t)
        penalties : Penalties

        Returns
        -------
        array of shape (n, c, t), float64
            Deviations from the mean of the training events.
        """
        predicted = np.zeros(Y.shape)
        for number in np.unique(penalties.table):
            here = penalties.table == number
            for alpha in np.unique(penalties.alpha[here]):
                used = here & (penalties.alpha == alpha)  # (n_folds, c)
                channels = np.flatnonzero(used.any(axis=0))
                part = Y[:, channels]
                found = self._gram(int(number)).out_of_fold(_flat(part), self._folds, alpha, True)
                at = used[self.fold][:, channels]
                predicted[:, channels] += np.where(at[:, :, None], found.reshape(part.shape), 0.0)
        return predicted

    def averaged(self, Y: np.ndarray, score: Score) -> np.ndarray:
        """Average the score of held-out predictions over all tables and penalties: nothing is chosen.

        Parameters
        ----------
        Y : array of shape (n, c, t)
        score : callable
            As for `choose`.

        Returns
        -------
        array of shape (c, t)
        """
        total, count = np.zeros(Y.shape[1:]), 0
        for number, alphas in enumerate(self._alphas):
            for found in self._gram(number).sweep(_flat(Y), self._folds, alphas, centred=True):
                total += score(found.reshape(Y.shape), Y, self.fold)
                count += 1
        return total / count

    def highest(self, Y: np.ndarray, score: Score) -> np.ndarray:
        """Take the highest score of held-out predictions over every second table and penalty.

        It is chosen on the tested events: no accuracy, but what permutations can repeat.

        Parameters
        ----------
        Y : array of shape (n, c, t)
        score : callable
            As for `choose`.

        Returns
        -------
        array of shape (c, t)
        """
        best, n = np.full(Y.shape[1:], -np.inf), len(self._tables)
        for number in range(int(n > 1), n, 2):
            alphas = self._alphas[number][::2]
            for found in self._gram(number).sweep(_flat(Y), self._folds, alphas, centred=True):
                best = np.maximum(best, score(found.reshape(Y.shape), Y, self.fold))
        return best

    def _gram(self, number: int) -> RidgeGram:
        if number not in self._grams:
            self._grams[number] = RidgeGram(self._tables[number])
        return self._grams[number]


def _flat(Y: np.ndarray) -> np.ndarray:
    return Y.reshape(len(Y), -1)


def _best(scores: np.ndarray) -> np.ndarray:
    """Row of the highest score in each column of scores (rows, c); of a tie, the middle one."""
    best = []
    for column in scores.T:
        ties = np.flatnonzero(column == column.max())
        best.append(ties[len(ties) // 2])
    return np.array(best)
