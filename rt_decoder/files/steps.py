"""What a session record tells to be done before each of its samples."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.files.decisions import (
    Added,
    Chosen,
    MarkerCame,
    Paused,
    Prior,
    Realigned,
    Restart,
    Skip,
    Start,
    Swapped,
    Truth,
)
from rt_decoder.files.recording import Recording
from rt_decoder.files.stamps import are_usable
from rt_decoder.signal import Marker

__all__ = ["Step", "recorded_start", "skipped_rows", "steps_of", "warn_of_missing"]

Step = Marker | Restart | Realigned | Chosen | Prior | Paused | Truth | Swapped | Added


def steps_of(
    recording: Recording, markers: Sequence[Marker], stamps: np.ndarray
) -> dict[int, list[Step]]:
    """List what happens before each sample: a marker, a restart, what an experiment wanted.

    Session records hold when it happened live. In other recordings a marker arrives a second before
    its sample, as it may from a marker stream; only the order matters.

    Parameters
    ----------
    recording : Recording
        Its decisions count.
    markers : sequence of Marker
        Those of the record that are wanted, and others.
    stamps : array of shape (n_samples,)
        Of the samples, in s.

    Returns
    -------
    dict of int to list
        By row; `Marker.answering` is the `Choice` of an event's own.
    """
    steps: dict[int, list[Step]] = {}
    left = Counter((marker.label, marker.time) for marker in markers)
    for decision in recording.decisions:
        step = steps.setdefault(min(decision.index, len(stamps)), [])
        if isinstance(decision, MarkerCame):
            marker = Marker(decision.label, decision.time, answering=decision.choice)
            if left[marker.label, marker.time]:
                left[marker.label, marker.time] -= 1
                step.append(marker)
        elif isinstance(decision, Step):
            step.append(decision)
    stamps = np.where(are_usable(stamps), stamps, np.nan)
    lone = np.fmin(stamps, np.append(stamps[1:], np.inf))  # without one that is far ahead
    reached = np.fmax.accumulate(lone)
    for label, time in sorted(left.elements(), key=lambda marker: marker[1]):
        row = int(np.searchsorted(reached, time - 1.0))
        steps.setdefault(row, []).append(Marker(label, time))
    return steps


def skipped_rows(recording: Recording) -> list[tuple[int, int]]:
    """Return the stretches of rows that the live session skipped as overdue."""
    skips = [decision for decision in recording.decisions if isinstance(decision, Skip)]
    return [(skip.index, skip.index + skip.n) for skip in skips]


def recorded_start(recording: Recording) -> Start | None:
    """Return the options with which a session was started; None if it is no session record."""
    return next((one for one in recording.decisions if isinstance(one, Start)), None)


def warn_of_missing(recording: Recording, missing: Sequence[Realigned]) -> None:
    """Warn (RuntimeWarning) of alignments whose events the recording lacks."""
    if missing:
        warnings.warn(
            f"{recording.name}: cannot make {counted(len(missing), 'alignment')} of the map as live: events "
            f"before sample {missing[0].index} are missing, and readouts after it differ",
            RuntimeWarning,
            stacklevel=4,
        )
