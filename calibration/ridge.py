"""Choose the penalty of the ridge map, and factor the map to a lower rank.

`gram.RidgeGram` fits. This module knows nothing of words; scores are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.gram import RidgeGram
from calibration.ridge_checks import checked
from calibration.rough import maybe_best
from calibration.splits import Fold

__all__ = [
    "AlphaChoice",
    "RidgeGram",
    "alphas_default",
    "alphas_of",
    "likeliest",
    "low_rank",
    "select_alpha",
    "signed",
]

_DECADES = 1.0  # standard deviation of log10(alpha) about the middle of those tried


class AlphaChoice(NamedTuple):
    """The alpha that scored best out of fold."""

    alpha: float
    predictions: np.ndarray  # (n, n_targets) out of fold at `alpha`, centred
    alphas: np.ndarray  # (n_alphas,) all that were tried, ascending
    scores: np.ndarray  # (n_alphas,) higher is better; NaN where float32 told that it is lower


def alphas_default(X: np.ndarray, n_alphas: int = 15) -> np.ndarray:
    """Log grid from 1e-3 to 1e4 times the mean nonzero eigenvalue of the centred Gram matrix.

    Such alphas shrink equally for volts and microvolts, for 100 items and 10,000.

    Parameters
    ----------
    X : array of shape (n, p)
        Training features.
    n_alphas : int

    Returns
    -------
    array of shape (n_alphas,), float64
        Ascending.

    Raises
    ------
    ValueError
        If the features are constant, not finite or not 2-D.
    """
    X = checked(X, "X")
    return alphas_of(X.var(axis=0).sum(), X.shape, n_alphas)


def alphas_of(variance: float, shape: tuple[int, int], n_alphas: int = 15) -> np.ndarray:
    """Return the grid of `alphas_default` for features of known variance.

    Parameters
    ----------
    variance : float
        Of all features together.
    shape : (int, int)
        Items and features.
    n_alphas : int

    Returns
    -------
    array of shape (n_alphas,), float64
        Ascending.

    Raises
    ------
    ValueError
        If the features are constant.
    """
    n, p = shape
    scale = variance * n / min(n - 1, p) if n > 1 else 0.0
    if not scale > 0:
        raise ValueError("need features that vary over items, got constant ones")
    return scale * np.logspace(-3, 4, n_alphas)


def likeliest(alphas: np.ndarray, bits: np.ndarray) -> int:
    """Choose an alpha by what all events tell, and how far it is from the middle of those tried.

    The evidence of a few hundred events is flat and noisy over alphas, and its maximum often an
    accident. So log10(alpha) has a normal prior about the middle, with a standard deviation of one;
    an alpha at the end of the default ones needs 9 bits more than the middle one.

    Parameters
    ----------
    alphas : array of shape (n_alphas,)
        Above 0.
    bits : array of shape (n_alphas,)
        Log likelihood of all events, to the base 2.

    Returns
    -------
    int
        Number of the alpha.
    """
    decades = np.log10(alphas)
    away = (decades - (decades.min() + decades.max()) / 2) / _DECADES
    return int(np.argmax(np.log(2) * bits - away**2 / 2))


def select_alpha(
    gram: RidgeGram,
    Y: np.ndarray,
    folds: Sequence[Fold],
    alphas: Sequence[float] | np.ndarray,
    score: Callable[[np.ndarray], float],
    cross: np.ndarray | None = None,
    every: bool = False,
) -> AlphaChoice:
    """Choose the alpha with the best out-of-fold score; of a tie, the middle one.

    All alphas are scored in float32 first, and those that it cannot tell from the best exactly: all,
    if they are many, if an alpha is small against the largest eigenvalue, or if float32 turns out
    to be further from the exact score than expected.

    Score what the readout uses, for example with
    ``lambda y: fit_posterior(cosine(y, items), truth).bits_per_word``; without signal that is 0 for
    every alpha, a tie. Do not use the squared error: with little signal it favours so much
    shrinkage that the ranking of items is lost.

    Parameters
    ----------
    gram : RidgeGram
        Of the training features.
    Y : array of shape (n, n_targets)
    folds : sequence of (train, test)
        As from `splits.leave_group_out`.
    alphas : sequence of float or array of shape (n_alphas,)
        Penalties, above 0, in any order.
    score : callable
        Takes centred out-of-fold predictions (n, n_targets), returns a float; higher is better.
    cross : array of shape (p, n_targets) or None
        Other people's cross products, for a `gram` with a prior.
    every : bool
        Score every alpha exactly.

    Returns
    -------
    AlphaChoice
        Nothing of it comes from float32.

    Raises
    ------
    ValueError
        If there is no alpha, or a score is not finite.
    """
    grid = np.sort(np.asarray(alphas, float))
    if not len(grid):
        raise ValueError("need at least one alpha, got none")
    numbers = np.arange(len(grid))
    near, wrong = numbers, False
    if not every:
        near, told, doubt = maybe_best(gram, Y, folds, grid, score, cross)
    scores, kept = _scored(gram, Y, folds, grid, near, score, cross)
    if len(near) < len(grid):
        wrong = bool(np.any(np.abs(scores - told)[near] > doubt[near]))
    if wrong:
        scores, kept = _scored(gram, Y, folds, grid, numbers, score, cross)
    best = np.flatnonzero(scores == np.nanmax(scores))
    alpha = float(grid[best[len(best) // 2]])
    if len(best) > 1:
        kept = gram.out_of_fold(Y, folds, alpha, True, cross)
    return AlphaChoice(alpha, kept, grid, scores)


def _scored(
    gram: RidgeGram,
    Y: np.ndarray,
    folds: Sequence[Fold],
    grid: np.ndarray,
    which: np.ndarray,
    score: Callable[[np.ndarray], float],
    cross: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score some alphas (n_alphas,), NaN for others, and keep the best predictions."""
    scores, kept = np.full(len(grid), np.nan), np.empty(0)
    sweep = gram.sweep(Y, folds, grid[which], True, cross)
    for k, predictions in zip(which, sweep, strict=True):
        scores[k] = score(predictions)
        if not np.isfinite(scores[k]):
            raise ValueError("need a finite score at every alpha, got NaN or infinity")
        if scores[k] == np.nanmax(scores):
            kept = predictions
    return scores, kept


def low_rank(
    W: np.ndarray,
    X: np.ndarray,
    alpha: float = 0.0,
    rank: int | None = None,
    prior: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Factor a ridge map as ``A @ B``, which keeps its predictions rather than its coefficients.

    The best rank-r map in the ridge criterion projects W on the leading right singular vectors
    of the predictions ``[X_c W; sqrt(alpha) W]`` (reduced-rank ridge); a prior counts as more rows
    of features. A plain SVD of W would rank
    directions by the size of their weights, which are largest where features are smallest.

    Parameters
    ----------
    W : array of shape (p, n_targets)
    X : array of shape (n, p)
        Training features.
    alpha : float
        Penalty that W was fitted with.
    rank : int, optional
        1 to min(p, n_targets), the default, with which ``A @ B`` is W itself.
    prior : array of shape (p, p) or None
        Gram matrix of other people that W was fitted with.

    Returns
    -------
    A : array of shape (p, rank), float64
    B : array of shape (rank, n_targets), float64
        Orthonormal rows, strongest first.

    Raises
    ------
    ValueError
        If `rank` is out of range, or `W` or `X` is not finite or not 2-D.

    References
    ----------
    Mukherjee, Zhu 2011, doi:10.1002/sam.10138
    """
    W, X = checked(W, "W"), checked(X, "X")
    full = min(W.shape)
    rank = full if rank is None else rank
    if not 1 <= rank <= full:
        raise ValueError(f"need a rank from 1 to {full}, got {rank}")
    stacked = np.vstack([(X - X.mean(axis=0)) @ W, np.sqrt(alpha) * W])
    if prior is not None:
        w, v = np.linalg.eigh(prior)
        stacked = np.vstack([stacked, np.sqrt(w.clip(0))[:, None] * (v.T @ W)])
    _, _, directions = np.linalg.svd(np.linalg.qr(stacked, mode="r"), full_matrices=False)
    B = directions[:rank]
    return W @ B.T, B


def signed(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn the signs of a factored map so that the largest entry of each row of B is positive.

    Signs of singular vectors are an accident of rounding; the map ``A @ B`` stays as it is.

    Parameters
    ----------
    A : array of shape (p, rank)
    B : array of shape (rank, n_targets)

    Returns
    -------
    A : array of shape (p, rank)
    B : array of shape (rank, n_targets)
    """
    largest = np.take_along_axis(B, np.abs(B).argmax(axis=1)[:, None], axis=1)
    signs = np.where(largest < 0, -1.0, 1.0)
    return A * signs.T, B * signs
