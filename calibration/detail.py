"""Say how sure scores are, and where they come from: intervals, curves, words, blocks, the null.

Neighbouring events hang together, so that the bootstrap draws whole units of them: those that the
null moves (`nulls.matching_test`), at most 200. A draw scores the same predictions again; the map
stays as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from calibration.confidence import Evidence, log_posterior
from calibration.scores import (
    bits_beyond_prior,
    rank_accuracy,
    reciprocal_rank,
    top_k,
    two_vs_two,
)
from calibration.units import bootstrap_counts, cut_units
from rt_decoder.model import Model

__all__ = ["Judged", "detail", "judged"]

N_DRAWS = 500
LEAST = 5  # events of a word, or of a point of a curve, for an interval
_BINS, _POINTS, _BLOCKS, _GROUPS = 10, 40, 10, 24
_DIGITS = 4


class Judged(NamedTuple):
    """What a model made of n events in order of time."""

    values: dict[str, np.ndarray]  # (n,) each: scores of single events
    truth: np.ndarray  # (n,) item number
    confidence: np.ndarray  # (n,) probability of the winner
    right: np.ndarray  # (n,) bool


class _Draws(NamedTuple):
    weights: np.ndarray  # (n_draws, n) how often each event was drawn

    def interval(self, values: np.ndarray, use: np.ndarray | None = None) -> list[float] | None:
        """95 % of the means of values (n,) over the events to use (n,) bool; None for too few."""
        use = np.isfinite(values) if use is None else use & np.isfinite(values)
        if use.sum() < LEAST:
            return None
        drawn = self.weights[:, use]
        total = drawn.sum(axis=1)
        means = (drawn @ values[use])[total > 0] / total[total > 0]
        return _rounded(np.percentile(means, (2.5, 97.5)))

    def macro_interval(self, values: np.ndarray, truth: np.ndarray) -> list[float] | None:
        """The same of the mean over items of the mean over the events of each."""
        from scipy.sparse import csr_array

        use = np.flatnonzero(np.isfinite(values))
        if len(use) < LEAST:
            return None
        item = np.unique(truth[use], return_inverse=True)[1]
        of_item = csr_array((np.ones(len(use)), (np.arange(len(use)), item)))
        drawn = self.weights[:, use]
        total = drawn @ of_item
        with np.errstate(invalid="ignore"):
            means = np.nanmean((drawn * values[use]) @ of_item / total, axis=1)
        return _rounded(np.percentile(means, (2.5, 97.5)))


def judged(model: Model, found: Evidence, truth: np.ndarray) -> Judged:
    """Score events one by one.

    Parameters
    ----------
    model : Model
        With a map and its posterior.
    found : Evidence
        Of n events.
    truth : array of shape (n,), int

    Returns
    -------
    Judged
    """
    cosines, log_prior = found.cosines, model.log_prior
    posterior = log_posterior(found, model.posterior, log_prior, model.item_bias)
    values = {f"top{k}": top_k(cosines, truth, k) for k in (1, 5, 10)} | {
        "mrr": reciprocal_rank(cosines, truth),
        "rank_accuracy": rank_accuracy(cosines, truth),
        "two_vs_two": two_vs_two(cosines, truth),
        "bits_per_word": bits_beyond_prior(posterior, log_prior, truth),
    }
    return Judged(values, truth, np.exp(posterior.max(axis=1)), posterior.argmax(axis=1) == truth)


def detail(
    model: Model,
    found: Judged,
    *,
    unit: int = 1,
    groups: np.ndarray | None = None,
    null: np.ndarray | None = None,
) -> dict[str, Any]:
    """Make intervals, curves, and tables by word and by block.

    Parameters
    ----------
    model : Model
        With a map and its posterior.
    found : Judged
        Of n events.
    unit : int
        Events that hang together, as `nulls.matching_test` finds it.
    groups : array of shape (n,), optional
        Sentence, group or recording of each event.
    null : array of shape (n_permutations,), optional
        Rank accuracy with permuted labels.

    Returns
    -------
    dict
        Plain JSON, to four digits.

        =============  ================================================================
        unit, n_units  events of a unit at least, and how many units were drawn from
        intervals      95 % interval of each score, also as ``macro_...``; None for < 5
        reliability    by bins of about equally many events: `n`, mean `confidence`,
                       share `right` and its `interval`
        risk_coverage  answering the surest share `coverage`, `precision`, `interval`
        null           rank accuracy with permuted labels
        words          by item: `n`, `rank_accuracy`, `top1`, and `interval` of the first
        blocks         in order of time: `n`, `rank_accuracy`, `interval`
        blocks_are     "groups" or "stretches"
        =============  ================================================================
    """
    rules = model.recipe.fit
    n = len(found.truth)
    units = cut_units(model.vectors[found.truth], max(1, min(unit, n)), groups)
    joined, counts = bootstrap_counts(units, N_DRAWS, np.random.default_rng(rules.seed))
    weights = np.empty((N_DRAWS, n))
    for rows, count in zip(joined, counts.T, strict=True):
        weights[:, rows] = count[:, None]
    draws = _Draws(weights)
    intervals = {name: draws.interval(values) for name, values in found.values.items()}
    intervals |= {
        f"macro_{name}": draws.macro_interval(values, found.truth)
        for name, values in found.values.items()
    }
    answered, right = found.confidence >= model.posterior.threshold, found.right.astype(float)
    intervals["answered"] = draws.interval(answered.astype(float))
    intervals["precision"] = draws.interval(right, answered)
    blocks, are = _blocks(n, groups)
    ranks = found.values["rank_accuracy"]
    return {
        "unit": int(unit),
        "n_units": len(joined),
        "intervals": intervals,
        "reliability": _reliability(found, draws),
        "risk_coverage": _risk_coverage(found, draws),
        "null": [] if null is None else _rounded(null),
        "words": _words(model, found, draws),
        "blocks": [_mean(ranks, block, draws) for block in blocks],
        "blocks_are": are,
    }


def _reliability(found: Judged, draws: _Draws) -> list[dict[str, Any]]:
    """Bins as those of the calibration error: equal confidences share one."""
    confidence, right = found.confidence, found.right.astype(float)
    edges = np.quantile(confidence, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, confidence, side="right")
    return [
        {
            "n": int(here.sum()),
            "confidence": round(float(confidence[here].mean()), _DIGITS),
            "right": round(float(right[here].mean()), _DIGITS),
            "interval": draws.interval(right, here),
        }
        for here in (bins == number for number in np.unique(bins))
    ]


def _risk_coverage(found: Judged, draws: _Draws) -> list[dict[str, Any]]:
    right = found.right.astype(float)
    shares = np.linspace(1, 0, _POINTS, endpoint=False)[::-1]
    thresholds = np.unique(np.quantile(found.confidence, 1 - shares, method="lower"))[::-1]
    points = []
    for threshold in thresholds:
        here = found.confidence >= threshold
        points.append(
            {
                "coverage": round(float(here.mean()), _DIGITS),
                "precision": round(float(right[here].mean()), _DIGITS),
                "interval": draws.interval(right, here),
            }
        )
    return points


def _words(model: Model, found: Judged, draws: _Draws) -> dict[str, dict[str, Any]]:
    ranks, top1 = found.values["rank_accuracy"], found.values["top1"]
    return {
        model.items[item]: _mean(ranks, found.truth == item, draws)
        | {"top1": round(float(top1[found.truth == item].mean()), _DIGITS)}
        for item in np.unique(found.truth)
    }


def _mean(values: np.ndarray, here: np.ndarray, draws: _Draws) -> dict[str, Any]:
    return {
        "n": int(here.sum()),
        "rank_accuracy": round(float(values[here].mean()), _DIGITS),
        "interval": draws.interval(values, here),
    }


def _blocks(n: int, groups: np.ndarray | None) -> tuple[list[np.ndarray], str]:
    """Cut n events by their groups, if there are few, else into ten stretches; masks (n,)."""
    if groups is not None and 1 < len(np.unique(groups)) <= _GROUPS:
        order = dict.fromkeys(np.asarray(groups).tolist())
        return [np.asarray(groups) == group for group in order], "groups"
    parts = np.array_split(np.arange(n), min(n, _BLOCKS))
    return [np.isin(np.arange(n), part) for part in parts], "stretches"


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
