"""Find the gaps inside a file that MNE has read, and give its samples the stamps they deserve.

Formats tell of a pause, a cut or a join in ways of their own, and MNE returns samples without a
gap. With stamps that jump, the time base sees the same gap in a file as in a live stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.files.edf_header import read_edf_header, record_starts
from rt_decoder.files.stamps import nearest_samples

__all__ = ["UNKNOWN_S", "Layout", "lay_out"]

UNKNOWN_S = 1.0  # s; stands for a gap whose length nobody knows

_SKIP = "bad_acq_skip"  # samples that only fill a gap
_LOST = re.compile(r"EDGE (\d+) samples lost")  # as `rt-decoder convert` writes it
# a clock that was set is no gap: no sample is missing
_JOIN = re.compile(r"(EDGE\b(?! clock set).*|BAD boundary|(.*/)?boundary)", re.IGNORECASE)
_EEGLAB_JOIN = ("-99", "-99.0")  # "boundary" where types of events are numbers
_MARK = re.compile(
    r"^Mk\d+=([^,\r\n]*),([^,\r\n]*),(\d+),[^,\r\n]*,[^,\r\n]*(?:,(\d{20}))?", re.MULTILINE
)
_LOST_SAMPLES = re.compile(r"Lost ?Samples\b\D*(\d*)", re.IGNORECASE)


class _Gap(NamedTuple):
    row: int  # of the first sample after it, as MNE counts
    seconds: float  # missing there; NaN if unknown


class Layout(NamedTuple):
    """Where the samples of a file belong in time."""

    rows: np.ndarray  # (n,) int64, samples to keep, as MNE counts them; the others fill gaps
    stamps: np.ndarray  # (n,) s
    since: np.ndarray | None  # (n,) s since the first sample, as the file counts; None: as stamps
    annotations: Any  # MNE's
    are_timed: bool  # whether onsets are times; else they count samples

    def rows_at(self, onsets: np.ndarray, sfreq: float) -> np.ndarray:
        """Find the samples at onsets of annotations.

        Parameters
        ----------
        onsets : array of shape (m,), float64
            In s since the first sample.
        sfreq : float
            Rate in Hz.

        Returns
        -------
        array of shape (m,), int64
            Places in `stamps`; -1 outside the samples, or in a gap.
        """
        onsets = np.nan_to_num(onsets, nan=-1e9, posinf=-1e9, neginf=-1e9)
        if self.are_timed:
            return nearest_samples(self.stamps - self.stamps[0], onsets, sfreq)
        wanted = np.rint(onsets * sfreq).clip(-1, 2**62).astype(np.int64)
        places = np.searchsorted(self.rows, wanted)
        found = self.rows[np.minimum(places, len(self.rows) - 1)] == wanted
        return np.where(found, places, -1)


def lay_out(raw: Any, path: Path) -> Layout:
    """Tell when each sample of a file was taken.

    ===============================  ===============================================================
    pauses of EDF+D and BDF+D        as long as the starts of the records say
    ``BAD_ACQ_SKIP``                 its samples are left out: they are zeros that fill the gap
    ``New Segment``, ``LostSamples``  of BrainVision: by the dates of the segments, the number lost
    ``boundary`` of EEGLAB           as long as the piece that was cut out
    ``EDGE``, ``BAD boundary``       `UNKNOWN_S`, but for what `rt-decoder convert` writes
    ===============================  ===============================================================

    Parameters
    ----------
    raw : mne.io.Raw
        The file as MNE reads it.
    path : path
        The file.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If the starts of records are missing or not in order.
    OSError
        If the file cannot be read.
    """
    sfreq, n = float(raw.info["sfreq"]), raw.n_times
    stamps = (raw.first_samp + np.arange(n)) / sfreq
    pauses = _pauses(path, n, sfreq)
    if pauses is not None:
        import mne

        stamps = _with_gaps(stamps, pauses)
        # all annotations: MNE leaves out of `raw` those that lie after its last sample
        return Layout(np.arange(n), stamps, None, mne.read_annotations(path), True)
    filled, gaps = np.zeros(n, bool), list(_segments(path, sfreq))
    for one in raw.annotations:
        # onsets count from the measurement's start, the first sample is at first_time
        first = float(np.nan_to_num(one["onset"] - raw.first_time, posinf=0.0, neginf=0.0)) * sfreq
        label, seconds = str(one["description"]), float(one["duration"])
        if label.lower() == _SKIP:
            stop = first + np.nan_to_num(seconds, posinf=n / sfreq) * sfreq
            filled[slice(*np.rint([first, stop]).clip(0, n).astype(int))] = True
        elif (missing := _missing(label, seconds, path, sfreq)) is not None:
            row = int(np.ceil(np.clip(first, 0, n) - 1e-3))  # EEGLAB's lie half a sample before
            gaps.append(_Gap(row, missing))
    rows, counted = np.flatnonzero(~filled), stamps[~filled]
    stamps = _with_gaps(stamps, gaps)[~filled]
    since = counted - counted[:1] if gaps else None
    return Layout(rows, stamps, since, raw.annotations, False)


def _missing(label: str, seconds: float, path: Path, sfreq: float) -> float | None:
    """Length in s of the gap that an annotation tells of, NaN if unknown; None for no gap."""
    if told := _LOST.fullmatch(label):
        return int(told[1]) / sfreq
    is_eeglab = path.suffix.lower() == ".set"
    if not (_JOIN.fullmatch(label) or (is_eeglab and label in _EEGLAB_JOIN)):
        return None
    return seconds if is_eeglab and seconds > 0 else np.nan


def _with_gaps(stamps: np.ndarray, gaps: Iterable[_Gap]) -> np.ndarray:
    """Move the stamps after each gap; of several at one row, the longest counts."""
    longest: dict[int, float] = {}
    for row, seconds in gaps:
        if 0 < row < len(stamps):
            longest[row] = np.fmax(longest.get(row, np.nan), seconds)
    moved = stamps.copy()
    for row, seconds in longest.items():
        moved[row:] += UNKNOWN_S if np.isnan(seconds) else seconds
    return moved


def _pauses(path: Path, n: int, sfreq: float) -> list[_Gap] | None:
    """Pauses between the records of EDF+D and BDF+D; None for other files."""
    header = read_edf_header(path)
    if header is None or header.is_continuous:
        return None
    starts = record_starts(path, header)
    steps = np.diff(starts) - header.seconds
    least = max(0.75 / sfreq, 2e-3)  # starts are written with a few decimals
    if len(steps) and steps.min() < -least:
        k = int(np.argmin(steps))
        raise ValueError(
            f"{path.name}: need records in order of time, got record {k + 2} that starts "
            f"{-steps[k]:.3f} s before the end of the one before it"
        )
    length = n // max(1, len(starts))  # samples of a record
    return [_Gap(length * (k + 1), float(steps[k])) for k in np.flatnonzero(steps > least).tolist()]


def _segments(path: Path, sfreq: float) -> Iterator[_Gap]:
    """Pauses between the segments of a BrainVision file, and samples that its amplifier lost."""
    before: tuple[int, datetime | None] | None = None
    for kind, text, position, date in _MARK.findall(_marker_text(path)):
        row = int(position) - 1
        if lost := _LOST_SAMPLES.search(f"{kind} {text}"):
            yield _Gap(row, int(lost[1]) / sfreq if lost[1] else np.nan)
        elif kind == "New Segment":
            began = _date(date)
            if before is not None:
                yield _Gap(row, _between(before, (row, began), sfreq))
            before = row, began


def _between(
    old: tuple[int, datetime | None], new: tuple[int, datetime | None], sfreq: float
) -> float:
    """Seconds between the end of a segment and the next; NaN if their dates do not tell."""
    if old[1] is None or new[1] is None:
        return np.nan
    seconds = (new[1] - old[1]).total_seconds() - (new[0] - old[0]) / sfreq
    return seconds if seconds * sfreq >= 1 else np.nan


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S%f")
    except ValueError:
        return None


def _marker_text(path: Path) -> str:
    """The marker file that a BrainVision header names; empty if there is none."""
    if path.suffix.lower() not in (".vhdr", ".ahdr"):
        return ""
    named = re.search(r"^MarkerFile=(.+?)\s*$", path.read_text("latin-1"), re.MULTILINE)
    if named is None:
        return ""
    file = path.with_name(Path(named[1].replace("$b", path.stem).replace("\\", "/")).name)
    return file.read_text("latin-1") if file.is_file() else ""
