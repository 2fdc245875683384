"""Fit how the truth is ranked among the items, on the locked block."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.design import Design
from calibration.evaluate import evidence
from rt_decoder.decoding.features import scale_features
from rt_decoder.model import Model
from rt_decoder.monitor.ranks import N_BINS, chance_of_bins, rank_bin, ranks_needed

__all__ = ["fit_ranks", "rank_ratio"]

_TRUSTED = 1000  # events for which the histogram counts half
_MOST_EVENTS = 3000  # to alarm; a weaker effect is not watched
_SLOPES = np.linspace(0.0, 2.0, 201)


def rank_ratio(ranks: np.ndarray, n_items: int) -> np.ndarray:
    """Estimate how much commoner each bin of ranks is than by chance.

    Few events give a slope, ``exp(-slope * bin)`` by maximum likelihood, which falls; with more of them
    their histogram joins.

    Parameters
    ----------
    ranks : array of shape (n,)
        Ranks of the truth, 0 for the best.
    n_items : int
        Size of the vocabulary.

    Returns
    -------
    array of shape (N_BINS,)
    """
    chance = chance_of_bins(n_items)
    counts = np.bincount([rank_bin(rank, n_items) for rank in ranks], minlength=N_BINS)
    falls = np.exp(-np.outer(_SLOPES, np.arange(N_BINS)))
    falls /= falls @ chance[:, None]
    slope = falls[np.argmax(np.log(falls) @ counts)]
    n = max(1, len(ranks))
    seen = np.divide(counts / n, chance, out=np.ones(N_BINS), where=chance > 0)
    share = len(ranks) / (len(ranks) + _TRUSTED)
    return share * seen + (1 - share) * slope


def fit_ranks(
    model: Model, design: Design, locked: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit the ranks of locked events.

    Parameters
    ----------
    model : Model
        With a map.
    design : Design
        That it was fitted on.
    locked : array of shape (n,), int
        Events that never trained.

    Returns
    -------
    fitted : dict
        Arguments of the test; empty where the effect is too small.
    told : dict
        For the certificate.
    """
    place = {item: i for i, item in enumerate(model.items)}
    rows = [i for i in locked if design.answered[i] and design.labels[i] in place]
    told: dict[str, Any] = {"n": len(rows), "weak": True}
    if not rows or not model.has_map:
        return {}, told
    X = scale_features(design.X[rows], model.center, model.scale, model.recipe.features.clamp)
    cosines = evidence(model, X).cosines
    truth = np.array([place[design.labels[i]] for i in rows])
    own = cosines[np.arange(len(rows)), truth][:, None]
    ranks = (cosines > own).sum(1) + 0.5 * ((cosines == own).sum(1) - 1)
    ratio = rank_ratio(ranks, len(model.items))
    alarm, sure = ranks_needed(ratio, len(model.items))
    if alarm > _MOST_EVENTS:
        return {}, told
    told |= {"weak": False, "alarm": round(alarm), "sure": round(sure)}
    return {"ratio": ratio}, told
