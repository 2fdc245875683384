"""The recipe: every setting, so that the fit can be done again."""

from __future__ import annotations

from typing import Any

from calibration.report.page import Fold, Note, Section, Table
from calibration.report.shown import Shown
from rt_decoder.counted import counted

__all__ = ["section"]

_CHOSEN = {
    "bits_per_word": "bits a word, out of fold",
    "plain_bits_per_word": "the same of the plain map",
}


def section(shown: Shown) -> Section:
    """List every setting; what was left to be chosen stands as it was chosen."""
    rows = [
        (f"[{part}] {key}", _shown(value))
        for part, values in shown.model.recipe.to_dict().items()
        for key, value in values.items()
    ]
    features = shown.model.recipe.features
    unused = ("bands", "band_order") if features.kind == "amplitude" else ("decim",)
    important = ("[features]", "[filter]", "[clean] stages", "[fit] groups", "[target] embedding")
    first = [
        row for row in rows
        if row[0].startswith(important) and row[0].removeprefix("[features] ") not in unused
    ]  # fmt: skip
    chosen = shown.certificate.get("map")
    if isinstance(chosen, dict):
        first += [
            (f"chosen: {_CHOSEN.get(key, key)}", _shown(value)) for key, value in chosen.items()
        ]
    note = Note("`rt-calibrate fit --recipe` takes these settings again.")
    return Section(
        "Recipe", [Table((), first, 2), Fold("Every setting", [Table((), rows, 2)]), note]
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple):
        return ", ".join(" to ".join(map(_shown, pair)) for pair in value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return counted(len(value), "entry", "entries") if value else "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "none"
