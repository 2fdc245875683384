"""Kernels of the readout: from cosines to the most probable items.

Where cosines come from a table of few bits, those that matter are computed again from float32 rows:
items that can be among the best, by a bound of the error (Cauchy-Schwarz), and items of which each
holds more than a thousandth of the probability. So the best are the exact ones, and what is left of
the error in the normaliser is an average over more than a thousand roundings.

A sum over all items is kept in 64 parts, item v in part ``v % 64``, which are then added in order:
additions that do not wait for each other become vector instructions, and the order is the same on
every processor. The parts are the rows of `parts`:

====================  =====================================================================
PEAK                  largest logit
TOTAL                 sum of ``exp(logit - peak)``
MOMENT                sum of ``exp(logit - peak) * (logit - peak)``, or of ``p * log(p)``
====================  =====================================================================
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.exponential import exp, log
from rt_decoder.kernels.options import KERNEL, njit
from rt_decoder.kernels.top import exact_score, next_above, top_k

__all__ = ["N_PARTS", "N_SUMS", "answer", "most_probable"]

PEAK, TOTAL, MOMENT = range(3)
N_SUMS, N_PARTS = 3, 64
_ZERO = -746.0  # the exponential is 0 here; below it -inf * 0 would be NaN
_SHARE = 1e-3  # of the probability, above which an item's cosine is computed exactly


@njit(**KERNEL)
def _log_posterior(
    scores: np.ndarray, tau: float, offset: np.ndarray, out: np.ndarray, parts: np.ndarray
) -> float:
    """Compute ``tau * scores + offset`` in float64; returns the largest, NaN if one is not finite."""
    peaks = parts[PEAK]
    peaks[:] = -np.inf
    n_bad = 0
    for start in range(0, len(scores), N_PARTS):
        n = min(N_PARTS, len(scores) - start)
        some, its, logits = (
            scores[start : start + n], offset[start : start + n], out[start : start + n],
        )  # fmt: skip
        for j in range(n):
            value = tau * some[j] + its[j]
            logits[j] = value
            peaks[j] = value if value > peaks[j] else peaks[j]
        for j in range(n):
            n_bad += not np.isfinite(some[j])
    peak = -np.inf
    for j in range(N_PARTS):
        peak = max(peak, peaks[j])
    return peak if n_bad == 0 else np.nan


@njit(**KERNEL)
def _in_order(part: np.ndarray) -> float:
    total = 0.0
    for j in range(len(part)):
        total += part[j]
    return total


@njit(**KERNEL)
def _softmax_sums(logits: np.ndarray, peak: float, parts: np.ndarray) -> tuple[float, float]:
    """Sum ``exp(logit - peak)``, and that times ``logit - peak``."""
    totals, moments = parts[TOTAL], parts[MOMENT]
    totals[:] = 0.0
    moments[:] = 0.0
    for start in range(0, len(logits), N_PARTS):
        some = logits[start : min(len(logits), start + N_PARTS)]
        for j in range(len(some)):
            below = some[j] - peak
            below = below if below > _ZERO else _ZERO
            weight = exp(below)
            totals[j] += weight
            moments[j] += weight * below
    return _in_order(totals), _in_order(moments)


@njit(**KERNEL)
def _weights(logits: np.ndarray, peak: float, parts: np.ndarray) -> float:
    """Write ``exp(logit - peak)`` in place of each logit; returns the sum."""
    totals = parts[TOTAL]
    totals[:] = 0.0
    for start in range(0, len(logits), N_PARTS):
        some = logits[start : min(len(logits), start + N_PARTS)]
        for j in range(len(some)):
            weight = exp(some[j] - peak)
            some[j] = weight
            totals[j] += weight
    return _in_order(totals)


@njit(**KERNEL)
def _mixture(
    weights: np.ndarray, share: float, prior: np.ndarray, floor: float, parts: np.ndarray
) -> float:
    """Write ``share * weight + floor * prior`` in place of each weight; returns minus the entropy."""
    moments = parts[MOMENT]
    moments[:] = 0.0
    for start in range(0, len(weights), N_PARTS):
        stop = min(len(weights), start + N_PARTS)
        some, before = weights[start:stop], prior[start:stop]
        for j in range(len(some)):
            p = share * some[j] + floor * before[j]
            some[j] = p
            moments[j] += p * log(p)
    return _in_order(moments)


@njit(**KERNEL)
def _softmax(
    scores: np.ndarray, tau: float, offset: np.ndarray, peak: float, logits: np.ndarray,
    parts: np.ndarray, query: np.ndarray, rows: np.ndarray, slack: float,
    indices: np.ndarray, probabilities: np.ndarray,
) -> float:  # fmt: skip
    """Find the most probable items of the softmax of logits; returns the bits."""
    top_k(logits, indices, probabilities)
    total, moment = _softmax_sums(logits, peak, parts)
    if len(rows) != 0:
        limit = probabilities[len(indices) - 1] - 2.0 * tau * slack
        limit = min(limit, peak + math.log(_SHARE * total))
        v = next_above(logits, limit, 0, len(rows))
        while v < len(rows):
            old = max(logits[v] - peak, _ZERO)
            scores[v] = exact_score(query, rows[v])
            logits[v] = tau * scores[v] + offset[v]
            new = max(logits[v] - peak, _ZERO)
            before, after = exp(old), exp(new)
            total += after - before
            moment += after * new - before * old
            v = next_above(logits, limit, v + 1, len(rows))
        top_k(logits, indices, probabilities)
    log_total = peak + math.log(total)
    for i in range(len(indices)):
        probabilities[i] = exp(probabilities[i] - log_total)
    return (math.log(len(logits)) - math.log(total) + moment / total) / math.log(2.0)


@njit(**KERNEL)
def _with_floor(
    scores: np.ndarray, tau: float, offset: np.ndarray, peak: float, prior: np.ndarray, floor: float,
    logits: np.ndarray, mixed: np.ndarray, parts: np.ndarray,
    query: np.ndarray, rows: np.ndarray, slack: float,
    indices: np.ndarray, probabilities: np.ndarray,
) -> float:  # fmt: skip
    """Find the most probable items of the softmax with a share of the prior; returns the bits."""
    total = _weights(logits, peak, parts)
    if len(rows) != 0:
        share = (1.0 - floor) / total
        for v in range(len(logits)):
            mixed[v] = share * logits[v] + floor * prior[v]
        top_k(mixed, indices, probabilities)
        # weights and their sum are off by a factor of at most exp(tau * slack) each
        limit = probabilities[len(indices) - 1] * exp(-4.0 * tau * slack)
        limit = min(limit, _SHARE)
        v = next_above(mixed, limit, 0, len(rows))
        while v < len(rows):
            scores[v] = exact_score(query, rows[v])
            weight = exp(tau * scores[v] + offset[v] - peak)
            total += weight - logits[v]
            logits[v] = weight
            v = next_above(mixed, limit, v + 1, len(rows))
    moment = _mixture(logits, (1.0 - floor) / total, prior, floor, parts)
    top_k(logits, indices, probabilities)
    return (math.log(len(logits)) + moment) / math.log(2.0)


@njit(**KERNEL)
def most_probable(
    logits: np.ndarray, parts: np.ndarray, indices: np.ndarray, probabilities: np.ndarray
) -> float:
    """Find the most probable items of a softmax.

    Parameters
    ----------
    logits : array of shape (V,), float64
        Unnormalised log probabilities, at least one finite.
    parts : array of shape (N_SUMS, N_PARTS)
        Overwritten.
    indices : array of shape (k,), int
        Written: the most probable items, best first.
    probabilities : array of shape (k,)
        Written: their probabilities.

    Returns
    -------
    float
        ``log2 V`` less the entropy.
    """
    top_k(logits, indices, probabilities)
    peak = probabilities[0]
    total, moment = _softmax_sums(logits, peak, parts)
    log_total = peak + math.log(total)
    for i in range(len(indices)):
        probabilities[i] = exp(probabilities[i] - log_total)
    return (math.log(len(logits)) - math.log(total) + moment / total) / math.log(2.0)


@njit(**KERNEL)
def answer(
    scores: np.ndarray, tau: float, offset: np.ndarray, prior: np.ndarray, floor: float,
    logits: np.ndarray, mixed: np.ndarray, parts: np.ndarray,
    query: np.ndarray, rows: np.ndarray, slack: float,
    indices: np.ndarray, probabilities: np.ndarray, top_scores: np.ndarray,
) -> float:  # fmt: skip
    """Find the most probable items of ``(1 - floor) * softmax(tau * scores + offset) + floor * prior``.

    Parameters
    ----------
    scores : array of shape (V,)
        Cosines; those that are computed again are written.
    tau : float
        Their factor.
    offset : array of shape (V,)
        Added to them; -inf excludes an item.
    prior : array of shape (V,)
        Probabilities.
    floor : float
        Share of the prior, 0 to 1.
    logits : array of shape (V,), float64
        Overwritten.
    mixed : array of shape (V,), float64
        Overwritten where there are rows and a floor; else it may be empty.
    parts : array of shape (N_SUMS, N_PARTS)
        Overwritten.
    query : array of shape (m,)
        The prediction, of length 1, in its first r elements.
    rows : array of shape (n, r)
        Exact coordinates of the first n items; 0 where all cosines are exact.
    slack : float
        By which a cosine may be off.
    indices : array of shape (k,), int
        Written: the most probable items, best first.
    probabilities : array of shape (k,)
        Written: their probabilities.
    top_scores : array of shape (k,)
        Written: their cosines.

    Returns
    -------
    float
        ``log2 V`` less the entropy; NaN if a score is not finite, and then nothing is found.
    """
    peak = _log_posterior(scores, tau, offset, logits, parts)
    if not np.isfinite(peak):
        return np.nan
    if floor != 0.0:
        bits = _with_floor(
            scores, tau, offset, peak, prior, floor, logits, mixed, parts, query, rows, slack,
            indices, probabilities,
        )  # fmt: skip
    else:
        bits = _softmax(
            scores, tau, offset, peak, logits, parts, query, rows, slack, indices, probabilities
        )
    for i in range(len(indices)):
        top_scores[i] = scores[indices[i]]
    return bits
