"""Convert a recording to FIF, for MNE and related tools, or to XDF.

This also repairs a session record that a kill cut off. Nothing is filtered, resampled
or filled in: samples, and the order of everything, are as recorded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.files.atomic import replacing
from rt_decoder.files.fif_writer import Span, write_fif
from rt_decoder.files.outputs import Output, claim
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.files.session_record import ARRIVALS, DECISIONS, encode
from rt_decoder.files.xdf_writer import XdfWriter
from rt_decoder.signal import Marker, has_unit
from rt_decoder.timing.marker_choice import MarkerChoice
from rt_decoder.timing.timebase import TimeBase

__all__ = ["Break", "Converted", "breaks_of", "convert", "converted", "spans_of"]

_ROWS = 4096  # a chunk of XDF


class Converted(NamedTuple):
    """Counts of what was written, and of what could not be."""

    n_samples: int
    n_channels: int
    seconds: float  # of samples
    n_markers: int
    n_markers_left_out: int  # outside the samples
    n_lost: int  # samples that the stamps say were lost; nothing stands in their place
    n_breaks: int  # where time is not continuous: samples lost, clock set, stream come back
    texts: tuple[str, ...]  # of markers, each once: what anyone typed is carried over


class Break(NamedTuple):
    """Where time is not continuous."""

    row: int  # of the first sample after it
    what: str


def convert(
    recording: str | Path,
    out: str | Path,
    *,
    channels: str | Path | None = None,
    units: str | None = None,
    stream: str | None = None,
    markers: str | MarkerChoice | None = None,
    overwrite: bool = False,
) -> Converted:
    """Write a recording in the format that `out` is named after.

    ========  ====================================================================================
    ``.fif``  SI units, double precision, names, types and positions; markers are annotations at
              their samples. FIF has no time stamps: where samples were lost, the clock was set or
              the stream had gone, the annotation ``EDGE ...`` keeps MNE from filtering across.
    ``.xdf``  Values, units and stamps as recorded, markers as a stream. A session record stays
              one, with arrivals and decisions, and decodes to the same readouts; from any other
              recording the stamps are those of the recording machine's clock.
    ========  ====================================================================================

    Parameters
    ----------
    recording : path
        Any file that `read_recording` reads.
    out : path
        Written whole or not at all; readable by its owner only.
    channels, units, stream, markers : path, str, MarkerChoice or None
        As in `read_recording`.
    overwrite : bool
        Whether a file of this name may be replaced.

    Returns
    -------
    Converted

    Raises
    ------
    ValueError
        If the format is unknown, the file would replace what it is made from, or as
        `read_recording`.
    FileExistsError
        If there is a file of this name, and it may not be replaced.
    OSError
        If the recording cannot be read or the file not be written.
    ImportError
        If MNE is needed and not installed.
    """
    recording, out = Path(recording), Path(out)
    claim([Output("out", out, tuple(_WRITERS))], [recording], overwrite=overwrite)
    write = _WRITERS[out.suffix.lower()]
    read = read_recording(recording, channels=channels, units=units, stream=stream, markers=markers)
    breaks, n_lost = breaks_of(read)
    with replacing(out, overwrite) as path:
        write(read, breaks, path)
    return converted(read, breaks, n_lost)


def converted(read: Recording, breaks: Sequence[Break], n_lost: int) -> Converted:
    """Count what a file of a recording holds.

    Parameters
    ----------
    read : Recording
    breaks : sequence of Break
    n_lost : int
        Samples, as `breaks_of` counts them.

    Returns
    -------
    Converted
    """
    n_placed = sum(marker.index >= 0 for marker in read.markers)
    n, c = read.data.shape
    n_left_out = len(read.markers) - n_placed
    texts = tuple(dict.fromkeys(marker.label for marker in read.markers))
    return Converted(n, c, n / read.info.sfreq, n_placed, n_left_out, n_lost, len(breaks), texts)


def breaks_of(recording: Recording) -> tuple[list[Break], int]:
    """Find where time is not continuous, and how many samples were lost in all.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    breaks : list of Break
    n_lost : int
    """
    times, arrivals = recording.times, recording.arrivals
    breaks = [Break(low, "stream came back") for low, _ in recording.stretches[1:]]
    n_lost = 0
    for low, high in recording.stretches:
        timebase = TimeBase(recording.info.sfreq, 0.0)
        gaps: list[Break] = []
        for decision in timebase.update(
            times[low:high], None if arrivals is None else arrivals[low:high]
        ).decisions:
            n_lost += decision.n_lost
            if decision.kind == "gap":
                gaps.append(
                    Break(low + decision.change, f"{counted(decision.n_lost, 'sample')} lost")
                )
            elif decision.kind == "revoked":  # they only came late
                gaps = gaps[:-1]
            else:
                gaps.append(Break(low + decision.change, "clock set"))
        breaks += gaps
    return sorted(breaks), n_lost


def spans_of(recording: Recording, breaks: Sequence[Break]) -> list[Span]:
    """List markers, breaks and bad segments as annotations.

    Parameters
    ----------
    recording : Recording
    breaks : sequence of Break

    Returns
    -------
    list of Span

    Raises
    ------
    ValueError
        If a unit is unknown: what holds annotations holds SI.
    """
    for name, unit in zip(recording.info.ch_names, recording.info.units, strict=True):
        if not has_unit(unit):
            raise ValueError(
                f"channel {name}: need a known unit for FIF and BIDS, got {unit!r}; --units UNIT"
            )
    spans = [Span(marker.index, marker.label) for marker in recording.markers if marker.index >= 0]
    spans += [Span(gap.row, f"EDGE {gap.what}") for gap in breaks]
    return spans + [
        Span(start, label, stop - start) for start, stop, label in recording.bad_segments
    ]


def _write_fif(recording: Recording, breaks: list[Break], path: Path) -> None:
    spans = spans_of(recording, breaks)
    write_fif(path, recording.data, recording.info, spans, recording.line_freq, bads=recording.bads)


def _write_xdf(recording: Recording, breaks: list[Break], path: Path) -> None:  # noqa: ARG001
    info, name = recording.info, "recording"  # the file's name may be a person's
    is_meg = {"mag", "grad"} & set(info.ch_types)
    # a reference stream of a session record has a fourth column, and no decisions of its own
    is_session = recording.pulls is not None and recording.pulls.shape[1] == 3
    stamps = recording.stamps if is_session else recording.times
    if recording.bad_segments or recording.bads:
        warnings.warn(
            f"XDF cannot say what is bad: {counted(len(recording.bad_segments), 'segment')} and "
            f"{counted(len(recording.bads), 'channel')} that the recording marks so are plain in it",
            RuntimeWarning,
            stacklevel=2,
        )
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name=name, type="MEG" if is_meg else "EEG", info=info)
        xdf.add_stream(2, name=f"{name}-markers", type="Markers")
        for start in range(0, len(stamps), _ROWS):
            part = slice(start, start + _ROWS)
            xdf.write_samples(1, recording.data[part], stamps[part])
        # XDF's markers do not last: a bad segment is told by its label alone
        bad = [Marker(label, float(recording.times[at])) for at, _, label in recording.bad_segments]
        markers = sorted([*recording.markers, *bad], key=lambda marker: marker.time)
        labels = [marker.label for marker in markers]
        xdf.write_samples(2, labels, np.array([marker.time for marker in markers]))
        if is_session:
            _write_session(recording, xdf)


def _write_session(recording: Recording, xdf: XdfWriter) -> None:
    """Write what makes a record of a recording: pulls, clock corrections, decisions."""
    pulls = np.asarray(recording.pulls)
    xdf.add_stream(3, name=ARRIVALS, type="Arrivals", n_channels=3)
    xdf.add_stream(4, name=DECISIONS, type="Decisions")
    xdf.write_samples(3, pulls, pulls[:, 1])
    for k in np.flatnonzero(np.diff(pulls[:, 2], prepend=np.nan)):
        _, arrival, correction = pulls[k]
        xdf.write_clock_offset(1, arrival - correction, correction)
    rows = [decision.index for decision in recording.decisions]
    before = np.searchsorted(np.cumsum(pulls[:, 0]), rows)  # the last pull that they knew of
    arrivals = pulls[np.minimum(before, len(pulls) - 1), 1]
    xdf.write_samples(4, [encode(decision) for decision in recording.decisions], arrivals)


_WRITERS: dict[str, Callable[[Recording, list[Break], Path], None]] = {
    ".fif": _write_fif,
    ".xdf": _write_xdf,
}
