r"""Tell in float32 which penalties may be the best, in a third of the time of telling it exactly.

Three things make it fast: decomposition and sweep in float32, and mixtures. A prediction is a sum of
parts, each shrunk by :math:`w / (w + \alpha)` with an eigenvalue w; functions of w for twenty penalties
are mixtures of a dozen of them. By interlacing that holds for the fits without a block, too.

Nothing of it is reported: penalties that it cannot tell from the best are to be compared exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.linalg import qr

from calibration.gram import FEW_ALPHAS, RidgeGram
from calibration.splits import Fold

__all__ = ["maybe_best", "mixture"]

_MIXED = 3e-6  # error of a mixture, of the largest prediction at its penalty
_DOUBT = 1e-3  # of the range of scores, which rounding and mixing do not reach
_AMPLIFIED = 10.0  # by which an error of predictions may be larger as a share of that range
_JUMPS = 3  # of a score that counts ranks, some of which rounding may exchange
_ROUNDING = 1e-7  # of the range, in the score itself
_LEAST = 256  # size of the Gram matrix, below which float64 is quick
_MOST = 0.05  # error from which on float32 is not tried


def maybe_best(
    ridge: RidgeGram,
    Y: np.ndarray,
    folds: Sequence[Fold],
    alphas: np.ndarray,
    score: Callable[[np.ndarray], float],
    cross: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score all penalties roughly, and list those that may be the best.

    Parameters
    ----------
    ridge : RidgeGram
    Y : array of shape (n, n_targets)
    folds : sequence of (train, test)
    alphas : array of shape (n_alphas,)
        Ascending, above 0.
    score : callable
        As for `ridge.select_alpha`.
    cross : array of shape (p, n_targets) or None

    Returns
    -------
    near : array of shape (m,), int
        Numbers of the penalties that may be the best, the likeliest last; all, where float32 cannot
        tell a few.
    scores : array of shape (n_alphas,)
        Rough; NaN where float32 was not tried.
    doubt : array of shape (n_alphas,)
        Largest error of `scores` to be expected.
    """
    every, unknown = np.arange(len(alphas)), np.full(len(alphas), np.nan)
    small = min(ridge.n, ridge.p) < _LEAST
    if small or not ridge.scale > 0 or not np.ptp(Y, axis=0).any():
        return every, unknown, unknown
    rough = ridge.in_float32()
    shares = alphas / ridge.scale / float(rough.eigenvalues.max())
    errors = np.finfo(np.float32).eps * (1 / shares + shares)
    if not errors.max() < _MOST:
        return every, unknown, unknown
    few, weights = mixture(shares)
    sweep = _mixed(rough, Y, folds, alphas[few] / ridge.scale, weights, cross)
    scores = np.array([score(predictions) for predictions in sweep])
    doubt = np.maximum(_DOUBT, _AMPLIFIED * errors) * np.ptp(scores) + _JUMPS * _jump(scores)
    near = np.flatnonzero(~(scores + doubt < (scores - doubt).max()))
    near = near[np.argsort(scores[near], kind="stable")]
    return near if len(near) <= FEW_ALPHAS else every, scores, doubt


def mixture(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find a few penalties of whose predictions those at all penalties are mixtures.

    Parameters
    ----------
    shares : array of shape (n_alphas,)
        Penalties over the largest eigenvalue.

    Returns
    -------
    few : array of shape (m,), int
        Numbers of the penalties.
    weights : array of shape (m, n_alphas)
    """
    w = np.logspace(-7, 0, 300)[:, None]
    table = w / (w + shares)
    highest = table[-1]
    table = table / highest
    R, order = qr(table, mode="r", pivoting=True)
    size = np.abs(np.diag(R))
    few = order[: int(np.sum(size > _MIXED * size[0]))]
    weights = np.linalg.lstsq(table[:, few], table, rcond=None)[0]
    weights[:, few] = np.eye(len(few))
    return few, weights * (highest / highest[few, None])


def _jump(scores: np.ndarray) -> float:
    """Return the smallest difference of scores that is no rounding."""
    gaps = np.diff(np.sort(scores))
    return float(gaps[gaps > _ROUNDING * np.ptp(scores)].min(initial=np.ptp(scores)))


def _mixed(
    rough: RidgeGram,
    Y: np.ndarray,
    folds: Sequence[Fold],
    alphas: np.ndarray,
    weights: np.ndarray,
    cross: np.ndarray | None,
) -> Iterator[np.ndarray]:
    """Yield centred predictions (n, n_targets), mixed of those at a few penalties."""
    size = float(np.abs(Y - Y.mean(axis=0)).max())
    others = None if cross is None else cross / (rough.scale**0.5 * size)
    kept = np.empty((len(alphas), *Y.shape), np.float32)
    for k, predictions in enumerate(rough.sweep(Y / size, folds, alphas, True, others)):
        kept[k] = predictions
    for column in weights.T.astype(np.float32):
        used = np.flatnonzero(column)
        one = kept[used[0]] if len(used) == 1 else np.tensordot(column, kept, 1)
        yield size * one.astype(float)
