"""The kernel that finds the largest values."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["top_k"]


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
    for start in range(0, len(values), 64):
        stop = min(len(values), start + 64)
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
