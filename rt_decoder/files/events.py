"""Read BIDS events tables, and place their events as markers in a recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rt_decoder.files.recording import Recording
from rt_decoder.files.sample_times import sample_times
from rt_decoder.files.stamps import LATEST, nearest_samples
from rt_decoder.files.tables import read_tsv
from rt_decoder.signal import Marker

__all__ = ["EventRow", "item_column", "markers_from_events", "read_events"]


class EventRow(NamedTuple):
    """One event of a table."""

    onset: float  # s from the first data sample
    label: str
    row: dict[str, str]  # every cell by its column, as written
    column: str = ""  # that the label is from


def read_events(path: str | Path, *, column: str | None = None) -> list[EventRow]:
    """Read a BIDS events table: tab-separated, a header line, ``onset`` in s.

    Parameters
    ----------
    path : path
        The table, in UTF-8.
    column : str or None
        Column that holds the label; by default ``word`` if it exists, else ``trial_type``.

    Returns
    -------
    list of EventRow
        In order of onset. Rows whose label is ``n/a`` are left out.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If an onset is no number, a label is empty or a row has too many or too few cells (with the
        line); if a column is missing or there are no events.

    References
    ----------
    .. [1] Gorgolewski et al. (2016), The brain imaging data structure, doi:10.1038/sdata.2016.44
    """
    name = Path(path).name
    columns, cells = read_tsv(path)
    label_column = column or _item_column(columns)
    for needed in ("onset", label_column):
        if needed not in columns:
            raise ValueError(
                f"{name}: need tab-separated columns with {needed}, got {', '.join(columns)}"
            )
    if len(set(columns)) != len(columns):
        raise ValueError(f"{name}: need columns of different names, got {', '.join(columns)}")
    rows = [_row(f"{name}, line {number}", row, columns, label_column) for number, row in cells]
    events = sorted((row for row in rows if row.label != "n/a"), key=lambda row: row.onset)
    if not events:
        raise ValueError(f"{name}: need events, got none with a {label_column}")
    return events


def item_column(path: str | Path, wanted: str = "") -> str:
    """Name the column of a table that holds the items: `wanted`, else as `read_events` chooses."""
    return wanted or _item_column(read_tsv(path).columns)


def _item_column(columns: Sequence[str]) -> str:
    return "word" if "word" in columns else "trial_type"


def _row(place: str, cells: Sequence[str], columns: Sequence[str], label_column: str) -> EventRow:
    if len(cells) != len(columns):
        raise ValueError(f"{place}: need {len(columns)} cells, got {len(cells)}")
    row = dict(zip(columns, cells, strict=True))
    try:
        onset = float(row["onset"])
    except ValueError:
        onset = math.nan
    if not abs(onset) < LATEST:
        raise ValueError(f"{place}: need an onset in s, got {row['onset']!r}")
    if not row[label_column]:
        raise ValueError(f"{place}: need a {label_column}, got an empty cell (n/a for no event)")
    return EventRow(onset, row[label_column], row, label_column)


def markers_from_events(rows: Sequence[EventRow], recording: Recording) -> tuple[Marker, ...]:
    """Place each event on the sample that was taken nearest to its onset.

    A marker's time is exactly that of its sample (`sample_times`), so that a replay of the
    recording puts it on the same sample.

    Parameters
    ----------
    rows : sequence of EventRow
        Events, onsets counted from the first stamp, or as the file counts (`Recording.since`).
    recording : Recording
        Recording of these events.

    Returns
    -------
    tuple of Marker
        One a row, in the same order.

    Raises
    ------
    ValueError
        If an event lies before the first sample, after the last one, or in a gap of the recording.
    """
    onsets = np.array([row.onset for row in rows])
    stamps, times = recording.stamps, sample_times(recording)
    if recording.since is None:
        indices = nearest_samples(times, recording.times[0] + onsets, recording.info.sfreq)
    else:
        indices = nearest_samples(recording.since, onsets, recording.info.sfreq)
    outside = np.flatnonzero(indices < 0)
    if len(outside):
        first = rows[outside[0]]
        raise ValueError(
            f"{recording.name}: need events within its {stamps[-1] - stamps[0]:.3f} s, got "
            f"{len(outside)} of {len(rows)} outside or in a gap, the first at {first.onset:.3f} s "
            f"({first.label})"
        )
    return tuple(
        Marker(row.label, float(times[i]), int(i)) for row, i in zip(rows, indices, strict=True)
    )
