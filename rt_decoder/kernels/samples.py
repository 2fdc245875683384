"""Kernels that look at one sample at a time: hold, re-reference, flags of decimated samples."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["hold_finite", "merge_flags", "subtract_mean"]

_LARGEST = np.finfo(np.float64).max


@njit(cache=True, nogil=True)
def hold_finite(
    x: np.ndarray, last: np.ndarray, flags: np.ndarray, channel_flags: np.ndarray, reason: int
) -> None:
    """Replace what is not finite in `x` (n, c), in place, by the channel's last finite value.

    `last` (c,) is the state; `flags` (n,) and `channel_flags` (n, c) get `reason` where it applies.
    """
    n, n_channels = x.shape
    for t in range(n):
        row = x[t]
        n_bad = 0
        for k in range(n_channels):
            n_bad += not abs(row[k]) <= _LARGEST  # counting vectorizes, isfinite does not
        if n_bad == 0:
            last[:] = row
            continue
        flags[t] |= reason
        for k in range(n_channels):
            if abs(row[k]) <= _LARGEST:
                last[k] = row[k]
            else:
                row[k] = last[k]
                channel_flags[t, k] |= reason


@njit(cache=True, nogil=True)
def subtract_mean(x: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    """Subtract the mean of columns `sources` from columns `targets` of `x` (n, c), in place."""
    for t in range(len(x)):
        row = x[t]
        total = 0.0
        for k in sources:
            total += row[k]
        mean = total / len(sources)
        for k in targets:
            row[k] -= mean


@njit(cache=True, nogil=True)
def merge_flags(
    flags: np.ndarray, first: int, factor: int, carry: np.ndarray, out: np.ndarray
) -> None:
    """OR the rows of `flags` (n, m) since the row kept before into each kept row of `out`.

    Rows `first`, `first + factor`, ... are kept; `carry` (m,) holds the OR of the rows since the
    last kept one, across calls.
    """
    kept = 0
    due = first
    for t in range(len(flags)):
        for k in range(flags.shape[1]):
            carry[k] |= flags[t, k]
        if t == due:
            for k in range(flags.shape[1]):
                out[kept, k] = carry[k]
                carry[k] = 0
            kept += 1
            due += factor
