"""Find how the pattern of the strongest eye source drifts over a recording.

The pattern of a blink turns a little within minutes, with gaze and with the contact of electrodes.
What the turned part leaves behind is too weak to stand out at single samples, but it comes with
every blink and changes slowly. This module knows nothing of channel types or of the live stage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from calibration.cleaning.eye_sources import Sources

__all__ = ["Drift", "fit_drift"]

_N_SWINGS = 2  # cosines over the recording: half a period, a whole one; and the constant
_BLOCK = 2.0  # s; blocks belong to two halves in turn
_LARGE = 8.0  # scales at rest: smaller values of the source tell little of its pattern
_LEAST = 50  # samples in each half
_NOTHING = 1e-6  # of a direction of size 1: all of it belongs to the eye sources
_RIDGE = 1e-3  # of the mean power of the regressors


class Drift(NamedTuple):
    """The drift source of scaled channels, of variance 1 at rest. c channels."""

    mixing: np.ndarray  # (c,)
    unmixing: np.ndarray  # (c,); measures nothing of the eye sources
    power: float  # its variance where the first source is as large as its scale at rest


def fit_drift(
    x: np.ndarray, time: np.ndarray, good: np.ndarray, sources: Sources, rank: int, sfreq: float
) -> Drift | None:
    """Fit the direction in which the pattern of the first source changes most.

    What the sources leave is regressed on the first source times slow cosines, in two halves of the
    recording. The product of the halves estimates the power of what changes, in which all else
    cancels; the drift source has the largest ratio of it to the power at rest. By chance products
    are as often negative, so the most negative ratio is taken off.

    Parameters
    ----------
    x : array of shape (n, c), float64
        Channels, in units of their typical size at rest.
    time : array of shape (n,)
        Time of the samples, as a share of the recording.
    good : array of shape (n,), bool
        Samples to use.
    sources : Sources
        Fitted on `x`.
    rank : int
        Number of sources that are subtracted.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    Drift or None
        None if no change is found in both halves, or there is nothing beside the sources.
    """
    mixing, unmixing = sources.mixing[:, :rank], sources.unmixing[:, :rank]
    first = x @ unmixing[:, 0] / sources.rest_scale[0]
    use = np.flatnonzero(good & (np.abs(first) > _LARGE))
    swings = np.cos(np.pi * np.outer(time[use], np.arange(_N_SWINGS + 1)))
    regressors = first[use, None] * swings
    left = x[use] - (x[use] @ unmixing) @ mixing.T
    half = use // max(round(_BLOCK * sfreq), 1) % 2
    if rank >= len(mixing) or np.bincount(half, minlength=2).min() < _LEAST:
        return None
    one, two = (_slopes(regressors[half == k], left[half == k]) for k in (0, 1))
    products = (one * np.mean(regressors**2, axis=0)[:, None]).T @ two
    ratios, vectors = eigh((products + products.T) / 2, sources.at_rest)
    if ratios[-1] <= -ratios[0]:
        return None
    w = vectors[:, -1] - unmixing @ (mixing.T @ vectors[:, -1])
    size = np.sqrt(w @ sources.at_rest @ w)
    if not size > _NOTHING:
        return None
    w /= size
    found = np.maximum((one @ w) * (two @ w), 0.0) * np.mean(swings**2, axis=0)
    certain = 1.0 - max(-ratios[0], 0.0) / ratios[-1]
    return Drift(sources.at_rest @ w, w, float(certain * found.sum()))


def _slopes(regressors: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Regress y (n, c) on regressors (n, k), (k, c)."""
    gram = regressors.T @ regressors
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, regressors.T @ y))
