"""Kernels of the readout: from cosines to the most probable items.

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
from rt_decoder.kernels.top import top_k

__all__ = ["N_PARTS", "N_SUMS", "answer", "mixture_bits", "pick", "softmax_bits"]

PEAK, TOTAL, MOMENT = range(3)
N_SUMS, N_PARTS = 3, 64
_ZERO = -746.0  # the exponential is 0 here; below it -inf * 0 would be NaN


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
def softmax_bits(logits: np.ndarray, peak: float, parts: np.ndarray) -> tuple[float, float]:
    """Compute the log of the normaliser, and the bits gained over the uniform distribution.

    Parameters
    ----------
    logits : array of shape (V,)
        Unnormalised log probabilities.
    peak : float
        The largest of them, finite.
    parts : array of shape (N_SUMS, N_PARTS)
        Overwritten.

    Returns
    -------
    log_normaliser : float
        Log of the sum of ``exp(logits)``.
    bits : float
        ``log2 V`` less the entropy.
    """
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
    total = _in_order(totals)
    entropy = math.log(total) - _in_order(moments) / total
    return peak + math.log(total), (math.log(len(logits)) - entropy) / math.log(2.0)


@njit(**KERNEL)
def mixture_bits(
    logits: np.ndarray, peak: float, prior: np.ndarray, floor: float, parts: np.ndarray
) -> float:
    """Compute ``(1 - floor) * softmax(logits) + floor * prior`` in place, and the bits it gains.

    Parameters
    ----------
    logits : array of shape (V,), float64
        Unnormalised log probabilities; the mixture is written in their place.
    peak : float
        The largest of them, finite.
    prior : array of shape (V,)
        Probabilities.
    floor : float
        Share of the prior, 0 to 1.
    parts : array of shape (N_SUMS, N_PARTS)
        Overwritten.

    Returns
    -------
    float
        ``log2 V`` less the entropy of the mixture.
    """
    totals, moments = parts[TOTAL], parts[MOMENT]
    totals[:] = 0.0
    moments[:] = 0.0
    for start in range(0, len(logits), N_PARTS):
        some = logits[start : min(len(logits), start + N_PARTS)]
        for j in range(len(some)):
            weight = exp(some[j] - peak)
            some[j] = weight
            totals[j] += weight
    share = (1.0 - floor) / _in_order(totals)
    for start in range(0, len(logits), N_PARTS):
        stop = min(len(logits), start + N_PARTS)
        some, before = logits[start:stop], prior[start:stop]
        for j in range(len(some)):
            p = share * some[j] + floor * before[j]
            some[j] = p
            moments[j] += p * log(p)
    return (math.log(len(logits)) + _in_order(moments)) / math.log(2.0)


@njit(**KERNEL)
def pick(
    logits: np.ndarray, peak: float, prior: np.ndarray, floor: float, parts: np.ndarray,
    indices: np.ndarray, probabilities: np.ndarray,
) -> float:  # fmt: skip
    """Find the most probable items, as `answer` does, by logits (V,); these are overwritten."""
    if floor != 0.0:
        bits = mixture_bits(logits, peak, prior, floor, parts)
        top_k(logits, indices, probabilities)
        return bits
    top_k(logits, indices, probabilities)
    log_total, bits = softmax_bits(logits, peak, parts)
    for i in range(len(indices)):
        probabilities[i] = exp(probabilities[i] - log_total)
    return bits


@njit(**KERNEL)
def answer(
    scores: np.ndarray, tau: float, offset: np.ndarray, prior: np.ndarray, floor: float,
    logits: np.ndarray, parts: np.ndarray,
    indices: np.ndarray, probabilities: np.ndarray, top_scores: np.ndarray,
) -> float:  # fmt: skip
    """Find the most probable items of ``(1 - floor) * softmax(tau * scores + offset) + floor * prior``.

    Parameters
    ----------
    scores : array of shape (V,)
        Cosines.
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
    parts : array of shape (N_SUMS, N_PARTS)
        Overwritten.
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
    bits = pick(logits, peak, prior, floor, parts, indices, probabilities)
    for i in range(len(indices)):
        top_scores[i] = scores[indices[i]]
    return bits
