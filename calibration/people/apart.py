"""Find people whose recordings are another person's, in whatever format: nobody counts twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.identity import doubles
from calibration.people.cell import Outcome, cell_name, model_path
from calibration.people.table import read_cells
from rt_decoder.files.outputs import companion_path
from rt_decoder.files.sums import RecordingId
from rt_decoder.files.sums_file import load_sums

__all__ = ["people_apart"]


def people_apart(
    folder: Path, names: Sequence[str], failed: Sequence[Outcome] = ()
) -> tuple[list[dict[str, Any]], list[Outcome]]:
    """Read finished cells, less those of people who share samples with one before them.

    Parameters
    ----------
    folder : path
        Of cells; companions are read.
    names : sequence of str
        Of all cells.
    failed : sequence of Outcome
        Cells that are not read.

    Returns
    -------
    rows : list of dict
        As `table.read_cells`.
    failed : list of Outcome
        These, and the cells that are left out, each with whose recording it has.

    Raises
    ------
    OSError
        If a companion cannot be read.
    """
    bad = {one.name for one in failed}
    rows = read_cells(folder, [name for name in names if name not in bad])
    cells = {row["person"]: _name(row) for row in rows}  # the last of each person
    recorded: list[RecordingId] = []
    of: list[str] = []
    for person, cell in cells.items():
        for sums in load_sums(companion_path(model_path(folder, cell))).people:
            recorded += sums.recorded
            of += [person] * len(sums.recorded)
    owners: dict[str, str] = {}
    for first, second in doubles(recorded):
        if of[first] != of[second]:
            owners.setdefault(of[second], of[first])
    left_out = [row for row in rows if row["person"] in owners]
    why = "need each recording with one person, got samples of {}"
    return [row for row in rows if row not in left_out], [
        *failed,
        *(Outcome(_name(row), "failed", why.format(owners[row["person"]])) for row in left_out),
    ]


def _name(row: Mapping[str, Any]) -> str:
    return cell_name(row["person"], row["layer"], row["window"])
