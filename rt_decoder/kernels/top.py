"""Kernels that find the largest values, and compute those exactly that may be among them."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["exact_score", "next_above", "top_exactly", "top_k"]

_WIDTH = 64  # values to look at together


@njit(**KERNEL)
def top_k(values: np.ndarray, indices: np.ndarray, best: np.ndarray) -> None:
    """Find the k largest values: best first, ties by lower index, NaN last.

    Parameters
    ----------
    values : array of shape (V,)
        Scores.
    indices : array of shape (k,), int
        Written: where the largest values are; k <= V.
    best : array of shape (k,)
        Written: the largest values.
    """
    k = len(indices)
    count = 0
    for start in range(0, len(values), _WIDTH):
        stop = min(len(values), start + _WIDTH)
        if count == k:
            # counting vectorizes where a search for the maximum does not
            part, least = values[start:stop], best[k - 1]
            n_above = 0
            for v in range(len(part)):
                n_above += part[v] > least
            if n_above == 0:
                continue
        for v in range(start, stop):
            value = values[v]
            if math.isnan(value):
                value = -np.inf
            if count < k:
                count += 1
            elif not value > best[k - 1]:
                continue
            at = count - 1
            while at > 0 and value > best[at - 1]:
                best[at] = best[at - 1]
                indices[at] = indices[at - 1]
                at -= 1
            best[at] = value
            indices[at] = v


@njit(**KERNEL)
def exact_score(query: np.ndarray, row: np.ndarray) -> float:
    """Compute the product of `row` (r,) with the first r elements of `query`, in float64."""
    total = 0.0
    for i in range(len(row)):
        total += np.float64(query[i]) * np.float64(row[i])
    return total


@njit(**KERNEL)
def next_above(values: np.ndarray, limit: float, start: int, stop: int) -> int:
    """Find the next value that is large enough.

    Parameters
    ----------
    values : array of shape (V,)
        Where to look.
    limit : float
        Least value to be found.
    start, stop : int
        First place to look at, and the one after the last.

    Returns
    -------
    int
        Its place; `stop` if there is none.
    """
    v = start
    while v < stop:
        end = min(stop, v + _WIDTH)
        n_above = 0
        for j in range(v, end):  # counting vectorizes where a search does not
            n_above += values[j] >= limit
        if n_above != 0:
            for j in range(v, end):
                if values[j] >= limit:
                    return j
        v = end
    return stop


@njit(**KERNEL)
def top_exactly(
    scores: np.ndarray, query: np.ndarray, rows: np.ndarray, slack: float,
    indices: np.ndarray, best: np.ndarray,
) -> None:  # fmt: skip
    """Compute those scores again that may be among the k largest, and find these.

    Parameters
    ----------
    scores : array of shape (V,)
        Off by at most `slack`; those that may be among the largest are written.
    query : array of shape (m,)
        Prediction, in its first r elements.
    rows : array of shape (V, r)
        Exact coordinates.
    slack : float
        Bound of the error.
    indices, best : arrays of shape (k,)
        Of `top_k`; written again.
    """
    limit = best[len(best) - 1] - 2.0 * slack
    v = next_above(scores, limit, 0, len(scores))
    while v < len(scores):
        scores[v] = exact_score(query, rows[v])
        v = next_above(scores, limit, v + 1, len(scores))
    top_k(scores, indices, best)
