"""Intervals of mean scores, by drawing whole units of events, or people, with replacement."""

from __future__ import annotations

import numpy as np

from calibration.units import bootstrap_counts

__all__ = ["mean_interval"]

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
