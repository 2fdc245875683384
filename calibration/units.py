"""Permute and resample events in contiguous units, because neighbours hang together.

As `nulls.matching_test` does for labels, for whatever belongs to an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma

import numpy as np

__all__ = [
    "bootstrap_counts",
    "cut_units",
    "joint_lags",
    "log_arrangements",
    "smallest_p",
    "unit_order",
    "unit_sums",
]

MOST_UNITS = 200  # of a bootstrap
_RELATED = 0.1  # neighbours that correlate less are taken for independent


def joint_lags(X: np.ndarray, Y: np.ndarray) -> int:
    """Measure over how many events words and brain are alike together.

    Both must have a memory to make neighbours dependent: the product of their autocorrelations
    counts.

    Parameters
    ----------
    X : array of shape (n, D)
        Vectors, in order of time.
    Y : array of shape (n, m)
        Brain samples.

    Returns
    -------
    int
        The first lag k - 1 at which the product is below .1; at most n / 4.
    """
    X, Y = (np.asarray(rows, float) - np.mean(rows, axis=0) for rows in (X, Y))
    power = float(np.mean(np.sum(X**2, axis=1)) * np.mean(np.sum(Y**2, axis=1)))
    if not power > 0:
        return 0
    for lag in range(1, len(X) // 4 + 1):
        alike = [np.mean(np.einsum("ij,ij->i", one[lag:], one[:-lag])) for one in (X, Y)]
        if min(alike) < 0 or alike[0] * alike[1] < _RELATED * power:
            return lag - 1
    return len(X) // 4


def cut_units(X: np.ndarray, unit: int, groups: np.ndarray | None = None) -> list[np.ndarray]:
    """Cut events in order of time into units of `unit` events or more, where words are least alike.

    Parameters
    ----------
    X : array of shape (n, D)
        Vectors.
    unit : int
        1 or more.
    groups : array of shape (n,), optional
        Sentence or recording of each event; units are cut between groups where that is possible.

    Returns
    -------
    list of array of shape (n_unit,), int
        Rows of each unit.

    Raises
    ------
    ValueError
        If there are no events, `unit` is below 1, or there is not one group per event.

    Examples
    --------
    >>> [len(rows) for rows in cut_units(np.array([[0.0], [0], [0], [1], [1], [1], [1]]), 2)]
    [3, 2, 2]
    """
    n = len(X)
    if n < 1 or unit < 1 or (groups is not None and len(groups) != n):
        raise ValueError(f"need events, a unit of 1 or more and a group an event, got {n}, {unit}")
    rows = X - np.mean(X, axis=0)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    alike = np.full(n + 1, np.inf)  # of the events on both sides of a cut
    alike[1:n] = np.einsum("ij,ij->i", rows[1:], rows[:-1])
    if groups is not None:
        new = np.flatnonzero(np.asarray(groups)[1:] != np.asarray(groups)[:-1]) + 1
        alike[new] -= 3.0  # cosines span 2
    start, cuts = 0, []
    while n - start >= 2 * unit:
        ends = np.arange(start + unit, min(start + 2 * unit, n - unit + 1))
        start = int(ends[int(np.argmin(alike[ends]))])
        cuts.append(start)
    return np.split(np.arange(n), cuts)


def unit_order(units: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Draw a random order of events: whole units in random order, all rotated.

    Parameters
    ----------
    units : sequence of array of shape (n_unit,), int
        As from `cut_units`.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n,), int
    """
    order = np.concatenate([units[i] for i in rng.permutation(len(units))])
    return order if len(units) == len(order) else np.roll(order, rng.integers(len(order)))


def smallest_p(units: Sequence[np.ndarray], items: np.ndarray, n_permutations: int) -> float:
    """Return the smallest p that so many permutations, and so many different orders, can give.

    Parameters
    ----------
    units : sequence of array of shape (n_unit,), int
        As from `cut_units`.
    items : array of shape (n,), int
        Events of the same item are exchanged without effect.
    n_permutations : int

    Returns
    -------
    float
    """
    kinds = np.array([str(items[rows].tolist()) for rows in units])
    arranged = log_arrangements(items)
    if len(units) < len(items):
        # rotations of the same order of units are counted once
        arranged = min(log_arrangements(kinds) + np.log(len(items) / len(units)), arranged)
    return float(max(1 / (n_permutations + 1), np.exp(-arranged)))


def bootstrap_counts(
    units: Sequence[np.ndarray], n_draws: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw units with replacement, the shortest joined until there are at most 200.

    Parameters
    ----------
    units : sequence of array of shape (n_unit,), int
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    units : list of array of shape (n_unit,), int
    counts : array of shape (n_draws, n_units), float64
        How often each unit was drawn.
    """
    parts = np.array_split(np.arange(len(units)), min(len(units), MOST_UNITS))
    joined = [np.concatenate([units[i] for i in part]) for part in parts]
    n = len(joined)
    return joined, rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(float)


def unit_sums(each: np.ndarray, units: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sum the scores of each unit.

    Parameters
    ----------
    each : array of shape (L, n)
        Score of each event by each of L layers.
    units : sequence of array of shape (n_unit,), int

    Returns
    -------
    sums : array of shape (L, n_units)
    sizes : array of shape (n_units,), float64
        Events of each unit.
    """
    sums = np.stack([each[:, rows].sum(axis=1) for rows in units], axis=1)
    return sums, np.array([len(rows) for rows in units], float)


def log_arrangements(labels: np.ndarray) -> float:
    """Count the different orders of labels.

    Parameters
    ----------
    labels : array of shape (n,)

    Returns
    -------
    float
        Natural logarithm of their number.

    Examples
    --------
    >>> round(float(np.exp(log_arrangements(np.array([1, 1, 2])))))
    3
    """
    counts = np.unique(labels, return_counts=True)[1]
    return lgamma(len(labels) + 1) - sum(lgamma(count + 1) for count in counts)
