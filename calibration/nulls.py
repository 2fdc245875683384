"""Permutation tests: the scores to expect if brain and words are unrelated.

Repeat the whole procedure with permuted labels, and never assume a chance level: with groups held
out, noise scores below the textbook value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["NullTest", "permutation_p", "permute_labels"]


class NullTest(NamedTuple):
    """A statistic beside its values under permuted labels."""

    observed: float
    p: float  # (b + 1) / (m + 1), b of m permutations at least as high
    null: np.ndarray  # (n_permutations,)


def permute_labels(
    labels: np.ndarray, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Permute labels, over all items or within each group.

    Permute within groups (runs, blocks) whose label frequencies differ: slow drift of signal and
    labels together would otherwise count as decoding.

    Parameters
    ----------
    labels : array of shape (n,)
    rng : numpy.random.Generator
    groups : array of shape (n,), optional
        Permute only within each of these.

    Returns
    -------
    array of shape (n,)
        A permuted copy.

    Raises
    ------
    ValueError
        If there is not one group per label.
    """
    labels = np.asarray(labels)
    if groups is None:
        return rng.permutation(labels)
    groups = np.asarray(groups)
    if groups.shape != labels.shape[:1]:
        raise ValueError(f"need a group for each of {len(labels)} labels, got {groups.shape}")
    permuted = labels.copy()
    for group in np.unique(groups):
        where = np.flatnonzero(groups == group)
        permuted[where] = labels[rng.permutation(where)]
    return permuted


def permutation_p(
    statistic: Callable[[np.ndarray], float],
    labels: np.ndarray,
    n_permutations: int = 999,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> NullTest:
    """Test a statistic of labels against label permutation; higher is better.

    Parameters
    ----------
    statistic : callable
        Takes labels of shape (n,), returns a float. It must repeat every step that uses labels.
    labels : array of shape (n,)
    n_permutations : int
        The smallest p is ``1 / (n_permutations + 1)``.
    seed : int
    groups : array of shape (n,), optional
        Permute only within each of these.

    Returns
    -------
    NullTest

    Raises
    ------
    ValueError
        If `n_permutations` is below 1, or there is not one group per label.

    References
    ----------
    Phipson, Smyth 2010, doi:10.2202/1544-6115.1585 (why p is never 0)
    """
    if n_permutations < 1:
        raise ValueError(f"need at least 1 permutation, got {n_permutations}")
    rng = np.random.default_rng(seed)
    observed = statistic(labels)
    null = np.array([statistic(permute_labels(labels, rng, groups)) for _ in range(n_permutations)])
    return NullTest(observed, float((np.sum(null >= observed) + 1) / (n_permutations + 1)), null)
