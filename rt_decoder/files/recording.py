"""Recordings: a file in, one `Recording` out, whatever the format.

Nothing here filters, resamples or corrects the signal: values and time stamps are as recorded.
XDF and CSV have modules of their own; all else is read by MNE.
"""

from __future__ import annotations

import configparser
import json
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.channels import SI_UNIT, Declared, declared_info
from rt_decoder.files.fif_check import check_fif
from rt_decoder.files.session_record import LATEST
from rt_decoder.files.stamps import measured_sfreq
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.timing.markers import trigger_markers

__all__ = ["Recording", "channel_markers", "check_recording", "first_line", "read_recording"]

MIN_SFREQ, MAX_SFREQ = 1e-3, 1e6
EXPANSION = 128  # of a file in memory; a few fast channels among slow ones need much of it
SPARE_BYTES = 64 << 20

# What readers of damaged files raise; each message goes on to the user.
DAMAGE = (
    ValueError,
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    SyntaxError,  # XML
    struct.error,
    zlib.error,
    configparser.Error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded stream with its markers.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels), float64
        As delivered, in ``info.units``.
    stamps : array of shape (n_samples,), float64
        Raw time stamps in s; jitter and gaps are kept.
    info : SignalInfo
        Rate and channels, units as declared.
    markers : tuple of Marker
        In order of time; ``time`` on the clock of `times`, ``index`` the row of the nearest sample.
    correction : float or array of shape (n_samples,)
        Clock offset in s that takes `stamps` to the clock of the machine that recorded.
    name : str
        File name without its folder.
    pulls : array of shape (n_pulls, 3) or None
        Session records only: for each chunk that was pulled its number of samples, the time of its
        arrival and the clock correction that was in force.
    decisions : tuple of str
        Session records only: what the live session decided by the wall clock, one JSON object each.
    """

    data: np.ndarray
    stamps: np.ndarray
    info: SignalInfo
    markers: tuple[Marker, ...] = ()
    correction: float | np.ndarray = 0.0
    name: str = ""
    pulls: np.ndarray | None = None
    decisions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, c = np.size(self.stamps), self.info.n_channels
        if np.shape(self.stamps) != (n,) or np.shape(self.data) != (n, c):
            raise ValueError(
                f"need stamps of shape (n,) and data of shape (n, {c}), "
                f"got {np.shape(self.stamps)} and {np.shape(self.data)}"
            )

    @property
    def times(self) -> np.ndarray:
        """Stamps plus correction, (n_samples,) s: the clock that markers are on."""
        return self.stamps + self.correction

    @property
    def arrivals(self) -> np.ndarray | None:
        """When each sample arrived, (n_samples,) s; None but in session records."""
        if self.pulls is None:
            return None
        return np.repeat(self.pulls[:, 1], self.pulls[:, 0].astype(int))

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Rows from one loss of the stream to the next: each is on a time line of its own."""
        told = map(json.loads, self.decisions)
        n = len(self.stamps)
        returns = {what["index"] for what in told if what["decision"] == "restart"}
        return list(pairwise(sorted({0, n, *(row for row in returns if row < n)})))


def read_recording(
    path: str | Path,
    *,
    channels: str | Path | None = None,
    units: str | None = None,
    stream: str | None = None,
    markers: str | None = None,
) -> Recording:
    """Read a recording: XDF, a session record, CSV with a ``timestamps`` column, or what MNE reads.

    Parameters
    ----------
    path : path
        File, or folder where the format is one (CTF, EGI).
    channels : path or None
        Table of names, types and units by hand; see `sources.channels.read_channel_table`.
    units : str or None
        Unit by hand, for XDF and CSV; MNE's readers convert to SI themselves.
    stream : str or None
        Name, type or source_id of the data stream, where an XDF file holds several.
    markers : str or None
        ``"channel:NAME"`` reads triggers from a channel; another text is the name, type or
        source_id of an XDF marker stream. By default the markers are, by format: annotations (all
        of them, BAD_ and EDGE too), the marker columns of a CSV file, or all XDF streams whose type
        speaks of markers or events.

    Returns
    -------
    Recording
        Markers before its first sample, after its last one or in a gap (no sample within 0.1 s)
        are left out with a RuntimeWarning; a session record keeps them, with index -1.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it is empty or holds what cannot be decoded: NaN (but in session records), time stamps
        that jump back or run at another rate than declared (by more than 1 %), no stream of data.
    ImportError
        If the package that reads the format is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path.name}")
    suffix = path.suffix.lower()
    if stream is not None and suffix != ".xdf":
        raise ValueError(f"{path.name}: only XDF files hold several streams to choose from")
    if suffix == ".xdf":
        from rt_decoder.files.xdf import read_xdf

        return read_xdf(path, channels, units, stream, markers)
    if suffix == ".csv":
        from rt_decoder.files.csv_file import read_csv

        return read_csv(path, channels, units, markers)
    return _read_mne(path, channels, units, markers)


def channel_markers(recording: Recording, channel: str) -> tuple[Marker, ...]:
    """Markers from the trigger channel of that name."""
    if channel not in recording.info.ch_names:
        raise ValueError(
            f"{recording.name}: need a channel {channel} for the markers, "
            f"got {', '.join(recording.info.ch_names)}"
        )
    column = recording.info.ch_names.index(channel)
    return tuple(trigger_markers(recording.data[:, column], recording.times))


def check_recording(recording: Recording) -> None:
    """Refuse what would be decoded wrongly; a session record holds what really happened.

    Raises
    ------
    ValueError
        With the reason; see `read_recording`.
    """
    name, stamps, data = recording.name, recording.stamps, recording.data
    if not len(stamps):
        raise ValueError(f"{name}: need samples, got none")
    odd = ~(np.abs(stamps) < LATEST)
    if odd.any():
        raise ValueError(f"{name}: need finite time stamps in s, got {stamps[odd][0]}")
    if not MIN_SFREQ <= recording.info.sfreq <= MAX_SFREQ:
        raise ValueError(
            f"{name}: need a rate from {MIN_SFREQ:g} to {MAX_SFREQ:g} Hz, "
            f"got {recording.info.sfreq:g} Hz"
        )
    if recording.pulls is not None:
        return
    bad = ~np.isfinite(data)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        first = int(np.argmax(bad[:, column]))
        others = int(bad.any(axis=0).sum()) - 1
        raise ValueError(
            f"{name}: need numbers, got {int(bad[:, column].sum())} NaN or infinite values in "
            f"channel {recording.info.ch_names[column]}"
            + (f" (and {others} more channels)" if others else "")
            + f", the first at {stamps[first] - stamps[0]:.3f} s: cut them out or repair them"
        )
    _check_clock(recording)


def _check_clock(recording: Recording) -> None:
    name, stamps, sfreq = recording.name, recording.stamps, recording.info.sfreq
    if len(stamps) < 3:
        return
    measured = measured_sfreq(stamps, sfreq)
    # 20 ms: what the jitter of a stamp can do to a short recording
    if not abs(sfreq / measured - 1) <= 0.01 + 0.02 * sfreq / len(stamps):
        raise ValueError(
            f"{name}: need stamps at the declared {sfreq:g} Hz, got {measured:.4g} Hz: "
            "declared wrongly, or many samples are lost"
        )
    back = int(np.argmin(np.diff(stamps)))
    if stamps[back + 1] - stamps[back] < -1:
        raise ValueError(
            f"{name}: need one clock, got stamps that jump back by "
            f"{stamps[back] - stamps[back + 1]:.1f} s at sample {back + 1}: cut the recording there"
        )


def _read_mne(
    path: Path, channels: str | Path | None, units: str | None, markers: str | None
) -> Recording:
    """Read what MNE reads; its order (channels first) and its objects stay in this function."""
    if units is not None:
        raise ValueError(
            f"{path.name}: MNE has converted its units to SI, leave --units out "
            "(a unit that the file states wrongly goes into --channels TSV)"
        )
    if markers is not None and not markers.startswith("channel:"):
        raise ValueError(f"{path.name}: need markers as channel:NAME, it has no marker streams")
    raw, values, types = _open_raw(path)
    sfreq = float(raw.info["sfreq"])
    stamps = (raw.first_samp + np.arange(raw.n_times)) / sfreq
    info = declared_info(
        sfreq,
        [Declared(n, t, SI_UNIT.get(t, "n/a")) for n, t in zip(raw.ch_names, types, strict=True)],
        channels=channels,
    )
    positions = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    positions[~np.any(positions, axis=1)] = np.nan  # MNE's way to say unknown, beside NaN
    info = replace(info, positions=None if np.isnan(positions).all() else positions)
    recording = Recording(np.ascontiguousarray(values.T), stamps, info, name=path.name)
    check_recording(recording)
    if markers is not None:
        return replace(
            recording, markers=channel_markers(recording, markers.removeprefix("channel:"))
        )
    # onsets count from the measurement's start, the first sample is at first_time
    rows = np.rint((raw.annotations.onset - raw.first_time) * sfreq)
    rows = np.where(np.abs(rows) < LATEST, rows, -1).astype(int)
    found = [
        Marker(str(label), float(stamps[row]), int(row))
        for row, label in zip(rows, raw.annotations.description, strict=True)
        if 0 <= row < len(stamps)
    ]
    return replace(recording, markers=tuple(sorted(found, key=lambda marker: marker.index)))


def _open_raw(path: Path) -> tuple[Any, np.ndarray, list[str]]:
    """MNE's raw object, its values, (n_channels, n_samples), SI, and its channel types."""
    if path.name.lower().removesuffix(".gz").endswith(("-epo.fif", "_epo.fif")):
        raise ValueError(
            f"{path.name}: need a continuous recording, got epochs: what lies between them, "
            "which the causal filters need, is cut away"
        )
    try:
        import mne
    except ImportError:
        raise ImportError(
            f"need mne to read {path.suffix} files: pip install 'rt-decoder[files]'"
        ) from None
    with _Reading(path), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        if path.name.lower().removesuffix(".gz").endswith(".fif"):
            check_fif(path)
        raw = mne.io.read_raw(path, preload=False, verbose="warning")
        _check_size(raw, path)
        values = raw.get_data(verbose="warning")
        types = raw.get_channel_types()
    for warning in told:  # where reading failed, the error says enough
        # neither MNE's own conventions nor numpy's complaints of damaged numbers
        if not re.search("^This filename|encountered in", str(warning.message)):
            warnings.warn(warning.message, stacklevel=5)
    return raw, values, types


class _Reading:
    """Turn what MNE's readers raise into OSError; some raise bare ``Exception``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: object) -> None:
        """Raise OSError in place of what a damaged file causes."""
        if kind is not None and (kind is Exception or issubclass(kind, (*DAMAGE, OSError))):
            raise OSError(f"cannot read {self._path.name}: {first_line(error)}") from error


def _check_size(raw: Any, path: Path) -> None:
    """Refuse a header that declares far more than its files can hold, before memory is taken."""
    files = [Path(name) for name in raw.filenames if name is not None]
    n_bytes = sum(file.stat().st_size for file in files if file.is_file())
    if any(file.suffix == ".gz" for file in files):
        n_bytes *= 1032  # what deflate can do at most
    declared = 8 * raw.n_times * len(raw.ch_names)
    if path.is_file() and declared > SPARE_BYTES + EXPANSION * n_bytes:
        raise OSError(
            f"its header declares {raw.n_times} samples of {len(raw.ch_names)} channels, and there "
            f"are {n_bytes} bytes"
        )


def first_line(error: BaseException) -> str:
    """What an error says, on one line; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
