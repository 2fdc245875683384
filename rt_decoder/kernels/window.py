"""Kernels that turn a window of samples into features, and channel flags into sample flags."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = [
    "bin_means",
    "good_and_reasons",
    "join_channels",
    "keep_rows",
    "kept_bins",
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
    """Average consecutive bins of rows.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    first : int
        Row where the first bin begins.
    width : int
        Rows in a bin.
    out : array of shape (n_bins, c)
        Written: the mean of each bin.
    """
    for b in range(len(out)):
        _mean(x, first + b * width, width, out[b])


@njit(**KERNEL)
def _mean(x: np.ndarray, first: int, width: int, out: np.ndarray) -> None:
    out[:] = 0.0
    for t in range(first, first + width):
        for k in range(len(out)):
            out[k] += x[t, k]
    for k in range(len(out)):
        out[k] /= width


@njit(**KERNEL)
def kept_bins(
    x: np.ndarray,
    at: int,
    first: int,
    width: int,
    floor: float,
    kept: np.ndarray,
    starts: np.ndarray,
    out: np.ndarray,
) -> None:
    """Average bins of rows, as `bin_means` and `log_bins` do, but each bin of a signal once.

    Windows that follow one another share all bins but the last: these are copied.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    at : int
        Absolute index of the first row.
    first : int
        Row where the first bin begins.
    width : int
        Rows in a bin.
    floor : float
        Of the logarithm, as in `log_bins`; 0 takes none.
    kept : array of shape (m, c)
        Bins of earlier windows, each in the row of its absolute index modulo m; updated.
    starts : array of shape (m,), int64
        Absolute index of the bin in each row; -1 for none; updated.
    out : array of shape (n_bins, c)
        Written: the bins.
    """
    for b in range(len(out)):
        start = at + first + b * width
        row = start % len(kept)
        if starts[row] != start:
            _mean(x, first + b * width, width, kept[row])
            if floor > 0.0:
                log_bins(kept[row : row + 1], floor)
            starts[row] = start
        for k in range(out.shape[1]):
            out[b, k] = kept[row, k]


@njit(**KERNEL)
def log_bins(x: np.ndarray, floor: float) -> None:
    """Take log10 of `x` (n_bins, c) in place; values below `floor` count as `floor`."""
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
    """Compute ``(x - center) / scale``, limited to +-`clamp`; NaN stays NaN.

    Parameters
    ----------
    x : array of shape (p,)
        Features.
    center, scale : array of shape (p,)
        Mean and standard deviation of each feature.
    clamp : float
        Largest size of a scaled feature.
    out : array of shape (p,), float32
        Written.
    """
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
    """Join the flags of each sample with those of its channels.

    A repaired channel does not spoil the sample: of its flags only REPAIRED is joined. A sample
    flagged BAD_CHANNEL, because too many channels were bad, gets all flags of its channels.

    Parameters
    ----------
    flags : array of shape (n,), uint32
        Flags of whole samples.
    channel_flags : array of shape (n, c), uint32
        Flags of single channels.
    n_picks : int
        Channels to join: the first `n_picks`.
    out : array of shape (n,), uint32
        Written: the joined flags.
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
def keep_rows(
    data: np.ndarray, flags: np.ndarray, index: int, kept: np.ndarray, kept_flags: np.ndarray
) -> None:
    """Write samples to a ring in which each stands twice, so that no window wraps.

    Parameters
    ----------
    data : array of shape (n, m)
        Samples, of which the first c columns are kept.
    flags : array of shape (n,), uint32
        Flags of whole samples.
    index : int
        Absolute index of the first of them.
    kept : array of shape (2 * capacity, c)
        Written: sample i at ``i % capacity``, and `capacity` rows further.
    kept_flags : array of shape (2 * capacity,), uint32
        Written: the flags, in the same places.
    """
    n, capacity = len(data), len(kept) // 2
    for t in range(max(0, n - capacity), n):
        row = (index + t) % capacity
        again = row + capacity
        for k in range(kept.shape[1]):
            kept[row, k] = data[t, k]
            kept[again, k] = data[t, k]
        kept_flags[row] = kept_flags[again] = flags[t]


@njit(**KERNEL)
def good_and_reasons(flags: np.ndarray) -> tuple[int, int, int, int, int, int]:
    """Count the good samples and those that each stage corrected, and join the bits of all.

    Parameters
    ----------
    flags : array of shape (n,), uint32
        Flags of whole samples.

    Returns
    -------
    n_good : int
        Samples without a bad bit.
    bits : int
        OR of all flags.
    n_repaired, n_eye, n_heartbeat, n_regressed : int
        Samples that each stage corrected.
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
