"""What a brain answers to besides meaning: a word's length, frequency, place and pace, its sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from calibration.design import RUN_GAP, Design

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["Nuisance", "envelope_columns", "nuisance_columns"]


class Nuisance(NamedTuple):
    """Nuisance of n events."""

    names: tuple[str, ...]
    columns: np.ndarray  # (n, q)

    def joined(self, other: Nuisance) -> Nuisance:
        """Return the columns of both."""
        return Nuisance(self.names + other.names, np.hstack([self.columns, other.columns]))


def nuisance_columns(design: Design, language: str = "en") -> Nuisance:
    """Compute nuisance from labels and onsets; a column that does not vary is left out.

    Parameters
    ----------
    design : Design
    language : str
        Of word frequencies; empty leaves them out.

    Returns
    -------
    Nuisance
        `length` in characters, `frequency` as the natural logarithm, `position in run` in s,
        `position in sentence` in words, `interval` since the event before in s, at most 5.

    Raises
    ------
    ValueError
        If the language is unknown.
    """
    onsets, run = np.asarray(design.onsets), np.asarray(design.run)
    table = {"length": np.array([len(label) for label in design.labels], float)}
    if language:
        from calibration.language.words import word_log_prior

        known, where = np.unique(design.labels, return_inverse=True)
        table["frequency"] = word_log_prior(known.tolist(), language)[where.ravel()]
    first = {one: onsets[run == one].min() for one in np.unique(run)}
    table["position in run"] = onsets - np.array([first[one] for one in run])
    if design.contexts is not None:
        table["position in sentence"] = np.array(
            [context[1] if context else 0 for context in design.contexts], float
        )
    interval = np.diff(onsets, prepend=-np.inf).clip(max=5.0)
    new = np.diff(run, prepend=-1) != 0
    interval[new] = np.median(interval[~new]) if not new.all() else 0.0
    table["interval"] = interval
    kept = {name: column for name, column in table.items() if np.ptp(column) > 0}
    columns = np.array(list(kept.values())).reshape(len(kept), len(onsets)).T
    return Nuisance(tuple(kept), columns)


def envelope_columns(
    sessions: Sequence[LabelledRecording],
    design: Design,
    channel: str,
    ends: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
) -> Nuisance:
    """Average the envelope of a sound, recorded as a channel, in stretches after each onset.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
        That the design was built from.
    design : Design
    channel : str
    ends : sequence of float
        s after the onset at which stretches end; the first begins at 0.

    Returns
    -------
    Nuisance

    Raises
    ------
    ValueError
        If a recording has no such channel.
    """
    columns = np.empty((len(design.labels), len(ends)))
    base, edges = 0.0, np.array([0.0, *ends])
    for number, session in enumerate(sessions):
        recording = session.recording
        names = recording.info.ch_names
        if channel not in names:
            raise ValueError(
                f"{recording.name}: need a channel among {', '.join(names[:12])}, got {channel!r}"
            )
        level = np.abs(recording.data[:, names.index(channel)])
        sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(level))])
        times = recording.times
        rows = np.flatnonzero(design.run == number)
        at = design.onsets[rows, None] - base + times[0] + edges
        cut = np.searchsorted(times, at)
        columns[rows] = np.diff(sums[cut], axis=1) / np.maximum(1, np.diff(cut, axis=1))
        base += times[-1] - times[0] + RUN_GAP
    return Nuisance(tuple(f"{channel} to {end:g} s" for end in ends), columns)
