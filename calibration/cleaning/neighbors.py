"""Choose the channels that predict another, and the weights, from second moments or positions."""

from __future__ import annotations

import numpy as np

__all__ = ["pick_neighbors", "solve_ridge", "spline_weights"]


def pick_neighbors(
    moments: np.ndarray, channel: int, usable: np.ndarray, k: int, alpha: float
) -> np.ndarray:
    """Choose, one after the other, the `k` usable channels that together predict `channel` best.

    Orthogonal matching pursuit on second moments, with a ridge. Each pick costs one sweep, so 306
    channels take a fraction of a second.

    Parameters
    ----------
    moments : array of shape (c, c), float64
        Second moments, not centred.
    channel : int
        Column to predict.
    usable : array of shape (c,), bool
        Columns to choose from; `channel` itself is never chosen.
    k : int
        Number of channels to choose.
    alpha : float
        Ridge, as a share of each channel's variance.

    Returns
    -------
    array of shape (k,), int64
        Columns, the best first.
    """
    ridge = alpha * np.diag(moments)
    left = np.diag(moments) + ridge  # variance of each channel that the picks do not explain
    shared = moments[:, channel].copy()  # of that, what each shares with `channel`
    swept = np.zeros((k, len(moments)))
    free = usable.copy()
    free[channel] = False
    picks = np.empty(k, np.int64)
    for s in range(k):
        gain = np.where(free, shared**2 / np.maximum(left, 1e-9 * (ridge + 1e-300)), -1.0)
        j = int(np.argmax(gain))
        row = moments[j] - swept[:s, j] @ swept[:s]
        row[j] += ridge[j]
        row /= np.sqrt(row[j])
        shared -= row * shared[j] / np.sqrt(left[j])
        left -= row**2
        swept[s], picks[s], free[j] = row, j, False
    return picks


def solve_ridge(moments: np.ndarray, channel: int, picks: np.ndarray, alpha: float) -> np.ndarray:
    """Fit the weights that predict `channel` from `picks`.

    Parameters
    ----------
    moments : array of shape (c, c), float64
        Second moments, not centred.
    channel : int
        Column to predict.
    picks : array of shape (k,), int64
        Columns that predict it.
    alpha : float
        Ridge, as a share of each channel's variance.

    Returns
    -------
    array of shape (k,), float64
    """
    inside = moments[np.ix_(picks, picks)]
    inside = inside + np.diag(alpha * np.diag(inside))
    return np.linalg.solve(inside, moments[picks, channel])


def spline_weights(
    positions: np.ndarray, channel: int, usable: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest usable channels, and the weights of a biharmonic spline through them.

    The spline is that of three dimensions, whose Green's function is the distance, so no sphere has
    to be fitted to the head.

    Parameters
    ----------
    positions : array of shape (c, 3), float64
        Sensor positions in m.
    channel : int
        Column to predict.
    usable : array of shape (c,), bool
        Columns to choose from; `channel` itself is never chosen.
    k : int
        Number of channels to choose.

    Returns
    -------
    picks : array of shape (k,), int64
        Columns, the nearest first.
    weights : array of shape (k,), float64
        They sum to 1.

    References
    ----------
    .. [1] Sandwell (1987), biharmonic spline interpolation, doi:10.1029/GL014i002p00139
    """
    distance = np.linalg.norm(positions - positions[channel], axis=1)
    distance[~usable] = np.inf
    distance[channel] = np.inf
    picks = np.argsort(distance, kind="stable")[:k]
    near = positions[picks]
    system = np.ones((k + 1, k + 1))
    system[:k, :k] = -np.linalg.norm(near[:, None] - near[None], axis=2)
    system[:k, :k] += 1e-3 * np.mean(distance[picks]) * np.eye(k)  # for two sensors in one place
    system[k, k] = 0.0
    right = np.append(-distance[picks], 1.0)
    return picks, np.linalg.solve(system, right)[:k]
