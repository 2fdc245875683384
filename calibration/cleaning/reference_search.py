"""Search for what a reference explains of the data: at which lags, how much, by chance or not.

Regressors are past values of a reference divided by its RMS. Called by `calibration.cleaning.regressors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import lfilter

__all__ = [
    "HELD_OUT",
    "RIDGE",
    "Moments",
    "lagged",
    "moments",
    "more_than_chance",
    "probes",
    "responses",
    "search",
    "smoothed",
    "without_evoked",
]

RIDGE = 1e-3  # of a reference's power
HELD_OUT = 1 / 3  # the last part
# spacings in s of three taps that are tried besides a single one
_SPACINGS = {"resp": (0.1, 0.2)}
_SMOOTHING = {"resp": (0.0, 2.0)}  # Hz: with a belt as noisy as the breath it gains 5 dB
_FAST = (0.004, 0.008, 0.016)
_LAG = {"resp": 0.5}  # s up to which the lag is looked for, either way; others 0.04
_LAG_SPAN = 300.0  # s from which it is measured
_WORTH = 0.02  # more taps must explain at least this share more


class Moments(NamedTuple):
    """Mean products over some samples of regressors z (k) and data x (c)."""

    zz: np.ndarray  # (k, k)
    zx: np.ndarray  # (k, c)
    xx: np.ndarray  # (c,)

    def of(self, picks: Sequence[int]) -> Moments:
        """The same with only the regressors at `picks`."""
        picks = list(picks)
        return Moments(self.zz[np.ix_(picks, picks)], self.zx[picks], self.xx)

    def weights(self) -> np.ndarray:
        """Ridge regression, (k, c)."""
        return np.linalg.solve(self.zz + RIDGE * np.eye(len(self.zz)), self.zx)

    def explained(self, weights: np.ndarray) -> float:
        """Share of the data's power that `weights` take out, mean over channels."""
        out = 2.0 * weights * self.zx - weights * (self.zz @ weights)
        return float(np.mean(out.sum(0) / self.xx))


def lagged(reference: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """Copies of `reference` (n,), `lags` samples late (n, n_lags); edges hold."""
    n = len(reference)
    return np.stack([reference[np.clip(np.arange(n) - lag, 0, n - 1)] for lag in lags], 1)


def moments(
    z: np.ndarray, x: np.ndarray, good: np.ndarray, xx: np.ndarray | None = None
) -> Moments:
    """Mean products of `z` (n, k) and `x` (n, c) over `good` samples; `xx` (c,) where known."""
    n = np.sum(good)
    if xx is None:
        xx = np.einsum("tc,tc,t->c", x, x, good.astype(float)) / n
    z = z * good[:, None]  # not x[good], a copy of the recording for each surrogate
    return Moments(z.T @ z / n, z.T @ x / n, xx)


def smoothed(reference: np.ndarray, corner: float, sfreq: float) -> np.ndarray:
    """`reference` (n,) behind two first-order low-passes at `corner` Hz, as live; 0 for none."""
    if corner == 0:
        return reference
    rate = 1.0 - np.exp(-2.0 * np.pi * corner / sfreq)
    pole = [1.0, rate - 1.0]
    for _ in range(2):
        reference = lfilter([rate], pole, reference, zi=reference[:1] * (1.0 - rate))[0]
    return reference


class _Candidate(NamedTuple):
    smoothing: float  # Hz
    taps: tuple[int, ...]  # samples


def _candidates(kind: str, sfreq: float) -> list[_Candidate]:
    """Simplest first."""
    steps = sorted({max(1, round(s * sfreq)) for s in _SPACINGS.get(kind, _FAST)})
    triples = [(0, step, 2 * step) for step in steps]
    several = [
        _Candidate(corner, taps) for corner in _SMOOTHING.get(kind, (0.0,)) for taps in triples
    ]
    return [_Candidate(0.0, (0,)), *several]


def search(
    x: np.ndarray,
    reference: np.ndarray,
    bad: np.ndarray,
    sfreq: float,
    kind: str,
    rng: np.random.Generator,
    n_surrogates: int,
) -> dict[str, Any]:
    """Lag and taps of one reference, and whether it explains anything."""
    candidates = _candidates(kind, sfreq)
    n_train = round((1.0 - HELD_OUT) * len(x))
    parts = [(p, moments(x[p, :1], x[p], ~bad[p]).xx) for p in (np.s_[:n_train], np.s_[n_train:])]

    def held_out(candidate: _Candidate, shift: int = 0) -> float:
        z = smoothed(reference, candidate.smoothing, sfreq)
        z = lagged(z / np.sqrt(np.mean(z[~bad] ** 2)), candidate.taps)
        train, test = (moments(np.roll(z, shift, 0)[p], x[p], ~bad[p], xx) for p, xx in parts)
        return test.explained(train.weights())

    scores = [held_out(candidate) for candidate in candidates]
    best = int(np.argmax(scores))
    if scores[0] > 0 and scores[best] < (1.0 + _WORTH) * scores[0]:
        best = 0
    score, (smoothing, taps) = scores[best], candidates[best]
    shifts = rng.integers(len(x) // 10, len(x) - len(x) // 10, n_surrogates)
    surrogates = [held_out(candidates[best], shift) for shift in shifts.tolist()]
    return {
        "lag_ms": _lag_ms(x, reference, bad, sfreq, _LAG.get(kind, 0.04)),
        "smoothing_hz": smoothing,
        "taps": list(taps),
        "tap_ms": [1e3 * lag / sfreq for lag in taps],
        "explained": score,
        "surrogate": max(surrogates),
        "kept": score > max(*surrogates, 0.0),
    }


def _lag_ms(
    x: np.ndarray, reference: np.ndarray, bad: np.ndarray, sfreq: float, most: float
) -> float:
    """Lag at which the reference, taken alone, explains most; above 0 where the data come later.

    Between samples by a parabola through the best and its neighbours.
    """
    n = min(len(x), round(_LAG_SPAN * sfreq))
    step = max(1, round(0.002 * sfreq))
    steps = np.arange(-round(most * sfreq / step), round(most * sfreq / step) + 1) * step
    x, reference, good = x[:n], reference[:n], ~bad[:n]
    x = x[good] / np.sqrt(np.mean(x[good] ** 2, 0))
    share = np.empty(len(steps))
    for i, lag in enumerate(steps.tolist()):  # one at a time: 306 channels fit in memory
        z = lagged(reference, [lag])[good, 0]
        share[i] = np.sum((z @ x) ** 2) / (z @ z)
    at = int(np.clip(np.argmax(share), 1, len(steps) - 2))
    before, here, after = share[at - 1 : at + 2]
    bend = before - 2.0 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(1e3 / sfreq * (steps[at] + step * np.clip(shift, -1.0, 1.0)))


def without_evoked(
    data: np.ndarray, bad: np.ndarray, onsets: np.ndarray, length: int
) -> np.ndarray:
    """`data` minus what follows every event alike; overlapping responses are told apart.

    Least squares for one response of `length` samples, (length, n_channels), common to all
    `onsets`, over the samples that are not `bad`.
    """
    onsets = np.unique(onsets[(onsets >= 0) & (onsets + length <= len(data))])
    if len(onsets) == 0:
        return data
    good = (~bad).astype(float)
    gram, sums = np.zeros((length, length)), np.zeros((length, data.shape[1]))
    for i, onset in enumerate(onsets):
        span = good[onset : onset + length]
        sums += span[:, None] * data[onset : onset + length]
        gram[np.arange(length), np.arange(length)] += span
        for other in onsets[i + 1 :]:
            apart = other - onset
            if apart >= length:
                break
            at = np.arange(length - apart)
            gram[at + apart, at] += good[other : onset + length]
            gram[at, at + apart] += good[other : onset + length]
    ridge = 1e-6 * max(np.trace(gram) / length, 1.0)
    response = np.linalg.solve(gram + ridge * np.eye(length), sums)
    out = data.copy()
    for onset in onsets:
        out[onset : onset + length] -= response
    return out


def probes(kind: str, sfreq: float) -> list[int]:
    """Lags at which what a reference has left behind is looked for."""
    most, step = (2.0, 0.25) if kind == "resp" else (0.6, 0.02)
    return [round(i * step * sfreq) for i in range(round(most / step) + 1)]


def more_than_chance(z: np.ndarray, x: np.ndarray, good: np.ndarray, shifts: np.ndarray) -> float:
    """Power of `x` (n, c) that a fit of `z` (n, k) explains, beyond what shifted `z` explain."""

    def power(z: np.ndarray) -> float:
        products = moments(z, x, good, np.ones(x.shape[1]))  # of no use here
        return float(np.sum(products.weights() * products.zx))

    chance = [power(np.roll(z, shift, 0)) for shift in shifts.tolist()]
    return max(power(z) - sum(chance) / len(chance), 0.0)


def responses(n: int, sfreq: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Half-second waves every 1 to 2 s, (n,), and where they are."""
    length = round(0.5 * sfreq)
    shape = np.hanning(length) * np.sin(2 * np.pi * 4.0 * np.arange(length) / sfreq)
    wave, at = np.zeros(n), 0
    while at + length <= n:
        wave[at : at + length] += shape
        at += round(rng.uniform(1.0, 2.0) * sfreq)
    return wave, wave != 0.0
