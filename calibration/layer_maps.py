r"""Tell which layer predicts each channel and time best, and whether early layers match early signals.

Every layer predicts the brain as `encoding.fit_encoding` does, each channel with a penalty from inner
folds, which choose a layer for each channel, too. Held-out products are summed in units of events, so
that resampling them gives an interval of the best layer at every channel and time.

*Order* is the rank correlation of the best layer with the time after the onset, and with the place
from back to front, over channels and times at which the mean over layers is above 0. It has two nulls:
layers are exchanged within each unit (no layer differs), or renamed throughout (layers differ, but
not in their order). The larger p counts. This module knows nothing of words.

References
----------
Caucheteux, King 2022, doi:10.1038/s42003-022-03036-1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from calibration.agreement import correlations, fold_scores
from calibration.differences import LEVEL, alike
from calibration.encoding import Rules, unit_of
from calibration.layers import N_DRAWS, Layers
from calibration.nested import NestedRidge, Split
from calibration.units import bootstrap_counts, cut_units

__all__ = ["LayerMaps", "Order", "encode_layers", "map_facts"]

FRONT = 1  # axis of positions


class Order(NamedTuple):
    """Whether layers are in the order of something."""

    correlation: float  # of ranks
    low: float  # 95 % interval, bootstrap over units
    high: float
    p: float  # one-sided, of the larger null
    p_units: float
    p_names: float
    p_smallest: float  # as renaming allows


class LayerMaps(NamedTuple):
    """What each of L layers predicts at c channels and t times."""

    names: tuple[str, ...]
    r: np.ndarray  # (L, c, t) held out
    best: np.ndarray  # (c, t) int
    low: np.ndarray  # (c, t) int, 95 % interval of the best
    high: np.ndarray  # (c, t) int
    shown: np.ndarray  # (c, t) bool, the mean over layers is above 0
    by_time: np.ndarray  # (t, 3) int, best, low, high: of r's mean over channels
    by_channel: np.ndarray  # (c, 3) int, of r's mean over times
    alike: np.ndarray  # (L,) bool, mean r not told apart from that of the best
    p_alike: float  # of the largest difference of mean r, without a difference
    nested: np.ndarray  # (c, t) held-out r of the layer that inner folds chose for the channel
    latency: Order | None  # None where fewer than two times are shown
    front: Order | None  # None without positions
    unit: int  # events that are resampled together, at least


class _Sums(NamedTuple):
    """Held-out products in U units."""

    products: np.ndarray  # (U, L, c, t)
    sizes: np.ndarray  # (U,)
    by_text: np.ndarray  # (L, K) of mean products over channels and times
    nested: np.ndarray  # (c, t)


def encode_layers(
    layers: Layers,
    Y: np.ndarray,
    times: np.ndarray,
    split: Split,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    positions: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> LayerMaps:
    """Predict the brain from every layer, and compare them.

    Parameters
    ----------
    layers : Layers
    Y : array of shape (n, c, t)
        Brain samples of n events in order of time.
    times : array of shape (t,)
        s after the onset.
    split : Split
        How events are held out.
    rules : Rules
        Permutations of both orders.
    positions : array of shape (c, 3), optional
        Of the channels, the second coordinate towards the front; NaN where unknown.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    LayerMaps

    Raises
    ------
    ValueError
        If the tables do not match, there are fewer than three groups, or a layer does not vary.
    """
    if np.ndim(Y) != 3 or len(Y) != len(layers.which) or Y.shape[2] != len(times):
        raise ValueError(
            f"need brain samples (n, c, t) of {len(layers.which)} events and {len(times)} times, "
            f"got shape {np.shape(Y)}"
        )
    items = [one[layers.which] for one in layers.coordinates()]
    unit = unit_of(np.hstack(items), Y, rules.memory)
    rng = np.random.default_rng(rules.seed)
    units, counts = bootstrap_counts(cut_units(items[0], unit, rules.groups), N_DRAWS, rng)
    sums = _summed(items, layers.which, Y, split, units, progress)
    r = sums.products.sum(axis=0) / sums.sizes.sum()
    total = (counts @ sums.sizes)[:, None, None]
    mean = np.tensordot(counts, sums.products.mean(axis=1), axes=1) / total
    shown = np.percentile(mean, 100 * LEVEL, axis=0) > 0
    drawn = np.empty((N_DRAWS, *r.shape[1:]), np.int64)
    for draw, count in enumerate(counts):
        drawn[draw] = np.tensordot(count, sums.products, axes=1).argmax(axis=0)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0, method="nearest")
    best = r.argmax(axis=0)
    same, p_alike = alike(sums.products.mean(axis=(2, 3)).T, sums.sizes, sums.by_text)
    at = np.broadcast_to(np.asarray(times, float), best.shape)
    place = None if positions is None else np.asarray(positions, float)[:, FRONT]
    front = None if place is None else np.broadcast_to(place[:, None], best.shape)

    def ordered(by: np.ndarray | None) -> Order | None:
        return None if by is None else _order(sums.products, drawn, by, shown, rules)

    return LayerMaps(
        tuple(layers.names), r, best, low, high, shown,
        _bests(sums.products.mean(axis=2), counts), _bests(sums.products.mean(axis=3), counts),
        same, p_alike, sums.nested, ordered(at), ordered(front), unit,
    )  # fmt: skip


def map_facts(maps: LayerMaps) -> dict[str, Any]:
    """Return the comparison as plain JSON.

    Parameters
    ----------
    maps : LayerMaps

    Returns
    -------
    dict
        Layers are numbers into `names`; tables are lists, a channel a row, a time a column.
    """
    facts: dict[str, Any] = {
        name: getattr(maps, name).tolist()
        for name in ("r", "best", "low", "high", "shown", "by_time", "by_channel", "nested")
    }
    return facts | {
        "names": list(maps.names),
        "as_good_as_best": maps.alike.tolist(),
        "no_difference": bool(maps.alike.all()),
        "p_no_difference": maps.p_alike,
        "latency": None if maps.latency is None else maps.latency._asdict(),
        "front": None if maps.front is None else maps.front._asdict(),
        "unit": maps.unit,
    }


def _summed(
    items: list[np.ndarray],
    which: np.ndarray,
    Y: np.ndarray,
    split: Split,
    units: list[np.ndarray],
    progress: Callable[[float], None] | None,
) -> _Sums:
    """Predict by each layer; sum products of standardised values in units, and by text."""
    products, by_text = np.empty((len(units), len(items), *Y.shape[1:])), []
    texts = np.unique(which, return_inverse=True)[1]
    chosen = np.full(0, -np.inf)
    nested = np.zeros(Y.shape)
    for layer, X in enumerate(items):
        ridge = NestedRidge([X], split)
        inner: list[np.ndarray] = []

        def score(
            predicted: np.ndarray,
            seen: np.ndarray,
            fold: np.ndarray,
            kept: list[np.ndarray] = inner,
        ) -> np.ndarray:
            r = correlations(predicted, seen, fold)
            kept.append(r.mean(axis=1))
            return r

        penalties = ridge.choose(Y, score)
        scored = fold_scores(ridge.predict(Y, penalties), Y, ridge.fold)
        product = scored[0] * scored[1]
        products[:, layer] = [product[rows].sum(axis=0) for rows in units]
        by_text.append(np.bincount(texts, product.mean(axis=(1, 2))))
        n_folds = len(penalties.alpha)
        reached = np.reshape(inner, (n_folds, -1, Y.shape[1])).max(axis=1)  # (n_folds, c)
        if layer == 0:
            chosen = np.full(reached.shape, -np.inf)
        better = reached > chosen
        chosen = np.maximum(chosen, reached)
        nested = np.where(better[ridge.fold][:, :, None], product, nested)
        if progress is not None:
            progress((layer + 1) / len(items))
    sizes = np.array([len(rows) for rows in units], float)
    return _Sums(products, sizes, np.array(by_text), nested.mean(axis=0))


def _bests(products: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Best layer and its interval from products (U, L, m): (m, 3)."""
    drawn = np.tensordot(counts, products, axes=1).argmax(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0, method="nearest")
    return np.stack([products.sum(axis=0).argmax(axis=0), low, high], axis=1)


def _order(
    products: np.ndarray, drawn: np.ndarray, by: np.ndarray, shown: np.ndarray, rules: Rules
) -> Order | None:
    """Correlate the best layer with something, over what is shown, and test it."""
    cells = shown & np.isfinite(by)
    if len(np.unique(by[cells])) < 2:
        return None
    along, table = rankdata(by[cells]), products[:, :, cells]
    best, n_layers = table.sum(axis=0).argmax(axis=0), products.shape[1]
    observed = _correlation(best, along)
    rng, m = np.random.default_rng([rules.seed, 1]), rules.n_permutations
    exchanged, renamed = np.empty(m), np.empty(m)
    for k in range(m):
        order = np.argsort(rng.random(table.shape[:2]), axis=1)
        moved = np.take_along_axis(table, order[:, :, None], axis=1).sum(axis=0)
        exchanged[k] = _correlation(moved.argmax(axis=0), along)
        renamed[k] = _correlation(rng.permutation(n_layers)[best], along)
    smallest = max(1 / (m + 1), 1 / factorial(n_layers))
    p_units, p_names = (
        float((1 + np.sum(null >= observed - 1e-12)) / (m + 1)) for null in (exchanged, renamed)
    )
    low, high = np.percentile([_correlation(one[cells], along) for one in drawn], (2.5, 97.5))
    p = max(p_units, p_names, smallest)
    return Order(observed, float(low), float(high), p, p_units, p_names, smallest)


def _correlation(best: np.ndarray, along: np.ndarray) -> float:
    """Rank correlation; 0 where the best layer is the same throughout."""
    ranks = rankdata(best)
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, along)[0, 1])
