"""Convert a recording or session record into a BIDS data set, which `rt-calibrate fit --bids` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from rt_decoder.commands.convert import Converted, breaks_of, converted, spans_of
from rt_decoder.files.bids_writer import BidsName, check_bids, write_bids
from rt_decoder.files.read import read_recording
from rt_decoder.files.sidecar import is_data_set

__all__ = ["bids_name", "convert_to_bids"]


def bids_name(out: Path, codes: Mapping[str, str]) -> BidsName | None:
    """Tell where in a BIDS data set a recording is to go.

    Parameters
    ----------
    out : path
        As given on the command line.
    codes : mapping of str to str
        `subject`, `session`, `task` and `run`; empty where they were not given.

    Returns
    -------
    BidsName or None
        None for a file of another format.

    Raises
    ------
    typer.BadParameter
        If a data set needs more codes, a file has no use for them, or the data set has no place.
    """
    if not any(codes.values()) and not is_data_set(out):
        return None
    if out.suffix.lower() in (".fif", ".xdf"):
        raise typer.BadParameter(f"need a folder as --out with --subject, got {out.name}")
    if missing := [f"--{name}" for name in ("subject", "task") if not codes[name]]:
        raise typer.BadParameter(f"need {' and '.join(missing)} for a BIDS data set, got none")
    name = BidsName(**codes)
    try:
        check_bids(out, name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return name


def convert_to_bids(
    recording: Path, root: Path, name: BidsName, *, overwrite: bool = False, **reading: Any
) -> tuple[Converted, Path]:
    """Write a recording into a BIDS data set.

    Markers, time breaks and bad segments become rows of events.tsv, whose onsets count samples: a gap
    takes no time in it.

    Parameters
    ----------
    recording : path
        Any file that `read_recording` reads.
    root : path
        Of the data set; made if there is none.
    name : BidsName
    overwrite : bool
        Whether a recording of this name may be replaced.
    **reading : Any
        As in `read_recording`.

    Returns
    -------
    counts : Converted
    path : path
        The file with the samples.

    Raises
    ------
    ValueError, OSError, ImportError
        As `read_recording` and `files.bids_writer.write_bids`, or if the recording lies in the
        place that it is to be written to.
    """
    read = read_recording(recording, **reading)
    breaks, n_lost = breaks_of(read)
    path = write_bids(
        read, spans_of(read, breaks), root, name, overwrite=overwrite, source=recording
    )
    return converted(read, breaks, n_lost), path
