"""Fit the cutoffs of conformal sets on events that the map has not seen.

Where events of a group are right or wrong together, they count for fewer: the finite-sample rank is
that of as many independent ones as the groups leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.confidence import Evidence, log_posterior
from rt_decoder.counted import counted
from rt_decoder.decoding.sets import LEVELS, cutoff_of, mass_above, plausible
from rt_decoder.model import Model

__all__ = ["SHOWN", "coverages", "fit_cutoffs", "set_lines", "set_scores"]

SHOWN = (0.8, 0.9, 0.95)  # shares that are scored


def fit_cutoffs(
    log_p: np.ndarray, truth: np.ndarray, groups: np.ndarray | None = None
) -> np.ndarray:
    """Find the cutoff of each of `LEVELS`.

    Of n independent events and a wanted share s it is the mass above the true item in the
    ``ceil((n + 1) s)``-th event, least first, and 1 where that is more than n.

    Parameters
    ----------
    log_p : array of shape (n, V)
        Log posterior of events out of fold.
    truth : array of shape (n,), int
    groups : array of shape (n,) or None
        Events of a group may be alike by chance.

    Returns
    -------
    array of shape (99,)
    """
    truth = np.asarray(truth)
    at = [mass_above(np.exp(row))[item] for row, item in zip(log_p, truth, strict=True)]
    above = np.sort(at)
    codes = None if groups is None else np.unique(groups, return_inverse=True)[1]
    cutoffs = np.ones(len(LEVELS))
    for i, level in enumerate(LEVELS):
        n_free = _independent(np.array(at) <= np.quantile(at, level), codes)
        rank = np.ceil((n_free + 1) * level - 1e-9) / n_free
        if rank <= 1:
            cutoffs[i] = above[min(len(above), int(np.ceil(rank * len(above) - 1e-9))) - 1]
    return np.maximum.accumulate(cutoffs)


def _independent(held: np.ndarray, codes: np.ndarray | None) -> float:
    """How many independent events would tell as much of a share as these."""
    if codes is None:
        return len(held)
    n, share = len(held), float(held.mean())
    apart = np.bincount(codes, held - share)
    n_groups = len(apart)
    by_groups = float(np.sum(apart**2)) * n_groups / max(n_groups - 1, 1)
    return n / max(1.0, by_groups / max(n * share * (1 - share), 1e-9))


def set_scores(
    model: Model, found: Evidence, truth: np.ndarray, levels: Sequence[float] = SHOWN
) -> list[dict[str, Any]]:
    """Count how often sets hold the true item on new events, and how large they are.

    Parameters
    ----------
    model : Model
    found : Evidence
        Of n events.
    truth : array of shape (n,), int
    levels : sequence of float
        Wanted shares.

    Returns
    -------
    list of dict
        For each share: ``level``, ``coverage``, ``size`` (mean), ``one`` (share of sets of one
        item), ``all`` (whether every item is always in it). Empty where the model has no sets.
    """
    if not model.set_cutoffs.size or not len(truth):
        return []
    log_p = log_posterior(found, model.posterior, model.log_prior, model.item_bias)
    return coverages(log_p, truth, {level: cutoff_of(model, level) for level in levels})


def coverages(
    log_p: np.ndarray, truth: np.ndarray, cutoffs: Mapping[float, float]
) -> list[dict[str, Any]]:
    """Count how often sets hold the true item, as `set_scores`.

    Parameters
    ----------
    log_p : array of shape (n, V)
        Log posterior.
    truth : array of shape (n,), int
    cutoffs : mapping of float to float
        By wanted share.

    Returns
    -------
    list of dict
    """
    p, rows = np.exp(log_p), []
    for level, cutoff in cutoffs.items():
        sets = [plausible(one, cutoff) for one in p]
        held = [item in chosen for item, chosen in zip(truth, sets, strict=True)]
        sizes = np.array([len(chosen) for chosen in sets])
        rows.append({
            "level": level, "coverage": float(np.mean(held)), "size": float(sizes.mean()),
            "one": float(np.mean(sizes == 1)), "all": bool((sizes == p.shape[1]).all()),
        })  # fmt: skip
    return rows


def set_lines(rows: Sequence[dict[str, Any]], n_items: int) -> list[str]:
    """Say what sets of items are worth.

    Parameters
    ----------
    rows : sequence of dict
        Of `set_scores`.
    n_items : int
        Size of the vocabulary.

    Returns
    -------
    list of str
    """
    return [
        f"sets that hold the item in {100 * row['level']:.0f} %: "
        + (
            f"every item, always: calibration shows no fewer (it is held in {100 * row['coverage']:.0f} %)"
            if row["all"]
            else f"it is held in {100 * row['coverage']:.1f} %; {row['size']:.1f} of {counted(n_items, 'item')} on "
            f"average, {100 * row['one']:.0f} % of one item"
        )
        for row in rows
    ]
