"""Score among the items that are ever heard, where a vocabulary holds others as well.

Which items occur at all is known without a brain. In a vocabulary of 363 of which 20 are heard, that
alone is worth log2(363 / 20) = 4.2 bits a word, and a rank accuracy above a chance of one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import logsumexp

from calibration.confidence import Evidence, log_posterior
from calibration.interval import mean_interval
from calibration.nulls import matching_test
from calibration.scores import bits_beyond_prior, finite, rank_accuracies, summarize, top_k
from rt_decoder.counted import counted
from rt_decoder.model import Model

__all__ = ["heard_line", "heard_scores", "scores_among"]


def scores_among(
    heard: np.ndarray, cosines: np.ndarray, log_p: np.ndarray, log_prior: np.ndarray,
    truth: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Score events among the heard items alone, with posterior and prior normalised over these.

    Parameters
    ----------
    heard : array of shape (V,), bool
    cosines, log_p : arrays of shape (n, V)
    log_prior : array of shape (V,)
    truth : array of shape (n,), int

    Returns
    -------
    dict
        As `scores.summarize`, with ``n``, ``n_items`` and ``bits_per_word``; empty where every item
        is heard, or fewer than two, or no event has a heard one.
    """
    own, events = np.flatnonzero(heard), heard[truth]
    if len(own) < 2 or len(own) == len(heard) or not events.any():
        return {}
    place = np.searchsorted(own, truth[events])
    cosines, log_p, prior = cosines[np.ix_(events, own)], log_p[np.ix_(events, own)], log_prior[own]
    log_p, prior = log_p - logsumexp(log_p, axis=1, keepdims=True), prior - logsumexp(prior)
    return finite(summarize(cosines, place, np.exp(prior))) | {
        "n": len(place),
        "n_items": len(own),
        "bits_per_word": float(bits_beyond_prior(log_p, prior, place).mean()),
    }


def heard_scores(
    model: Model, heard: np.ndarray, found: Evidence, truth: np.ndarray, memory: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score what a finished model makes of events, among the heard items alone.

    Parameters
    ----------
    model : Model
    heard : array of shape (V,), bool
        Items that had training events.
    found : Evidence
        Of n events.
    truth : array of shape (n,), int
    memory, groups : int, array of shape (n,) or None
        As `nulls.matching_test` takes them.

    Returns
    -------
    dict
        Of `scores_among`, with ``p``, ``null_rank_accuracy`` and ``intervals``; empty where it is.
    """
    log_p = log_posterior(found, model.posterior, model.log_prior, model.item_bias)
    scores = scores_among(heard, found.cosines, log_p, model.log_prior, truth)
    if not scores:
        return {}
    own, events, rules = np.flatnonzero(heard), heard[truth], model.recipe.fit
    place, cosines = np.searchsorted(own, truth[events]), found.cosines[np.ix_(events, own)]
    ranks = rank_accuracies(cosines)
    null = matching_test(
        ranks, place, rules.n_permutations, rules.seed, memory,
        None if groups is None else groups[events],
    )  # fmt: skip
    own_log_p, prior = log_p[np.ix_(events, own)], model.log_prior[own]
    each = {
        "rank_accuracy": ranks[np.arange(len(place)), place],
        "top1": top_k(cosines, place, 1),
        "bits_per_word": bits_beyond_prior(
            own_log_p - logsumexp(own_log_p, axis=1, keepdims=True), prior - logsumexp(prior), place
        ),
    }
    drawn = {name: mean_interval(of, null.unit, rules.seed) for name, of in each.items()}
    within = {name: list(ends) for name, ends in drawn.items() if ends[0] is not None}
    return scores | {
        "p": null.p,
        "null_rank_accuracy": float(null.null.mean()),
        "intervals": within,
    }


def heard_line(scores: Mapping[str, Any]) -> str:
    """Say what is reached among the heard items.

    Parameters
    ----------
    scores : mapping
        Of `heard_scores` or `scores_among`.

    Returns
    -------
    str

    Examples
    --------
    >>> heard_line({"n_items": 20, "top1": 0.25, "chance_top1": 0.05, "prior_top1": 0.05,
    ...             "rank_accuracy": 0.75, "null_rank_accuracy": 0.5, "bits_per_word": 1.5})
    'among the 20 items that are heard: top-1 0.250 (chance 0.050, prior 0.050), rank accuracy 0.750 (permuted 0.500), 1.500 bits a word; the rest is knowing which items ever occur'
    """
    rank = f"rank accuracy {scores['rank_accuracy']:.3f}"
    if "null_rank_accuracy" in scores:
        rank += f" (permuted {scores['null_rank_accuracy']:.3f})"
    return (
        f"among the {counted(scores['n_items'], 'item')} that are heard: top-1 {scores['top1']:.3f} (chance "
        f"{scores['chance_top1']:.3f}, prior {scores['prior_top1']:.3f}), {rank}, "
        f"{scores['bits_per_word']:.3f} bits a word; the rest is knowing which items ever occur"
    )
