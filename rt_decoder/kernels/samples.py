"""Kernels of the order of channels, the common reference and the flags of decimated samples."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["merge_flags", "subtract_mean", "take_scaled"]

R_REPAIRED, R_EYE, R_HEARTBEAT, R_REGRESSED = 4096, 8192, 16384, 32768  # signal.Reason
R_CORRECTED = R_REPAIRED | R_EYE | R_HEARTBEAT | R_REGRESSED
R_BAD = 0xFFFFFFFF ^ R_CORRECTED  # signal.BAD


@njit(**KERNEL)
def _sum(row: np.ndarray, picks: np.ndarray) -> float:
    """Sum of `row` at `picks`; four chains of additions keep the processor busy."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    n_fours = len(picks) // 4 * 4
    for i in range(0, n_fours, 4):
        a += row[picks[i]]
        b += row[picks[i + 1]]
        c += row[picks[i + 2]]
        d += row[picks[i + 3]]
    for i in range(n_fours, len(picks)):
        a += row[picks[i]]
    return (a + b) + (c + d)


@njit(**KERNEL)
def _sum_two(row: np.ndarray, other: np.ndarray, picks: np.ndarray) -> tuple[float, float]:
    """Sum two rows as `_sum` does, side by side: neither waits for its own additions."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    e, f, g, h = 0.0, 0.0, 0.0, 0.0
    n_fours = len(picks) // 4 * 4
    for i in range(0, n_fours, 4):
        p, q, r, s = picks[i], picks[i + 1], picks[i + 2], picks[i + 3]
        a += row[p]
        e += other[p]
        b += row[q]
        f += other[q]
        c += row[r]
        g += other[r]
        d += row[s]
        h += other[s]
    for i in range(n_fours, len(picks)):
        a += row[picks[i]]
        e += other[picks[i]]
    return (a + b) + (c + d), (e + f) + (g + h)


@njit(**KERNEL)
def _mean_of_good(row: np.ndarray, marks: np.ndarray, picks: np.ndarray) -> float:
    """Average `row` over the picks that are good or repaired; over all picks if none is."""
    total, n_good = 0.0, 0
    for k in picks:
        if marks[k] & R_REPAIRED or not marks[k] & R_BAD:
            total += row[k]
            n_good += 1
    if n_good == 0 or n_good == len(picks):
        return _sum(row, picks) / len(picks)
    return total / n_good


@njit(**KERNEL)
def subtract_mean(
    x: np.ndarray,
    channel_flags: np.ndarray,
    sources: np.ndarray,
    targets: np.ndarray,
    out: np.ndarray,
) -> None:
    """Subtract the mean of some channels.

    A source that is flagged and was not repaired is left out of that sample's mean, unless no
    source is left.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    channel_flags : array of shape (n, c), uint32
        Flags of single channels.
    sources : array of shape (n_sources,), int
        Columns to average.
    targets : array of shape (c,)
        1 for a channel from which the mean is subtracted, else 0.
    out : array of shape (n, c)
        Written.
    """
    n, c = x.shape
    bits = np.uint32(0)
    for t in range(n):
        for k in range(c):
            bits |= channel_flags[t, k]
    done = 0
    if bits == 0:
        done = n // 2 * 2
        for t in range(0, done, 2):
            first, second = _sum_two(x[t], x[t + 1], sources)
            _subtract(x[t], first / len(sources), targets, out[t])
            _subtract(x[t + 1], second / len(sources), targets, out[t + 1])
    for t in range(done, n):
        _subtract(x[t], _mean_of_good(x[t], channel_flags[t], sources), targets, out[t])


@njit(**KERNEL)
def _subtract(row: np.ndarray, mean: float, targets: np.ndarray, out: np.ndarray) -> None:
    for k in range(len(row)):  # a product with 0 or 1 vectorizes, a list of columns does not
        out[k] = row[k] - targets[k] * mean


@njit(**KERNEL)
def merge_flags(
    flags: np.ndarray, first: int, factor: int, carry: np.ndarray, out: np.ndarray
) -> None:
    """Join the flags of dropped samples into the next sample that is kept.

    Parameters
    ----------
    flags : array of shape (n, m), uint32
        Flags of all samples.
    first : int
        First row that is kept.
    factor : int
        Rows from one that is kept to the next.
    carry : array of shape (m,), uint32
        OR of the rows since the last kept one, across calls; updated.
    out : array of shape (n_kept, m), uint32
        Written: a row for each row that is kept.
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


@njit(**KERNEL)
def take_scaled(data: np.ndarray, picks: np.ndarray, gains: np.ndarray, out: np.ndarray) -> None:
    """Take columns, each times its factor.

    Parameters
    ----------
    data : array of shape (n, m)
        Samples.
    picks : array of shape (c,), int
        Columns; -1 is the last one.
    gains : array of shape (c,)
        Factors.
    out : array of shape (n, c)
        Written.
    """
    n, m = data.shape
    for t in range(n):
        row, taken = data[t], out[t]
        for k in range(len(picks)):
            column = picks[k]
            taken[k] = row[column if column >= 0 else m - 1] * gains[k]
