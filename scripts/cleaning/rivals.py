"""Other methods against artifacts, as plain functions.

A method takes a calibration recording and returns a function from a test recording to its cleaned
data channels. Both recordings are filtered and hold the references; all methods get the same input
through the same causal filters. Free cut-offs and ranks are those that the authors recommend or, if
these have no effect, those that work best here.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable

import numpy as np
from cleaning.scene import n_data
from numba import njit

from rt_decoder.signal import SignalInfo

__all__ = ["RIVALS", "Clean", "Fit", "missing"]

Clean = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, SignalInfo], Clean]


def fit_none(_: np.ndarray, info: SignalInfo) -> Clean:
    """Return the input unchanged."""
    return lambda test: test[:, : n_data(info)].copy()


def fit_least_squares(data: np.ndarray, info: SignalInfo) -> Clean:
    """Ordinary least squares on all references, without lags, with fixed weights."""
    c = n_data(info)
    weights = np.linalg.lstsq(data[:, c:], data[:, :c], rcond=None)[0]
    return lambda test: test[:, :c] - test[:, c:] @ weights


def fit_eog_regression(data: np.ndarray, info: SignalInfo) -> Clean:
    """`mne.preprocessing.EOGRegression` on the EOG channels."""
    import mne

    c = n_data(info)
    model = mne.preprocessing.EOGRegression(
        picks=sorted(set(info.ch_types[:c])), picks_artifact="eog", proj=False
    ).fit(_raw(data, info))
    return lambda test: model.apply(_raw(test, info)).get_data()[:c].T


def fit_ssp(data: np.ndarray, info: SignalInfo) -> Clean:
    """SSP of blinks and heartbeats as in MNE: two vectors for each, per channel type."""
    import mne

    c = n_data(info)
    raw = _raw(data, info)
    size = {f"n_{k}": 2 * (k in info.ch_types) for k in ("eeg", "mag", "grad")}
    common = {"average": True, "no_proj": True, "verbose": "error", "reject": None} | size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        projectors = [
            *(mne.preprocessing.compute_proj_eog(raw, ch_name="VEOG", **common)[0] or []),
            *(mne.preprocessing.compute_proj_ecg(raw, ch_name="ECG", **common)[0] or []),
        ]
    matrix = mne._fiff.proj.make_projector(projectors, raw.ch_names[:c])[0]
    return lambda test: test[:, :c] @ matrix.T


def fit_asr(data: np.ndarray, info: SignalInfo) -> Clean:
    """meegkit's ASR with cut-off 5 (the recommended 20 removes hardly anything), in 1 s blocks."""
    from meegkit.asr import ASR

    c, block = n_data(info), round(info.sfreq)
    volts = _microvolts(info)
    model = ASR(sfreq=info.sfreq, cutoff=5, method="euclid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit((data[:, :c] * volts).T)

    def clean(test: np.ndarray) -> np.ndarray:
        model.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit((data[:, :c] * volts).T)
            parts = [
                model.transform((test[k : k + block, :c] * volts).T).T
                for k in range(0, len(test), block)
            ]
        return np.vstack(parts) / volts

    return clean


def fit_rls(data: np.ndarray, info: SignalInfo) -> Clean:
    """Recursive least squares of He et al. (2004) on the EOG channels, from zero weights.

    It has three taps, lambda .9999 and sigma .01, as published (doi:10.1007/BF02344717).
    """
    c = n_data(info)
    columns = [i for i, kind in enumerate(info.ch_types) if kind == "eog"]
    size = data[:, columns].std(0)

    def clean(test: np.ndarray) -> np.ndarray:
        out = np.ascontiguousarray(test[:, :c])
        _rls(out, np.ascontiguousarray(test[:, columns] / size), 3, 0.9999, 0.01)
        return out

    return clean


@njit(cache=True, nogil=True)
def _rls(x: np.ndarray, references: np.ndarray, n_taps: int, forget: float, sigma: float) -> None:
    """Clean `x` (n, c) in place; the inverse correlation is shared by all channels."""
    n, c = x.shape
    r = references.shape[1]
    k = r * n_taps
    p, w, z, g = np.eye(k) / sigma, np.zeros((k, c)), np.zeros(k), np.zeros(k)
    for t in range(n):
        for i in range(r):
            for j in range(n_taps):
                z[i * n_taps + j] = references[t - j, i] if t >= j else 0.0
        pz = p @ z
        norm = forget + np.dot(z, pz)
        for i in range(k):
            g[i] = pz[i] / norm
        for i in range(k):
            for j in range(k):
                p[i, j] = (p[i, j] - g[i] * pz[j]) / forget
        error = x[t] - z @ w
        for i in range(k):
            w[i] += g[i] * error
        x[t] -= z @ w


def _microvolts(info: SignalInfo) -> np.ndarray:
    """Factors (c,) that scale each channel to about the size of EEG in uV."""
    factors = {"eeg": 1e6, "mag": 1e13, "grad": 1e11}
    return np.array([factors[kind] for kind in info.ch_types[: n_data(info)]])


def _raw(data: np.ndarray, info: SignalInfo):
    import mne

    kinds = ["bio" if kind == "resp" else kind for kind in info.ch_types]
    made = mne.create_info(list(info.ch_names), info.sfreq, kinds, verbose="error")
    c = n_data(info)
    for channel, place in zip(made["chs"][:c], info.positions[:c], strict=True):
        channel["loc"][:3] = place
    raw = mne.io.RawArray(data.T.copy(), made, verbose="error")
    if "eeg" in kinds:  # keep the reference of the recording
        raw.set_eeg_reference([], verbose="error")
    return raw


RIVALS: dict[str, Fit] = {
    "none": fit_none,
    "least squares": fit_least_squares,
    "EOGRegression (mne)": fit_eog_regression,
    "SSP (mne)": fit_ssp,
    "RLS (He 2004)": fit_rls,
    "ASR (meegkit)": fit_asr,
}
_NEEDS = {"EOGRegression (mne)": "mne", "SSP (mne)": "mne", "ASR (meegkit)": "meegkit"}


def missing(name: str) -> str:
    """Return the package that a rival needs and that is not installed, or ""."""
    needed = _NEEDS.get(name, "")
    return needed if needed and importlib.util.find_spec(needed) is None else ""
