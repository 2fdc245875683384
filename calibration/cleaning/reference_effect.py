"""Measure whether a reference helps on held-out beats, and how its effect is watched live.

For `calibration.cleaning.regressors`; `rt_decoder.cleaning.regressors` does the watching.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import eigh

from calibration.cleaning.reference_search import lagged, smoothed

__all__ = ["LONGEST_S", "SHORTEST_S", "decibels_on_beats", "locked_power", "watch", "watch_time"]

LONGEST_S = 120.0  # of the running mean that watches; a weaker effect needs longer
SHORTEST_S = 2.0  # of the mean that watches, whatever it needs to be sure
_UNSURE = 0.2  # standard deviation that the running mean may have
_BLOCK = 4.0  # s
_CLIP = 4.0  # as in the kernel
_SHRINK = 0.02
_WINDOWS = {"beats_db": (-0.1, 0.6), "qrs_db": (-0.05, 0.06)}  # s around the R peak
_LEAST_BEATS = 8


def locked_power(x: np.ndarray, peaks: np.ndarray, start: int, stop: int) -> float:
    """Estimate the power of what is locked to `peaks`; 0 on average if nothing is.

    The product of the means over every other peak: what is not locked cancels in it.

    Parameters
    ----------
    x : array of shape (n, c), float64
        Channels in comparable units.
    peaks : array of shape (n_peaks,), int64
        Rows of `x`, whose windows fit.
    start, stop : int
        Window around a peak in samples.

    Returns
    -------
    float
    """
    halves = [
        np.mean([x[k + start : k + stop] for k in part.tolist()], axis=0)
        for part in (peaks[::2], peaks[1::2])
    ]
    a, b = (half - half.mean(axis=0) for half in halves)
    return float(np.mean(a * b))


def decibels_on_beats(
    before: np.ndarray, after: np.ndarray, peaks: np.ndarray, sfreq: float
) -> dict[str, float | None]:
    """Compare what is locked to beats before and after a stage, in dB (below 0: the stage helps).

    Parameters
    ----------
    before, after : array of shape (n, c), float64
        Channels in comparable units.
    peaks : array of shape (n_peaks,), int64
        R peaks.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    dict of str to float or None
        ``beats_db`` of the whole beat, ``qrs_db`` of the QRS complex; None where nothing is locked
        to the beats, or there are fewer than 8.
    """
    found: dict[str, float | None] = {}
    margin = round(0.6 * sfreq) + 1
    peaks = peaks[(peaks >= margin) & (peaks + margin <= len(before))]
    for name, window in _WINDOWS.items():
        found[name] = None
        if len(peaks) >= _LEAST_BEATS:
            start, stop = (round(t * sfreq) for t in window)
            was, now = (locked_power(x, peaks, start, stop) for x in (before, after))
            if was > 0.0:
                found[name] = float(10 * np.log10(max(now / was, 1e-4)))
    return found


def watch(
    arguments: dict[str, Any], data: np.ndarray, bad: np.ndarray, sfreq: float, n_data: int
) -> np.ndarray:
    """Find how the live stage watches each reference.

    The filter of a reference is the mix of data channels in which its effect stands out most. The
    running mean is so long that it is off by .2 at random; live it takes 2 s at least.

    Parameters
    ----------
    arguments : dict
        Of `Regressors`.
    data : array of shape (n, n_channels), float64
        The recording on which they were fitted.
    bad : array of shape (n,), bool
        Samples to leave out.
    sfreq : float
        Sampling rate in Hz.
    n_data : int
        Data channels, c of them.

    Returns
    -------
    array of shape (r, c + k + 3)
        `watched` of `Regressors`.
    """
    x, taps, weights = data[~bad, :n_data], arguments["taps"], arguments["weights"]
    columns = arguments["columns"]
    z, paces = np.empty((len(x), len(taps))), []
    for r, column in enumerate(columns):
        own = np.flatnonzero(taps[:, 0] == r)
        course = smoothed(data[:, column], arguments["smoothing"][r], sfreq)
        past = lagged(course / arguments["scale"][r], taps[own, 1].tolist())
        z[:, own] = past[~bad]
        good = ~bad[1:] & ~bad[:-1]
        paces.append(np.mean(np.diff(course)[good] ** 2) / max(np.mean(course[~bad] ** 2), 1e-300))
    size = np.maximum(np.std(x, axis=0), 1e-300)
    left = (x - z @ weights) / size
    noise = left.T @ left / len(left)
    noise = (1 - _SHRINK) * noise + _SHRINK * np.trace(noise) / n_data * np.eye(n_data)
    rows = np.zeros((len(columns), n_data + len(taps) + 3))
    for r in range(len(columns)):
        own = np.flatnonzero(taps[:, 0] == r)
        effect = weights[own] / size
        products = z[:, own].T @ z[:, own] / len(z)
        _, mixes = eigh(effect.T @ products @ effect, noise)
        mix = mixes[:, -1]
        said = z[:, own] @ (effect @ mix)
        there = x @ (mix / size)
        rows[r, :n_data] = mix / size
        rows[r, n_data + own] = effect @ mix
        rows[r, -1] = paces[r]
        rows[r, -3:-1] = watch_time(said[:, None], there[:, None], sfreq)
    return rows


def watch_time(said: np.ndarray, there: np.ndarray, sfreq: float) -> np.ndarray:
    """Find how long a running mean must be, to be sure that what is said is there.

    Parameters
    ----------
    said : array of shape (n, r), float64
        What is subtracted, in each of r directions, in standard deviations of all else.
    there : array of shape (n, r), float64
        What the data hold in these directions.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (2,)
        Mean square of what is said, and time constant in s.
    """
    length = max(round(_BLOCK * sfreq), 1)
    n = len(said) // length * length
    if n < 2 * length:
        return np.array([float(np.mean(np.sum(said**2, 1))), LONGEST_S])
    most = _CLIP + 2.0 * np.abs(said)
    products = np.sum(said * np.clip(there, -most, most), 1), np.sum(said**2, 1)
    found, usual = (np.mean(a[:n].reshape(-1, length), 1) for a in products)
    size = max(float(np.mean(usual)), 1e-300)
    off = found - np.sum(found) / (len(usual) * size) * usual
    seconds = (float(np.std(off)) / size) ** 2 * _BLOCK / (2 * _UNSURE**2)
    return np.array([float(np.mean(products[1])), np.clip(seconds, 1e-3, 1e6)])
