"""How well items are found: retrieval scores of single trials, and what chance would give.

A similarity is ``(n_trials, n_items)``, higher is closer; the truth is an item number a trial.
Ties share their ranks, so a constant similarity scores exactly chance. *Micro* averages over
trials, *macro* over items first: a decoder that only knows which words are frequent gains micro
and not macro.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "bits_beyond_prior",
    "cosine",
    "macro",
    "rank_accuracy",
    "reciprocal_rank",
    "summarize",
    "top_k",
    "two_vs_two",
    "unit_rows",
]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row of zeros stays zero and is equally far from everything."""
    vectors = np.asarray(vectors, float)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def cosine(predictions: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Cosine of every prediction (n, D) with every item (n_items, D); both already centred."""
    return unit_rows(predictions) @ unit_rows(items).T


def top_k(similarity: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Probability, a trial, that the truth is among the k best when ties fall at random."""
    above, tied = _place(similarity, truth)
    return np.clip((k - above) / tied, 0.0, 1.0)


def reciprocal_rank(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give the expected 1 / rank of each trial when ties fall at random; its mean is the MRR."""
    above, tied = _place(similarity, truth)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, similarity.shape[1] + 1))])
    return (harmonic[above + tied] - harmonic[above]) / tied


def rank_accuracy(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the other items that each trial's truth beats, ties counting half; chance 0.5."""
    above, tied = _place(similarity, truth)
    others = similarity.shape[1] - 1
    return 1 - (above + (tied - 1) / 2) / others


def two_vs_two(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of other trials, a trial, with which the right pairing beats the swapped one.

    Trials i and j of different items succeed when ``s[i, i] + s[j, j] > s[i, j] + s[j, i]``; a
    tie counts half. Chance is 0.5. NaN for a trial where all others have its item.

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
    """Mean over items of the mean over their trials; NaN trials are left out."""
    present = np.isfinite(values)
    if not present.any():
        return float("nan")
    _, item = np.unique(np.asarray(truth)[present], return_inverse=True)
    return float(np.mean(np.bincount(item, values[present]) / np.bincount(item)))


def bits_beyond_prior(
    log_posterior: np.ndarray, log_prior: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Information about the truth that each trial adds to the prior, in bits.

    Parameters
    ----------
    log_posterior : array of shape (n_trials, n_items)
        Natural logarithm, normalised over items.
    log_prior : array of shape (n_items,)
        Natural logarithm, normalised.
    truth : array of shape (n_trials,)

    Returns
    -------
    bits : array of shape (n_trials,)
        0 where the posterior is the prior; negative where it is worse.
    """
    truth = np.asarray(truth)
    at_truth = np.asarray(log_posterior)[np.arange(len(truth)), truth]
    return (at_truth - np.asarray(log_prior)[truth]) / np.log(2)


def summarize(
    similarity: np.ndarray,
    truth: np.ndarray,
    prior: np.ndarray | None = None,
    k: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """All scores beside chance and beside the prior alone.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int
    prior : array of shape (n_items,), optional
        Probability of each item before the brain is asked; uniform where left out.
    k : sequence of int

    Returns
    -------
    scores : dict
        ``top1``.., ``mrr``, ``rank_accuracy``, ``two_vs_two``, each also with ``macro_``,
        ``chance_`` and ``prior_`` in front (``macro_prior_`` for macro scores of the prior).
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
    """Items above the truth, and items level with it (itself included), of every trial."""
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
