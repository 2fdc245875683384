"""Tell segments that MNE's annotations, or BIDS events of them, mark as bad from markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.files.recording import BadSegment
from rt_decoder.files.sidecar import beside
from rt_decoder.files.tables import read_tsv
from rt_decoder.timing.items import is_stimulus

__all__ = ["Spans", "bad_segments", "is_segment", "spans_beside"]


class Spans(NamedTuple):
    """Rows of an events table, with the fields of MNE's annotations."""

    onset: list[float]  # s
    duration: list[float]  # s
    description: list[str]


def is_segment(label: str, duration: float) -> bool:
    """Return whether an annotation marks a bad segment: it lasts, and MNE calls it bad.

    Parameters
    ----------
    label : str
        The description.
    duration : float
        In s.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_segment("BAD_muscle", 2.0), is_segment("BAD boundary", 0.0), is_segment("badger", 2.0)
    (True, False, False)
    """
    return duration > 0 and label[:3].upper() == "BAD" and not is_stimulus(label)


def bad_segments(annotations: Any, times: np.ndarray, sfreq: float) -> tuple[BadSegment, ...]:
    """Find the rows that annotations mark as bad.

    Parameters
    ----------
    annotations : mne.Annotations
        Of the recording.
    times : array of shape (n_samples,), float64
        Time of each sample in s, on the clock of the annotations' onsets; it grows.
    sfreq : float
        Rate in Hz.

    Returns
    -------
    tuple of BadSegment
        In order of their first rows; none of them empty.
    """
    found = []
    last = times + 0.5 / sfreq  # until when a sample is the nearest one
    for onset, duration, label in zip(
        annotations.onset, annotations.duration, annotations.description, strict=True
    ):
        if is_segment(str(label), duration) and np.isfinite(onset):
            start, stop = np.searchsorted(last, (onset, onset + duration), side="right").tolist()
            if stop > start:
                found.append(BadSegment(start, stop, str(label)))
    return tuple(sorted(found))


def spans_beside(path: Path) -> Spans:
    """Read what the BIDS events table beside a recording says of stretches: mne-bids writes bad ones there.

    Parameters
    ----------
    path : path
        The recording.

    Returns
    -------
    Spans
        Rows with an onset, a duration and a ``trial_type``; onsets from the first sample.

    Raises
    ------
    OSError, ValueError
        If the table cannot be read.
    """
    found, spans = beside(path, "_events.tsv"), Spans([], [], [])
    if found is None:
        return spans
    columns, rows = read_tsv(found)
    if not {"onset", "duration", "trial_type"} <= set(columns):
        return spans
    for _, cells in rows:
        row = dict(zip(columns, cells, strict=False))
        try:
            onset, duration = float(row["onset"]), float(row["duration"])
        except (ValueError, KeyError):  # whoever needs its event says what is wrong
            continue
        spans.onset.append(onset)
        spans.duration.append(duration)
        spans.description.append(row.get("trial_type", ""))
    return spans
