"""Random building blocks: noise of a given spectrum, and slow curves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["shaped_noise", "wander"]


def shaped_noise(
    rng: np.random.Generator,
    n: int,
    sfreq: float,
    shape: Callable[[np.ndarray], np.ndarray],
    band: tuple[float, float],
    n_columns: int = 1,
) -> np.ndarray:
    """Draw Gaussian noise with a given spectrum.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    shape : callable
        Takes frequencies in Hz, (n_freqs,), and returns amplitudes, (n_freqs,), of any scale.
    band : (float, float)
        Frequencies in Hz within which the noise has an expected RMS of 1.
    n_columns : int
        Number of independent columns.

    Returns
    -------
    array of shape (n, n_columns), float64
        The noise.
    """
    length = 1 << int(np.ceil(np.log2(n)))  # a power of two is fast, and the ends do not join
    freqs = np.fft.rfftfreq(length, 1.0 / sfreq)
    amplitude = shape(freqs)
    inside = (freqs >= band[0]) & (freqs <= band[1])
    power = 2.0 * np.sum(amplitude[inside] ** 2) / length
    amplitude = amplitude / np.sqrt(power)
    out = np.empty((n, n_columns))
    for column in range(n_columns):  # one at a time: half an hour of 64 channels fits in memory
        spectrum = np.fft.rfft(rng.standard_normal(length))
        out[:, column] = np.fft.irfft(spectrum * amplitude, length)[:n]
    return out


def wander(rng: np.random.Generator, n: int, sfreq: float, every: float) -> np.ndarray:
    """Draw a slow random curve: standard normal values, joined by straight lines.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    every : float
        Time between two values in s.

    Returns
    -------
    array of shape (n,), float64
        The curve.
    """
    n_knots = int(n / sfreq / every) + 2
    return np.interp(np.arange(n) / sfreq, np.arange(n_knots) * every, rng.standard_normal(n_knots))
