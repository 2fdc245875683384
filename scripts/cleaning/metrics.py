"""Figures of merit of a cleaning method, each defined once and the same for all methods.

Arrays are (n_samples, n_channels) of data channels, after the filters that all methods share.
Before powers are pooled over channels, each channel is divided by `scale`, the clean signal's RMS
over all channels of its type, so that magnetometers and gradiometers have equal weight. This module
does not know how a signal was cleaned.

Definitions
-----------
clean
    The simulated brain alone (evoked, background, alpha) through the filters.
CC
    Pearson's correlation of output and clean in each channel, mean over channels.
RRMSE
    RMS of output minus clean over RMS of clean in each channel, mean over channels.
in good samples
    The same (CC, RRMSE, EOG correlation) over the samples that our chain does not flag, for all
    methods: chewing and movement are gated, not corrected, and EOG electrodes record them, too.
attenuation of an artifact, dB
    The power that the artifact leaves in the output, relative to its power before cleaning. What
    it leaves is the output minus that of the same fitted method, restarted, on the same recording
    without this artifact (also in the references). This definition suits methods that adapt or
    gate. Brain signal that is removed because of the artifact counts as left over, too.
distortion
    RMS of output minus input over RMS of input, pooled, on a recording without any artifact.
r_locked, blink_locked
    Largest deflection, over channels and in units of `scale`, of the mean of output minus clean,
    from 0.1 s before to 0.6 s after R waves or the peaks of blinks.
EOG correlation
    Mean over channels of |correlation| of the output with an EOG channel, during cued blinks and
    saccades; the larger one of VEOG and HEOG. The brain alone has some, as EOG records it, too.
gain of an injected response
    Slope of the mean over onsets of (output with minus output without the response), regressed on
    the mean of the response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = [
    "attenuation_db",
    "correlation",
    "distortion",
    "event_average",
    "injected_gain",
    "locked_db",
    "peaks",
    "qrs_score",
    "reference_correlation",
    "relative_error",
    "surrogate_maximum",
]


def correlation(clean: np.ndarray, output: np.ndarray) -> float:
    """Compute CC."""
    a, b = clean - clean.mean(0), output - output.mean(0)
    return float(np.mean(np.sum(a * b, 0) / np.sqrt(np.sum(a**2, 0) * np.sum(b**2, 0))))


def relative_error(clean: np.ndarray, output: np.ndarray) -> float:
    """Compute RRMSE."""
    return float(np.mean(np.sqrt(np.mean((output - clean) ** 2, 0) / np.mean(clean**2, 0))))


def attenuation_db(before: np.ndarray, after: np.ndarray, scale: np.ndarray) -> float:
    """Compute the attenuation in dB: positive if less is left; at most 100."""
    return float(-10 * np.log10(max(_power(after, scale) / _power(before, scale), 1e-10)))


def locked_db(before: np.ndarray, residual: np.ndarray, scale: np.ndarray) -> float:
    """Compute the attenuation in dB of what still follows the artifact's time courses.

    `residual` (output minus clean) is regressed on the principal components of the artifact that
    hold 99.9 % of its power, over the samples where it is active (above a tenth of its RMS). Unlike
    `attenuation_db`, it misses what a gate or an adaptive weight leaves in another shape.
    """
    a, e = before / scale, residual / scale
    size = np.sqrt(np.mean(a**2, 1))
    active = size > 0.1 * np.sqrt(np.mean(size**2))
    w, v = np.linalg.eigh(a[active].T @ a[active])
    n = 1 + int(np.searchsorted(np.cumsum(w[::-1]) / w.sum(), 0.999))
    courses = a[active] @ v[:, ::-1][:, :n]
    fit = courses @ np.linalg.lstsq(courses, e[active], rcond=None)[0]
    return float(-10 * np.log10(max(np.sum(fit**2) / np.sum(a[active] ** 2), 1e-10)))


def distortion(before: np.ndarray, after: np.ndarray, scale: np.ndarray) -> float:
    """Compute the relative RMS error without any artifact."""
    return float(np.sqrt(_power(after - before, scale) / _power(before, scale)))


def injected_gain(
    response: np.ndarray,
    difference: np.ndarray,
    onsets: Sequence[int],
    length: int,
    scale: np.ndarray,
) -> float:
    """Compute the gain of the averaged response; `difference` is output with minus without it."""
    true = event_average(response, onsets, 0, length) / scale
    found = event_average(difference, onsets, 0, length) / scale
    return float(np.sum(true * found) / np.sum(true**2))


def event_average(data: np.ndarray, onsets: Sequence[int], start: int, stop: int) -> np.ndarray:
    """Average ``data[onset + start : onset + stop]`` over the onsets that fit, (m, c)."""
    fits = [k for k in onsets if k + start >= 0 and k + stop <= len(data)]
    if not fits:
        raise ValueError("need at least one onset whose window lies inside the data")
    out = np.zeros((stop - start, data.shape[1]))
    for k in fits:
        out += data[k + start : k + stop]
    return out / len(fits)


def surrogate_maximum(
    data: np.ndarray,
    n_onsets: int,
    start: int,
    stop: int,
    rng: np.random.Generator,
    measure: Callable[[np.ndarray], float],
    n_surrogates: int = 50,
) -> float:
    """Return the largest `measure` of averages over `n_onsets` random onsets."""
    found = []
    for _ in range(n_surrogates):
        onsets = rng.integers(max(-start, 0), len(data) - max(stop, 0), n_onsets)
        found.append(measure(event_average(data, onsets.tolist(), start, stop)))
    return float(max(found))


def reference_correlation(data: np.ndarray, references: np.ndarray) -> float:
    """Average |correlation| with a reference over channels; returns the largest of several."""
    a = data - data.mean(0)
    a = a / np.sqrt(np.sum(a**2, 0))
    b = references - references.mean(0)
    b = b / np.sqrt(np.sum(b**2, 0))
    return float(np.abs(a.T @ b).mean(0).max())


def peaks(course: np.ndarray) -> np.ndarray:
    """Find the peaks of a noise-free course that reach 0.6 of its largest value."""
    high = course > 0.6 * course.max()
    top = high[1:-1] & (course[1:-1] >= course[:-2]) & (course[1:-1] > course[2:])
    return np.flatnonzero(top) + 1


def qrs_score(
    truth: np.ndarray, found: np.ndarray, tolerance: float
) -> tuple[float, float, np.ndarray]:
    """Return sensitivity, positive predictive value, and found minus true time of each match.

    Each true beat is matched with the nearest found beat that is still free, within `tolerance`.
    """
    taken = np.zeros(len(found), bool)
    offsets = []
    for beat in truth:
        away = np.abs(found - beat) + np.where(taken, np.inf, 0.0)
        if len(found) and away.min() <= tolerance:
            k = int(away.argmin())
            taken[k] = True
            offsets.append(found[k] - beat)
    n = len(offsets)
    return n / max(len(truth), 1), n / max(len(found), 1), np.array(offsets, float)


def _power(data: np.ndarray, scale: np.ndarray) -> float:
    return float(np.mean((data / scale) ** 2))
