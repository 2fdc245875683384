"""Score how well single trials retrieve their items, beside chance.

A similarity has shape ``(n_trials, n_items)``, higher is closer; the truth is one item number per
trial. Tied items share their ranks, so that a constant similarity scores exactly chance. *Micro*
scores average over trials, *macro* scores over the trials of each item and then over items. A
decoder that knows nothing but word frequencies gains in micro scores only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "bits_beyond_prior",
    "cosine",
    "expected_calibration_error",
    "finite",
    "macro",
    "rank_accuracies",
    "rank_accuracy",
    "reciprocal_rank",
    "summarize",
    "top_k",
    "two_vs_two",
    "unit_rows",
]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale the rows of an array of shape (n, D) to length 1; a row of zeros stays zero."""
    vectors = np.asarray(vectors, float)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def cosine(predictions: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Cosines (n, n_items) of predictions (n, D) with items (n_items, D); centre both before."""
    return unit_rows(predictions) @ unit_rows(items).T


def top_k(similarity: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Probability that the true item is among the k best, with ties broken at random.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int
    k : int

    Returns
    -------
    array of shape (n_trials,), float64
    """
    above, tied = _place(similarity, truth)
    return np.clip((k - above) / tied, 0.0, 1.0)


def reciprocal_rank(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Expected 1 / rank of the true item, with ties broken at random; the mean is the MRR.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int

    Returns
    -------
    array of shape (n_trials,), float64
    """
    above, tied = _place(similarity, truth)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, similarity.shape[1] + 1))])
    return (harmonic[above + tied] - harmonic[above]) / tied


def rank_accuracy(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the other items that the true item beats; a tie counts half. Chance is 0.5.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int

    Returns
    -------
    array of shape (n_trials,), float64
    """
    above, tied = _place(similarity, truth)
    others = similarity.shape[1] - 1
    return 1 - (above + (tied - 1) / 2) / others


def rank_accuracies(similarity: np.ndarray) -> np.ndarray:
    """Rank accuracy of each item in each trial, (n_trials, n_items), if it were the true one."""
    from scipy.stats import rankdata

    return (rankdata(similarity, axis=1) - 1) / (np.shape(similarity)[1] - 1)


def two_vs_two(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the other trials with which the right pairing of items beats the swapped one.

    Trials i and j of different items succeed when ``s[i, i] + s[j, j] > s[i, j] + s[j, i]``, where
    ``s[i, j]`` is the similarity of trial i with the item of trial j; a tie counts half. Chance is
    0.5.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int

    Returns
    -------
    array of shape (n_trials,), float64
        NaN for a trial if all others have the same item.

    References
    ----------
    Mitchell et al. 2008, doi:10.1126/science.1152876
    """
    similarity, truth = _checked(similarity, truth)
    own = similarity[np.arange(len(truth)), truth]
    shares = np.full(len(truth), np.nan)
    for i in range(len(truth)):
        different = truth != truth[i]
        if different.any():
            right = own[i] + own[different]
            swapped = similarity[i, truth[different]] + similarity[different, truth[i]]
            shares[i] = np.mean((right > swapped) + 0.5 * (right == swapped))
    return shares


def macro(values: np.ndarray, truth: np.ndarray) -> float:
    """Average scores (n_trials,) over the trials of each item, then over items; skip NaN."""
    present = np.isfinite(values)
    if not present.any():
        return float("nan")
    _, item = np.unique(np.asarray(truth)[present], return_inverse=True)
    return float(np.mean(np.bincount(item, values[present]) / np.bincount(item)))


def bits_beyond_prior(
    log_posterior: np.ndarray, log_prior: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Information about the true item that each trial adds to the prior, in bits.

    Parameters
    ----------
    log_posterior : array of shape (n_trials, n_items)
        Natural logarithms, normalised over items.
    log_prior : array of shape (n_items,)
        Natural logarithms, normalised.
    truth : array of shape (n_trials,), int

    Returns
    -------
    array of shape (n_trials,), float64
        0 if the posterior equals the prior, negative if it is worse.
    """
    truth = np.asarray(truth)
    at_truth = np.asarray(log_posterior)[np.arange(len(truth)), truth]
    return (at_truth - np.asarray(log_prior)[truth]) / np.log(2)


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, n_bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy over bins of about equally many trials.

    Bins of equal width would put every trial of a large vocabulary into the first one.

    Parameters
    ----------
    confidence : array of shape (n_trials,)
        Probability of the winner.
    correct : array of shape (n_trials,), bool
    n_bins : int

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the arrays differ in shape, are not 1-D, or are empty.

    References
    ----------
    Nixon et al. 2019, arXiv:1904.01685
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(confidence):
        raise ValueError(
            f"need one confidence and one outcome per trial, got {confidence.shape} and "
            f"{correct.shape}"
        )
    # Equal confidences share a bin, or the error would depend on the order of the trials.
    edges = np.quantile(confidence, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(edges, confidence, side="right")
    return float(np.abs(np.bincount(bins, confidence - correct)).sum() / len(confidence))


def summarize(
    similarity: np.ndarray,
    truth: np.ndarray,
    prior: np.ndarray | None = None,
    k: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Compute all scores, beside chance and beside the prior alone.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int
    prior : array of shape (n_items,), optional
        Probability of each item without any signal; uniform by default.
    k : sequence of int
        Which ``top`` scores to compute.

    Returns
    -------
    dict
        ``top1`` and so on, ``mrr``, ``rank_accuracy`` and ``two_vs_two``; each also with the
        prefixes ``macro_``, ``chance_``, ``prior_`` and ``macro_prior_``.

    Raises
    ------
    ValueError
        If a shape does not fit, an item number is out of range, or a similarity is not finite.
    """
    similarity, truth = _checked(similarity, truth)
    n_items = similarity.shape[1]
    prior = np.full(n_items, 1 / n_items) if prior is None else np.asarray(prior, float)
    if prior.shape != (n_items,):
        raise ValueError(f"need a prior of {n_items} items, got shape {prior.shape}")
    summary: dict[str, float] = {}
    alone = np.broadcast_to(prior, similarity.shape)
    for source, name in ((similarity, ""), (alone, "prior_")):
        for score, values in _all_scores(source, truth, k).items():
            present = np.isfinite(values)
            summary[name + score] = float(values[present].mean()) if present.any() else np.nan
            summary[f"macro_{name}{score}"] = macro(values, truth)
    for each in k:
        summary[f"chance_top{each}"] = min(each / n_items, 1.0)
    summary["chance_mrr"] = float(np.sum(1 / np.arange(1, n_items + 1)) / n_items)
    summary["chance_rank_accuracy"] = summary["chance_two_vs_two"] = 0.5
    return summary


def finite(scores: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN and infinity by None, as JSON has no number for them."""
    return {
        k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in scores.items()
    }


def _all_scores(
    similarity: np.ndarray, truth: np.ndarray, k: Sequence[int]
) -> dict[str, np.ndarray]:
    return {
        **{f"top{each}": top_k(similarity, truth, each) for each in k},
        "mrr": reciprocal_rank(similarity, truth),
        "rank_accuracy": rank_accuracy(similarity, truth),
        "two_vs_two": two_vs_two(similarity, truth),
    }


def _place(similarity: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the items above the true one and those tied with it, itself included; (n_trials,)."""
    similarity, truth = _checked(similarity, truth)
    own = similarity[np.arange(len(truth)), truth][:, None]
    return (similarity > own).sum(axis=1), (similarity == own).sum(axis=1)


def _checked(similarity: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    similarity, truth = np.asarray(similarity), np.asarray(truth)
    if similarity.ndim != 2 or similarity.shape[1] < 2 or len(similarity) == 0:
        raise ValueError(f"need similarities (n_trials, 2 items or more), got {similarity.shape}")
    if truth.shape != (len(similarity),) or truth.dtype.kind not in "iu":
        raise ValueError(f"need {len(similarity)} item numbers, got {truth.dtype} {truth.shape}")
    if truth.min() < 0 or truth.max() >= similarity.shape[1]:
        raise ValueError(f"need item numbers below {similarity.shape[1]}, got {truth.max()}")
    if not np.isfinite(similarity).all():
        raise ValueError("need finite similarities, got NaN or infinity")
    return similarity, truth
