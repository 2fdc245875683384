"""Find blinks and saccades in signals that show the eyes, and where these move and rest.

`calibration.cleaning.eye_events` chooses the signals. Works offline and looks ahead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["look", "mean_around", "spans"]

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


def look(
    traces: np.ndarray, sfreq: float, bad: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find blinks and saccades, and where the eyes move and where they rest.

    Parameters
    ----------
    traces : array of shape (n, k)
        Signals that show the eyes; none finds nothing.
    sfreq : float
        Sampling rate in Hz.
    bad : array of shape (n,), bool
        Samples at which nothing is found.

    Returns
    -------
    blinks, saccades : array of shape (n_events,), int64
        Samples of the steps that begin them.
    eye, calm : array of shape (n,), bool
    """
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
    eye = spans(n, [(at - before, at + after) for at in events.tolist()])
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


def spans(n: int, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Mark which of `n` samples lie within the spans, (n,) bool."""
    out = np.zeros(n, bool)
    for start, stop in spans:
        out[max(start, 0) : max(stop, 0)] = True
    return out
