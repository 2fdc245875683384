"""Read XDF recordings and session records: choose the data stream, and place its markers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rt_decoder.channels import Declared, declared_info
from rt_decoder.counted import counted
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.clock_offsets import clock_offsets
from rt_decoder.files.decisions import Decision, Dropped
from rt_decoder.files.recording import Recording, check_recording
from rt_decoder.files.sample_times import channel_markers
from rt_decoder.files.session_record import (
    ARRIVALS,
    DECISIONS,
    REFERENCE,
    checked_decisions,
    checked_pulls,
    reference_arrivals,
)
from rt_decoder.files.tables import read_channel_table, say_types
from rt_decoder.files.xdf_markers import (
    listing,
    marker_streams,
    matches,
    place_markers,
    speaks_of_events,
)
from rt_decoder.files.xdf_streams import XdfStream, load_streams
from rt_decoder.timing.marker_choice import MarkerChoice

__all__ = ["ARRIVALS", "DECISIONS", "REFERENCE", "read_xdf", "reference_arrivals"]


def read_xdf(
    path: Path,
    channels: str | Path | None,
    units: str | None,
    stream: str | None,
    markers: MarkerChoice,
) -> Recording:
    """Read one data stream and its markers; see `files.read.read_recording`.

    Parameters
    ----------
    path : path
        The file.
    channels : path or None
        Table of names, types and units; see `files.tables.read_channel_table`.
    units : str or None
        Unit of all channels without one in the table.
    stream : str or None
        Name, type or source_id of the data stream; None if the file has only one.
    markers : MarkerChoice
        Marker stream or trigger channel to read instead of all marker streams.

    Returns
    -------
    Recording

    Raises
    ------
    OSError
        If the file is no XDF file, or damaged elsewhere than at its end.
    ValueError
        If a stream is missing or ambiguous, or the recording cannot be decoded.
    """
    streams = load_streams(path)
    data = _data_stream(path.name, streams, stream)
    declared, n_channels = data.declared, data.values.shape[1]
    if len(declared) != n_channels:
        if declared and channels is None:
            raise ValueError(
                f"{path.name}: need {n_channels} channels described, got {len(declared)}, of "
                "unknown position: name ch1, ch2, ... in --channels TSV"
            )
        declared = (Declared(),) * n_channels
    table = read_channel_table(channels)
    info = declared_info(data.sfreq, declared, data.type, channels=table, units=units)
    recording = Recording(
        _doubles(data.values),
        data.stamps,
        info,
        correction=clock_offsets(data.clock, data.stamps, data.sfreq),
        name=path.name,
    )
    by_name = {stream.name: stream for stream in streams}
    decisions: tuple[Decision, ...] = ()
    if ARRIVALS in by_name and DECISIONS in by_name:
        texts = by_name[DECISIONS].values[:, 0].tolist()
        decisions = checked_decisions(path.name, texts)
    if data.type == REFERENCE and reference_arrivals(data.name) in by_name:
        recording = _with_session(recording, by_name[reference_arrivals(data.name)], ())
    elif ARRIVALS in by_name:
        recording = _with_session(recording, by_name[ARRIVALS], decisions)
    check_recording(recording)
    say_types(path.name, declared, data.type, table)
    if recording.pulls is not None:
        _warn_of_missing(recording, data.is_closed)
    if markers.trigger:
        return replace(recording, markers=channel_markers(recording, markers.trigger))
    chosen = marker_streams(path.name, streams, data, markers.stream or None)
    return replace(recording, markers=place_markers(recording, chosen))


def _doubles(values: np.ndarray | Blocks) -> np.ndarray | Blocks:
    return values if isinstance(values, Blocks) else np.ascontiguousarray(values, np.float64)


def _first(data: np.ndarray | Blocks, n: int) -> np.ndarray | Blocks:
    """Leave out what lies behind the first `n` samples."""
    if not isinstance(data, Blocks):
        return data[:n]
    return Blocks(lambda start, stop: data[start:stop], (n, data.shape[1]))


def _data_stream(name: str, streams: Sequence[XdfStream], wanted: str | None) -> XdfStream:
    """Choose the one stream of numbers at a regular rate that holds samples."""
    is_session = any(stream.name == ARRIVALS for stream in streams)
    usable = [
        stream
        for stream in streams
        if not stream.is_text
        and stream.sfreq > 0
        and len(stream.stamps)
        and (not speaks_of_events(stream) if wanted is None else matches(stream, wanted))
        and not (wanted is None and is_session and stream.type == REFERENCE)
    ]
    if len(usable) == 1:
        return usable[0]
    eeg = [stream for stream in usable if wanted is None and stream.type.lower() == "eeg"]
    if len(eeg) == 1:
        others = ", ".join(
            f"{one.name[:60]!r} ({one.type[:20]})" for one in usable if one is not eeg[0]
        )
        warnings.warn(
            f"{name}: of {counted(len(usable), 'data stream')} {eeg[0].name[:60]!r} of type EEG is read; "
            f"--stream chooses another: {others}",
            RuntimeWarning,
            stacklevel=4,
        )
        return eeg[0]
    which = "" if wanted is None else f" with name, type or source_id {wanted!r}"
    if usable:
        raise ValueError(
            f"{name}: need one data stream{which}, got {listing(usable)}; choose it with --stream"
        )
    raise ValueError(
        f"{name}: need a data stream{which} (numbers at a regular rate), got {listing(streams)}"
    )


def _with_session(
    recording: Recording, arrivals: XdfStream, decisions: tuple[Decision, ...]
) -> Recording:
    """Add arrivals and decisions; leave out samples at the end whose pull was not written."""
    pulls = checked_pulls(recording.name, np.asarray(arrivals.values))
    ends = np.cumsum(pulls[:, 0]).astype(np.int64)
    n_pulls = int(np.searchsorted(ends, len(recording.stamps), side="right"))
    n = int(ends[n_pulls - 1]) if n_pulls else 0
    pulls = pulls[:n_pulls]
    return replace(
        recording,
        data=_first(recording.data, n),
        stamps=recording.stamps[:n],
        correction=np.repeat(pulls[:, 2], pulls[:, 0].astype(np.int64)),
        pulls=pulls,
        decisions=decisions,
    )


def _warn_of_missing(recording: Recording, is_closed: bool) -> None:
    """Warn if a session record ends early or lacks samples."""
    if not is_closed:
        seconds = len(recording.stamps) / recording.info.sfreq
        warnings.warn(
            f"{recording.name} was not closed: its session was killed or its disk was full; "
            f"it ends after {seconds:.1f} s of samples",
            RuntimeWarning,
            stacklevel=4,
        )
    holes = [decision for decision in recording.decisions if isinstance(decision, Dropped)]
    if holes:
        entries = counted(sum(hole.n_jobs for hole in holes), "entry", "entries")
        samples = counted(sum(hole.n_samples for hole in holes), "sample")
        warnings.warn(
            f"{recording.name}: lacks {entries} with {samples}, as the disk was too slow; it decodes as the session did only up to sample {holes[0].index}",
            RuntimeWarning,
            stacklevel=4,
        )
