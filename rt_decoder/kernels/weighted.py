"""A source of a few weighted channels, which several kernels follow sample by sample."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["weighted"]


@njit(**KERNEL, inline="always")
def weighted(
    x: np.ndarray,
    bits: np.ndarray,
    picks: np.ndarray,
    weights: np.ndarray,
    blinding: int,
    healing: int,
) -> tuple[float, float]:
    """Compute the value of a source at one sample, and how much of it cannot be believed.

    Parameters
    ----------
    x : array of shape (c,)
        Channels of the sample.
    bits : array of shape (c,), uint32
        Flags of the channels.
    picks : array of shape (n_picks,), int
        Channels of the source.
    weights : array of shape (n_picks,)
        Their weights.
    blinding : int
        Flags that make a channel worthless.
    healing : int
        Flags that undo these.

    Returns
    -------
    value : float
        ``x[picks] @ weights``.
    lost : float
        Sum of the sizes of the weights on worthless channels.
    """
    value, lost = 0.0, 0.0
    for k in range(len(picks)):
        value += weights[k] * x[picks[k]]
        flags = bits[picks[k]]
        if flags & blinding and not flags & healing:
            lost += abs(weights[k])
    return value, lost
