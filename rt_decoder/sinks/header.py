"""The first line of a log: which model decodes which stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from rt_decoder.files.history import history
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.proof import forced, proof, why_unproven
from rt_decoder.model import Alignment, Model, versions

__all__ = ["contract", "header_line", "model_facts"]


def contract(model: Model) -> dict[str, Any]:
    """Return what a stream must be for this model, in plain values."""
    info, reference = model.info, model.recipe.stream.reference
    return {
        "sfreq": info.sfreq,
        "ch_names": list(info.ch_names),
        "ch_types": list(info.ch_types),
        "units": list(info.units),
        "reference": reference if isinstance(reference, str) else list(reference),
        "line_freq": model.recipe.stream.line_freq,
    }


def header_line(
    model: Model,
    source: str,
    alignment: Alignment | None = None,
    *,
    force: bool = False,
    learn: bool = False,
    anytime: Sequence[float] = (),
) -> dict[str, Any]:
    """Return the first line of a log.

    Parameters
    ----------
    model : Model
        What decodes.
    source : str
        Name of the stream, or kind of the file.
    alignment : Alignment or None
        How the map is kept aligned with the person, if it is.
    force : bool
        Whether a model that is not proven is used all the same; then the line says so.
    learn : bool
        Whether labels join the map; then the line says so.
    anytime : sequence of float
        Where the windows end by which events are answered sooner, in s after the onset.

    Returns
    -------
    dict
        With `history`, if the model has one.
    """
    return {
        "type": "header",
        "model": model_hash(model),
        "source": source,
        **forced(model, force=force),
        "versions": versions(),
        "contract": contract(model),
        "alignment": None if alignment is None else asdict(alignment),
        **({"learn": True} if learn else {}),
        **({"anytime": list(anytime)} if anytime else {}),
        **({"history": told} if (told := history(model)) else {}),
    }


def model_facts(model: Model) -> dict[str, Any]:
    """Return what an operator wants to know of a model at a glance, in plain values.

    Parameters
    ----------
    model : Model
        What decodes, or only cleans.

    Returns
    -------
    dict
        Sizes, window, stages, and ``certificate``: what it reached on events that it had never seen.
    """
    told = proof(model) if model.has_map else {}
    names = ("n", "rank_accuracy", "top1", "chance_top1", "bits_per_word", "p")
    features = model.recipe.features
    return {
        "n_channels": model.n_picks,
        "sfreq": model.info.sfreq,
        "n_items": len(model.items),
        "window_s": [features.tmin, features.tmax],
        "stages": list(model.recipe.clean.stages),
        "adapts": model.alignment is not None,
        "budget_ms": model.recipe.readout.budget_ms,
        "unproven": why_unproven(model) if model.has_map else "",
        "certificate": {
            name: told[name]
            for name in names
            if isinstance(told.get(name), int | float) and isfinite(told[name])
        },
        "fitted": str(model.certificate.get("fitted", "")),
    }
