"""Intervals of mean scores, by drawing whole units of events, or people, with replacement."""

from __future__ import annotations

import numpy as np

from calibration.evaluate import evidence
from calibration.scores import rank_accuracies
from calibration.units import bootstrap_counts
from calibration.unseen import seen_items
from rt_decoder.model import Model

__all__ = ["mean_interval", "rank_scores"]

LEAST_UNITS = 3  # fewer tell nothing of how they vary
_DRAWS = 1999
_LEVEL = 0.95


def mean_interval(
    values: np.ndarray, unit: int = 1, seed: int = 0
) -> tuple[float, float] | tuple[None, None]:
    """Bootstrap the mean of scores in order of time; neighbours hang together.

    Parameters
    ----------
    values : array of shape (n,)
        One score an event, or a person.
    unit : int
        Events in a row that are drawn together, at least.
    seed : int

    Returns
    -------
    low, high : float or None
        95 % of the means lie between; None for fewer than three units.

    Examples
    --------
    >>> mean_interval(np.full(10, 0.5))
    (0.5, 0.5)
    >>> mean_interval(np.arange(10.0), unit=5)
    (None, None)
    """
    n_units = len(values) // max(1, unit)
    if n_units < LEAST_UNITS:
        return None, None
    values = np.asarray(values, float)
    parts = np.array_split(np.arange(len(values)), n_units)
    units, counts = bootstrap_counts(parts, _DRAWS, np.random.default_rng(seed))
    sums, sizes = (
        np.array([one(rows) for rows in units]) for one in (lambda r: values[r].sum(), len)
    )
    means = counts @ sums / (counts @ sizes)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def rank_scores(model: Model, X: np.ndarray, labels: tuple[str, ...] | list[str]) -> np.ndarray:
    """Compute the rank accuracy of the events that `evaluate.evaluate` scores.

    Parameters
    ----------
    model : Model
        With a map.
    X : array of shape (n, p), float32
        Scaled features.
    labels : sequence of str
        True item of each event.

    Returns
    -------
    array of shape (n_known,)
        In [0, 1]; chance is .5.
    """
    place = {item: i for i, item in enumerate(model.items)}
    known = [i for i, label in enumerate(labels) if label in place]
    seen = seen_items(model)
    known = [i for i in known if seen[place[labels[i]]]] or known
    table = rank_accuracies(evidence(model, X[known]).cosines)
    return np.asarray(table[np.arange(len(known)), [place[labels[i]] for i in known]])
