r"""Banded ridge: what the network explains of the brain beyond nuisance.

Nuisance (length, frequency, position, pace) and network are bands with a penalty each: one penalty
for both would shrink a few strong nuisance columns as much as hundreds of weak dimensions, and
credit the network with what is left over. A penalty each is a scale each,

.. math:: \min_{b, w} |y - N b - \sqrt{s}\, X w|^2 + \alpha (|b|^2 + |w|^2) ,

so every ratio s is one more table for the solver of `nested`, chosen with alpha in inner folds. The
unique share is R squared of both bands minus that of nuisance alone, with penalties of its own.

Its null keeps network and nuisance as related as they are: residuals of the brain after nuisance are
moved in units (Freedman-Lane), and both maps are refitted. Penalties are chosen where chance helps them, so
that a share which is not there falls below that of moved residuals with the same penalties. So p compares
shares by the best penalties for the tested events, chosen anew in every permutation.

References
----------
Dupre la Tour et al 2022, doi:10.1016/j.neuroimage.2022.119728 (banded ridge);
Freedman, Lane 1983, doi:10.1080/07350015.1983.10509354;
Winkler et al 2014, doi:10.1016/j.neuroimage.2014.01.060.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.agreement import explained, fold_centred
from calibration.encoding import N_DRAWS, Rules, max_p, unit_of
from calibration.nested import NestedRidge, Penalties, Split
from calibration.units import bootstrap_counts, cut_units, smallest_p, unit_order

__all__ = ["RATIOS", "Share", "Total", "band_tables", "unique_share"]

RATIOS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # weight of the network's band beside nuisance


class Total(NamedTuple):
    """Mean share over channels and times."""

    mean: float
    low: float  # 95 % interval, bootstrap over units
    high: float
    p: float


class Share(NamedTuple):
    """What the network explains beyond nuisance: c channels, t times."""

    unique: np.ndarray  # (c, t) held-out R squared of both minus nuisance alone
    low: np.ndarray  # (c, t) 95 % interval, bootstrap over units
    high: np.ndarray  # (c, t)
    p: np.ndarray  # (c, t) by penalties best for the tested, against the largest of all
    both: np.ndarray  # (c, t) R squared
    alone: np.ndarray  # (c, t) R squared of nuisance alone
    total: Total
    p_smallest: float
    unit: int  # events that are moved together, at least
    ratios: np.ndarray  # (n_folds, c) that were chosen
    penalties: Penalties  # of both bands


def band_tables(
    nuisance: np.ndarray, X: np.ndarray, ratios: Sequence[float] = RATIOS
) -> list[np.ndarray]:
    """Join nuisance and network to one table for each ratio.

    Parameters
    ----------
    nuisance : array of shape (n, q)
    X : array of shape (n, D)
    ratios : sequence of float
        Weight s of the network; its penalty is 1 / s of that of nuisance. One ratio of 1 is plain
        ridge.

    Returns
    -------
    list of array of shape (n, q + D)
        Nuisance columns have unit variance; a band's nonzero eigenvalues have the same mean.

    Raises
    ------
    ValueError
        If there is no ratio, one is not above 0, or a band does not vary.
    """
    if not len(ratios) or not min(ratios) > 0:
        raise ValueError(f"need ratios above 0, got {list(ratios)}")
    spread = nuisance.std(axis=0)
    varies = spread > 1e-9 * np.abs(nuisance).max(axis=0, initial=0)
    first = _unit((nuisance - nuisance.mean(axis=0))[:, varies] / spread[varies], "nuisance")
    second = _unit(X - X.mean(axis=0), "vectors")
    return [np.hstack([first, np.sqrt(ratio) * second]) for ratio in ratios]


def unique_share(
    X: np.ndarray,
    nuisance: np.ndarray,
    Y: np.ndarray,
    split: Split,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    ratios: Sequence[float] = RATIOS,
    progress: Callable[[float], None] | None = None,
) -> Share:
    """Measure and test what the network explains of the brain beyond nuisance.

    Parameters
    ----------
    X : array of shape (n, D)
        Vector of each event's item, in order of time.
    nuisance : array of shape (n, q)
        As from `nuisance.nuisance_columns`.
    Y : array of shape (n, c, t)
        Brain samples.
    split : Split
    rules : Rules
    ratios : sequence of float
        As for `band_tables`.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Share

    Raises
    ------
    ValueError
        If the tables do not match, a band does not vary, or there are fewer than three groups.
    """
    if not len(X) == len(nuisance) == len(Y):
        raise ValueError(f"need as many rows of each, got {len(X)}, {len(nuisance)}, {len(Y)}")
    tell = progress or (lambda _: None)
    tables = band_tables(nuisance, X, ratios)
    q = tables[0].shape[1] - X.shape[1]
    both, alone = NestedRidge(tables, split), NestedRidge([tables[0][:, :q]], split)
    chosen = both.choose(Y, explained, lambda share: tell(0.4 * share))
    chosen_alone = alone.choose(Y, explained)

    def tested(brain: np.ndarray) -> np.ndarray:
        return both.highest(brain, explained) - alone.highest(brain, explained)

    fold, found = both.fold, (both.predict(Y, chosen), alone.predict(Y, chosen_alone))
    fitted = _fitted(tables[0][:, :q], Y)
    rest = Y - fitted
    unit = unit_of(X, rest, rules.memory)
    units, rng = cut_units(X, unit, rules.groups), np.random.default_rng(rules.seed)
    null = np.empty((rules.n_permutations, 2))
    for k in range(rules.n_permutations):
        moved = fitted + rest[unit_order(units, rng)]
        share = tested(moved)
        null[k] = share.max(), share.mean()
        tell(0.4 + 0.6 * (k + 1) / rules.n_permutations)
    smallest = smallest_p(units, np.arange(len(Y)), rules.n_permutations)
    unique = _share(*found, Y, fold)
    low, high, ends = _interval(*found, Y, fold, bootstrap_counts(units, N_DRAWS, rng))
    seen = tested(Y)
    p = float(max_p(seen.mean(), null[:, 1], smallest))
    total = Total(float(unique.mean()), *ends, p)
    return Share(
        unique, low, high, max_p(seen, null[:, 0], smallest), explained(found[0], Y, fold),
        explained(found[1], Y, fold), total, smallest, unit, np.asarray(ratios)[chosen.table], chosen,
    )  # fmt: skip


def _unit(band: np.ndarray, name: str) -> np.ndarray:
    """Scale a centred band so that its nonzero eigenvalues have the mean n."""
    power = np.sum(band**2) / max(1, min(len(band) - 1, band.shape[1])) / len(band)
    if not power > 0:
        raise ValueError(f"need {name} that vary over events, got constant ones")
    return band / np.sqrt(power)


def _fitted(nuisance: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """What nuisance explains of all events, by least squares; centred columns need no intercept."""
    flat = Y.reshape(len(Y), -1)
    weights = np.linalg.lstsq(nuisance, flat - flat.mean(axis=0), rcond=None)[0]
    return (nuisance @ weights + flat.mean(axis=0)).reshape(Y.shape)


def _share(both: np.ndarray, alone: np.ndarray, Y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    return explained(both, Y, fold) - explained(alone, Y, fold)


def _interval(
    both: np.ndarray,
    alone: np.ndarray,
    Y: np.ndarray,
    fold: np.ndarray,
    drawn: tuple[list[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Bootstrap the share over units, the maps as they are: (c, t) each, and of the mean."""
    units, counts = drawn
    left = []
    for predicted in (both, alone):
        centred, truth = fold_centred(predicted, Y, fold)
        left.append((truth - centred) ** 2)
    gain = np.stack([np.sum(left[1][rows] - left[0][rows], axis=0) for rows in units])
    power = np.stack([np.sum(truth[rows] ** 2, axis=0) for rows in units])
    whole = counts @ power.reshape(len(units), -1)
    share = counts @ gain.reshape(len(units), -1)
    share = np.divide(share, whole, out=np.zeros_like(share), where=whole > 0)
    low, high = np.percentile(share, (2.5, 97.5), axis=0)
    ends = np.percentile(share.mean(axis=1), (2.5, 97.5))
    return low.reshape(Y.shape[1:]), high.reshape(Y.shape[1:]), (float(ends[0]), float(ends[1]))
