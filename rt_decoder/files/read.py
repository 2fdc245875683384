"""Read a recording in any format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rt_decoder.files.csv_file import read_csv
from rt_decoder.files.events import markers_from_events, read_events
from rt_decoder.files.mne_file import read_mne
from rt_decoder.files.recording import Recording
from rt_decoder.files.sidecar import is_data_set
from rt_decoder.files.xdf import read_xdf
from rt_decoder.signal import Marker
from rt_decoder.timing.marker_choice import MarkerChoice, parse_markers

__all__ = ["read_marked", "read_recording"]


def read_recording(
    path: str | Path,
    *,
    channels: str | Path | None = None,
    units: str | None = None,
    stream: str | None = None,
    markers: str | MarkerChoice | None = None,
) -> Recording:
    """Read a recording: XDF, a session record, CSV with a ``timestamps`` column, or what MNE reads.

    Parameters
    ----------
    path : path
        File, or folder where the format is one (CTF, EGI).
    channels : path or None
        Table of names, types and units; see `files.tables.read_channel_table`.
    units : str or None
        Unit of all channels without one in the table, for XDF and CSV; MNE converts to SI.
    stream : str or None
        Name, type or source_id of the data stream, if an XDF file holds several.
    markers : str, MarkerChoice or None
        ``"channel:NAME"`` reads triggers from a channel; another text is the name, type or
        source_id of an XDF marker stream. The default depends on the format:

        ====  ==========================================================
        CSV   marker columns
        XDF   all streams with "marker" or "event" in their type
        MNE   annotations, except segments marked as bad
        ====  ==========================================================

    Returns
    -------
    Recording
        Markers before its first sample, after its last one or in a gap (no sample within 0.1 s)
        are left out with a RuntimeWarning; XDF and session records keep them, with index -1.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    OSError
        If it cannot be read.
    ValueError
        If it is a model, has no samples or no data stream, holds nothing but NaN, or its stamps
        jump back or run more than 1 % off the declared rate.
    ImportError
        If the package that reads the format is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path.name}")
    if is_data_set(path):
        raise ValueError(
            f"need a recording, got {path.name}, a BIDS data set: rt-calibrate fit --bids ROOT "
            "--subject CODE reads it; other commands take one of its recordings"
        )
    if path.name.endswith(".safetensors"):
        raise ValueError(f"need a recording, got {path.name}, which is a model or belongs to one")
    suffix, chosen = path.suffix.lower(), parse_markers(markers)
    if stream is not None and suffix != ".xdf":
        raise ValueError(f"{path.name}: only XDF files hold several streams to choose from")
    if suffix == ".xdf":
        return read_xdf(path, channels, units, stream, chosen)
    if suffix == ".csv":
        return read_csv(path, channels, units, chosen)
    return read_mne(path, channels, units, chosen)


def read_marked(
    path: str | Path, events: str | Path | None = None, label: str = "", **reading: Any
) -> tuple[Recording, Sequence[Marker]]:
    """Read a recording, and the markers of an events table or else its own.

    Parameters
    ----------
    path : path
        As for `read_recording`.
    events : path or None
        Events table; see `events.read_events`.
    label : str
        Column of the table that holds the items; by default ``word``, else ``trial_type``.
    reading : Any
        Other arguments of `read_recording`.

    Returns
    -------
    recording : Recording
    markers : sequence of Marker

    Raises
    ------
    OSError, ValueError, ImportError
        As `read_recording` and `events.read_events`.
    """
    recording = read_recording(path, **reading)
    if events is None:
        return recording, recording.markers
    return recording, markers_from_events(read_events(events, column=label or None), recording)
