"""Kernels of the readout: map and cosine scan.

Sums run in one fixed order, so that results do not depend on thread counts or BLAS versions.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.fetch import fetch
from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["TOGETHER", "WIDTH", "normalize", "project", "row_product", "scan", "scan_compact"]

# Items in a block: 4096 float32 sums are 16 KiB, half of a first-level cache.
_BLOCK = 4096
WIDTH = (
    64  # items in a block of a compact table: their sums stay in registers, and it is read in order
)


TOGETHER = 16  # items that are projected together: a row of the table gets a cache line of them
_AHEAD = 2  # blocks by which a compact table is fetched ahead: 1 is too few, 8 no better [measured]
_LINE = 32  # numbers of 16 bits in a cache line
_ROWS_AHEAD, _FLOATS = 32, 16  # rows by which a map is fetched ahead; float32 in a cache line


@njit(**KERNEL)
def row_product(x: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Compute ``x @ matrix``, row by row, in order of p.

    Rows are fetched ahead: 3,200 of 64 numbers that are in no cache take 20 us, without it 32 [measured].

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
    n_whole, r = len(x) - len(x) % 4, matrix.shape[1]
    flat = matrix.reshape(-1)
    for i in range(0, n_whole, 4):
        # four rows a pass: `out` is loaded and stored a quarter as often
        after = (i + _ROWS_AHEAD) * r
        for line in range(after, min(after + 4 * r, len(flat)), _FLOATS):
            fetch(flat, line)
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
    total : array of shape (TOGETHER * r,), float64
        Scratch.
    out : array of shape (r, V)
        Written.
    """
    n_items, n_dims = vectors.shape
    r, n_whole = basis.shape[1], n_dims - n_dims % 4
    for start in range(0, n_items, TOGETHER):
        n = min(TOGETHER, n_items - start)
        total[:] = 0.0
        # four rows of the basis are in the nearest cache while several items need them
        for d in range(0, n_whole, 4):
            b0, b1, b2, b3 = basis[d], basis[d + 1], basis[d + 2], basis[d + 3]
            for k in range(n):
                its, sums = vectors[start + k], total[k * r : (k + 1) * r]
                x0, x1 = np.float64(its[d]), np.float64(its[d + 1])
                x2, x3 = np.float64(its[d + 2]), np.float64(its[d + 3])
                for j in range(r):
                    sums[j] = (((sums[j] + x0 * b0[j]) + x1 * b1[j]) + x2 * b2[j]) + x3 * b3[j]
        for d in range(n_whole, n_dims):
            row = basis[d]
            for k in range(n):
                value, sums = np.float64(vectors[start + k, d]), total[k * r : (k + 1) * r]
                for j in range(r):
                    sums[j] += value * row[j]
        for j in range(r):
            for k in range(n):
                out[j, start + k] = total[k * r + j]


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


@njit(**KERNEL)
def scan_compact(query: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Compute the product of a vector with whole numbers of 16 bits, in float32.

    Memory is read in order, and half of the bytes of float32. The blocks after the next are fetched
    meanwhile: 24,000 items of 64 numbers that are in no cache take 81 us, without it 163, and to
    read them alone 67 [measured].

    Parameters
    ----------
    query : array of shape (r,), float32
        Vector, times the unit of each row of the table; r is a multiple of 8.
    table : array of shape (n_blocks, r, WIDTH), int16
        Blocks of `WIDTH` items.
    out : array of shape (n_blocks * WIDTH,), float32
        Written.
    """
    flat, size = table.reshape(-1), len(query) * WIDTH
    for b in range(len(table)):
        block, total = table[b], out[b * WIDTH : b * WIDTH + WIDTH]
        after = min(b + _AHEAD, len(table) - 1) * size
        for v in range(WIDTH):
            total[v] = np.float32(0.0)
        for i in range(0, len(query), 8):
            for line in range(0, 8 * WIDTH, _LINE):
                fetch(flat, after + i * WIDTH + line)
            q0, q1, q2, q3 = query[i], query[i + 1], query[i + 2], query[i + 3]
            q4, q5, q6, q7 = query[i + 4], query[i + 5], query[i + 6], query[i + 7]
            t0, t1, t2, t3 = block[i], block[i + 1], block[i + 2], block[i + 3]
            t4, t5, t6, t7 = block[i + 4], block[i + 5], block[i + 6], block[i + 7]
            for v in range(WIDTH):
                s = total[v] + q0 * np.float32(t0[v])
                s = s + q1 * np.float32(t1[v])
                s = s + q2 * np.float32(t2[v])
                s = s + q3 * np.float32(t3[v])
                s = s + q4 * np.float32(t4[v])
                s = s + q5 * np.float32(t5[v])
                s = s + q6 * np.float32(t6[v])
                total[v] = s + q7 * np.float32(t7[v])
