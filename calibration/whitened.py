r"""Ridge of whitened features, without held-out rows in the whitening.

A covariance that holds the rows to be predicted knows in which directions their noise goes: where
noise is slow, predictions of these rows are far better than those of new ones. With the covariance
:math:`S` of the n rows that train, whitening and a penalty :math:`\alpha` are another penalty of
the features themselves, so that a block is left out of both at once, exactly:

.. math:: W (W X^\top X W + \alpha I)^{-1} W X^\top Y
    = \frac{1}{1 + \alpha / n} \Big(X^\top X + \frac{\alpha \lambda \bar s}{1 + \alpha / n} I\Big)^{-1}
    X^\top Y, \qquad W = (S + \lambda \bar s I)^{-1/2}

With other people's sums, which live in whitened features, each fold is whitened and fitted anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from calibration.gram import RidgeGram
from calibration.prior import covariance
from calibration.splits import Fold
from rt_decoder.decoding.whitening import whitener

__all__ = ["own_penalty", "own_sweep", "shared_sweep", "total_variance"]


def own_penalty(alpha: float, shrink: float, X: np.ndarray) -> tuple[float, float]:
    """Find the ridge of features that equals one of whitened features.

    Parameters
    ----------
    alpha : float
        Penalty of the whitened features.
    shrink : float
        Of their covariance; 0 if they are not whitened.
    X : array of shape (n, p)
        Features.

    Returns
    -------
    penalty : float
        Of the features.
    factor : float
        By which the targets are multiplied.

    Examples
    --------
    >>> X = np.array([[-2.0], [2.0]])
    >>> own_penalty(2.0, shrink=1.0, X=X)
    (4.0, 0.5)
    >>> own_penalty(2.0, shrink=0.0, X=X)
    (2.0, 1.0)
    """
    if not shrink:
        return alpha, 1.0
    factor = 1 / (1 + alpha / len(X))
    return alpha * shrink * float(X.var(axis=0).mean()) * factor, factor


def total_variance(ridge: RidgeGram, shrink: float) -> float:
    """Sum the variances of whitened features, without whitening them.

    Parameters
    ----------
    ridge : RidgeGram
        Of the features, not whitened, without a prior.
    shrink : float
        Of the covariance; 0 if they are not whitened.

    Returns
    -------
    float
        In squared units of the features, or none if they are whitened.
    """
    variances = ridge.eigenvalues / ridge.n
    if not shrink or not variances.sum() > 0:
        return float(variances.sum())
    return float(np.sum(variances / (variances + shrink * variances.sum() / ridge.p)))


def own_sweep(
    ridge: RidgeGram, X: np.ndarray, Y: np.ndarray, folds: Sequence[Fold],
    alphas: Sequence[float], shrink: float,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Yield out-of-fold predictions of whitened features, for one alpha at a time.

    Parameters
    ----------
    ridge : RidgeGram
        Of the features, not whitened.
    X : array of shape (n, p)
        The features.
    Y : array of shape (n, r)
    folds : sequence of (train, test)
        Together they test every row once.
    alphas : sequence of float
        Penalties of whitened features.
    shrink : float
        Of the covariance; 0 if they are not whitened.

    Yields
    ------
    array of shape (n, r)
        Deviations from the mean target of the rows that trained.
    """
    found = [own_penalty(alpha, shrink, X) for alpha in alphas]
    sweep = ridge.sweep(Y, folds, [penalty for penalty, _ in found], True)
    for (_, factor), predicted in zip(found, sweep, strict=True):
        yield factor * predicted


def shared_sweep(
    X: np.ndarray, Y: np.ndarray, folds: Sequence[Fold], alphas: Sequence[float], shrink: float,
    gram: np.ndarray, cross: np.ndarray,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Yield out-of-fold predictions with other people's sums, for one alpha at a time.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features.
    Y : array of shape (n, r)
    folds : sequence of (train, test)
        Together they test every row once.
    alphas : sequence of float
        Penalties of whitened features.
    shrink : float
        Of the covariance, above 0.
    gram : array of shape (p, p)
    cross : array of shape (p, r)
        Of the others, whitened.

    Yields
    ------
    array of shape (n, r)
        Deviations from the mean target of the rows that trained.
    """
    sweeps = []
    for train, test in folds:
        W = whitener(covariance(X[train]), shrink)
        ridge = RidgeGram(X[train] @ W, prior=gram)
        sweeps.append((test, ridge.sweep_new(X[test] @ W, Y[train], alphas, cross)))
    for _ in alphas:
        predicted = np.empty_like(Y)
        for test, sweep in sweeps:
            predicted[test] = next(sweep)
        yield predicted
