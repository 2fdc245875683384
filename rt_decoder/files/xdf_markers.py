"""Choose the marker streams of an XDF file, read their markers, and find the sample of each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.clock_offsets import clock_offsets
from rt_decoder.files.recording import Recording
from rt_decoder.files.sample_times import sample_times
from rt_decoder.files.session_record import ARRIVALS
from rt_decoder.files.stamps import are_usable, nearest_samples
from rt_decoder.files.xdf_streams import XdfStream
from rt_decoder.signal import Marker
from rt_decoder.timing.marker_columns import MarkerColumns, MarkerKind
from rt_decoder.timing.markers import trigger_markers

__all__ = ["listing", "marker_streams", "matches", "place_markers", "speaks_of_events"]


def marker_streams(
    name: str, streams: Sequence[XdfStream], data: XdfStream, wanted: str | None
) -> list[XdfStream]:
    """Choose the streams whose markers are a recording's.

    Parameters
    ----------
    name : str
        Of the file, for what is said.
    streams : sequence of XdfStream
        All of the file.
    data : XdfStream
        That of the samples, which is none of markers.
    wanted : str or None
        Name, source_id or type of a stream; None for the first of a session record, else all that
        speak of events. A RuntimeWarning says where others are read together, or are not read.

    Returns
    -------
    list of XdfStream

    Raises
    ------
    ValueError
        If no stream is the wanted one.
    """
    others = [stream for stream in streams if stream is not data]
    if wanted is not None:
        named = [stream for stream in others if wanted in (stream.name, stream.source_id)]
        chosen = named or [stream for stream in others if matches(stream, wanted)]
        chosen = [stream for stream in chosen if not _kind(stream).is_signal] or chosen
        if not chosen:
            raise ValueError(f"{name}: need a marker stream {wanted!r}, got {listing(others)}")
        if len(spoke := [stream for stream in chosen if len(stream.stamps)]) > 1:
            which = f"a source_id chooses one: {', '.join(map(_counted, spoke))}"
            told = f"{name}: {counted(len(spoke), 'stream')} are {wanted!r} and are read together; {which}"
            warnings.warn(told, RuntimeWarning, stacklevel=5)
        return chosen
    chosen = [stream for stream in others if speaks_of_events(stream) and _is_read(name, stream)]
    is_session = any(stream.name == ARRIVALS for stream in streams)
    read = chosen[:1] if is_session else [stream for stream in chosen if len(stream.stamps)]
    if is_session:
        also = [stream for stream in chosen[1:] if len(stream.stamps)]
        told = "gives the events, which was named first; --markers chooses another"
    else:
        also = read[1:]
        told = "and the others are read together; --markers chooses one"
    if also:
        warnings.warn(
            f"{name}: of {counted(1 + len(also), 'marker stream')} {_counted(read[0])} {told}: "
            f"{', '.join(map(_counted, also))}",
            RuntimeWarning,
            stacklevel=5,
        )
    return read


def place_markers(recording: Recording, streams: Sequence[XdfStream]) -> tuple[Marker, ...]:
    """Return markers of all streams in order of time, on the recording machine's clock.

    Parameters
    ----------
    recording : Recording
        The samples.
    streams : sequence of XdfStream
        From `marker_streams`.

    Returns
    -------
    tuple of Marker
        One outside the samples has index -1: the decoder says why it is lost, as it does live.

    Raises
    ------
    ValueError
        If a stream is a signal, or it is unknown which of its channels says the label.
    """
    placed: list[Marker] = []
    taken = sample_times(recording)
    for stream in streams:
        markers = _stream_markers(stream)
        times = np.array([marker.time for marker in markers])
        times += clock_offsets(stream.clock, times, 0.0)
        rows = nearest_samples(taken, times, recording.info.sfreq)
        for marker, time, row in zip(markers, times.tolist(), rows.tolist(), strict=True):
            placed.append(Marker(marker.label, time, row))
    outside = [marker for marker in placed if marker.index < 0]
    if outside and recording.pulls is None:
        ahead = outside[0].time - float(np.nanmax(recording.times[are_usable(recording.stamps)]))
        where = f"{ahead:,.6g} s after the last sample" if ahead > 0 else "before it or in a gap"
        warnings.warn(
            f"{recording.name}: {len(outside)} of {counted(len(placed), 'marker')} outside the samples, "
            f"the first is {outside[0].label!r}, {where}",
            RuntimeWarning,
            stacklevel=4,
        )
    return tuple(sorted(placed, key=lambda marker: marker.time))


def matches(stream: XdfStream, wanted: str) -> bool:
    """Whether a stream has this name, source_id or type."""
    return wanted in (stream.name, stream.source_id) or wanted.lower() == stream.type.lower()


def speaks_of_events(stream: XdfStream) -> bool:
    """Whether a stream's type says that it holds markers."""
    return any(word in stream.type.lower() for word in ("marker", "event", "annotation"))


def listing(streams: Sequence[XdfStream]) -> str:
    """Name streams in a line."""
    return "; ".join(map(str, streams)) or "no stream"


def _counted(stream: XdfStream) -> str:
    n = len(stream.stamps)
    which = f", source_id {stream.source_id[:40]}" if stream.source_id else ""
    return f"{stream.name[:60]!r} ({n} marker{'s' * (n != 1)}{which})"


def _is_read(name: str, stream: XdfStream) -> bool:
    """Whether it is known which channel of a stream says the label; warns if it is not."""
    try:
        _columns(stream)
    except ValueError as error:
        warnings.warn(f"{name}: {error}; left out", RuntimeWarning, stacklevel=5)
        return False
    return True


def _columns(stream: XdfStream) -> MarkerColumns:
    n_channels = stream.values.shape[1]
    are_declared = len(stream.declared) == n_channels
    labels = [one.label for one in stream.declared] if are_declared else [""] * n_channels
    return MarkerColumns(stream.name, labels, _kind(stream))


def _kind(stream: XdfStream) -> MarkerKind:
    values = stream.values
    numbers = "numbers" if isinstance(values, Blocks) else str(values.dtype)
    return MarkerKind(stream.type, "string" if stream.is_text else numbers, stream.sfreq > 0)


def _stream_markers(stream: XdfStream) -> list[Marker]:
    """Read markers on the stream's own clock, as `LslMarkers` reads them live."""
    columns = _columns(stream)
    if not stream.is_text and stream.sfreq > 0:
        return trigger_markers(stream.values[:, 0], stream.stamps)
    return [
        Marker(label, float(stamp))
        for row, stamp in zip(np.asarray(stream.values), stream.stamps, strict=True)
        for label in columns.of(row)
    ]
