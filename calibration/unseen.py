"""Score words that the map never saw in training, apart from the others and with their own null.

A word with training events is partly recognised; one without can only be reached through its
vector. Here candidates are unseen items alone, and the null permutes which vector belongs to which
unseen item, all events of an item together: p does not count an item's events as independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from calibration.gram import RidgeGram
from calibration.scores import cosine
from calibration.splits import leave_group_out
from calibration.targets import Targets
from calibration.whitened import own_penalty
from rt_decoder.counted import counted
from rt_decoder.model import Model
from rt_decoder.recipe import Fit

__all__ = [
    "left_out_items",
    "scored_events",
    "seen_items",
    "trained_items",
    "unseen_line",
    "unseen_scores",
]

N_FOLDS = 10
_LEAST = 2  # items in each of them, at least: of one item alone nothing can be ranked


def seen_items(model: Model) -> np.ndarray:
    """Tell which items had training events.

    Parameters
    ----------
    model : Model
        Its certificate lists them as `trained`; without that list all items count as seen.

    Returns
    -------
    array of shape (n_items,), bool
    """
    trained = model.certificate.get("trained")
    seen = np.full(len(model.items), trained is None)
    if trained is not None:
        seen[np.asarray(trained, int)] = True
    return seen


def trained_items(counts: np.ndarray) -> dict[str, list[int]]:
    """Return what `seen_items` reads, for a certificate.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Training events of each item.

    Returns
    -------
    dict
        ``trained``, numbers of items; empty where every item has training events.
    """
    heard = np.flatnonzero(counts)
    return {"trained": heard.tolist()} if len(heard) < len(counts) else {}


def scored_events(model: Model, truth: np.ndarray) -> np.ndarray:
    """Tell which events count for the scores of a model: those of seen items, else all.

    Parameters
    ----------
    model : Model
    truth : array of shape (n,), int
        Item of each event.

    Returns
    -------
    array of shape (n,), bool
    """
    seen = seen_items(model)[truth]
    return seen if seen.any() else np.ones(len(truth), bool)


def unseen_scores(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], n_permutations: int = 999, seed: int = 0
) -> dict[str, Any]:
    """Rank the true items among unseen ones, beside permuted items.

    Parameters
    ----------
    parts : sequence of (similarity, truth)
        Arrays of shapes (n_trials, n_candidates) and (n_trials,), int; a part has candidates of its
        own, and items are permuted within it, among those that are true of a trial.
    n_permutations : int
        The smallest p is ``1 / (n_permutations + 1)``, or one over the number of permutations of
        the items if that is fewer.
    seed : int

    Returns
    -------
    dict
        `n` trials, `n_items` that were true in them, mean number of candidates `n_candidates`,
        `rank_accuracy` (chance 0.5), its mean `null_rank_accuracy` under permutation and `p`; empty
        if no part has two items.
    """
    tables, n, sizes = [], 0, []
    for similarity, truth in parts:
        items, of_item = np.unique(truth, return_inverse=True)
        if len(items) < _LEAST:
            continue
        share = (rankdata(similarity, axis=1) - 1) / (similarity.shape[1] - 1)
        table = np.zeros((len(items), len(items)))  # of trials of a row, if the column were true
        np.add.at(table, of_item, share[:, items])
        tables.append(table)
        sizes.append(similarity.shape[1])
        n += len(truth)
    if not tables:
        return {}
    rng = np.random.default_rng(seed)

    def once(permuted: bool) -> float:
        total = 0.0
        for table in tables:
            k = np.arange(len(table))
            total += table[k, rng.permutation(k) if permuted else k].sum()
        return float(total / n)

    observed = once(permuted=False)
    null = np.array([once(permuted=True) for _ in range(n_permutations)])
    return {
        "n": n,
        "n_items": sum(len(table) for table in tables),
        "n_candidates": float(np.mean(sizes)),
        "rank_accuracy": observed,
        "null_rank_accuracy": float(null.mean()),
        "p": float((np.sum(null >= observed - 1e-12) + 1) / (n_permutations + 1)),
    }


def left_out_items(
    X: np.ndarray, targets: Targets, onsets: np.ndarray, chosen: Mapping[str, Any], rules: Fit
) -> dict[str, Any]:
    """Estimate what words are worth that were never seen: a tenth of the items left out at a time.

    The map is fitted again without any event of these items, nor any within the purge of one, and
    ranks the items that were left out among each other.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features of the training events.
    targets : Targets
        Of the same events.
    onsets : array of shape (n,)
        In s, on one axis over all recordings.
    chosen : mapping
        `alpha` and `whiten` of the map. The targets stay plain: a power fits seen words alone.
    rules : Fit
        The recipe's: purge, permutations, seed.

    Returns
    -------
    dict
        As `unseen_scores`, and the mean share of the training events that a map saw,
        `share_trained`; empty if there are too few items, or events follow each other so closely
        that purging leaves less than a quarter of them.
    """
    items = np.unique(targets.truth)
    if len(items) < N_FOLDS * _LEAST:
        return {}
    fold = np.zeros(len(targets.items), int)
    shuffled = np.random.default_rng(rules.seed).permutation(items)
    fold[shuffled] = np.arange(len(items)) % N_FOLDS
    try:
        folds = leave_group_out(fold[targets.truth], onsets, max(rules.purge, 0.0))
    except ValueError:  # nothing is left to train on
        return {}
    share = float(np.mean([len(train) for train, _ in folds]) / len(X))
    if share < 0.25:
        return {}
    penalty, _ = own_penalty(chosen["alpha"], chosen["whiten"], X)
    parts = []
    for train, test in folds:
        W, intercept = RidgeGram(X[train]).coef(targets.Y[train], penalty)
        mean = targets.Y[train].mean(axis=0)
        candidates, truth = np.unique(targets.truth[test], return_inverse=True)
        predicted = X[test] @ W + (intercept - mean)
        parts.append((cosine(predicted, targets.item_vectors[candidates] - mean), truth))
    scores = unseen_scores(parts, rules.n_permutations, rules.seed)
    return scores | {"share_trained": share} if scores else {}


def unseen_line(scores: dict[str, Any], where: str) -> str:
    """Say how well unseen words were ranked.

    Parameters
    ----------
    scores : dict
        Of `unseen_scores`.
    where : str
        What they were measured on.

    Returns
    -------
    str

    Examples
    --------
    >>> scores = {"rank_accuracy": 0.512, "null_rank_accuracy": 0.5, "p": 0.2, "n": 90, "n_items": 9}
    >>> unseen_line(scores, "left out in turn")
    'words never seen in training: .512 (chance .500, p = 0.2; 90 events of 9 items, left out in turn)'
    """
    figures = (f"{scores[key]:.3f}".lstrip("0") for key in ("rank_accuracy", "null_rank_accuracy"))
    return (
        "words never seen in training: {} (chance {}, ".format(*figures)
        + f"p = {scores['p']:.2g}; {counted(scores['n'], 'event')} of {counted(scores['n_items'], 'item')}, {where})"
    )
