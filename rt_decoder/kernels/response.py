"""Kernels of the event response: its score at many lags, and sequential tests of it."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["centre", "likelihood_step", "mean_rows", "project", "project_roots", "score_lags"]

ENOUGH = 7.0  # most that one event tells: two are needed for odds of a hundred thousand
WEAKER = 0.25  # level of another's response that is partly alike


@njit(**KERNEL)
def project(x: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Multiply samples by weights; each is summed alone and in one order, so no cut changes a bit.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples; further columns are left out.
    weights : array of shape (c, r)
        Factors.
    out : array of shape (n, r)
        Overwritten by the products.
    """
    for t in range(x.shape[0]):
        for k in range(weights.shape[1]):
            total = 0.0
            for i in range(weights.shape[0]):
                total += x[t, i] * weights[i, k]
            out[t, k] = total


@njit(**KERNEL)
def project_roots(power: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Multiply the roots of powers by weights, as `project` does samples.

    Parameters
    ----------
    power : array of shape (n, c)
        Not below 0.
    weights : array of shape (c, r)
        Factors.
    out : array of shape (n, r)
        Overwritten by the products.
    """
    for t in range(power.shape[0]):
        for k in range(weights.shape[1]):
            out[t, k] = 0.0
        for i in range(weights.shape[0]):
            value = math.sqrt(power[t, i])
            for k in range(weights.shape[1]):
                out[t, k] += value * weights[i, k]


@njit(**KERNEL)
def centre(rows: np.ndarray) -> None:
    """Subtract from each column of rows (n, r) its mean."""
    for k in range(rows.shape[1]):
        total = 0.0
        for t in range(rows.shape[0]):
            total += rows[t, k]
        for t in range(rows.shape[0]):
            rows[t, k] -= total / rows.shape[0]


@njit(**KERNEL)
def score_lags(
    bins: np.ndarray, ar: np.ndarray, template: np.ndarray, white: np.ndarray, scores: np.ndarray
) -> float:
    """Whiten binned components in time, and compare them with a template at every lag.

    Parameters
    ----------
    bins : array of shape (n_bins, r)
        Components around an event.
    ar : array of shape (p,)
        Coefficients of their autoregression.
    template : array of shape (n_times, r)
        The response, whitened.
    white : array of shape (n_bins - p, r)
        Overwritten by the whitened components.
    scores : array of shape (n_bins - p - n_times + 1,)
        Overwritten by the products with the template, one a lag.

    Returns
    -------
    float
        Mean square of the whitened components.
    """
    order = ar.shape[0]
    power = 0.0
    for t in range(white.shape[0]):
        for k in range(white.shape[1]):
            value = bins[t + order, k]
            for j in range(order):
                value -= ar[j] * bins[t + order - 1 - j, k]
            white[t, k] = value
            power += value * value
    for lag in range(scores.shape[0]):
        total = 0.0
        for t in range(template.shape[0]):
            for k in range(template.shape[1]):
                total += template[t, k] * white[lag + t, k]
        scores[lag] = total
    return power / (white.shape[0] * white.shape[1])


@njit(**KERNEL)
def likelihood_step(
    scores: np.ndarray,
    zero: int,
    spread: float,
    null: np.ndarray,
    moved: np.ndarray,
    spreads: np.ndarray,
    most: float,
    odds: np.ndarray,
) -> float:
    """Add an event to the Shiryaev-Roberts statistics of what can be wrong with the response.

    Parameters
    ----------
    scores : array of shape (n_lags,)
        Of the event; 1 at lag `zero` in calibration.
    zero : int
        Place of no lag.
    spread : float
        Standard deviation of the score at no lag.
    null, moved : arrays of shape (n_lags,)
        Mean difference of the score at each lag from that at no lag, if nothing is wrong and if the
        response is moved to that lag; lags at which both are nearly equal tell nothing.
    spreads : array of shape (n_lags,)
        Standard deviation of the difference; 0 for lags that are not tested.
    most : float
        Largest statistic.
    odds : array of shape (3 + n_lags,)
        Statistics of: absent, weaker than half, inverted, moved to each lag. Updated.

    Returns
    -------
    float
        Mean statistic of the lags.
    """
    limit = 4.0 * spread
    score = min(max(scores[zero], -1.0 - limit), 1.0 + limit)
    half = 0.5 / (spread * spread)
    if score == score:  # neither fault explains a score that is no number
        usual = (score - 0.5) ** 2
        absent = min(half * (usual - score * score), ENOUGH)
        weaker = min(half * (usual - (score - WEAKER) ** 2), ENOUGH)
        inverted = min(half * (usual - (score + 1.0) ** 2), ENOUGH)
        odds[0] = min(most, (1.0 + odds[0]) * math.exp(absent))
        odds[1] = min(most, (1.0 + odds[1]) * math.exp(weaker))
        odds[2] = min(most, (1.0 + odds[2]) * math.exp(inverted))
    total, n = 0.0, 0
    for lag in range(scores.shape[0]):
        if spreads[lag] > 0.0:
            sd = spreads[lag]
            low = min(null[lag], moved[lag]) - 4.0 * sd
            high = max(null[lag], moved[lag]) + 4.0 * sd
            value = min(max(scores[lag] - scores[zero], low), high)
            if value == value:
                gain = ((value - null[lag]) ** 2 - (value - moved[lag]) ** 2) / (2.0 * sd * sd)
                odds[3 + lag] = min(most, (1.0 + odds[3 + lag]) * math.exp(min(gain, ENOUGH)))
            total += odds[3 + lag]
            n += 1
    return total / n if n > 0 else 0.0


@njit(**KERNEL)
def mean_rows(rows: np.ndarray, stop: int, n: int, out: np.ndarray) -> None:
    """Average the newest rows of a ring.

    Parameters
    ----------
    rows : array of shape (m, k)
        The ring: row i is at i modulo m.
    stop : int
        Rows written so far.
    n : int
        Rows to average, at most m.
    out : array of shape (k,)
        Overwritten by the mean.
    """
    out[:] = 0.0
    for i in range(stop - n, stop):
        row = i % rows.shape[0]
        for k in range(rows.shape[1]):
            out[k] += rows[row, k]
    for k in range(rows.shape[1]):
        out[k] /= n
