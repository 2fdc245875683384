"""Say whether a model is above chance, and why it is so only weakly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.report.shown import Shown, listed

__all__ = ["P_SHOWN", "doubts", "is_above", "p_of", "people_interval", "rank_interval"]

P_SHOWN = 0.05
_N_DRAWS = 2000
_CONTROLS = {
    "phases": "a signal of random phases",
    "circular_shift": "labels shifted in time",
    "prior": "the prior alone",
}


def is_above(shown: Shown) -> bool | None:
    """Say whether the true items rank higher than under permuted labels; None without a test."""
    scores = shown.claim
    if scores.get("p") is None or scores.get("rank_accuracy") is None:
        return None
    chance = scores.get("null_rank_accuracy")
    return scores["p"] <= P_SHOWN and scores["rank_accuracy"] > (0.5 if chance is None else chance)


def doubts(shown: Shown) -> list[str]:
    """List why a model that is above chance is so only weakly; empty for others.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    list of str
        Clauses; `limits` has them, too.
    """
    if not is_above(shown) or shown.claim.get("trained_on"):
        return []
    interval, _ = rank_interval(shown)
    found, near = [], []
    if interval and interval[0] <= 0.5:
        found.append("the interval of its rank accuracy reaches chance")
    nulls = shown.certificate.get("nulls") or {} if shown.scores is None else {}
    for name, what in _CONTROLS.items() if isinstance(nulls, Mapping) else ():
        if (p := p_of(nulls, name)) is not None and p > P_SHOWN:
            few = ", the smallest that so few events allow" if p <= _least(nulls, name) else ""
            near.append(f"{what} (p = {p:.2g}{few})")
    return [*found, *([f"it is not told apart from {listed(near)}"] if near else [])]


def rank_interval(shown: Shown) -> tuple[Sequence[float] | None, str]:
    """Return the interval of the rank accuracy, and over what it is.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    sequence of float or None
        95 % interval.
    str
        " over people", or nothing.
    """
    if "people" in shown.certificate and shown.scores is None:
        each = [one["rank_accuracy"] for one in shown.certificate["people"]["each"]]
        return people_interval(each), " over people"
    return (shown.claim.get("detail") or {}).get("intervals", {}).get("rank_accuracy"), ""


def people_interval(values: list[float], seed: int = 0) -> list[float] | None:
    """Bootstrap the mean over people; None for fewer than three.

    Parameters
    ----------
    values : list of float
        One a person.
    seed : int

    Returns
    -------
    list of float or None
        95 % interval.
    """
    if len(values) < 3:
        return None
    rows = np.random.default_rng(seed).integers(len(values), size=(_N_DRAWS, len(values)))
    return np.percentile(np.asarray(values)[rows].mean(axis=1), (2.5, 97.5)).tolist()


def p_of(nulls: Mapping[str, Any], name: str) -> float | None:
    """Return the p of a null; None if it was not tested.

    Parameters
    ----------
    nulls : mapping
        The certificate's.
    name : str

    Returns
    -------
    float or None
    """
    one = nulls.get(name)
    return one.get("p") if isinstance(one, Mapping) else None


def _least(nulls: Mapping[str, Any], name: str) -> float:
    """Smallest p that a null can give; 0 if unknown."""
    return float(nulls[name].get("p_smallest") or 0.0)
