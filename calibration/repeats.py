"""Pool the evidence of repeats of one item: how it grows with them, and what it is worth.

As in `rt_decoder.decoding.evidence`, evidence is the log of posterior over prior, and each of n
repeats counts for ``1 / (1 + (n - 1) * correlation)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from calibration.abstention import fit_abstention
from calibration.interval import mean_interval
from calibration.scores import bits_beyond_prior, finite, rank_accuracy, top_k
from rt_decoder.model import Pooling

__all__ = [
    "LEAST_TRIALS",
    "REPEATS",
    "few_trials",
    "fit_pooling",
    "pool_evidence",
    "pooled_scores",
    "repeat_groups",
]

REPEATS = (1, 2, 4, 8, 12)  # of which the certificate tells
LEAST_TRIALS = 10  # trials of this many repeats, for a figure
_IN_A_ROW = 0.5  # share of the events in whole trials, from which the recording's own are used


def repeat_groups(truth: np.ndarray, run: np.ndarray, n: int) -> tuple[np.ndarray, bool]:
    """Put events of the same item together, n at a time, in time order.

    Where most events come in rows of the same item, those rows are the trials. Elsewhere every n
    events of an item make one, however far apart.

    Parameters
    ----------
    truth : array of shape (n_events,), int
        Item of each event, in time order.
    run : array of shape (n_events,)
        Recording of each event.
    n : int
        Repeats, at least 1.

    Returns
    -------
    groups : array of shape (n_groups, n), int
        Numbers of the events of each trial; events that are left over are in none.
    in_a_row : bool
        Whether the trials are the recording's own.
    """
    truth, run = np.asarray(truth), np.asarray(run)
    new = np.flatnonzero((np.diff(truth) != 0) | (run[1:] != run[:-1])) + 1
    rows = np.split(np.arange(len(truth)), new)
    own = _cut(rows, n)
    if own.size >= _IN_A_ROW * len(truth):
        return own, True
    return _cut([np.flatnonzero(truth == item) for item in np.unique(truth)], n), False


def _cut(rows: Sequence[np.ndarray], n: int) -> np.ndarray:
    whole = [row[: len(row) - len(row) % n].reshape(-1, n) for row in rows]
    return np.concatenate([np.zeros((0, n), int), *whole])


def pool_evidence(
    log_posterior: np.ndarray,
    log_prior: np.ndarray,
    groups: np.ndarray,
    correlation: float = 0.0,
) -> np.ndarray:
    """Log posterior of each trial from those of its repeats.

    Parameters
    ----------
    log_posterior : array of shape (n_events, n_items)
        Natural logarithms, normalised over items.
    log_prior : array of shape (n_items,)
        Natural logarithms, normalised.
    groups : array of shape (n_groups, n), int
        Events of each trial.
    correlation : float
        Of the errors of repeats, 0 to 1.

    Returns
    -------
    array of shape (n_groups, n_items), float64
        Natural logarithms, normalised over items.
    """
    weight = 1 / (1 + (groups.shape[1] - 1) * correlation)
    return _normalised(weight * _summed(log_posterior, log_prior, groups) + log_prior)


def _summed(log_posterior: np.ndarray, log_prior: np.ndarray, groups: np.ndarray) -> np.ndarray:
    energy = np.zeros((len(groups), len(log_prior)))
    for column in groups.T:
        energy += log_posterior[column] - log_prior
    return energy


def _normalised(energy: np.ndarray) -> np.ndarray:
    energy = energy - energy.max(axis=1, keepdims=True)
    return energy - np.log(np.exp(energy).sum(axis=1, keepdims=True))


def fit_pooling(
    log_posterior: np.ndarray,
    log_prior: np.ndarray,
    truth: np.ndarray,
    run: np.ndarray,
    repeats: int,
    precision: float = 0.0,
    together: np.ndarray | None = None,
) -> Pooling:
    """Fit the correlation of repeats' errors by the likelihood of the true items, and a threshold.

    Parameters
    ----------
    log_posterior : array of shape (n_events, n_items)
        Out of fold.
    log_prior : array of shape (n_items,)
        Natural logarithms, normalised.
    truth : array of shape (n_events,), int
        Item of each event, in time order.
    run : array of shape (n_events,)
        Recording of each event.
    repeats : int
        Events in a trial.
    precision : float
        As `fit_abstention` takes it, of pooled answers.
    together : array of shape (n_events,), optional
        Groups of events that may be right or wrong together.

    Returns
    -------
    Pooling
        With too few trials to fit, the correlation is 1: a repeat adds nothing that was not shown.
    """
    groups, _ = repeat_groups(truth, run, repeats)
    if len(groups) < LEAST_TRIALS or repeats == 1:
        return Pooling(1.0, 0.0 if precision == 0 else 2.0)
    found = truth[groups[:, 0]]
    total = _summed(log_posterior, log_prior, groups)

    def loss(weight: float) -> float:
        log_p = _normalised(weight * total + log_prior)
        return -float(log_p[np.arange(len(found)), found].mean())

    least = 1 / repeats
    weight = minimize_scalar(loss, bounds=(least, 1.0), method="bounded").x
    weight = min((weight, least, 1.0), key=loss)  # the ends are not tried by the search
    correlation = float(np.clip((1 / weight - 1) / (repeats - 1), 0.0, 1.0))
    pooled = pool_evidence(log_posterior, log_prior, groups, correlation)
    right = pooled.argmax(axis=1) == found
    abstention = fit_abstention(
        np.exp(pooled.max(axis=1)),
        right,
        precision,
        groups=None if together is None else together[groups[:, 0]],
        above=float(np.bincount(found).max() / len(found)),
    )
    return Pooling(correlation, abstention.threshold)


def pooled_scores(
    log_posterior: np.ndarray,
    log_prior: np.ndarray,
    truth: np.ndarray,
    run: np.ndarray,
    correlation: float = 0.0,
    repeats: int = 1,
) -> dict[str, Any]:
    """Score pooled answers for each number of repeats that has enough trials.

    Parameters
    ----------
    log_posterior : array of shape (n_events, n_items)
        Natural logarithms, normalised over items.
    log_prior : array of shape (n_items,)
        Natural logarithms, normalised.
    truth : array of shape (n_events,), int
        Item of each event, in time order.
    run : array of shape (n_events,)
        Recording of each event.
    correlation : float
        Of `fit_pooling`.
    repeats : int
        A number to score besides those in `REPEATS`.

    Returns
    -------
    dict
        For each number of repeats, as text: `n` trials, whether they came `in_a_row`, `top1`,
        `rank_accuracy` by the evidence without the prior (chance 0.5), `bits_per_word` beyond the
        prior, and the `chance_top1` of always naming the most frequent item; `low` and `high`, 95 %
        of the rank accuracy by a bootstrap over trials.
    """
    scores: dict[str, Any] = {}
    for n in sorted({*REPEATS, repeats}):
        groups, in_a_row = repeat_groups(truth, run, n)
        if len(groups) < LEAST_TRIALS:
            continue
        found = truth[groups[:, 0]]
        pooled = pool_evidence(log_posterior, log_prior, groups, correlation)
        ranks = rank_accuracy(pooled - log_prior, found)
        low, high = mean_interval(ranks)
        scores[str(n)] = finite(
            {
                "n": len(groups),
                "in_a_row": in_a_row,
                "top1": float(top_k(pooled, found, 1).mean()),
                "chance_top1": float(np.bincount(found).max() / len(found)),
                "rank_accuracy": float(ranks.mean()),
                "low": low,
                "high": high,
                "bits_per_word": float(bits_beyond_prior(pooled, log_prior, found).mean()),
            }
        )
    return scores


def few_trials(repeats: int, scores: Mapping[str, Any]) -> str:
    """Say that there were too few trials to measure what repeats add.

    Parameters
    ----------
    repeats : int
        Events in a trial.
    scores : mapping
        Of `pooled_scores`, out of fold.

    Returns
    -------
    str
        One sentence; empty if there were enough, or nothing is pooled.
    """
    if repeats == 1 or str(repeats) in scores:
        return ""
    return (
        f"need {LEAST_TRIALS} trials of {repeats} events of one item to measure what repeats add, got "
        "fewer: errors of repeats are taken to be the same"
    )
