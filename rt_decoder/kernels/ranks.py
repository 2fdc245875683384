"""Kernel of ranks: how many items have a larger cosine than one of them."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["rank_of"]


@njit(**KERNEL)
def rank_of(scores: np.ndarray, place: int) -> float:
    """Count the scores that are larger than one of them; a tie counts half.

    Parameters
    ----------
    scores : array of shape (V,)
        Cosines.
    place : int
        The item.

    Returns
    -------
    float
        0 for the largest; NaN where its score is no number.
    """
    mine = scores[place]
    rank = -0.5
    for v in range(scores.shape[0]):
        if scores[v] > mine:
            rank += 1.0
        elif scores[v] == mine:
            rank += 0.5
    return rank if mine == mine else np.nan
