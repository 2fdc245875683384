"""Find when the eyes blink and move in a calibration recording.

Electrodes next to the eyes record the brain as well. So they only tell *when* the eyes move, and
`calibration.cleaning.eye` fits on the data channels alone. Works offline and looks ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import DATA_TYPES, SignalInfo
from rt_decoder.timing.electrodes import electrode_names

__all__ = ["EyeEvents", "EyeSpan", "find_eye_events", "mean_around"]

_FRONTAL = {"N", "NFp", "Fp", "AFp", "AF", "F7", "F8", "F9", "F10"}  # rows, and electrodes
_STEP = 0.06  # s; a step is the mean over this time after a moment minus that before it
_STEP_Z = 6.0  # robust standard deviations that make such a step an event
_CALM_Z = 3.0  # robust standard deviations within which the eyes are at rest
_QUIET = 0.67  # RMS of the quietest windows of steady 1/f noise, per standard deviation [measured]
_BLINK = 0.35  # s that a blink takes; a step within it is the lid's way back
_ECHO = 1.2  # s for which a high-pass rings after an event, at less than 40 % of its step
_ONE_WAY = 0.6  # net share of the power of a trace's peaks that has one sign: the trace blinks
_BEFORE, _AFTER = 0.1, 0.6  # s of eye activity around an event; filters prolong it
_LEAST_REST = 4.0  # s; with less rest, the quietest third of the time counts as rest
_MARGIN = 0.15  # s between movement and rest
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


def find_eye_events(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, cued: Sequence[EyeSpan] | None = None
) -> EyeEvents:
    """Find blinks, saccades and rest, by the best way that the recording allows.

    An event is a step that is large against a robust scale of the calm parts; the sign and size of
    the peak after it tell blinks from saccades. Searched are the EOG channels and their main
    components, else the frontal channels (by name, else by position) and theirs, else the
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
    way, source, traces = _traces(data, info, bad)
    blinks, saccades, eye, calm = _look(traces, info.sfreq, bad)
    phase = np.zeros(len(data), np.uint8)
    for number, kind in enumerate(("blink", "saccade", "rest"), 1):
        phase[_spans(len(data), [span for span in cued or () if span.kind == kind])] = number
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
    return EyeEvents(way, source, blinks, saccades, eye & ~bad, calm & ~eye & ~bad, phase)


def _traces(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray
) -> tuple[str, tuple[str, ...], np.ndarray]:
    """Select signals in which eye activity shows; return way, channel names, signals (n, k)."""
    eog = [k for k, kind in enumerate(info.ch_types) if kind == "eog"]
    eog = [k for k in eog if np.ptp(data[~bad, k]) > 0] if not bad.all() else []
    if eog:
        names = tuple(info.ch_names[k] for k in eog)
        return "eog", names, _with_mixtures(data, info, np.array(eog), bad)
    front = _front(info)
    if len(front):
        names = tuple(info.ch_names[k] for k in front)
        return "frontal", names, _with_mixtures(data, info, front, bad)
    picks = np.flatnonzero([kind in DATA_TYPES for kind in info.ch_types])
    components = _kurtotic(_principal(data[:, picks], info, picks, bad, 20), bad)
    return "blind", (), _most_blinking(components, info.sfreq, bad)


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
        blinks, saccades, _, _ = _look(trace, sfreq, bad)
        low, high = _BLINKS_A_MINUTE
        if low <= len(blinks) / minutes <= high and len(blinks) >= len(saccades):
            return trace
    return components[:, :0]


def _look(
    traces: np.ndarray, sfreq: float, bad: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find blinks and saccades (samples), and where the eyes move and where they rest (n,)."""
    n = len(traces)
    none = np.empty(0, np.int64)
    if traces.shape[1] == 0 or bad.all() or n < 4.0 * sfreq:
        return none, none, np.zeros(n, bool), np.zeros(n, bool)
    width = max(round(_STEP * sfreq), 1)
    moving = np.stack([_step(trace, width) for trace in traces.T])
    steps = moving / _calm_scale(moving, sfreq, bad)[:, None]
    smooth = np.stack([mean_around(trace, width) for trace in traces.T])
    sizes = smooth / _calm_scale(smooth, sfreq, bad)[:, None]
    onsets = _onsets(steps, ~bad, sfreq)
    blinks, saccades = _tell_apart(onsets, sizes, round(_BLINK * sfreq))
    events = np.sort(np.concatenate([blinks, saccades]))
    before, after = round(_BEFORE * sfreq), round(_AFTER * sfreq)
    eye = _spans(n, [EyeSpan(at - before, at + after, "") for at in events.tolist()])
    restless = (np.abs(sizes).max(axis=0) > _CALM_Z) | (np.abs(steps).max(axis=0) > _STEP_Z) | bad
    margin = round(_MARGIN * sfreq)
    calm = mean_around(restless.astype(float), 2 * margin + 1) < 0.5 / (2 * margin + 1)
    if np.sum(calm & ~eye) < _LEAST_REST * sfreq:
        size = np.where(bad, np.inf, np.abs(sizes).max(axis=0))
        calm = size <= np.quantile(size, 1 / 3)
        eye &= ~calm
    return blinks, saccades, eye, calm


def _tell_apart(onsets: np.ndarray, sizes: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Tell blinks from saccades by their peaks; return the samples of each.

    Lids deflect a trace far and always the same way, gaze either way. An onset is judged by its
    highest peak within `reach` samples, over all traces. Where most peaks of a trace have one sign,
    those of that sign and of at least 0.3 of the usual height are blinks. The shape does not help:
    a high-pass turns the step of a saccade into a bump as short as a blink.
    """
    n = sizes.shape[1]
    windows = [sizes[:, max(at - reach // 3, 0) : min(at + reach, n)] for at in onsets.tolist()]
    heights = np.zeros(len(onsets))
    which = np.zeros(len(onsets), np.int64)
    for k, window in enumerate(windows):
        which[k], moment = np.unravel_index(np.abs(window).argmax(), window.shape)
        heights[k] = window[which[k], moment]
    is_blink = np.zeros(len(onsets), bool)
    for trace in np.unique(which):
        own = heights[which == trace]
        power = own * np.abs(own)
        side = np.sign(power.sum())
        if abs(power.sum()) > _ONE_WAY * np.abs(power).sum():
            far = 0.3 * np.quantile(np.abs(own), 0.8)
            is_blink[which == trace] = side * own >= far
    return onsets[is_blink], onsets[~is_blink]


def _step(x: np.ndarray, width: int) -> np.ndarray:
    """Compute the mean of the `width` samples after each sample minus that of as many before."""
    total = np.concatenate([np.zeros(1), np.cumsum(x)])
    at = np.arange(len(x))
    after, before = np.minimum(at + width, len(x)), np.maximum(at - width, 0)
    out = (total[after] - 2 * total[at] + total[before]) / width
    out[:width] = out[-width:] = 0.0
    return out


def mean_around(x: np.ndarray, width: int) -> np.ndarray:
    """Compute the mean of `width` samples around each of `x` (n,), (n,); outside counts as 0."""
    total = np.concatenate([np.zeros(1), np.cumsum(x)])
    at = np.arange(len(x))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + (width + 1) // 2, len(x))
    return (total[high] - total[low]) / width


def _calm_scale(traces: np.ndarray, sfreq: float, bad: np.ndarray) -> np.ndarray:
    """Estimate the standard deviation (k,) of the calm parts from the quietest windows of 0.3 s.

    If the eyes move most of the time, a median over the recording would measure the movement.
    """
    length = max(round(0.3 * sfreq), 2)
    n_pieces = traces.shape[1] // length
    good = ~bad[: n_pieces * length].reshape(n_pieces, length).any(axis=1)
    if not good.any():
        return np.full(len(traces), np.inf)
    pieces = traces[:, : n_pieces * length].reshape(len(traces), n_pieces, length)[:, good]
    quiet = np.quantile(np.sqrt(np.mean(pieces**2, axis=2)), 0.05, axis=1)
    return np.maximum(quiet / _QUIET, 1e-300)


def _onsets(steps: np.ndarray, good: np.ndarray, sfreq: float) -> np.ndarray:
    """Find the samples at which blinks and saccades begin; skip the echo of an earlier event."""
    height = np.abs(steps).max(axis=0) * good
    inner = height[1:-1]
    at = 1 + np.flatnonzero((inner > _STEP_Z) & (inner >= height[:-2]) & (inner > height[2:]))
    apart, echo = round(_BLINK * sfreq), round(_ECHO * sfreq)
    kept: list[int] = []
    for k in at.tolist():
        if kept and k - kept[-1] <= echo:
            trace = np.abs(steps[:, k]).argmax()
            before = np.abs(steps[trace, kept[-1] : kept[-1] + apart]).max()
            if k - kept[-1] <= apart or abs(steps[trace, k]) < 0.4 * before:
                continue
        kept.append(k)
    return np.array(kept, np.int64)


def _spans(n: int, spans: Sequence[EyeSpan]) -> np.ndarray:
    """Mark which of `n` samples lie within the spans, (n,) bool."""
    out = np.zeros(n, bool)
    for span in spans:
        out[max(span.start, 0) : max(span.stop, 0)] = True
    return out
