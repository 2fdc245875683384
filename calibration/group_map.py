r"""Fit a map of several people's sums, and choose penalty and target power by leaving people out.

.. math:: A = \Big(\sum_i G_i + \alpha I\Big)^{-1} \Big(\sum_i s_i\Big)^\top Y

in the space in which every person is whitened for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.confidence import Evidence, fit_posterior
from calibration.left_out import Trials
from calibration.scores import cosine
from calibration.transfer import Shared

__all__ = [
    "POWERS",
    "GroupMap",
    "ItemSpace",
    "Setting",
    "choose_settings",
    "fewer_people",
    "fit_group",
    "item_space",
    "total",
]

ALPHAS = np.logspace(-3, 4, 15)  # times the mean eigenvalue of the Gram matrix
POWERS = (1.0, 0.5, 0.25)
_TRIALS = 400  # of each person, on which settings are chosen
_NEGLIGIBLE = 1e-5  # singular values below, of the largest, are rounding


class Setting(NamedTuple):
    """A penalty, relative to the mean eigenvalue, and a target power."""

    alpha: float
    power: float


class ItemSpace(NamedTuple):
    """Centred item vectors in their principal axes: a power p multiplies columns by values^p."""

    mean: np.ndarray  # (D,)
    items: np.ndarray  # (V, r)
    values: np.ndarray  # (r,)
    axes: np.ndarray  # (r, D)

    def vectors(self, power: float) -> np.ndarray:
        """Item vectors (V, r) of a power."""
        return self.items * self.values**power


class GroupMap(NamedTuple):
    """A map of whitened features to the principal axes of the items."""

    weights: np.ndarray  # (p, r)
    alpha: float  # absolute


def item_space(vectors: np.ndarray, counts: np.ndarray) -> ItemSpace:
    """Centre item vectors on their mean over events, and find their principal axes.

    Parameters
    ----------
    vectors : array of shape (V, D)
    counts : array of shape (V,)
        Events of each item, which weight the mean.

    Returns
    -------
    ItemSpace
        Its r axes are those whose singular values are more than rounding.

    Raises
    ------
    ValueError
        If all vectors are the same.
    """
    mean = counts @ vectors / counts.sum()
    u, values, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    kept = values > _NEGLIGIBLE * values[0]
    if not values[0] > 0:
        raise ValueError("need items with different embeddings, got only one vector")
    return ItemSpace(mean, u[:, kept], values[kept], axes[kept])


def total(people: Sequence[Shared], without: int = -1) -> Shared:
    """Add the sums of all people but one."""
    kept = [one for number, one in enumerate(people) if number != without]
    added = kept[0]
    for one in kept[1:]:
        added = added.plus(one)
    return added


class _Core(NamedTuple):
    """A map in the eigenvectors of the Gram matrix, for all penalties and powers."""

    values: np.ndarray  # (p,)
    cross: np.ndarray  # (p, r)
    space: ItemSpace

    @property
    def scale(self) -> float:
        return float(np.mean(self.values))

    def at(self, setting: Setting) -> np.ndarray:
        shrunk = self.cross / (self.values + setting.alpha * self.scale)[:, None]
        return np.asarray(shrunk * self.space.values**setting.power)


def _decompose(summed: Shared, space: ItemSpace) -> tuple[np.ndarray, _Core]:
    """Return the eigenvectors (p, p), and the map in them."""
    values, back = np.linalg.eigh(summed.gram)
    return back, _Core(values.clip(0), back.T @ (summed.sums.T @ space.items), space)


def fit_group(summed: Shared, space: ItemSpace, setting: Setting) -> GroupMap:
    """Fit the map of summed people at one setting.

    Parameters
    ----------
    summed : Shared
        Sums of all people, as `total` adds them.
    space : ItemSpace
        Of the V items in `summed`.
    setting : Setting
        Penalty and target power.

    Returns
    -------
    GroupMap
        With the absolute penalty.
    """
    back, core = _decompose(summed, space)
    return GroupMap(back @ core.at(setting), setting.alpha * core.scale)


def choose_settings(
    people: Sequence[Shared],
    trials: Sequence[Trials],
    space: ItemSpace,
    powers: Sequence[float] = POWERS,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Setting, list[Setting], list[np.ndarray]]:
    """Choose the setting with most bits on people left out.

    Parameters
    ----------
    people : sequence of Shared
    trials : sequence of Trials
        Of each person.
    space : ItemSpace
    powers : sequence of float
        Target powers to try.
    progress : callable
        Receives the share done.

    Returns
    -------
    setting : Setting
        By all people.
    of_others : list of Setting
        For each person, the one that all others choose.
    predictions : list of array of shape (n, r)
        Of each person's trials, by the others' map at the setting of the others.
    """
    grid = [Setting(float(alpha), power) for power in powers for alpha in ALPHAS]
    bits = np.zeros((len(people), len(grid)))
    left: list[tuple[np.ndarray, _Core]] = []
    for number, one in enumerate(trials):
        back, core = _decompose(total(people, number), space)
        turned = one.X @ back
        left.append((turned, core))
        few = np.linspace(0, len(one.truth) - 1, min(len(one.truth), _TRIALS)).astype(int)
        seen, truth = np.unique(one.truth[few], return_inverse=True)
        for place, setting in enumerate(grid):
            similar = cosine(turned[few] @ core.at(setting), space.vectors(setting.power)[seen])
            bits[number, place] = fit_posterior(similar, truth).bits_per_word
        progress((number + 1) / len(people))
    of_others = [grid[_best(np.delete(bits, i, axis=0))] for i in range(len(people))]
    predictions = [
        turned @ core.at(setting) for (turned, core), setting in zip(left, of_others, strict=True)
    ]
    return grid[_best(bits)], of_others, predictions


def fewer_people(
    people: Sequence[Shared],
    trials: Sequence[Trials],
    space: ItemSpace,
    of_others: Sequence[Setting],
) -> list[Evidence]:
    """Predict each person's trials by every second one of the others, to tell what people add.

    Parameters
    ----------
    people : sequence of Shared
        Three at least.
    trials : sequence of Trials
        Of each person.
    space : ItemSpace
    of_others : sequence of Setting
        For each person, as `choose_settings` returns them.

    Returns
    -------
    list of Evidence
        Of each person; `share` is of all people.
    """
    found = []
    for number, (one, setting) in enumerate(zip(trials, of_others, strict=True)):
        kept = [other for place, other in enumerate(people) if place != number][::2]
        predicted = one.X @ fit_group(total(kept), space, setting).weights
        lengths = np.linalg.norm(predicted, axis=1)
        similar = cosine(predicted, space.vectors(setting.power))
        found.append(Evidence(similar, lengths, len(kept) / len(people)))
    return found


def _best(bits: np.ndarray) -> int:
    """The best column of bits (n_people, n_settings); of a tie, the middle one."""
    mean = bits.mean(axis=0)
    ties = np.flatnonzero(mean == mean.max())
    return int(ties[len(ties) // 2])
