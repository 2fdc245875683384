r"""Test a map of other people on a person of whom only sums are kept.

A trial of item w is drawn with the mean :math:`\bar x_w` and the covariance
:math:`(1 - 1/n_w) S_{within}`, which the person's real trials have about that mean; an item that came
once gives its real trial back. The map has not seen this person, so that these trials test it as the
real ones would, up to their shape: predictions are sums of hundreds of features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from calibration.transfer import Shared

__all__ = ["ItemTest", "Trials", "draw_trials", "permute_items", "sign_flip_p"]

_MOST_FLIPS = 12  # people, up to which all signs are tried
_N_FLIPS = 9999


class Trials(NamedTuple):
    """Simulated trials of one person, whitened and centred."""

    X: np.ndarray  # (n, p) float64
    truth: np.ndarray  # (n,) item number


class ItemTest(NamedTuple):
    """Rank accuracy of one person against permuted items."""

    observed: float
    null: np.ndarray  # (n_permutations,)

    @property
    def p(self) -> float:
        """(b + 1) / (m + 1), b of m permutations at least as high."""
        return float((np.sum(self.null >= self.observed) + 1) / (len(self.null) + 1))


def draw_trials(person: Shared, most: int, rng: np.random.Generator) -> Trials:
    """Draw trials with the moments of a person's real ones.

    Parameters
    ----------
    person : Shared
    most : int
        Of all items together, at least one an item; up to the number of real events.
    rng : numpy.random.Generator

    Returns
    -------
    Trials
    """
    heard = np.flatnonzero(person.counts)
    n = person.counts[heard]
    drawn = np.maximum(1, np.round(n * min(1.0, most / n.sum()))).astype(int)
    truth = np.repeat(heard, drawn)
    W = person.whitener
    within = W @ person.moments.within @ W
    values, directions = np.linalg.eigh((within + within.T) / 2)
    root = directions * np.sqrt(values.clip(0))
    noise = rng.standard_normal((len(truth), len(W))) @ root.T
    spread = np.sqrt(1 - 1 / person.counts[truth])
    means = person.sums[truth] / person.counts[truth, None]
    return Trials(means + spread[:, None] * noise, truth)


def permute_items(
    similarity: np.ndarray, truth: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> ItemTest:
    """Test rank accuracy against items that are exchanged, all trials of an item together.

    Parameters
    ----------
    similarity : array of shape (n, V)
    truth : array of shape (n,), int
    n_permutations : int
    rng : numpy.random.Generator

    Returns
    -------
    ItemTest
        Among the items that have trials.
    """
    items, number = np.unique(truth, return_inverse=True)
    ranks = (rankdata(similarity[:, items], axis=1) - 1) / max(len(items) - 1, 1)
    table = np.zeros((len(items), len(items)))
    np.add.at(table, number, ranks)
    table /= len(truth)
    rows = np.arange(len(items))
    null = [table[rows, rng.permutation(len(items))].sum() for _ in range(n_permutations)]
    return ItemTest(float(np.trace(table)), np.array(null))


def sign_flip_p(gains: np.ndarray, rng: np.random.Generator) -> float:
    """Test whether the mean gain over people is above 0, by flipping the sign of each person's.

    Parameters
    ----------
    gains : array of shape (n_people,)
    rng : numpy.random.Generator

    Returns
    -------
    float
        At least ``2 ** -n_people``; exact up to 12 people.
    """
    n = len(gains)
    if n <= _MOST_FLIPS:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(signs @ gains >= gains.sum() - 1e-12))
    signs = rng.choice([-1, 1], (_N_FLIPS, n))
    return float((np.sum(signs @ gains >= gains.sum() - 1e-12) + 1) / (_N_FLIPS + 1))
