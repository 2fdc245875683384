"""Kernel of a projector: a matrix of low rank, added to the signal or in its place."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["BLOCK", "project"]

BLOCK = 24  # samples transposed at once; a power of two would crowd a few cache lines


@njit(**KERNEL)
def project(
    x: np.ndarray, n_data: int, keep: bool, right: np.ndarray, left: np.ndarray, memory: np.ndarray
) -> None:
    """Replace data channels by ``keep * x + left.T @ (right @ x)``, in place.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples, changed in the first `n_data` columns.
    n_data : int
        Data channels.
    keep : bool
        Whether the signal itself is added.
    right, left : array of shape (rank, m)
        Factors, padded with zeros from n_data to m, the next multiple of eight.
    memory : array of shape (n_memory,)
        Scratch of ``(m + 1 + rank) * BLOCK`` values; zeros before the first call.
    """
    n = len(x)
    rank, m = right.shape
    turned = memory[: m * BLOCK].reshape(m, BLOCK)
    total = memory[m * BLOCK : (m + 1) * BLOCK]
    sizes = memory[(m + 1) * BLOCK :].reshape(BLOCK, rank)
    for start in range(0, n, BLOCK):
        n_block = min(BLOCK, n - start)
        whole = (n_block + 7) // 8 * 8  # samples beyond n_block are stale and not used
        for k in range(n_data):
            for t in range(n_block):
                turned[k, t] = x[start + t, k]
        for i in range(rank):
            total[:] = 0.0
            for k in range(0, m, 8):
                w = right[i, k : k + 8]
                w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
                x0, x1, x2, x3 = turned[k], turned[k + 1], turned[k + 2], turned[k + 3]
                x4, x5, x6, x7 = turned[k + 4], turned[k + 5], turned[k + 6], turned[k + 7]
                for t in range(whole):
                    first = (w0 * x0[t] + w1 * x1[t]) + (w2 * x2[t] + w3 * x3[t])
                    second = (w4 * x4[t] + w5 * x5[t]) + (w6 * x6[t] + w7 * x7[t])
                    total[t] += first + second
            for t in range(n_block):
                sizes[t, i] = total[t]
        for t in range(n_block):
            _expand(x[start + t, :n_data], keep, sizes[t], left)


@njit(**KERNEL)
def _expand(row: np.ndarray, keep: bool, sizes: np.ndarray, left: np.ndarray) -> None:
    """Add the patterns, each times its size, to the row, or to zeros unless `keep`."""
    rank, used = len(sizes), len(row)
    columns = left.shape[1]
    if not keep:
        for k in range(used):
            row[k] = 0.0
    fours = rank // 4 * 4
    for i in range(0, fours, 4):
        a, b, c, d = sizes[i], sizes[i + 1], sizes[i + 2], sizes[i + 3]
        p, q = left[i, :columns], left[i + 1, :columns]
        r, s = left[i + 2, :columns], left[i + 3, :columns]
        for k in range(used):
            row[k] += (a * p[k] + b * q[k]) + (c * r[k] + d * s[k])
    for i in range(fours, rank):
        a, p = sizes[i], left[i, :columns]
        for k in range(used):
            row[k] += a * p[k]
