"""Find when the eyes blink and move, in calibration data: times only, never a regressor.

The brain leaks into electrodes next to the eyes, so what they record says *when* to look, and the
fit of `calibration.cleaning.eye` uses the data channels alone. Offline: both sides of a sample are seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["EyeEvents", "EyeSpan", "find_eye_events", "mean_around"]

_FRONTAL = re.compile(r"(fp\d|fpz|af\d+h?|afz|f7|f8|f9|f10|nz)$", re.IGNORECASE)
_STEP = 0.06  # s over which the mean before and after a moment are compared
_STEP_Z = 6.0  # robust standard deviations that make such a step an event
_CALM_Z = 3.0  # robust standard deviations within which the eyes are at rest
_QUIET = 0.67  # of the standard deviation of a steady 1/f signal: its quietest windows [measured]
_BLINK = 0.35  # s that a blink takes: later steps within it are its way back
_ECHO = 1.2  # s in which a high-pass rings after an event, with less than 40 % of it
_ONE_WAY = 0.6  # of the power of a trace's peaks: so much more of one sign, and it blinks
_BEFORE, _AFTER = 0.1, 0.6  # s of eye activity around an event; filters stretch what follows
_LEAST_REST = 4.0  # s; where the eyes hardly rest, the quietest third of the time has to do
_MARGIN = 0.15  # s kept between what moves and rest
_BLINKS_A_MINUTE = (2.0, 45.0)  # of a component to pass as blinks; a heart beats faster


class EyeSpan(NamedTuple):
    """A cued stretch of the calibration recording, in samples of it."""

    start: int
    stop: int
    kind: str  # "blink", "saccade" or "rest"


class EyeEvents(NamedTuple):
    """When the eyes moved."""

    way: str  # "cued", "eog", "frontal" or "blind"
    source: tuple[str, ...]  # channels that were looked at
    blinks: np.ndarray  # (n_blinks,) samples, of the step that begins each
    saccades: np.ndarray  # (n_saccades,) the same
    eye: np.ndarray  # (n,) bool: the eyes are active
    rest: np.ndarray  # (n,) bool: they surely are not; neither is possible
    phase: np.ndarray  # (n,) uint8: asked to blink (1), to look around (2), to rest (3), or nothing


def find_eye_events(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, cued: Sequence[EyeSpan] | None = None
) -> EyeEvents:
    """Blinks, saccades and rest, by the best way that the recording allows.

    Eye activity shows as a step, against robust measures of scale from the calm parts; two opposite
    steps within 0.4 s are a blink, a lone one a saccade. Looked at are the EOG channels and their
    differences, else the main components of frontal channels (by name, else by position), else the
    whole-head component that blinks most plainly. Within cued spans the cue says what a movement
    was.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels)
        Finite, high-passed.
    info : SignalInfo
    bad : array of shape (n_samples,), bool
        Samples that belong neither to eye activity nor to rest.
    cued : sequence of EyeSpan or None
        What the person was told to do.
    """
    way, source, traces = _traces(data, info, bad)
    blinks, saccades, eye, calm = _look(traces, info.sfreq, bad)
    phase = np.zeros(len(data), np.uint8)
    for number, kind in enumerate(("blink", "saccade", "rest"), 1):
        phase[_spans(len(data), [span for span in cued or () if span.kind == kind])] = number
    if phase.any():
        way = "cued"
        asked = (phase == 1) | (phase == 2)
        if not (eye & asked).any():  # nothing shows where it was looked for: trust the cue
            eye = eye | asked
        # what the eyes do is known where it was asked for
        moves = np.sort(np.concatenate([blinks, saccades]))
        blinks = np.union1d(blinks[phase[blinks] == 0], moves[phase[moves] == 1])
        saccades = np.union1d(saccades[phase[saccades] == 0], moves[phase[moves] == 2])
        # Told to rest or quiet by itself: the answers to words are in the one and not in the other,
        # and a subspace fitted against the one alone would take them for eye activity.
        calm = calm & ~asked
    return EyeEvents(way, source, blinks, saccades, eye & ~bad, calm & ~eye & ~bad, phase)


def _traces(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray
) -> tuple[str, tuple[str, ...], np.ndarray]:
    """Signals (n, k) in which the eyes show, how they were found and where from."""
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
    """Channels and their three main components (n, k): where lids and gaze show apart is not known."""
    x = data[:, picks]
    return x if len(picks) == 1 else np.column_stack([x, _principal(x, info, picks, bad, 3)])


def _front(info: SignalInfo) -> np.ndarray:
    """Columns of the frontal data channels: by name, else the foremost eighth by position."""
    picks = [k for k, kind in enumerate(info.ch_types) if kind in DATA_TYPES]
    named = [k for k in picks if _FRONTAL.match(info.ch_names[k])]
    if named:
        return np.array(named)
    if info.positions is None:
        return np.empty(0, np.int64)
    placed = np.array([k for k in picks if np.isfinite(info.positions[k]).all()], np.int64)
    if len(placed) < 8:
        return np.empty(0, np.int64)
    forward = info.positions[placed, 1]
    return placed[np.argsort(-forward, kind="stable")[: max(len(placed) // 8, 2)]]


def _principal(
    data: np.ndarray, info: SignalInfo, picks: np.ndarray, bad: np.ndarray, n_components: int
) -> np.ndarray:
    """Main components (n, k), each channel type scaled to one typical size first."""
    scaled = np.array(data, np.float64)
    kinds = np.array(info.ch_types)[picks]
    for kind in np.unique(kinds):
        scaled[:, kinds == kind] /= max(np.std(scaled[~bad][:, kinds == kind]), 1e-300)
    good = scaled[~bad]
    values, vectors = np.linalg.eigh(good.T @ good)
    keep = values[::-1][:n_components] > 1e-9 * values[-1]
    return scaled @ vectors[:, ::-1][:, :n_components][:, keep]


def _kurtotic(x: np.ndarray, bad: np.ndarray, n_components: int = 6) -> np.ndarray:
    """Projections (n, k) of highest kurtosis: FastICA with the cubic, one after the other.

    Started from each column of `x` in turn, so nothing is drawn at random.

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
    """The component of highest kurtosis that blinks at a human rate (n, 1); (n, 0) if none does."""
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
    """Blinks and saccades as sample indices, and where the eyes move or rest, each (n,) bool."""
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
    """Blinks and saccades (samples): lids bend a trace one way and far, gaze goes either way.

    The peak within `reach` samples of an onset, in the trace where it is highest, counts. Where
    most peaks of a trace have one sign, those that do and are no less than 0.3 of the high ones
    are blinks. The shape cannot tell: a high-pass turns a saccade's step into a bump as short.
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
    """Mean of the `width` samples after each sample minus that of as many before."""
    total = np.concatenate([np.zeros(1), np.cumsum(x)])
    at = np.arange(len(x))
    after, before = np.minimum(at + width, len(x)), np.maximum(at - width, 0)
    out = (total[after] - 2 * total[at] + total[before]) / width
    out[:width] = out[-width:] = 0.0
    return out


def mean_around(x: np.ndarray, width: int) -> np.ndarray:
    """Mean of the `width` samples around each sample; what lies outside is 0."""
    total = np.concatenate([np.zeros(1), np.cumsum(x)])
    at = np.arange(len(x))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + (width + 1) // 2, len(x))
    return (total[high] - total[low]) / width


def _calm_scale(traces: np.ndarray, sfreq: float, bad: np.ndarray) -> np.ndarray:
    """Standard deviation (k,) of the calm parts, from the quietest windows of 0.3 s.

    The eyes may move most of the time; a median over the recording would then measure them.
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
    """Samples at which a blink or saccade begins: steps that are not the rest of one before."""
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
    """Which of n samples lie within the spans, (n,) bool."""
    out = np.zeros(n, bool)
    for span in spans:
        out[max(span.start, 0) : max(span.stop, 0)] = True
    return out
