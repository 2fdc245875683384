"""Find when the eyes blink and move in a calibration recording.

Electrodes next to the eyes record the brain as well. So they only tell *when* the eyes move, and
`calibration.cleaning.eye` fits on the data channels alone. Works offline and looks ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from calibration.cleaning.eye_moves import look, spans
from calibration.cleaning.eye_reference import why_no_eog
from rt_decoder.signal import DATA_TYPES, SignalInfo
from rt_decoder.timing.electrodes import electrode_names

__all__ = ["EyeEvents", "EyeSpan", "find_eye_events"]

_FRONTAL = {"N", "NFp", "Fp", "AFp", "AF", "F7", "F8", "F9", "F10"}  # rows, and electrodes
_BLINKS_A_MINUTE = (2.0, 45.0)  # rates that a component of blinks may have; a heart is faster


class EyeSpan(NamedTuple):
    """A cued stretch of the calibration recording, in samples."""

    start: int
    stop: int
    kind: str  # "blink", "saccade" or "rest"


class EyeEvents(NamedTuple):
    """When the eyes moved."""

    way: str  # "cued", "eog", "frontal" or "blind"
    source: tuple[str, ...]  # channels in which they were found
    blinks: np.ndarray  # (n_blinks,) sample of the step that begins each
    saccades: np.ndarray  # (n_saccades,) the same
    eye: np.ndarray  # (n,) bool: the eyes are active
    rest: np.ndarray  # (n,) bool: the eyes surely rest; a sample may be neither
    phase: np.ndarray  # (n,) uint8: told to blink (1), to look around (2), to rest (3); else 0
    left_out: dict[str, str]  # EOG channels that show no eyes, and why


def find_eye_events(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, cued: Sequence[EyeSpan] | None = None
) -> EyeEvents:
    """Find blinks, saccades and rest, by the best way that the recording allows.

    An event is a step that is large against a robust scale of the calm parts; the sign and size of
    the peak after it tell blinks from saccades. Searched are the EOG channels that show the eyes
    (`calibration.cleaning.eye_reference`) and their main components, else the frontal channels (by name, else by position) and theirs, else the
    whole-head component that blinks most clearly. In cued spans the cue decides what a movement is.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels)
        Finite, high-passed.
    info : SignalInfo
    bad : array of shape (n_samples,), bool
        Samples that belong neither to eye activity nor to rest.
    cued : sequence of EyeSpan or None
        Stretches in which the participant was told what to do.

    Returns
    -------
    EyeEvents
    """
    way, source, traces, left_out = _traces(data, info, bad)
    blinks, saccades, eye, calm = look(traces, info.sfreq, bad)
    phase = np.zeros(len(data), np.uint8)
    for number, kind in enumerate(("blink", "saccade", "rest"), 1):
        told = [(span.start, span.stop) for span in cued or () if span.kind == kind]
        phase[spans(len(data), told)] = number
    if phase.any():
        way = "cued"
        asked = (phase == 1) | (phase == 2)
        if not (eye & asked).any():  # no movement found in any cued span: trust the cues
            eye = eye | asked
        # within a cued span the cue tells what a movement is
        moves = np.sort(np.concatenate([blinks, saccades]))
        blinks = np.union1d(blinks[phase[blinks] == 0], moves[phase[moves] == 1])
        saccades = np.union1d(saccades[phase[saccades] == 0], moves[phase[moves] == 2])
        # Rest is cued rest and uncued calm alike. Answers to words occur only in the latter; a
        # subspace fitted against cued rest alone would take them for eye activity.
        calm = calm & ~asked
    return EyeEvents(way, source, blinks, saccades, eye & ~bad, calm & ~eye & ~bad, phase, left_out)


def _traces(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray
) -> tuple[str, tuple[str, ...], np.ndarray, dict[str, str]]:
    """Select signals in which eye activity shows.

    Returns the way, channel names, signals (n, k), and EOG channels left out with the reasons.
    """
    why = {
        k: why_no_eog(data, info, bad, k) for k, kind in enumerate(info.ch_types) if kind == "eog"
    }
    left_out = {info.ch_names[k]: reason for k, reason in why.items() if reason}
    eog = [k for k, reason in why.items() if not reason]
    if eog:
        names = tuple(info.ch_names[k] for k in eog)
        return "eog", names, _with_mixtures(data, info, np.array(eog), bad), left_out
    front = _front(info)
    if len(front):
        names = tuple(info.ch_names[k] for k in front)
        return "frontal", names, _with_mixtures(data, info, front, bad), left_out
    picks = np.flatnonzero([kind in DATA_TYPES for kind in info.ch_types])
    components = _kurtotic(_principal(data[:, picks], info, picks, bad, 20), bad)
    return "blind", (), _most_blinking(components, info.sfreq, bad), left_out


def _with_mixtures(
    data: np.ndarray, info: SignalInfo, picks: np.ndarray, bad: np.ndarray
) -> np.ndarray:
    """Return channels and their three main components (n, k), to separate lids from gaze."""
    x = data[:, picks]
    return x if len(picks) == 1 else np.column_stack([x, _principal(x, info, picks, bad, 3)])


def _front(info: SignalInfo) -> np.ndarray:
    """Find the columns of frontal data channels: by name, else the foremost eighth by position."""
    picks = [k for k, kind in enumerate(info.ch_types) if kind in DATA_TYPES]
    told = electrode_names(info.ch_names, info.ch_types)
    named = [k for k in picks if {told[k], told[k].rstrip("zh0123456789")} & _FRONTAL]
    if named:
        return np.array(named)
    where = np.full((len(told), 3), np.nan) if info.positions is None else info.positions
    placed = np.array([k for k in picks if np.isfinite(where[k]).all()], np.int64)
    if len(placed) < 8:
        return np.empty(0, np.int64)
    forward = where[placed, 1]
    return placed[np.argsort(-forward, kind="stable")[: max(len(placed) // 8, 2)]]


def _principal(
    data: np.ndarray, info: SignalInfo, picks: np.ndarray, bad: np.ndarray, n_components: int
) -> np.ndarray:
    """Compute main components (n, k), after scaling each channel type by its standard deviation."""
    scaled = np.array(data, np.float64)
    kinds = np.array(info.ch_types)[picks]
    for kind in np.unique(kinds):
        scaled[:, kinds == kind] /= max(np.std(scaled[~bad][:, kinds == kind]), 1e-300)
    good = scaled[~bad]
    values, vectors = np.linalg.eigh(good.T @ good)
    keep = values[::-1][:n_components] > 1e-9 * values[-1]
    return scaled @ vectors[:, ::-1][:, :n_components][:, keep]


def _kurtotic(x: np.ndarray, bad: np.ndarray, n_components: int = 6) -> np.ndarray:
    """Compute projections (n, k) of highest kurtosis: deflationary FastICA with the cubic.

    Each search starts from another column of `x`, so nothing is drawn at random.

    References
    ----------
    Hyvärinen and Oja 1997, doi:10.1162/neco.1997.9.7.1483
    """
    white = x / x[~bad].std(axis=0)
    good = white[~bad]
    found = np.empty((0, x.shape[1]))
    for start in np.eye(x.shape[1])[:n_components]:
        w = start
        for _ in range(200):
            new = good.T @ (good @ w) ** 3 / len(good) - 3.0 * w
            new -= found.T @ (found @ new)
            new /= max(float(np.linalg.norm(new)), 1e-300)
            done = abs(float(new @ w)) > 1 - 1e-6
            w = new
            if done:
                break
        found = np.vstack([found, w])
    return white @ found.T


def _most_blinking(components: np.ndarray, sfreq: float, bad: np.ndarray) -> np.ndarray:
    """Select the component of highest kurtosis that blinks at a human rate; (n, 1), else (n, 0)."""
    order = np.argsort([-float(np.mean(trace**4)) for trace in components[~bad].T])
    minutes = max(np.sum(~bad) / sfreq / 60.0, 1e-9)
    for k in order:
        trace = components[:, k : k + 1]
        blinks, saccades, _, _ = look(trace, sfreq, bad)
        low, high = _BLINKS_A_MINUTE
        if low <= len(blinks) / minutes <= high and len(blinks) >= len(saccades):
            return trace
    return components[:, :0]
