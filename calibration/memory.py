r"""Measure how long features and targets remember, and find leaks between a fold and its training.

A prediction of noise is a weighted sum of training targets, with weights that follow the likeness
of the features; it scores above chance where both are alike over time:

.. math:: E[\hat y_t \cdot y_t] \propto \sum_{|t - s| > purge} k_x(t - s)\, k_y(t - s)

So the shorter of the two memories is purged. Whether that was enough is tested by the whole
cross-validation with features and targets shifted against each other in time: no shift leaves
anything to decode, and all leave the leak. This module knows nothing of words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.gram import RidgeGram
from calibration.ridge import alphas_default
from calibration.splits import Fold

__all__ = ["N_CONFIRM", "Leak", "check_folds", "joint_memory", "leak_by_shifts", "memory_seconds"]

_SMALL = 0.01  # correlation that is taken for none
_LEVELS = (0.5, 0.37, 0.2, 0.1)  # at which the decay is read, and extrapolated to `_SMALL`
_LEAKS = 0.015  # excess over chance that shows in a posterior
_SURE = 0.001  # p value of that excess over shifts
_LIKELY = 0.1  # the same, where the purge is shorter than the memory
N_SHIFTS = 8
N_CONFIRM = 31  # shifts that must find a leak again
LEAST_KEPT = 1 / 3  # share of the training events that a purge must leave to every fold


class Leak(NamedTuple):
    """Scores of a cross-validation in which there is nothing to decode."""

    score: float  # mean over shifts, at the penalty that leaks most
    p: float  # that it is no higher than chance
    upper: float  # of the one-sided 95 % interval of the mean

    @property
    def found(self) -> bool:
        """Whether the excess is both large enough to matter and beyond chance."""
        return self.score > 0.5 + _LEAKS and self.p < _SURE

    @property
    def excluded(self) -> bool:
        """Whether an excess that matters is ruled out: asked for where one was to be expected."""
        return self.upper <= 0.5 + _LEAKS and not (self.score > 0.5 and self.p < _LIKELY)


def memory_seconds(rows: np.ndarray, onsets: np.ndarray, run: np.ndarray) -> float:
    """Measure after how many s rows are no longer alike.

    The autocorrelation over events is read where it first falls below .5, .37, .2 and .1, and each
    is extrapolated, as an exponential, to .01: the tail itself is drowned in the noise of the
    estimate.

    Parameters
    ----------
    rows : array of shape (n, p)
        Features or targets of events in order of time.
    onsets : array of shape (n,)
        s.
    run : array of shape (n,)
        Recording of each event; only events of one recording are compared.

    Returns
    -------
    float
        0 if neighbours are not alike beyond the noise of the estimate.
    """
    rows = np.asarray(rows, float) - np.mean(rows, axis=0)
    n = len(rows)
    power = np.mean(np.sum(rows**2, axis=1))
    if n < 4 or not power > 0:
        return 0.0
    gram = rows.T @ rows if rows.shape[1] < n else rows @ rows.T
    dimensions = np.trace(gram) ** 2 / np.sum(gram**2)
    noise = 2 / np.sqrt(n * dimensions)
    lags, alike = [0.0], [1.0]
    for lag in range(1, n // 2 + 1):
        pairs = run[lag:] == run[:-lag]
        if not pairs.any():
            break
        products = np.einsum("ij,ij->i", rows[lag:][pairs], rows[:-lag][pairs])
        lags.append(float(np.median((onsets[lag:] - onsets[:-lag])[pairs])))
        alike.append(float(products.mean() / power))
        if alike[-1] < min(_LEVELS):
            break
    if len(lags) < 2 or alike[1] < noise:
        return 0.0
    return _decay(np.array(lags), np.log(np.maximum(alike, _SMALL)), noise)


def _decay(lags: np.ndarray, log_alike: np.ndarray, noise: float) -> float:
    """Extrapolate from each level that is above the noise; the longest counts."""
    found = []
    for level in _LEVELS:
        below = np.flatnonzero(log_alike < np.log(level))
        if level < noise:
            continue
        if not len(below):  # as alike as that over half of the recording
            found.append(float(lags[-1]) * np.log(_SMALL) / np.log(level))
            continue
        after = below[0]
        step = (np.log(level) - log_alike[after - 1]) / (log_alike[after] - log_alike[after - 1])
        at = lags[after - 1] + step * (lags[after] - lags[after - 1])
        found.append(float(at * np.log(_SMALL) / np.log(level)))
    return max(found, default=0.0)


def joint_memory(X: np.ndarray, Y: np.ndarray, onsets: np.ndarray, run: np.ndarray) -> float:
    """Measure the shorter of the memories of features and targets, in s: a leak needs both.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features of the training events, in order of time.
    Y : array of shape (n, D)
        Targets.
    onsets : array of shape (n,)
        s.
    run : array of shape (n,)
        Recording of each event.

    Returns
    -------
    float
    """
    of_targets = memory_seconds(Y, onsets, run)
    return min(of_targets, memory_seconds(X, onsets, run)) if of_targets else 0.0


def leak_by_shifts(
    X: np.ndarray,
    Y: np.ndarray,
    folds: Sequence[Fold],
    score: Callable[[np.ndarray], float],
    n_shifts: int = N_SHIFTS,
) -> Leak:
    """Score the cross-validation with features and targets shifted against each other.

    Groups and purge stay with the targets, so that sentences are held out whole.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features, in order of time.
    Y : array of shape (n, D)
        Targets.
    folds : sequence of (train, test)
    score : callable
        Takes centred out-of-fold predictions (n, D), returns a float of which chance is .5.
    n_shifts : int
        From 2.

    Returns
    -------
    Leak
    """
    from scipy.stats import ttest_1samp

    n = len(X)
    gram = RidgeGram(X)
    alphas = alphas_default(X, 5)[1:3]  # the largest leak: little shrinkage
    found = []
    for shift in np.unique(np.arange(1, n_shifts + 1) * n // (n_shifts + 1)):
        rolled = np.roll(Y, shift, axis=0)
        moved = [((train + shift) % n, (test + shift) % n) for train, test in folds]
        sweep = gram.sweep(rolled, moved, alphas, centred=True)
        found.append([score(np.roll(predicted, -shift, axis=0)) for predicted in sweep])
    scores = np.array(found)
    worst = scores[:, int(np.argmax(scores.mean(axis=0)))]
    mean = float(worst.mean())
    if len(worst) < 2 or not np.ptp(worst) > 0:
        return Leak(mean, 1.0, mean)
    above = ttest_1samp(worst, 0.5, alternative="greater")
    upper = ttest_1samp(worst, 0.5, alternative="less").confidence_interval(0.95).high
    return Leak(mean, float(above.pvalue), float(upper))


def check_folds(folds: Sequence[Fold], purge: float, column: str) -> None:
    """Refuse folds whose purge takes most of the training events away.

    Parameters
    ----------
    folds : sequence of (train, test)
    purge : float
        s, for the message.
    column : str
        Name of the events column of groups; empty for blocks.

    Raises
    ------
    ValueError
        With the likely reason: groups that are scattered in time, or too short a recording.
    """
    n = sum(len(test) for _, test in folds)
    kept = min(len(train) / max(1, n - len(test)) for train, test in folds)
    if kept >= LEAST_KEPT:
        return
    got = (
        f"need {100 * LEAST_KEPT:.0f} % of the training events in every fold, got {100 * kept:.0f} % after a purge "
        f"of {purge:.3g} s around held-out events"
    )
    if column:
        raise ValueError(
            f"{got}: groups of the column {column!r} are scattered in time, so that neighbours are "
            "on both sides; hold out contiguous groups (a sentence, a run), or leave groups empty"
        )
    raise ValueError(
        f"{got}: record longer, raise l_freq to shorten the memory of the signal, or set purge"
    )
