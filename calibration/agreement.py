"""Score predictions of brain samples, within held-out folds: drift between folds is no effect."""

from __future__ import annotations

import numpy as np

__all__ = ["correlations", "explained", "fold_centred", "fold_scores"]

_ROUNDING = 1e-12  # of their size, below which values do not vary


def fold_centred(
    predicted: np.ndarray, truth: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre predictions and truth in each fold, so that drift between folds is no effect.

    Parameters
    ----------
    predicted, truth : array of shape (n, c, t)
    fold : array of shape (n,), int

    Returns
    -------
    predicted, truth : array of shape (n, c, t)
        Deviations from their mean in the fold.
    """
    centred = predicted.copy(), np.array(truth, float)
    for one in np.unique(fold):
        rows = fold == one
        for array in centred:
            array[rows] -= array[rows].mean(axis=0)
    return centred


def fold_scores(
    predicted: np.ndarray, truth: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Standardise predictions and truth in each fold: maps of other folds have another scale.

    Parameters
    ----------
    predicted, truth : array of shape (n, c, t)
    fold : array of shape (n,), int

    Returns
    -------
    predicted, truth : array of shape (n, c, t)
        With mean 0 and variance 1 in each fold; 0 where they are constant.
    """
    scored = predicted.copy(), np.array(truth, float)
    for one in np.unique(fold):
        rows = fold == one
        for array in scored:
            part = array[rows]
            size = np.abs(part).max(axis=0)
            part -= part.mean(axis=0)
            spread = np.sqrt(np.einsum("nct,nct->ct", part, part) / len(part))
            varies = spread > _ROUNDING * size
            array[rows] = np.divide(part, spread, out=np.zeros_like(part), where=varies)
    return scored


def correlations(predicted: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Correlate predictions and truth within each fold, and average over events.

    Parameters
    ----------
    predicted, truth : array of shape (n, c, t)
    fold : array of shape (n,), int

    Returns
    -------
    array of shape (c, t)
        Pearson r; 0 where one of them is constant.
    """
    predicted, truth = fold_scores(predicted, truth, fold)
    return np.einsum("nct,nct->ct", predicted, truth) / len(truth)


def explained(predicted: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Share of the variance within folds that is explained, R squared; below 0 where it is worse.

    Parameters
    ----------
    predicted, truth : array of shape (n, c, t)
    fold : array of shape (n,), int

    Returns
    -------
    array of shape (c, t)
        0 where the truth is constant.
    """
    predicted, truth = fold_centred(predicted, truth, fold)
    whole = np.einsum("nct,nct->ct", truth, truth)
    predicted -= truth
    left = np.einsum("nct,nct->ct", predicted, predicted)
    return np.divide(whole - left, whole, out=np.zeros_like(whole), where=whole > 0)
