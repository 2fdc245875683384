"""The recipe: every setting, so that the fit can be done again."""

from __future__ import annotations

from typing import Any

from calibration.report.page import Fold, Note, Section, Table
from calibration.report.shown import Shown

__all__ = ["section"]


def section(shown: Shown) -> Section:
    """List every setting; what was left to be chosen stands as it was chosen."""
    rows = [
        (f"[{part}] {key}", _shown(value))
        for part, values in shown.model.recipe.to_dict().items()
        for key, value in values.items()
    ]
    important = ("[features]", "[filter]", "[clean] stages", "[fit] groups", "[target] embedding")
    first = [row for row in rows if row[0].startswith(important)]
    chosen = shown.certificate.get("map")
    if isinstance(chosen, dict):
        first += [(f"chosen: {key}", _shown(value)) for key, value in chosen.items()]
    note = Note("`rt-calibrate fit --recipe` takes these settings again.")
    return Section(
        "Recipe", [Table((), first, 2), Fold("Every setting", [Table((), rows, 2)]), note]
    )


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return f"{len(value)} entries" if value else "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
