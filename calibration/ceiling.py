r"""Bound what any map could reach, from repeats of the same items.

Repeats of one half of a recording share with those of the other half only what the item evokes.

*Rank accuracy* of single events, if the mean response of every item were known: squared Mahalanobis
distances of item means, multiplied across halves, are unbiased, and two items at distance d are told
apart in :math:`\Phi(d/2)` of events. The noise is that of the other half than the one that
whitens. The mean distance stands for all, which can only raise it (the
function is concave): the value is an upper bound, the upper end of its interval a cautious one. What
the means of one half reach in the other is a lower bound.

*Correlation* of single events with any function of the item: the square root of the share of variance
that items explain, from covariances across halves.

Both are of responses that do not change and of noise as in the whitening half; where noise is shared
between halves that touch, the bound is only higher. A single pass has no ceiling.

References
----------
Walther et al 2016, doi:10.1016/j.neuroimage.2015.12.012 (crossvalidated distances); Nili et al 2014,
doi:10.1371/journal.pcbi.1003553 (bounds across people).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.prior import covariance
from calibration.scores import rank_accuracy
from rt_decoder.counted import counted
from rt_decoder.decoding.whitening import whitener

__all__ = [
    "Ceiling",
    "ceiling_facts",
    "explainable",
    "r_ceiling",
    "rank_ceiling",
    "why_none",
]

SHRINK = 0.01  # of the covariance that whitens
N_DRAWS = 500
LEAST = 3  # items in both halves, for a bound
RESIDUALS = 2  # events beyond the items in a half, for each feature: of fewer the noise is unknown


class Ceiling(NamedTuple):
    """Bounds of one person."""

    rank_accuracy: float  # if every item's mean response were known; chance is .5
    low: float  # 95 % interval, Bayesian bootstrap over units of both halves
    high: float
    reached: float  # by the means of one half in the other, a lower bound
    squared: float  # mean squared distance of two items, unbiased: below 0 by chance
    n_items: int  # in both halves
    n_repeats: float  # mean of an item in a half


def rank_ceiling(
    X: np.ndarray,
    items: np.ndarray,
    halves: tuple[np.ndarray, np.ndarray],
    *,
    shrink: float = SHRINK,
    units: np.ndarray | None = None,
    seed: int = 0,
) -> Ceiling | None:
    """Bound the rank accuracy of single events among their items.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features.
    items : array of shape (n,), int
        Item of each event, 0 or more.
    halves : (array of shape (n_first,), array of shape (n_second,)), int
        Events of two stretches of the recording; the first gives the noise.
    shrink : float
        Of its covariance, for whitening.
    units : array of shape (n,), optional
        Events of one hang together; single events by default.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Ceiling or None
        None where `why_none` says why.

    Raises
    ------
    ValueError
        If there is not one item an event, or the halves share events.
    """
    if len(X) != len(items):
        raise ValueError(f"need one item an event, got {len(items)} for {len(X)} events")
    if np.intersect1d(*halves).size:
        raise ValueError(f"need halves that share no event, got {len(np.intersect1d(*halves))}")
    if why_none(X.shape[1], items, halves):
        return None
    shared = np.intersect1d(items[halves[0]], items[halves[1]])
    rows = [half[np.isin(items[half], shared)] for half in halves]
    codes = [np.searchsorted(shared, items[one]) for one in rows]
    noise, other = (_residuals(X[half], items[half]) for half in halves)
    W = whitener(covariance(noise), shrink)
    first, second = (X[one] @ W for one in rows)
    # A covariance from few events is too small where it whitens most: the other half tells by how much.
    freedom = len(other) - len(np.unique(items[halves[1]]))
    between = first @ second.T / max(np.sum((other @ W) ** 2) / max(freedom, 1) / X.shape[1], 1e-12)
    unit = np.unique(np.arange(len(X)) if units is None else units, return_inverse=True)[1]
    weights = np.random.default_rng(seed).exponential(size=(N_DRAWS + 1, unit.max() + 1))
    weights[0] = 1.0
    squared, *drawn = _squared(between, codes, [weights[:, unit[one]] for one in rows])
    low, high = np.percentile(drawn, (2.5, 97.5))
    reached = [
        _reached(a, codes[k], b, codes[1 - k], len(shared))
        for k, (a, b) in enumerate(((first, second), (second, first)))
    ]
    return Ceiling(
        _distinct(squared), _distinct(low), _distinct(high), float(np.mean(reached)), float(squared),
        len(shared), float(np.mean([len(one) / len(shared) for one in rows])),
    )  # fmt: skip


def why_none(n_features: int, items: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> str:
    """Say why there is no ceiling of rank accuracy.

    Parameters
    ----------
    n_features : int
        1 also tells whether there is one of r.
    items : array of shape (n,), int
    halves : (array of shape (n_first,), array of shape (n_second,)), int

    Returns
    -------
    str
        Empty if there is one.
    """
    shared = np.intersect1d(items[halves[0]], items[halves[1]])
    if len(shared) < LEAST:
        told = counted(len(shared), "item") if len(shared) else "no items"
        return f"none: a single pass, both halves of the recording share {told}"
    left = min(len(half) - len(np.unique(items[half])) for half in halves)
    if left < RESIDUALS * n_features:
        return (
            f"none of rank accuracy: the noise of {counted(n_features, 'feature')} takes "
            f"{counted(RESIDUALS * n_features, 'repeated event')} in each half of the recording, "
            f"{left} came"
        )
    return ""


def explainable(
    Y: np.ndarray, items: np.ndarray, halves: tuple[np.ndarray, np.ndarray], *, seed: int = 0
) -> np.ndarray | None:
    """Estimate the share of single events' variance that their items explain, without bias.

    Parameters
    ----------
    Y : array of shape (n, c, t)
        Brain samples.
    items : array of shape (n,), int
    halves : (array of shape (n_first,), array of shape (n_second,)), int
        Events of two stretches of the recording.
    seed : int
        Of the bootstrap over items.

    Returns
    -------
    array of shape (3, c, t) or None
        Value, below 0 by chance, and low and high of its 95 % interval. None where
        `why_none` of one feature says why.
    """
    shared = np.intersect1d(items[halves[0]], items[halves[1]])
    if why_none(1, items, halves):
        return None
    table = Y.reshape(len(Y), -1)
    rows = [half[np.isin(items[half], shared)] for half in halves]
    means, variance = [], np.zeros(table.shape[1])
    for one in rows:
        member = np.eye(len(shared))[np.searchsorted(shared, items[one])]
        mean = (member.T @ table[one]) / member.sum(axis=0)[:, None]
        means.append(mean - mean.mean(axis=0))
        variance += table[one].var(axis=0) / 2
    products, n = means[0] * means[1] / (len(shared) - 1), len(shared)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    parts = np.percentile(counts @ products, (2.5, 97.5), axis=0)
    share = np.vstack([products.sum(axis=0), parts])
    share = np.divide(share, variance, out=np.zeros_like(share), where=variance > 0)
    return share.reshape(3, *Y.shape[1:])


def r_ceiling(share: np.ndarray) -> np.ndarray:
    """Bound the correlation of single events with any function of the item.

    Parameters
    ----------
    share : array of shape (3, c, t)
        As from `explainable`.

    Returns
    -------
    array of shape (3, c, t)
        Square roots; 0 where items explain nothing.
    """
    return np.sqrt(np.clip(share, 0.0, 1.0))


def ceiling_facts(
    X: np.ndarray, Y: np.ndarray, items: np.ndarray, units: np.ndarray | None = None, seed: int = 0
) -> dict[str, Any]:
    """Bound both directions from the halves of a recording, as plain JSON.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features, in order of time.
    Y : array of shape (n, c, t)
        Brain samples.
    items : array of shape (n,), int
    units : array of shape (n,), optional
        As `rank_ceiling`.
    seed : int

    Returns
    -------
    dict
        `rank` as `Ceiling`, and `r` with `value`, `low` and `high`; each is None where there is none,
        and `why` says why there is no `rank`.
    """
    first, second = np.array_split(np.arange(len(items)), 2)
    rank = rank_ceiling(X, items, (first, second), units=units, seed=seed)
    share = explainable(Y, items, (first, second), seed=seed)
    r = None if share is None else r_ceiling(share).tolist()
    return {
        "rank": None if rank is None else rank._asdict(),
        "why": why_none(X.shape[1], items, (first, second)),
        "r": None if r is None else dict(zip(("value", "low", "high"), r, strict=True)),
    }


def _residuals(X: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Deviations of events from the mean of their item."""
    known, codes = np.unique(items, return_inverse=True)
    means = np.zeros((len(known), X.shape[1]))
    np.add.at(means, codes, X)
    return X - (means / np.bincount(codes)[:, None])[codes]


def _squared(
    between: np.ndarray, codes: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> np.ndarray:
    """Mean squared distance of items, in each draw of weights (n_draws, n_half) of events.

    From products of events across halves (n_first, n_second); the trace of those of item means needs
    events of the same item only.
    """
    n = int(codes[0].max()) + 1
    one, two = (
        weight / (weight @ np.eye(n)[code])[:, code]
        for code, weight in zip(codes, weights, strict=True)
    )
    same = between * (codes[0][:, None] == codes[1])
    trace, total = (np.sum((one @ table) * two, axis=1) for table in (same, between))
    return 2 * (n * trace - total) / (n * (n - 1))


def _distinct(squared: float) -> float:
    """How well single events tell two items apart at this distance."""
    from scipy.stats import norm

    return float(norm.cdf(np.sqrt(max(squared, 0.0)) / 2))


def _reached(
    seen: np.ndarray, codes: np.ndarray, new: np.ndarray, truth: np.ndarray, n_items: int
) -> float:
    """Rank accuracy of new events by the nearest mean of seen ones."""
    member = np.eye(n_items)[codes]
    means = (member.T @ seen) / member.sum(axis=0)[:, None]
    closer = new @ means.T - 0.5 * np.sum(means**2, axis=1)
    return float(rank_accuracy(closer, truth).mean())
