"""Check what a ridge is given, and tell what each of its folds leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.splits import Fold

__all__ = ["checked", "checked_alpha", "fitting", "held_once", "held_out", "train_means"]


def held_out(train: np.ndarray, test: np.ndarray, n: int) -> tuple[np.ndarray, int]:
    """List the items that a fold does not train on, tested ones first.

    Parameters
    ----------
    train, test : array of shape (n_train,), array of shape (n_test,), int
    n : int
        Items in all.

    Returns
    -------
    items : array of shape (n_left_out,), int
    n_test : int

    Raises
    ------
    ValueError
        If nothing trains, or an item is in both parts.
    """
    seen = np.zeros(n, bool)
    seen[train] = True
    if not seen.any():
        raise ValueError("need training items in every fold, got none")
    if seen[test].any():
        raise ValueError("need folds whose training and test items differ")
    purged = ~seen
    purged[test] = False
    return np.concatenate([test, np.flatnonzero(purged)]), len(test)


def held_once(folds: Sequence[Fold], n: int) -> list[tuple[np.ndarray, int]]:
    """List what every fold leaves out, where together they test each item once.

    Parameters
    ----------
    folds : sequence of (train, test)
    n : int
        Items in all.

    Returns
    -------
    list of (array of shape (n_left_out,), int)
        Of `held_out`.

    Raises
    ------
    ValueError
        If an item is tested never or twice, or as `held_out`.
    """
    held = [held_out(train, test, n) for train, test in folds]
    tested = np.concatenate([block[:n_test] for block, n_test in held])
    if not np.array_equal(np.sort(tested), np.arange(n)):
        raise ValueError(f"need folds that test each of {n} items exactly once")
    return held


def train_means(Y: np.ndarray, held: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Compute the mean target of the training items of the fold that tests each item.

    Parameters
    ----------
    Y : array of shape (n, n_targets)
    held : list of (array of shape (n_left_out,), int)
        Of `held_out`.

    Returns
    -------
    array of shape (n, n_targets)
    """
    means, total = np.empty_like(Y), Y.sum(axis=0)
    for block, n_test in held:
        means[block[:n_test]] = (total - Y[block].sum(axis=0)) / (len(Y) - len(block))
    return means


def checked(array: np.ndarray, name: str) -> np.ndarray:
    """Refuse what is no table of finite numbers.

    Parameters
    ----------
    array : array of shape (n, m)
    name : str
        What to call it.

    Returns
    -------
    array of shape (n, m), float64

    Raises
    ------
    ValueError
        If it is empty, not finite, or has another number of dimensions.
    """
    array = np.asarray(array, np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"need {name} with two dimensions, none empty, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"need finite {name}, got NaN or infinity; drop or repair those items")
    return array


def fitting(array: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    """Refuse a table of another shape.

    Parameters
    ----------
    array : array of shape (n, m)
    shape : (int, int)
    name : str
        What to call it.

    Returns
    -------
    array of shape (n, m), float64

    Raises
    ------
    ValueError
        As `checked`, or if the shape is another.
    """
    array = checked(array, name)
    if array.shape != shape:
        raise ValueError(f"need a {name} of shape {shape}, got {array.shape}")
    return array


def checked_alpha(alpha: float) -> float:
    """Refuse a penalty that is not above 0.

    Parameters
    ----------
    alpha : float

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is not finite and above 0.
    """
    if not (np.isfinite(alpha) and alpha > 0):
        raise ValueError(f"need a finite alpha above 0, got {alpha}")
    return float(alpha)
