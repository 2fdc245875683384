"""Tell segments that MNE's annotations mark as bad from markers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rt_decoder.files.recording import BadSegment
from rt_decoder.timing.items import is_stimulus

__all__ = ["bad_segments", "is_segment"]


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
