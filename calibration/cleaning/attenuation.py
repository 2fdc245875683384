"""Measure on held-out data what the regressors take out, and what they leave of a response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.cleaning.reference_search import lagged, moments
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.signal import DATA_TYPES, FLAGS, Chunk, Reason, SignalInfo

__all__ = ["measure", "run"]

_FLOOR_DB = 40.0  # a larger attenuation cannot be measured


def measure(
    stage: Regressors,
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    kept: Sequence[str],
    rng: np.random.Generator,
) -> tuple[dict[str, float], float]:
    """Measure the attenuation in dB of each reference, and the gain of an injected response.

    The attenuation compares the power that a reference explains in the input of the live stage
    with the power that it explains in the output, each by a fit at lags up to 0.6 s (breath: 2 s).

    Parameters
    ----------
    stage : Regressors
        Fitted on other data, and reset.
    data : array of shape (n, n_channels), float64
        Data channels first.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out; the stage sees them as held.
    kept : sequence of str
        References to measure.
    rng : numpy.random.Generator
        Draws the shifts of the surrogates, and the response to inject.

    Returns
    -------
    attenuation : dict
        dB by name of the reference, at most 40.
    gain : float
        Of a response that is injected into every data channel; 1 if it passes unchanged.
    """
    n_data = sum(kind in DATA_TYPES for kind in info.ch_types)
    out = run(stage, data, info, bad)[:, :n_data]
    scale = np.std(data[~bad, :n_data], axis=0)
    scale[scale == 0.0] = 1.0
    attenuation: dict[str, float] = {}
    for name in kept:
        column = info.ch_names.index(name)
        lags = _probes(info.ch_types[column], info.sfreq)
        z = lagged(data[:, column] / np.sqrt(np.mean(data[~bad, column] ** 2)), lags)
        shifts = rng.integers(len(z) // 10, len(z) - len(z) // 10, 9)
        powers = [_more_than_chance(z, x / scale, ~bad, shifts) for x in (data[:, :n_data], out)]
        least = powers[0] * 10 ** (-_FLOOR_DB / 10) + 1e-30
        attenuation[name] = float(10 * np.log10((powers[0] + 1e-30) / max(powers[1], least)))
    wave, span = _responses(len(data), info.sfreq, rng)
    injected = wave[:, None] * scale * rng.choice([-1.0, 1.0], n_data)
    both = data.copy()
    both[:, :n_data] += injected
    stage.reset()
    passed = (run(stage, both, info, bad)[:, :n_data] - out) / scale
    wanted = injected / scale
    use = span & ~bad
    return attenuation, float(np.sum(passed[use] * wanted[use]) / np.sum(wanted[use] ** 2))


def run(stage: Regressors, data: np.ndarray, info: SignalInfo, bad: np.ndarray) -> np.ndarray:
    """Run a recording through the stage.

    Parameters
    ----------
    stage : Regressors
        Reset.
    data : array of shape (n, n_channels), float64
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples that the stage sees as held.

    Returns
    -------
    array of shape (n, n_channels), float64
    """
    flags = np.where(bad, FLAGS(Reason.HELD), FLAGS(0))
    quiet = np.zeros(data.shape, FLAGS)
    chunk = Chunk(np.ascontiguousarray(data), np.arange(len(data)) / info.sfreq, 0, flags, quiet)
    return stage.process(chunk).data.copy()


def _probes(kind: str, sfreq: float) -> list[int]:
    """List the lags in samples at which to look for what a reference has left in the data."""
    most, step = (2.0, 0.25) if kind == "resp" else (0.6, 0.02)
    return [round(i * step * sfreq) for i in range(round(most / step) + 1)]


def _more_than_chance(z: np.ndarray, x: np.ndarray, good: np.ndarray, shifts: np.ndarray) -> float:
    """Power of `x` (n, c) that regressors `z` (n, k) explain beyond the mean of shifted copies."""

    def power(z: np.ndarray) -> float:
        products = moments(z, x, good, np.ones(x.shape[1]))  # its xx is not used here
        return float(np.sum(products.weights() * products.zx))

    chance = [power(np.roll(z, shift, 0)) for shift in shifts.tolist()]
    return max(power(z) - sum(chance) / len(chance), 0.0)


def _responses(n: int, sfreq: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make half-second waves, one every 1 to 2 s, (n,); return them and where they are not 0."""
    length = round(0.5 * sfreq)
    shape = np.hanning(length) * np.sin(2 * np.pi * 4.0 * np.arange(length) / sfreq)
    wave, at = np.zeros(n), 0
    while at + length <= n:
        wave[at : at + length] += shape
        at += round(rng.uniform(1.0, 2.0) * sfreq)
    return wave, wave != 0.0
