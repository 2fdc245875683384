"""Kernels that turn a window of samples into features."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["bin_means", "good_and_reasons", "log_bins", "scale_clamp", "subtract_rows"]


@njit(cache=True, nogil=True)
def bin_means(x: np.ndarray, first: int, width: int, out: np.ndarray) -> None:
    """Means over consecutive bins of `width` rows of `x` from row `first` into `out` (n_bins, c)."""
    n_bins, n_channels = out.shape
    for b in range(n_bins):
        row = out[b]
        row[:] = 0.0
        for t in range(first + b * width, first + (b + 1) * width):
            for k in range(n_channels):
                row[k] += x[t, k]
        for k in range(n_channels):
            row[k] /= width


@njit(cache=True, nogil=True)
def log_bins(x: np.ndarray, floor: float) -> None:
    """log10 of `x` (n_bins, c) in place, nothing below log10(`floor`)."""
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[b, k] = math.log10(max(floor, x[b, k]))


@njit(cache=True, nogil=True)
def subtract_rows(x: np.ndarray, baseline: np.ndarray) -> None:
    """Subtract `baseline` (1, c) from every row of `x` (n_bins, c), in place."""
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[b, k] -= baseline[0, k]


@njit(cache=True, nogil=True)
def scale_clamp(
    x: np.ndarray, center: np.ndarray, scale: np.ndarray, clamp: float, out: np.ndarray
) -> None:
    """``(x - center) / scale`` limited to +-`clamp`, as float32; NaN stays NaN."""
    for i in range(len(x)):
        value = (x[i] - center[i]) / scale[i]
        if value > clamp:
            value = clamp
        elif value < -clamp:
            value = -clamp
        out[i] = value


@njit(cache=True, nogil=True)
def good_and_reasons(flags: np.ndarray) -> tuple[int, int]:
    """Count the samples without a flag, and join the reasons of the others."""
    n_good, reasons = 0, 0
    for t in range(len(flags)):
        n_good += flags[t] == 0
        reasons |= flags[t]
    return n_good, reasons
