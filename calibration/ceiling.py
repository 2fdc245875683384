r"""Bound what any map could reach, from repeats of the same items.

Repeats of one half of a recording share with those of the other half only what the item evokes.

*Rank accuracy* of single events, if the mean response of every item were known: squared Mahalanobis
distances of item means, multiplied across halves, are unbiased, and two items at distance d are told
apart in :math:`\Phi(d/2)` of events. The mean distance stands for all, which can only raise it (the
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
from rt_decoder.decoding.whitening import whitener

__all__ = [
    "Ceiling",
    "ceiling_facts",
    "ceiling_line",
    "people_ceiling",
    "r_ceiling",
    "rank_ceiling",
]

SHRINK = 0.01  # of the covariance that whitens
N_DRAWS = 500
LEAST = 3  # items in both halves, for a bound
NONE = "none: single pass, no item recurs in both halves"


class Ceiling(NamedTuple):
    """Bounds of one person."""

    rank_accuracy: float  # if every item's mean response were known; chance is .5
    low: float  # 95 % interval, bootstrap over events of both halves
    high: float
    reached: float  # by the means of one half in the other, a lower bound
    n_items: int  # in both halves
    n_repeats: float  # mean of an item in a half


def rank_ceiling(
    X: np.ndarray,
    items: np.ndarray,
    halves: tuple[np.ndarray, np.ndarray],
    *,
    shrink: float = SHRINK,
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
    seed : int
        Of the bootstrap.

    Returns
    -------
    Ceiling or None
        None where fewer than three items recur in both halves: no repeats, no ceiling.

    Raises
    ------
    ValueError
        If there is not one item an event, or the halves share events.
    """
    if len(X) != len(items):
        raise ValueError(f"need one item an event, got {len(items)} for {len(X)} events")
    if np.intersect1d(*halves).size:
        raise ValueError(f"need halves that share no event, got {len(np.intersect1d(*halves))}")
    shared = np.intersect1d(items[halves[0]], items[halves[1]])
    if len(shared) < LEAST:
        return None
    rows = [half[np.isin(items[half], shared)] for half in halves]
    codes = [np.searchsorted(shared, items[one]) for one in rows]
    W = whitener(covariance(_residuals(X[halves[0]], items[halves[0]])), shrink)
    first, second = (X[one] @ W for one in rows)
    between = first @ second.T  # (n_first, n_second)
    value = _distinct(_averaged(between, codes, [np.ones(len(one)) for one in rows]))
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(N_DRAWS):
        drawn.append(_distinct(_averaged(between, codes, [_resampled(one, rng) for one in codes])))
    low, high = np.percentile(drawn, (2.5, 97.5))
    reached = [
        _reached(a, codes[k], b, codes[1 - k], len(shared))
        for k, (a, b) in enumerate(((first, second), (second, first)))
    ]
    repeats = float(np.mean([len(one) / len(shared) for one in rows]))
    return Ceiling(value, float(low), float(high), float(np.mean(reached)), len(shared), repeats)


def r_ceiling(
    Y: np.ndarray, items: np.ndarray, halves: tuple[np.ndarray, np.ndarray], *, seed: int = 0
) -> np.ndarray | None:
    """Bound the correlation of brain samples of single events with any function of the item.

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
        Value, low and high of the 95 % interval; 0 where items explain nothing. None where fewer
        than three items recur in both halves.
    """
    shared = np.intersect1d(items[halves[0]], items[halves[1]])
    if len(shared) < LEAST:
        return None
    table = Y.reshape(len(Y), -1)
    rows = [half[np.isin(items[half], shared)] for half in halves]
    means, variance = [], np.zeros(table.shape[1])
    for one in rows:
        member = np.eye(len(shared))[np.searchsorted(shared, items[one])]
        mean = (member.T @ table[one]) / member.sum(axis=0)[:, None]
        means.append(mean - mean.mean(axis=0))
        variance += table[one].var(axis=0) / 2
    products, n = means[0] * means[1] / max(len(shared) - 1, 1), len(shared)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    parts = np.percentile(counts @ products, (2.5, 97.5), axis=0)
    explained = np.vstack([products.sum(axis=0), parts]).clip(0)
    share = np.divide(explained, variance, out=np.zeros_like(explained), where=variance > 0)
    return np.sqrt(share.clip(0, 1)).reshape(3, *Y.shape[1:])


def people_ceiling(tables: Sequence[np.ndarray], *, seed: int = 0) -> dict[str, list[float]] | None:
    """Bound what a map common to all people could reach of one person's item responses.

    Parameters
    ----------
    tables : sequence of array of shape (V, p)
        Of each person: mean response of the same items in the same features.
    seed : int
        Of the bootstrap over people.

    Returns
    -------
    dict of str to list of float, or None
        `low` and `high` bound, each with value, low and high of its 95 % interval over people:
        correlation of a person's responses with the mean of the others, and of all. None for fewer
        than three people.

    Raises
    ------
    ValueError
        If tables differ in shape.
    """
    if len({np.shape(table) for table in tables}) > 1:
        raise ValueError(f"need tables of one shape, got {[np.shape(table) for table in tables]}")
    n = len(tables)
    if n < LEAST:
        return None
    rows = np.stack([np.ravel(table - np.mean(table, axis=0)) for table in tables])
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(sizes > 0, sizes, 1.0)
    gram = rows @ rows.T
    total, own = gram.sum(axis=1), np.diag(gram)
    others = np.sqrt((gram.sum() - 2 * total + own).clip(np.finfo(float).tiny))
    each = {"low": (total - own) / others, "high": total / np.sqrt(gram.sum())}
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_DRAWS) / n
    return {
        name: [float(values.mean()), *map(float, np.percentile(counts @ values, (2.5, 97.5)))]
        for name, values in each.items()
    }


def ceiling_facts(rank: Ceiling | None, r: np.ndarray | None) -> dict[str, Any] | None:
    """Return both bounds as plain JSON; None where there are no repeats.

    Parameters
    ----------
    rank : Ceiling or None
    r : array of shape (3, c, t) or None
        As from `r_ceiling`.

    Returns
    -------
    dict or None
    """
    if rank is None and r is None:
        return None
    return {
        "rank": None if rank is None else rank._asdict(),
        "r": None if r is None else dict(zip(("value", "low", "high"), r.tolist(), strict=True)),
    }


def ceiling_line(facts: dict[str, Any] | None) -> str:
    """Say what could be reached.

    Parameters
    ----------
    facts : dict or None
        As from `ceiling_facts`.

    Returns
    -------
    str

    Examples
    --------
    >>> ceiling_line(None)
    '  ceiling     none: single pass, no item recurs in both halves'
    """
    told, facts = [], facts or {}
    if rank := facts.get("rank"):
        told.append(
            f"rank accuracy at most {rank['rank_accuracy']:.3f} ({rank['low']:.3f} to "
            f"{rank['high']:.3f}), at least {rank['reached']:.3f}, from {rank['n_items']} items "
            f"repeated {rank['n_repeats']:.1f} times in each half"
        )
    if r := facts.get("r"):
        place = np.unravel_index(np.argmax(r["value"]), np.shape(r["value"]))
        value, low, high = (np.array(r[name])[place] for name in ("value", "low", "high"))
        told.append(f"largest r at most {value:.3f} ({low:.3f} to {high:.3f})")
    return f"  ceiling     {'; '.join(told) or NONE}"


def _residuals(X: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Deviations of events from the mean of their item."""
    known, codes = np.unique(items, return_inverse=True)
    means = np.zeros((len(known), X.shape[1]))
    np.add.at(means, codes, X)
    return X - (means / np.bincount(codes)[:, None])[codes]


def _averaged(
    between: np.ndarray, codes: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> np.ndarray:
    """Average products of events (n_first, n_second) to those of item means."""
    average = [
        np.eye(code.max() + 1)[code].T * weight for code, weight in zip(codes, weights, strict=True)
    ]
    one, two = (table / table.sum(axis=1, keepdims=True) for table in average)
    return one @ between @ two.T


def _resampled(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How often each event is drawn, as many of each item as there are."""
    counts = np.zeros(len(codes))
    for item in np.unique(codes):
        rows = np.flatnonzero(codes == item)
        np.add.at(counts, rng.choice(rows, len(rows)), 1)
    return counts


def _distinct(cross: np.ndarray) -> float:
    """How well single events tell two items apart whose means have these products across halves."""
    from scipy.stats import norm

    own = np.diag(cross)
    squared = own[:, None] + own[None, :] - cross - cross.T
    pairs = squared[np.triu_indices(len(own), 1)]
    return float(norm.cdf(np.sqrt(max(pairs.mean(), 0.0)) / 2))


def _reached(
    seen: np.ndarray, codes: np.ndarray, new: np.ndarray, truth: np.ndarray, n_items: int
) -> float:
    """Rank accuracy of new events by the nearest mean of seen ones."""
    member = np.eye(n_items)[codes]
    means = (member.T @ seen) / member.sum(axis=0)[:, None]
    closer = new @ means.T - 0.5 * np.sum(means**2, axis=1)
    return float(rank_accuracy(closer, truth).mean())
