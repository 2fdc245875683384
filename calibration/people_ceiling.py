"""Bound what a map common to all people could reach of one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.ceiling import LEAST, N_DRAWS

__all__ = ["people_ceiling"]


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
