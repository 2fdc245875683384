"""Who predicts a channel, and by which weights: from second moments or from positions."""

from __future__ import annotations

import numpy as np

__all__ = ["pick_neighbors", "solve_ridge", "spline_weights"]


def pick_neighbors(
    moments: np.ndarray, channel: int, usable: np.ndarray, k: int, alpha: float
) -> np.ndarray:
    """Greedy choice of the `k` usable channels that together predict `channel` best.

    Orthogonal matching pursuit on second moments (c, c), with a ridge of `alpha` times each
    variance: a sweep a pick, so 306 channels take a fraction of a second.
    """
    ridge = alpha * np.diag(moments)
    left = np.diag(moments) + ridge  # variance of each channel beyond those picked
    shared = moments[:, channel].copy()  # what each still shares with `channel`
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
    """Weights (k,) that predict `channel` from `picks`, with a ridge of `alpha` times variance."""
    inside = moments[np.ix_(picks, picks)]
    inside = inside + np.diag(alpha * np.diag(inside))
    return np.linalg.solve(inside, moments[picks, channel])


def spline_weights(
    positions: np.ndarray, channel: int, usable: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest usable channels and the weights (k,) of a biharmonic spline through them.

    The weights sum to 1. The spline is that of three dimensions, whose Green's function is the
    distance: no sphere has to be fitted to the head.

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
    system[:k, :k] += 1e-3 * np.mean(distance[picks]) * np.eye(k)  # sensors at one place
    system[k, k] = 0.0
    right = np.append(-distance[picks], 1.0)
    return picks, np.linalg.solve(system, right)[:k]
