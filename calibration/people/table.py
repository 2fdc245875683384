"""The table of all cells, what holds over people, and which cells make the group model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration.interval import mean_interval
from calibration.left_out import sign_flip_p
from calibration.people.person import GROUP
from rt_decoder.files.atomic import write_whole

__all__ = ["COLUMNS", "best_cells", "group_rows", "read_cells", "table_lines", "write_table"]

COLUMNS = ("person", "layer", "window", "n", "chance", "rank", "low", "high", "bits", "p")
Row = Mapping[str, Any]


def read_cells(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Read the finished ones of some cells.

    Parameters
    ----------
    folder : path
    names : sequence of str

    Returns
    -------
    list of dict
        In the order of the names.
    """
    found = [folder / f"{name}.json" for name in names]
    return [json.loads(path.read_text(encoding="utf-8")) for path in found if path.exists()]


def group_rows(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """Average each layer and window over people.

    Parameters
    ----------
    rows : sequence of mapping
        Of cells.
    seed : int

    Returns
    -------
    list of dict
        `n` is the number of people; the interval is a bootstrap over people, p of signs flipped of
        what each person's rank accuracy is above its null.
    """
    means = []
    for layer, window in dict.fromkeys((row["layer"], row["window"]) for row in rows):
        of = [row for row in rows if (row["layer"], row["window"]) == (layer, window)]
        ranks = np.array([row["rank"] for row in of])
        gains = ranks - np.array([row["null_rank"] for row in of])
        low, high = mean_interval(ranks, 1, seed)
        means.append(
            {
                "person": GROUP,
                "layer": layer,
                "window": window,
                "n": len(of),
                "chance": float(np.mean([row["chance"] for row in of])),
                "rank": float(ranks.mean()),
                "low": low,
                "high": high,
                "bits": float(np.mean([row["bits"] for row in of])),
                "p": sign_flip_p(gains, np.random.default_rng(seed)),
            }
        )
    return means


def best_cells(rows: Sequence[Row]) -> list[Row]:
    """Choose layer and window of the group model, by bits out of fold: no locked block is looked at.

    Parameters
    ----------
    rows : sequence of mapping
        Of cells.

    Returns
    -------
    list of mapping
        The cells of most people; of several, those with most bits a word.
    """
    places = dict.fromkeys((row["layer"], row["window"]) for row in rows)
    by_place = [[row for row in rows if (row["layer"], row["window"]) == one] for one in places]
    return max(
        by_place,
        key=lambda of: (len(of), np.mean([row["bits_out_of_fold"] for row in of])),
        default=[],
    )


def table_lines(rows: Sequence[Row]) -> list[str]:
    """Format rows as a tab-separated table with a header.

    Parameters
    ----------
    rows : sequence of mapping
        Of cells, of the group.

    Returns
    -------
    list of str

    Examples
    --------
    >>> table_lines([])[0].split()[:4]
    ['person', 'layer', 'window', 'n']
    """
    return ["\t".join(COLUMNS), *("\t".join(_cell(row[name]) for name in COLUMNS) for row in rows)]


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_table(
    folder: Path, rows: Sequence[Row], group: Sequence[Row], more: Mapping[str, Any]
) -> None:
    """Write ``people.tsv`` and ``people.json``.

    Parameters
    ----------
    folder : path
    rows, group : sequence of mapping
        Of cells, and over people.
    more : mapping
        What else the JSON tells.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    text = "".join(f"{line}\n" for line in table_lines([*rows, *group]))
    cells = [{name: row[name] for name in (*COLUMNS, "null_rank", "bits_out_of_fold", "model")}
             for row in rows]  # fmt: skip
    told = {"cells": cells, "group": list(group), **more}
    write_whole(folder / "people.tsv", text.encode(), overwrite=True)
    write_whole(folder / "people.json", json.dumps(told, indent=1).encode() + b"\n", overwrite=True)
