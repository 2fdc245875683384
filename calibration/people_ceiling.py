"""Bound what a map common to all people could reach of one person.

A person's responses to items are correlated with the mean of the others', which such a map can know,
and with that of all, which has the person's own noise in it. Responses are means as they were
measured: more repeats raise both bounds.

References
----------
Nili et al 2014, doi:10.1371/journal.pcbi.1003553.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calibration.ceiling import LEAST, N_DRAWS
from calibration.transfer import Shared

__all__ = ["ceiling_sentence", "item_means", "people_ceiling"]


def item_means(people: Sequence[Shared]) -> list[np.ndarray]:
    """Return the mean response of each person to the items that all have heard.

    Parameters
    ----------
    people : sequence of Shared
        Of one vocabulary and the same features.

    Returns
    -------
    list of array of shape (V, p)
        Whitened features.
    """
    common = np.all([one.counts > 0 for one in people], axis=0)
    return [one.sums[common] / one.counts[common, None] for one in people]


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
        than three people, or items.

    Raises
    ------
    ValueError
        If tables differ in shape.
    """
    if len({np.shape(table) for table in tables}) > 1:
        raise ValueError(f"need tables of one shape, got {[np.shape(table) for table in tables]}")
    n = len(tables)
    if n < LEAST or len(tables[0]) < LEAST:
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


def ceiling_sentence(bounds: Mapping[str, Sequence[float]] | None) -> str:
    """Say what a map common to all people could reach.

    Parameters
    ----------
    bounds : mapping or None
        As from `people_ceiling`.

    Returns
    -------
    str

    Examples
    --------
    >>> print(ceiling_sentence({"low": [0.31, 0.28, 0.33], "high": [0.52, 0.5, 0.54]}))
    of a person's mean responses to the items that all heard, one map for all explains at best r = 0.52 (0.50 to 0.54); the others' mean reaches 0.31 (0.28 to 0.33)
    >>> ceiling_sentence(None)
    'no ceiling across people: it needs three people who share three items'
    """
    if bounds is None:
        return "no ceiling across people: it needs three people who share three items"
    low, high = (
        f"{value:.2f} ({first:.2f} to {last:.2f})"
        for value, first, last in (bounds["low"], bounds["high"])
    )
    return (
        "of a person's mean responses to the items that all heard, one map for all explains at best "
        f"r = {high}; the others' mean reaches {low}"
    )
