r"""Patterns: where and when the brain carries what a decoder reads.

The weights of a decoder also cancel noise and are no map of the brain. Its patterns are

.. math:: A = \Sigma_x W \Sigma_{\hat s}^{-1}, \qquad \hat s = x W ,

which is what features do, on average, when a decoded dimension goes up by 1. An encoding map is a
pattern already: it predicts the brain. Patterns are for drawing; how sure they are, r and p say.

References
----------
Haufe et al 2014, doi:10.1016/j.neuroimage.2013.10.067.
"""

from __future__ import annotations

import numpy as np

from calibration.agreement import explained
from calibration.gram import RidgeGram
from calibration.nested import Split, joined_groups
from calibration.ridge import alphas_default
from calibration.ridge_checks import checked
from calibration.splits import leave_group_out
from rt_decoder.model import Model

__all__ = ["decoder_patterns", "encoding_patterns", "haufe_patterns", "strength"]


def haufe_patterns(covariance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Turn weights into patterns.

    Parameters
    ----------
    covariance : array of shape (p, p)
        Of the features that the weights are applied to.
    weights : array of shape (p, k)
        Of k decoded dimensions.

    Returns
    -------
    array of shape (p, k), float64
        Change of each feature for a change of 1 of a decoded dimension, the others held. Dimensions
        that never vary have the pattern 0.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is not finite.

    Examples
    --------
    >>> haufe_patterns(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [-1.0]])).ravel()
    array([1., 0.])
    """
    covariance, weights = checked(covariance, "covariance"), checked(weights, "weights")
    if covariance.shape != (len(weights), len(weights)):
        raise ValueError(
            f"need a covariance of {len(weights)} features as the weights, got {covariance.shape}"
        )
    shared = covariance @ weights
    return shared @ np.linalg.pinv(weights.T @ shared, hermitian=True)


def decoder_patterns(model: Model, X: np.ndarray | None = None) -> np.ndarray:
    """Patterns of a model's map, in units of the signal.

    Parameters
    ----------
    model : Model
        With a map.
    X : array of shape (n, p) or None
        Scaled features, for a model that stores no covariance.

    Returns
    -------
    array of shape (c, t, r), float64
        Channels, bins of the window, directions of the map; for features of kind "bandpower" t is
        bins and bands.

    Raises
    ------
    ValueError
        If the model has no map, or no covariance and there are no features.
    """
    if not model.has_map:
        raise ValueError("need a model with a map, got one that only cleans")
    covariance = model.covariance
    if X is not None:
        covariance = np.cov(X, rowvar=False)
    elif not covariance.size:
        raise ValueError("need features of events, got none, and the model stores no covariance")
    patterns = haufe_patterns(covariance, model.weights) * model.scale[:, None]
    return _by_channel(model, patterns)


def _by_channel(model: Model, patterns: np.ndarray) -> np.ndarray:
    """Shape features (p, r) to channels, bins, directions; channels of a band lie together."""
    n = model.n_picks
    return patterns.reshape(-1, n, patterns.shape[1]).transpose(1, 0, 2)


def encoding_patterns(X: np.ndarray, Y: np.ndarray, split: Split) -> np.ndarray:
    """Fit the encoding map on all events, each channel with the penalty that explains most held out.

    Parameters
    ----------
    X : array of shape (n, D)
        Vectors.
    Y : array of shape (n, c, t)
        Brain samples.
    split : Split
        How events are held out for the choice.

    Returns
    -------
    array of shape (D, c, t), float64
        Change of each brain sample for a change of 1 of a dimension, the others held. It is shrunk
        as the penalty shrinks it.

    Raises
    ------
    ValueError
        If the tables do not match, vectors do not vary, or there are fewer than three groups.
    """
    fold = joined_groups(split.groups, split.onsets)
    folds = leave_group_out(fold, split.onsets, split.purge)
    gram, flat, grid = RidgeGram(X), Y.reshape(len(Y), -1), alphas_default(X)
    sweep = gram.sweep(flat, folds, grid, centred=True)
    scores = [explained(found.reshape(Y.shape), Y, fold).mean(axis=1) for found in sweep]
    alphas = grid[np.argmax(scores, axis=0)]
    patterns = np.empty((X.shape[1], *Y.shape[1:]))
    for alpha in np.unique(alphas):
        here = alphas == alpha
        W, _ = gram.coef(Y[:, here].reshape(len(Y), -1), float(alpha))
        patterns[:, here] = W.reshape(len(W), -1, Y.shape[2])
    return patterns


def strength(patterns: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Standard deviation over events of what encoding patterns predict, for one map of the head.

    Parameters
    ----------
    patterns : array of shape (D, c, t)
    X : array of shape (n, D)

    Returns
    -------
    array of shape (c, t)
    """
    flat = patterns.reshape(len(patterns), -1)
    return (X @ flat).std(axis=0).reshape(patterns.shape[1:])
