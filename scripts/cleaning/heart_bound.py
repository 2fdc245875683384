"""How well a template that learns in the session could do: a bound for the heartbeat stage.

It is told what no live stage knows: the R peaks of the judged recording, how many there are, how
far each component of the response differs from calibration there, and how noisy one beat is. What
it does not know is the shape of the change: that it must learn from beats that are over, as any
stage must. It has the components of the chain's template and begins with its courses.

The change of a component before beat i is estimated as ``sum(A[i, j] * r[j])``, r what beats j < i
showed beyond the calibrated course. Both figures are quadratic in A: the mean beat that is left,
and what is taken that differs from beat to beat. For each price ``mu`` of the first in units of the
second, A is the best there is, for each component by itself; over all prices these are the best
pairs of dB and distortion. No other linear estimate that weighs a component's whole course alike can
have both better.

"the future" is shown the mean over all beats of the judged recording, and takes it from the first on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from cleaning.heart import known_beats

from rt_decoder.files.recording import Recording
from rt_decoder.kernels.qrs import N_LEVELS

__all__ = ["FUTURE", "PRICES", "best_weights", "bounded"]

PRICES = (0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.5)
FUTURE = "the future"
_SLOW = 1.5  # s before a beat, whose mean is taken off it
_STEPS = 600
_EIGHTHS = 8  # of a decade: ratios of change to noise are told apart so finely


def bounded(
    kept: np.ndarray,
    test: np.ndarray,
    judged: Recording,
    beats: np.ndarray,
    stage: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """Subtract the bound's templates from `kept`, the input of the stages against the heart.

    Parameters
    ----------
    kept : array of shape (n, c)
        Data channels.
    test : array of shape (n, all channels)
        The judged recording behind the filters, where R peaks are found.
    judged : Recording
    beats : array of shape (n_beats,), int64
        R peaks that are judged; earlier ones are learned from as well.
    stage : mapping or None
        Arguments of the chain's `HeartbeatTemplate`; None takes nothing.

    Returns
    -------
    dict
        Clean data (n, c), by price and for "the future".
    """
    names = [f"price {mu:g}" for mu in PRICES]
    if stage is None:
        return dict.fromkeys([FUTURE, *names], kept)
    peaks, sfreq = known_beats(test, judged), judged.info.sfreq
    maps, filters, courses = (np.asarray(stage[key]) for key in ("maps", "filters", "courses"))
    levels = np.asarray(stage["levels"])
    before = max(round(levels[-1] * sfreq), 0) if len(levels) > N_LEVELS else 0
    n = min(len(courses), int(np.median(np.diff(peaks))))  # what overlaps cannot be told apart
    own = peaks[(peaks >= before) & (peaks - before + n <= len(kept)) & (peaks <= beats[-1])]
    starts, first = own - before, int(np.sum(own < beats[0]))
    z, slow = kept @ filters.T, round(_SLOW * sfreq)
    base = np.array([z[max(k - slow, 0) : k + 1].mean(axis=0) for k in starts.tolist()])
    shown = np.array([z[k : k + n] for k in starts.tolist()]) - base[:, None] - courses[:n]
    found = {FUTURE: np.broadcast_to(shown[first:].mean(axis=0), shown.shape)}
    noise = shown[first:].var(axis=0).sum(axis=0)
    power = np.sum(shown[first:].mean(axis=0) ** 2, axis=0) - noise / (len(shown) - first)
    ratios = np.maximum(power, 0.0) / np.maximum(noise, 1e-300)
    for name, mu in zip(names, PRICES, strict=True):
        change = np.empty_like(shown)
        for r, ratio in enumerate(ratios.tolist()):
            weights = best_weights(len(shown), first, _rounded(ratio), mu)
            change[:, :, r] = weights @ shown[:, :, r]
        found[name] = change
    cleaned = {}
    for name, change in found.items():
        out = kept.copy()
        for k, one in zip(starts.tolist(), (courses[:n] + change) @ maps, strict=True):
            out[k : k + n] -= one
        cleaned[name] = out
    return cleaned


def _rounded(ratio: float) -> float:
    return float(10 ** (np.rint(_EIGHTHS * np.log10(max(ratio, 1e-3))) / _EIGHTHS))


@cache
def best_weights(n: int, first: int, ratio: float, mu: float) -> np.ndarray:
    """Find the weights (n, n) of earlier beats that serve the judged beats `first` to n best.

    They minimize ``mu * left + taken``, in units of the noise of one beat: `left` is the power of
    what is left in the mean over the judged beats, `taken` that of what is taken in them beyond its
    mean. The change has `ratio` times the power of the noise. Solved by conjugate gradients.
    """
    judged = n - first
    causal = np.tril(np.ones((n, n)), -1)[first:]
    counts = (np.arange(n) >= first).astype(float)

    def slope(weights: np.ndarray, wanted: float) -> np.ndarray:
        short = ratio * (weights.sum() - wanted * judged) + weights.sum(axis=0) - wanted * counts
        differ = weights - weights.mean(axis=0)
        taken = (ratio * differ.sum(axis=1, keepdims=True) + differ) / judged
        return causal * (mu / judged**2 * short + taken)

    weights = np.zeros((judged, n))
    rest = -slope(weights, 1.0)
    way, size = rest, float(np.sum(rest**2))
    least = 1e-16 * size
    for _ in range(_STEPS):
        if size <= least:
            break
        turned = slope(way, 0.0)
        step = size / float(np.sum(way * turned))
        weights, rest = weights + step * way, rest - step * turned
        size, before = float(np.sum(rest**2)), size
        way = rest + size / before * way
    return np.vstack([np.zeros((first, n)), weights])
