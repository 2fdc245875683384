r"""Compute the matrix that whitens features, by a shrunk covariance.

.. math:: W = (S + \lambda \, \bar s \, I)^{-1/2}, \qquad \bar s = \mathrm{trace}(S) / p

Features whitened by their own covariance lie in a space that people, caps and days share, whatever
mixes the channels. Calibration folds W into the map; a session that adapts computes it anew.
"""

from __future__ import annotations

import numpy as np

__all__ = ["whitener"]


def whitener(covariance: np.ndarray, shrink: float) -> np.ndarray:
    """Compute the symmetric inverse square root of a covariance plus a multiple of its mean variance.

    Computed in float64 by one eigendecomposition, so that equal input gives equal bits where the
    library and its number of threads are the same. The whitened features ``x @ W`` do not depend on
    the unit of x. Along a direction of the mean variance, `shrink` 1 whitens to a variance of 1/2;
    a large `shrink` divides all features by one number.

    Parameters
    ----------
    covariance : array of shape (p, p)
        Symmetric, positive semidefinite; of fewer events than features, or with constant
        features, it may be singular.
    shrink : float
        Multiple of the mean variance added to every variance, above 0.

    Returns
    -------
    array of shape (p, p), float64
        Symmetric, positive definite.

    Raises
    ------
    ValueError
        If `covariance` is not square, not finite or without any variance, or `shrink` is not
        above 0.

    References
    ----------
    Kessy, Lewin, Strimmer 2018, doi:10.1080/00031305.2016.1277159 (ZCA whitening)

    Examples
    --------
    >>> whitener(np.diag([3.0, 1.0]), shrink=0.5)
    array([[0.5       , 0.        ],
           [0.        , 0.70710678]])
    """
    S = np.asarray(covariance, np.float64)
    if S.ndim != 2 or S.shape[0] != S.shape[1] or S.size == 0:
        raise ValueError(f"need a square covariance, got shape {S.shape}")
    if not np.isfinite(S).all():
        raise ValueError("need a finite covariance, got NaN or infinity; drop those events")
    if not (np.isfinite(shrink) and shrink > 0):
        raise ValueError(f"need a finite shrink above 0, got {shrink}")
    mean = np.trace(S) / len(S)
    if not mean > 0:
        raise ValueError("need features that vary, got a covariance without variance")
    # In units of the mean variance, so that tiny units neither overflow nor vanish.
    variances, directions = np.linalg.eigh((S + S.T) / (2 * mean))
    root = directions * (variances.clip(0) + shrink) ** -0.25
    return np.asarray(root @ root.T / np.sqrt(mean))
