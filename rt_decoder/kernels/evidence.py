"""Kernel of pooled evidence: what one prediction says of every item, added to a sum."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.exponential import exp, log
from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["add_evidence", "pooled_logits"]


@njit(**KERNEL)
def add_evidence(
    scores: np.ndarray,
    tau: float,
    bias: np.ndarray,
    log_prior: np.ndarray,
    floor: float,
    scratch: np.ndarray,
    parts: np.ndarray,
    total: np.ndarray,
    cosines: np.ndarray,
) -> bool:
    """Add the log of posterior over prior to a sum, ``log((1 - floor) * softmax / prior + floor)``.

    Parameters
    ----------
    scores : array of shape (V,)
        Cosines.
    tau : float
        Their factor.
    bias : array of shape (V,)
        Added to the logits.
    log_prior : array of shape (V,)
        Normalised; -inf excludes an item.
    floor : float
        Share of the prior in the posterior.
    scratch : array of shape (V,), float64
        Overwritten.
    parts : array of shape (n_parts,), float64
        Overwritten: the sum over items is kept in parts, as in `kernels/posterior.py`.
    total : array of shape (V,), float64
        Added to.
    cosines : array of shape (V,), float64
        The scores are added to it.

    Returns
    -------
    bool
        False if a score or the factor is not finite; then nothing is added.
    """
    peak = -np.inf
    n_bad = 0
    for v in range(len(scores)):
        energy = tau * scores[v] + bias[v]
        scratch[v] = energy
        n_bad += not np.isfinite(energy)
        peak = max(peak, energy + log_prior[v])
    if n_bad != 0:
        return False
    parts[:] = 0.0
    for start in range(0, len(scores), len(parts)):
        stop = min(len(scores), start + len(parts))
        energies, before = scratch[start:stop], log_prior[start:stop]
        for j in range(len(energies)):
            parts[j] += exp(energies[j] + before[j] - peak)
    norm = 0.0
    for j in range(len(parts)):
        norm += parts[j]
    log_norm = peak + math.log(norm)
    for v in range(len(scores)):
        ratio = scratch[v] - log_norm
        if floor > 0.0:
            ratio = log((1.0 - floor) * exp(ratio) + floor)
        total[v] += ratio if log_prior[v] > -np.inf else 0.0
        cosines[v] += scores[v]
    return True


@njit(**KERNEL)
def pooled_logits(total: np.ndarray, weight: float, log_prior: np.ndarray, out: np.ndarray) -> None:
    """Compute ``weight * total + log_prior``.

    Parameters
    ----------
    total : array of shape (V,)
        Of `add_evidence`.
    weight : float
        What one repeat's evidence counts for.
    log_prior : array of shape (V,)
        As in `add_evidence`.
    out : array of shape (V,), float64
        Written.
    """
    for v in range(len(total)):
        out[v] = weight * total[v] + log_prior[v]
