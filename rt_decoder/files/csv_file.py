"""Read CSV recordings as muselsl writes them: a row a sample, a ``timestamps`` column in s."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from rt_decoder.channels import Declared, declared_info, types_by_name
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.recording import MAX_SFREQ, Recording, check_recording
from rt_decoder.files.sample_times import channel_markers
from rt_decoder.files.spool import Spool
from rt_decoder.files.stamps import are_usable, measured_sfreq
from rt_decoder.files.tables import read_channel_table, say_types
from rt_decoder.timing.marker_choice import MarkerChoice

__all__ = ["read_csv"]

_ROWS = 16384  # at a time
_MARKER_COLUMN = re.compile(r"(marker|stim|sti|trigger)\s?\d*", re.IGNORECASE)
# Usual rates of devices: a file declares none, and its clock may be off by some hundred ppm.
_RATES = (100, 125, 128, 200, 220, 250, 256, 300, 500, 512, 600, 1000, 1024, 2000, 2048, 5000)


def read_csv(
    path: Path, channels: str | Path | None, units: str | None, markers: MarkerChoice
) -> Recording:
    """Read a CSV recording; see `files.read.read_recording`.

    Columns are channels of type eeg unless the channel table or their names tell another type. Columns named
    Marker, Marker0, stim or trigger are of type stim; each change in one to a code other than 0 is
    a marker. The rate is measured, and rounded to a usual rate of devices if within 0.5 % of it.

    Parameters
    ----------
    path : path
        The file, in UTF-8.
    channels : path or None
        Table of names, types and units; see `files.tables.read_channel_table`.
    units : str or None
        Unit of all channels without one in the table.
    markers : MarkerChoice
        Trigger channel to read instead of the stim columns.

    Returns
    -------
    Recording

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is no table of numbers with timestamps that advance, a unit is missing, or
        `markers` names a stream.
    """
    if markers.stream:
        raise ValueError(f"{path.name}: need markers as channel:NAME, it has no marker streams")
    header, stamps, data = _read_table(path)
    declared = [Declared(name, "stim" if _MARKER_COLUMN.fullmatch(name) else "") for name in header]
    table = read_channel_table(channels)
    info = declared_info(_rate(path, stamps), declared, channels=table, units=units)
    recording = Recording(data, stamps, info, name=path.name)
    check_recording(recording)
    say_types(path.name, declared, "", table)
    if markers.trigger:
        sources = [markers.trigger]
    else:  # a name such as Status makes no column of markers
        by_name = types_by_name(declared, "", table)
        sources = [
            name
            for label, name, kind in zip(header, info.ch_names, info.ch_types, strict=True)
            if kind == "stim" and label not in by_name
        ]
    found = [marker for name in sources for marker in channel_markers(recording, name)]
    return replace(recording, markers=tuple(sorted(found, key=lambda marker: marker.index)))


def _read_table(path: Path) -> tuple[list[str], np.ndarray, np.ndarray | Blocks]:
    """Return the names of the channels, the stamps (n,) and the samples (n, c)."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return _parse(path.name, file)
    except UnicodeDecodeError:
        raise ValueError(f"{path.name}: need a text file in UTF-8") from None


def _parse(name: str, lines: Iterator[str]) -> tuple[list[str], np.ndarray, np.ndarray | Blocks]:
    try:
        header = [cell.strip() for cell in next(csv.reader([next(lines, "")]), [])]
    except csv.Error as error:
        raise ValueError(f"{name}: need a header of column names: {error}") from None
    if not header:
        raise ValueError(f"{name}: need samples, got none")
    if "timestamps" not in header:
        raise ValueError(
            f"{name}: need a column timestamps (in s), got columns {', '.join(header)}"
        )
    column = header.index("timestamps")
    channels = header[:column] + header[column + 1 :]
    stamps, spool = [], Spool(len(channels))
    rows = ((number, line) for number, line in enumerate(lines, 2) if line.strip())
    while block := list(islice(rows, _ROWS)):
        try:
            table = np.loadtxt([line for _, line in block], delimiter=",", comments=None, ndmin=2)
        except ValueError as error:
            wrong = _wrong_cell(header, block) or f": {error}"
            raise ValueError(f"{name}: need numbers below the header{wrong}") from None
        if table.shape[1] != len(header):
            raise ValueError(
                f"{name}: need one value for each of {len(header)} columns, got {table.shape[1]}"
            )
        stamps.append(table[:, column].copy())
        spool.put(spool.n_rows, np.delete(table, column, axis=1))
    if not stamps:
        raise ValueError(f"{name}: need samples, got none")
    return channels, np.concatenate(stamps), spool.data()


def _wrong_cell(header: list[str], rows: list[tuple[int, str]]) -> str:
    """Say which cell of numbered lines holds no number; empty if every one does."""
    for number, line in rows:
        for name, cell in zip(header, line.split(","), strict=False):
            try:
                float(cell)
            except ValueError:
                got = repr(cell.strip()) if cell.strip() else "an empty cell"
                fix = "" if cell.strip() else "; write nan where a value is missing"
                return f", got {got} in line {number}, column {name}{fix}"
    return ""


def _rate(path: Path, stamps: np.ndarray) -> float:
    rows = np.flatnonzero(are_usable(stamps))
    n, span = (rows[-1] - rows[0], np.ptp(stamps[rows[[0, -1]]])) if len(rows) else (0, 0.0)
    if not span > 1e-9:
        raise ValueError(f"{path.name}: need finite timestamps that advance")
    measured = measured_sfreq(stamps, float(n / span))
    if not 0 < measured <= MAX_SFREQ:
        raise ValueError(f"{path.name}: need finite timestamps that advance, got {measured:g} Hz")
    common = min(_RATES, key=lambda rate: abs(rate - measured))
    for rate in (common, round(measured)):
        if rate > 0 and abs(measured / rate - 1) <= 0.005:
            return float(rate)
    return measured
