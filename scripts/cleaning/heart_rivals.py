"""Other methods against the heartbeat, fitted on one recording and run on another.

A method takes a filtered recording with its R peaks, and returns a function from another filtered
recording to its cleaned data channels. Peaks of the fit come from the detector of
`cleaning.recordings`; where it finds none, a method returns its input. The template alone is shown
the R peaks of the judged recording: no live detector could do better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cleaning.scene import n_data

from rt_decoder.signal import SignalInfo

__all__ = ["HEART_RIVALS"]

Clean = Callable[[np.ndarray, np.ndarray], np.ndarray]  # data (n, all), R peaks -> (n, c)
_SPAN = (-0.1, 0.6)  # s of the mean beat
_FIR = 0.5  # s


def fit_none(_: np.ndarray, __: np.ndarray, info: SignalInfo) -> Clean:
    """Return the input unchanged."""
    return lambda test, _: test[:, : n_data(info)].copy()


def fit_ssp(data: np.ndarray, peaks: np.ndarray, info: SignalInfo, rank: int = 2) -> Clean:
    """Project out the two main topographies of the mean beat of each channel type."""
    c, matrix = n_data(info), np.eye(n_data(info))
    mean = _mean_beat(data[:, :c], peaks, info.sfreq)
    for kind in set(info.ch_types[:c]):
        picks = np.flatnonzero([name == kind for name in info.ch_types[:c]])
        vectors = np.linalg.svd(mean[:, picks], full_matrices=False)[2][:rank]
        matrix[np.ix_(picks, picks)] -= vectors.T @ vectors
    return lambda test, _: test[:, :c] @ matrix


def fit_least_squares(data: np.ndarray, _: np.ndarray, info: SignalInfo) -> Clean:
    """Regress on the ECG of the same moment."""
    return _fir(data, info, [0])


def fit_fir(data: np.ndarray, _: np.ndarray, info: SignalInfo) -> Clean:
    """Regress on the last 500 ms of the ECG, a tap every 8 ms, with a small ridge."""
    step = max(round(0.008 * info.sfreq), 1)
    return _fir(data, info, list(range(0, round(_FIR * info.sfreq), step)))


def fit_template(data: np.ndarray, peaks: np.ndarray, info: SignalInfo) -> Clean:
    """Subtract the mean beat around each R peak, which is known beforehand."""
    c, start = n_data(info), round(_SPAN[0] * info.sfreq)
    mean = _mean_beat(data[:, :c], peaks, info.sfreq)

    def clean(test: np.ndarray, beats: np.ndarray) -> np.ndarray:
        out = test[:, :c].copy()
        for beat in beats.tolist():
            first, stop = max(beat + start, 0), min(beat + start + len(mean), len(out))
            out[first:stop] -= mean[first - beat - start : stop - beat - start]
        return out

    return clean


def _mean_beat(x: np.ndarray, peaks: np.ndarray, sfreq: float) -> np.ndarray:
    start, stop = (round(t * sfreq) for t in _SPAN)
    peaks = peaks[(peaks + start >= 0) & (peaks + stop <= len(x))]
    mean = np.mean([x[k + start : k + stop] for k in peaks.tolist()], axis=0)
    return mean - mean.mean(axis=0)


def _fir(data: np.ndarray, info: SignalInfo, lags: list[int]) -> Clean:
    c, column = n_data(info), info.ch_types.index("ecg")

    def past(x: np.ndarray) -> np.ndarray:
        padded = np.concatenate([np.zeros(lags[-1]), x[:, column]])
        return np.stack([padded[lags[-1] - k : len(padded) - k] for k in lags], 1)

    z = past(data)
    products = z.T @ z
    products += 1e-3 * np.trace(products) / len(lags) * np.eye(len(lags))
    weights = np.linalg.solve(products, z.T @ data[:, :c])
    return lambda test, _: test[:, :c] - past(test) @ weights


HEART_RIVALS = {
    "none": fit_none,
    "SSP": fit_ssp,
    "least squares": fit_least_squares,
    "500 ms of ECG": fit_fir,
    "template": fit_template,
}
