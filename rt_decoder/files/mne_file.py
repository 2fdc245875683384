"""Read FIF, EDF, BDF, BrainVision, EEGLAB and other files with MNE.

MNE puts channels first; that order stays inside this module.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.channels import declared_info
from rt_decoder.counted import counted
from rt_decoder.files.annotations import bad_segments, is_segment, spans_beside
from rt_decoder.files.bids_electrodes import electrode_positions
from rt_decoder.files.blocks import Blocks, loaded
from rt_decoder.files.damage import DAMAGE, first_line
from rt_decoder.files.edf_header import EdfHeader, other_rates, read_edf_header
from rt_decoder.files.fif_check import check_fif
from rt_decoder.files.gaps import Layout, lay_out
from rt_decoder.files.mne_channels import mne_channels
from rt_decoder.files.packages import has_package, missing_package, package_text
from rt_decoder.files.recording import Recording, check_recording
from rt_decoder.files.sample_times import channel_markers
from rt_decoder.files.tables import read_channel_table
from rt_decoder.signal import Marker
from rt_decoder.timing.marker_choice import MarkerChoice

__all__ = ["read_mne"]


EXPANSION = 128  # most bytes in memory for a byte of file; a few fast channels need many
SPARE_BYTES = 64 << 20


def read_mne(
    path: Path, channels: str | Path | None, units: str | None, markers: MarkerChoice
) -> Recording:
    """Read a recording with MNE; see `files.read.read_recording`.

    Parameters
    ----------
    path : path
        File, or folder where the format is one.
    channels : path or None
        Table of names, types and units; see `files.tables.read_channel_table`.
    units : str or None
        Must be None: MNE converts to SI.
    markers : MarkerChoice
        Trigger channel to read instead of the annotations.

    Returns
    -------
    Recording

    Raises
    ------
    OSError
        If the file is missing, damaged or too large.
    ImportError
        If MNE is not installed.
    ValueError
        If the recording cannot be decoded, `units` are given, or `markers` names a stream.
    """
    if markers.stream:
        raise ValueError(f"{path.name}: need markers as channel:NAME, it has no marker streams")
    table = read_channel_table(channels)
    raw, values = _open_raw(path, {n for n, row in table.items() if row.type.lower() == "eeg"})
    if units is not None:
        raise ValueError(
            f"{path.name}: MNE has converted its units to SI, leave --units out "
            "(correct a unit that the file declares wrongly with --channels TSV)"
        )
    known = mne_channels(raw, path, channels)
    sfreq = float(raw.info["sfreq"])
    layout = lay_out(raw, path)
    stamps = layout.stamps
    info = declared_info(sfreq, known.declared, channels=known.table)
    positions = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    positions[~np.any(positions, axis=1)] = np.nan  # MNE writes unknown positions as 0, too
    if (told := electrode_positions(path, raw.ch_names)) is not None:
        positions = np.where(np.isnan(told), positions, told)
    info = replace(info, positions=None if np.isnan(positions).all() else positions)
    # of each sample, on the clock of the annotations
    clock = stamps - stamps[0] if layout.are_timed else layout.rows / sfreq + raw.first_time
    bad = set(bad_segments(layout.annotations, clock, sfreq))
    since = stamps - stamps[:1].sum() if layout.since is None else layout.since  # it may be empty
    bad |= set(bad_segments(spans_beside(path), since, sfreq))
    recording = Recording(
        _kept(values, layout.rows), stamps, info, name=path.name,
        since=layout.since, line_freq=known.line_freq,
        bad_segments=tuple(sorted(bad)),
        bads=tuple(map(str, raw.info["bads"])),
    )  # fmt: skip
    check_recording(recording)
    if markers.trigger:
        return replace(recording, markers=channel_markers(recording, markers.trigger))
    return replace(recording, markers=_markers(raw, layout, path.name))


def _markers(raw: Any, layout: Layout, name: str) -> tuple[Marker, ...]:
    """Annotations as markers, in order; segments are none."""
    sfreq, annotations = float(raw.info["sfreq"]), layout.annotations
    onsets = annotations.onset - (0.0 if layout.are_timed else raw.first_time)
    rows = layout.rows_at(onsets, sfreq)
    if layout.are_timed and (rows < 0).any():
        warnings.warn(
            f"{name}: {(rows < 0).sum()} of {counted(len(rows), 'annotation')} outside the samples "
            "left out",
            RuntimeWarning,
            stacklevel=5,
        )
    found = [
        Marker(str(label), float(layout.stamps[row]), int(row))
        for row, label, lasts in zip(
            rows, annotations.description, annotations.duration, strict=True
        )
        if row >= 0 and not is_segment(str(label), lasts)
    ]
    return tuple(sorted(found, key=lambda marker: marker.index))


def _kept(values: np.ndarray | Blocks, rows: np.ndarray) -> np.ndarray | Blocks:
    """Leave out the samples that only fill gaps."""
    if len(rows) == len(values):
        return values
    if not isinstance(values, Blocks):
        whole: np.ndarray = values[rows]
        return whole

    def read(start: int, stop: int) -> np.ndarray:
        wanted = rows[start:stop]
        ends = np.flatnonzero(np.diff(wanted) > 1) + 1
        parts = np.split(wanted, ends)
        return np.concatenate([values[part[0] : part[-1] + 1] for part in parts])

    return Blocks(read, (len(rows), values.shape[1]))


def _samples(raw: Any, path: Path) -> np.ndarray | Blocks:
    """Samples in SI, (n_samples, n_channels); a packed file is read whole."""

    def read(start: int, stop: int) -> np.ndarray:
        return np.ascontiguousarray(raw.get_data(start=start, stop=stop, verbose="warning").T)

    def read_later(start: int, stop: int) -> np.ndarray:
        with _Reading(path), np.errstate(all="ignore"):
            return read(start, stop)

    shape = raw.n_times, len(raw.ch_names)
    data = loaded(Blocks(read, shape))
    if path.suffix.lower() == ".gz":
        return np.asarray(data)
    return Blocks(read_later, shape) if isinstance(data, Blocks) else data


def _open_raw(path: Path, eeg: set[str]) -> tuple[Any, np.ndarray | Blocks]:
    """Return MNE's raw object, and its values (n_samples, n_channels) in SI."""
    if path.name.lower().removesuffix(".gz").endswith(("-epo.fif", "_epo.fif")):
        raise ValueError(
            f"{path.name}: need a continuous recording, got epochs: the causal filters also need "
            "the samples between them"
        )
    try:
        import mne
    except ImportError:
        raise ImportError(
            f"need mne to read {path.suffix} files: pip install 'rt-decoder[files]'"
        ) from None
    header = read_edf_header(path)
    one_rate = {} if header is None else _one_rate(path, header, eeg)
    # MNE's naming conventions, numpy on damaged numbers, gaps that `lay_out` sees
    known = "^This filename|encountered in|contains 'boundary' events"
    if header is not None and not header.is_continuous:
        known += "|outside data range"  # for MNE, which knows of no pauses
    with _Reading(path), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        if path.name.lower().removesuffix(".gz").endswith(".fif"):
            check_fif(path)
        raw = mne.io.read_raw(path, preload=False, verbose="warning", **one_rate)
        _check_size(raw, path)
        values = _samples(raw, path)
        raw.get_channel_types()  # fails on a kind or unit that is none
    for warning in told:  # not if reading failed: the error suffices
        if not re.search(known, str(warning.message)):
            warnings.warn(warning.message, stacklevel=5)
    return raw, values


def _one_rate(path: Path, header: EdfHeader, eeg: set[str]) -> dict[str, Any]:
    """Leave out channels at other rates than the EEG's: MNE would resample, and look ahead."""
    sfreq, others = other_rates(header, eeg)
    if not others:
        return {}
    named = [f"{name} ({rate:g} Hz)" for name, rate in list(others.items())[:5]]
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    warnings.warn(
        f"{path.name}: left out {', '.join(named)}{more}: a recording has one rate, and most EEG "
        f"channels have {sfreq:g} Hz",
        RuntimeWarning,
        stacklevel=6,
    )
    return {"exclude": list(others)}


class _Reading:
    """Turn errors of MNE's readers into OSError; some raise bare ``Exception``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: object) -> None:
        """Raise OSError in place of an error that a damaged file causes."""
        package = "" if error is None else missing_package(error)
        is_set = self._path.suffix.lower() == ".set"
        if is_set and kind is not None and issubclass(kind, NotImplementedError):
            package = "pymatreader"  # scipy reads no MATLAB files in HDF5
        if "any of the possible readers" in str(error) and _is_ant(self._path):
            package = "antio"  # MNE tries other readers of this ending, and names none
        if package:
            raise ImportError(package_text(package, f"to read {self._path.name}")) from error
        of_scipy = kind is not None and kind.__module__.startswith("scipy.")  # MATLAB's files
        if kind is not None and (
            kind is Exception or of_scipy or issubclass(kind, (*DAMAGE, OSError))
        ):
            raise OSError(f"cannot read {self._path.name}: {first_line(error)}") from error


def _is_ant(path: Path) -> bool:
    """Whether a .cnt file is ANT's, and antio is not there to read it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"RIFF", b"RF64") and not has_package("antio")


def _check_size(raw: Any, path: Path) -> None:
    """Refuse a header that declares far more than its files can hold, before taking memory."""
    files = [Path(name) for name in raw.filenames if name is not None]
    n_bytes = sum(file.stat().st_size for file in files if file.is_file())
    if any(file.suffix == ".gz" for file in files):
        n_bytes *= 1032  # what deflate can do at most
    declared = 8 * raw.n_times * len(raw.ch_names)
    if path.is_file() and declared > SPARE_BYTES + EXPANSION * n_bytes:
        raise OSError(
            f"its header declares {raw.n_times} samples of {len(raw.ch_names)} channels, but its "
            f"files hold {n_bytes} bytes"
        )
