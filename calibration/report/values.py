"""List everything in a nested table, by its path."""

from __future__ import annotations

from typing import Any

from calibration.report.page import Table
from calibration.report.shown import number
from rt_decoder.counted import counted

__all__ = ["values_table"]

_MOST = 400  # rows; what is left out is counted


def values_table(found: Any) -> Table:
    """Make a table of all values of plain JSON.

    Parameters
    ----------
    found : object

    Returns
    -------
    Table
    """
    rows: list[tuple[str, str]] = []

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name} {key}".strip())
        elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
            for place, inner in enumerate(value, 1):
                walk(inner, f"{name} {place}")
        elif isinstance(value, list):
            rows.append((name, ", ".join(map(number, value)) or "none"))
        else:
            rows.append((name, number(value)))

    walk(found, "")
    if len(rows) > _MOST:
        rows = [*rows[:_MOST], ("...", counted(len(rows) - _MOST, "more value"))]
    return Table((), rows, 2)
