"""Kernels of the readout: map and cosine scan.

Sums run in one fixed order, so that results do not depend on thread counts or BLAS versions.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["normalize", "project", "row_product", "scan"]

# Items in a block: 4096 float32 sums are 16 KiB, half of a first-level cache.
_BLOCK = 4096


@njit(**KERNEL)
def row_product(x: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Compute ``x @ matrix``, row by row, in order of p.

    Parameters
    ----------
    x : array of shape (p,)
        Vector.
    matrix : array of shape (p, r)
        Matrix.
    out : array of shape (r,)
        Written.
    """
    out[:] = 0
    n_whole = len(x) - len(x) % 4
    for i in range(
        0, n_whole, 4
    ):  # four rows a pass: `out` is loaded and stored a quarter as often
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        m0, m1, m2, m3 = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(len(out)):
            out[j] = (((out[j] + x0 * m0[j]) + x1 * m1[j]) + x2 * m2[j]) + x3 * m3[j]
    for i in range(n_whole, len(x)):
        value, row = x[i], matrix[i]
        for j in range(len(out)):
            out[j] += value * row[j]


@njit(**KERNEL)
def project(vectors: np.ndarray, basis: np.ndarray, total: np.ndarray, out: np.ndarray) -> None:
    """Compute the coordinates ``basis.T @ vectors.T``, summed in float64.

    Parameters
    ----------
    vectors : array of shape (V, D)
        One vector a word.
    basis : array of shape (D, r)
        Basis.
    total : array of shape (r,), float64
        Scratch.
    out : array of shape (r, V)
        Written.
    """
    n_items, n_dims = vectors.shape
    r = basis.shape[1]
    for v in range(n_items):
        total[:] = 0.0
        for d in range(n_dims):
            value = np.float64(vectors[v, d])
            row = basis[d]
            for j in range(r):
                total[j] += value * row[j]
        for j in range(r):
            out[j, v] = total[j]


@njit(**KERNEL)
def normalize(z: np.ndarray, out: np.ndarray) -> float:
    """Write ``z / |z|`` into the first elements of `out`; 0 where `z` is 0.

    Parameters
    ----------
    z : array of shape (r,)
        Vector.
    out : array of shape (m,)
        Written; m >= r.

    Returns
    -------
    float
        ``|z|``.
    """
    square = 0.0
    for i in range(len(z)):
        square += np.float64(z[i]) * np.float64(z[i])
    length = math.sqrt(square)
    for i in range(len(z)):
        out[i] = z[i] / length if length != 0.0 else 0.0
    return length


@njit(**KERNEL)
def scan(query: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Compute ``query @ table``.

    Parameters
    ----------
    query : array of shape (r,)
        Vector; r is a multiple of 4.
    table : array of shape (r, V)
        One column a word.
    out : array of shape (V,)
        Written.
    """
    r, n_items = table.shape
    for start in range(0, n_items, _BLOCK):
        stop = min(n_items, start + _BLOCK)
        total = out[start:stop]
        total[:] = 0
        for i in range(0, r, 4):
            q0, q1, q2, q3 = query[i], query[i + 1], query[i + 2], query[i + 3]
            t0, t1 = table[i, start:stop], table[i + 1, start:stop]
            t2, t3 = table[i + 2, start:stop], table[i + 3, start:stop]
            for v in range(len(total)):
                total[v] = (((total[v] + q0 * t0[v]) + q1 * t1[v]) + q2 * t2[v]) + q3 * t3[v]
