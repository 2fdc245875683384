"""Kernels that turn a window of samples into features, and flags of channels into flags of samples."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rt_decoder.kernels.options import KERNEL

__all__ = [
    "bin_means",
    "good_and_reasons",
    "join_channels",
    "log_bins",
    "scale_clamp",
    "subtract_rows",
]

# signal.Reason
R_BAD_CHANNEL, R_REPAIRED, R_EYE, R_HEARTBEAT, R_REGRESSED = 512, 4096, 8192, 16384, 32768
R_CORRECTED = R_REPAIRED | R_EYE | R_HEARTBEAT | R_REGRESSED
R_BAD = 0xFFFFFFFF ^ R_CORRECTED  # signal.BAD


@njit(**KERNEL)
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


@njit(**KERNEL)
def log_bins(x: np.ndarray, floor: float) -> None:
    """log10 of `x` (n_bins, c) in place, nothing below log10(`floor`)."""
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[b, k] = math.log10(max(floor, x[b, k]))


@njit(**KERNEL)
def subtract_rows(x: np.ndarray, baseline: np.ndarray) -> None:
    """Subtract `baseline` (1, c) from every row of `x` (n_bins, c), in place."""
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[b, k] -= baseline[0, k]


@njit(**KERNEL)
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


@njit(**KERNEL)
def join_channels(
    flags: np.ndarray, channel_flags: np.ndarray, n_picks: int, out: np.ndarray
) -> None:
    """Write `flags` (n,) joined with those of the first `n_picks` channels to `out` (n,).

    What was repaired in a channel does not spoil the sample; that something was is kept. Where too
    many were bad the sample is spoilt, and says all that was wrong with them.
    """
    for t in range(len(flags)):
        any_channel = np.uint32(0)
        for k in range(n_picks):
            any_channel |= channel_flags[t, k]
        joined = flags[t]
        if joined & R_BAD_CHANNEL:
            joined |= any_channel
        elif any_channel:
            for k in range(n_picks):
                of_channel = channel_flags[t, k]
                if of_channel & R_REPAIRED:
                    of_channel = np.uint32(R_REPAIRED)
                joined |= of_channel
        out[t] = joined


@njit(**KERNEL)
def good_and_reasons(flags: np.ndarray) -> tuple[int, int, int, int, int, int]:
    """Count the good samples, join the bits of all, and count those that each stage corrected.

    Returns
    -------
    n_good, bits, n_repaired, n_eye, n_heartbeat, n_regressed : int
    """
    n_good, bits = 0, 0
    n_repaired, n_eye, n_heartbeat, n_regressed = 0, 0, 0, 0
    for t in range(len(flags)):
        flag = int(flags[t])
        n_good += flag & R_BAD == 0
        bits |= flag
        n_repaired += flag & R_REPAIRED != 0
        n_eye += flag & R_EYE != 0
        n_heartbeat += flag & R_HEARTBEAT != 0
        n_regressed += flag & R_REGRESSED != 0
    return n_good, bits, n_repaired, n_eye, n_heartbeat, n_regressed
