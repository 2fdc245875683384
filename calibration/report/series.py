"""Read a curve out of a certificate, whichever of three ways it is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Series", "read_series"]


class Series(NamedTuple):
    """A curve of n points, in order of x."""

    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)
    low: np.ndarray | None  # (n,)
    high: np.ndarray | None  # (n,)
    x_name: str
    y_name: str


def read_series(found: Any, x_names: Sequence[str], y_names: Sequence[str]) -> Series | None:
    """Find the first of the names that there are.

    Parameters
    ----------
    found : object
        A list of tables, a table of lists, or tables by x as text; one of these may also stand
        inside a table, under any name.
    x_names, y_names : sequence of str

    Returns
    -------
    Series or None
        None if there is no such curve of two points or more. An interval is under ``low`` and
        ``high``, ``interval``, or ``{y}_interval``.

    Examples
    --------
    >>> read_series({"end": [0.2, 0.4], "rank_accuracy": [0.5, 0.6]}, ["end"], ["rank_accuracy"]).y
    array([0.5, 0.6])
    """
    for rows in _tables(found, x_names):
        x_name = next((name for name in x_names if rows and name in rows[0]), None)
        y_name = next((name for name in y_names if rows and name in rows[0]), None)
        if x_name is None or y_name is None:
            continue
        rows = [row for row in rows if _is_number(row.get(x_name)) and _is_number(row.get(y_name))]
        rows.sort(key=lambda row: row[x_name])
        if len(rows) >= 2:
            x, y = (np.array([row[name] for row in rows], float) for name in (x_name, y_name))
            low, high = _limits(rows, y_name)
            return Series(x, y, low, high, x_name, y_name)
    return None


def _tables(found: Any, x_names: Sequence[str]) -> list[list[dict[str, Any]]]:
    """All lists of rows that `found` can be read as."""
    tables: list[list[dict[str, Any]]] = []
    if isinstance(found, Mapping):
        lists = {k: v for k, v in found.items() if isinstance(v, list | tuple)}
        lengths = {len(v) for k, v in lists.items() if k in x_names}
        for n in lengths:
            same = {k: v for k, v in lists.items() if len(v) == n}
            tables.append([{k: v[i] for k, v in same.items()} for i in range(n)])
        of_x = [(k, v) for k, v in found.items() if isinstance(v, Mapping) and _is_text_number(k)]
        tables.append([{x_names[0]: float(k), **v} for k, v in of_x])
        for value in found.values():
            tables += _tables(value, x_names)
    elif isinstance(found, list | tuple) and found and all(isinstance(o, Mapping) for o in found):
        tables.append([dict(one) for one in found])
    return tables


def _limits(rows: Sequence[Mapping[str, Any]], y_name: str) -> tuple[Any, Any]:
    pairs = []
    for row in rows:
        pair = row.get(f"{y_name}_interval") or row.get("interval") or (
            row.get("low"), row.get("high")
        )  # fmt: skip
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_number, pair))):
            return None, None
        pairs.append(pair)
    low, high = np.array(pairs, float).T
    return low, high


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    )


def _is_text_number(text: Any) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except (TypeError, ValueError):
        return False
