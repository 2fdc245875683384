"""Search for what a reference explains of the data: at which lags, how much, by chance or not.

A regressor is a past value of a reference, divided by the reference's RMS. This module serves
`calibration.cleaning.regressors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import lfilter

__all__ = [
    "HELD_OUT",
    "LAG",
    "LAG_OF",
    "RIDGE",
    "Moments",
    "lagged",
    "moments",
    "search",
    "smoothed",
    "without_evoked",
]

RIDGE = 1e-3  # of a reference's power
HELD_OUT = 1 / 3  # the last part
# s between three taps, which are tried besides a single tap; other types use `_FAST`
_SPACINGS = {"resp": (0.1, 0.2)}
_SMOOTHING = {"resp": (0.0, 2.0)}  # Hz; gains 5 dB if the belt's noise is as large as the breath
_FAST = (0.004, 0.008, 0.016)
LAG, LAG_OF = 0.04, {"resp": 0.5}  # s; the largest lag tried in either direction, and by type
_LAG_SPAN = 300.0  # s of data on which the lag is measured
_WORTH = 0.02  # three taps must explain at least this share more than one


class Moments(NamedTuple):
    """Mean products of k regressors z and c data channels x over some samples."""

    zz: np.ndarray  # (k, k)
    zx: np.ndarray  # (k, c)
    xx: np.ndarray  # (c,)

    def of(self, picks: Sequence[int]) -> Moments:
        """Keep only the regressors at `picks`."""
        picks = list(picks)
        return Moments(self.zz[np.ix_(picks, picks)], self.zx[picks], self.xx)

    def weights(self) -> np.ndarray:
        """Fit the data by ridge regression; return weights (k, c)."""
        return np.linalg.solve(self.zz + RIDGE * np.eye(len(self.zz)), self.zx)

    def explained(self, weights: np.ndarray) -> float:
        """Share of the data's power that `weights` (k, c) take out, averaged over channels."""
        out = 2.0 * weights * self.zx - weights * (self.zz @ weights)
        return float(np.mean(out.sum(0) / self.xx))


def lagged(reference: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """Delay `reference` (n,) by each of `lags` samples, (n, n_lags); end values are repeated."""
    n = len(reference)
    return np.stack([reference[np.clip(np.arange(n) - lag, 0, n - 1)] for lag in lags], 1)


def moments(
    z: np.ndarray, x: np.ndarray, good: np.ndarray, xx: np.ndarray | None = None
) -> Moments:
    """Compute mean products over good samples.

    Parameters
    ----------
    z : array of shape (n, k), float64
        Regressors.
    x : array of shape (n, c), float64
        Data.
    good : array of shape (n,), bool
    xx : array of shape (c,), float64, or None
        Mean square of the data if it is known already.

    Returns
    -------
    Moments
    """
    n = np.sum(good)
    if xx is None:
        xx = np.einsum("tc,tc,t->c", x, x, good.astype(float)) / n
    z = z * good[:, None]  # x[good] would copy the recording for each surrogate
    return Moments(z.T @ z / n, z.T @ x / n, xx)


def smoothed(reference: np.ndarray, corner: float, sfreq: float) -> np.ndarray:
    """Smooth a reference as the live stage does, by two first-order low-passes.

    Parameters
    ----------
    reference : array of shape (n,), float64
    corner : float
        Corner of both in Hz; 0 for no smoothing.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n,), float64
    """
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
    """List smoothings and taps to try, the simplest first."""
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
    """Find lag and taps of one reference, and decide whether it explains more than chance.

    Parameters
    ----------
    x : array of shape (n, c), float64
        Data channels, none constant.
    reference : array of shape (n,), float64
    bad : array of shape (n,), bool
        Samples to leave out.
    sfreq : float
        Sampling rate in Hz.
    kind : str
        Channel type of the reference.
    rng : numpy.random.Generator
        Draws the shifts.
    n_surrogates : int
        Shifted copies that the reference must beat.

    Returns
    -------
    dict
        ::

            lag_ms        lag at which the reference explains most, above 0 if the data are later
            smoothing_hz  corner of the smoothing, 0 for none
            taps, tap_ms  delays of the regressors in samples and in ms
            explained     share of the held-out data's power that is explained
            surrogate     the most that a shifted copy explains
            at_bound      whether the lag is at the bound of the search, so that it is none
            kept          whether the reference beats every copy and explains anything
    """
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
    most = LAG_OF.get(kind, LAG)
    lag = _lag_ms(x, reference, bad, sfreq, most)
    return {
        "lag_ms": lag,
        "at_bound": abs(lag) > 900.0 * most,
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
    """Find the lag at which one tap of the reference explains most; above 0 if data are later.

    A parabola through the best lag and its neighbours interpolates between samples.
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
    """Subtract the response that is common to all events.

    One response of `length` samples is fitted by least squares, which also tells overlapping
    responses apart.

    Parameters
    ----------
    data : array of shape (n, c), float64
    bad : array of shape (n,), bool
        Samples that the fit leaves out.
    onsets : array of shape (n_events,), int64
        Rows of `data`; events whose response is not within `data` are left out.
    length : int
        Samples of the response.

    Returns
    -------
    array of shape (n, c), float64
        `data` itself if no event is left.
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
