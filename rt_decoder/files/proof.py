"""Tell from its certificate whether a model has been shown to know anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rt_decoder.model import Model

__all__ = ["LEVEL", "check_proven", "forced", "proof", "why_unproven"]

LEVEL = 0.05  # largest p of a model that is above its nulls


def proof(model: Model) -> Mapping[str, Any]:
    """Return the scores on events that the model has never seen; empty if there are none.

    These are the table `final` of the certificate; of a group model, which is tested by leaving
    people out, the table `people`, or `final` in it.

    Parameters
    ----------
    model : Model
        With a certificate.

    Returns
    -------
    mapping
    """
    for name in ("final", "people"):
        found = model.certificate.get(name)
        if isinstance(found, Mapping) and isinstance(found.get("final"), Mapping):
            found = found["final"]
        if isinstance(found, Mapping) and found:
            return found
    return {}


def why_unproven(model: Model) -> str:
    """Say why a model is not above its nulls.

    A model is proven if, on events that it has never seen, its rank accuracy is above chance with
    p of `LEVEL` or below, and its posterior tells more of the word than the prior does. The rank
    accuracy of the held-out groups, where the certificate has it, must be above chance as well:
    at level .05 alone one model of noise in twenty would pass.

    Parameters
    ----------
    model : Model
        With a map.

    Returns
    -------
    str
        What was found, in one clause; empty if the model is proven.
    """
    final = proof(model)
    if not final:
        return "no locked block: nothing is proven"
    names = ("p", "bits_per_word", "rank_accuracy", "chance_rank_accuracy", "n")
    p, bits, rank, chance, n = values = [_number(final.get(name)) for name in names]
    if any(math.isnan(value) for value in values):
        return "its certificate cannot be read: it holds no p, bits, rank accuracy and n"
    smallest = _number(final.get("p_smallest"))
    found = (
        f"p = {p:.2g}, {bits:.3f} bits a word and rank accuracy {rank:.3f} on {n:g} locked events"
    )
    if smallest > LEVEL:
        return f"{found}, too few to show anything (the smallest p that they can give is {smallest:.2g})"
    if p > LEVEL:
        return f"{found}, which guessing gives as well (need p of {LEVEL:g} or below)"
    if bits <= 0:
        return f"{found}: no more than the prior knows"
    if rank <= chance:
        return f"{found}: not above chance, {chance:.3f}"
    inner = model.certificate.get("out_of_fold")
    held_out = _number(inner.get("rank_accuracy") if isinstance(inner, Mapping) else None)
    if held_out <= chance:
        return f"{found}, but {held_out:.3f} in the held-out groups: only chance fits both"
    return ""


def _number(value: Any) -> float:
    """A finite number, or NaN."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else math.nan


def check_proven(model: Model, name: str) -> None:
    """Refuse a model that is not proven.

    Parameters
    ----------
    model : Model
        With a map.
    name : str
        Of its file.

    Raises
    ------
    ValueError
        If it is not above its nulls; says what was found.
    """
    if why := why_unproven(model):
        raise ValueError(
            f"{name} is not above its nulls: {why}; calibrate with more data (--force decodes all "
            "the same, and says so in log and outlets)"
        )


def forced(model: Model, *, force: bool) -> dict[str, str]:
    """Say for logs and outlets that a model decodes though it is not proven.

    Parameters
    ----------
    model : Model
        What decodes.
    force : bool
        Whether that was asked for.

    Returns
    -------
    dict
        `forced` with the reason; empty if the model is proven, or only cleans.
    """
    why = why_unproven(model) if force and model.has_map else ""
    return {"forced": why} if why else {}
