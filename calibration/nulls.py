"""Permutation tests: the scores to expect if brain and words are unrelated.

Repeat the whole procedure with permuted labels, and never assume a chance level: with groups held
out, noise scores below the textbook value. Words that come in runs (of a category, a sentence) on a
slow signal are fewer independent events than they seem: `matching_test` moves them in whole units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from calibration.units import log_arrangements

__all__ = ["NullTest", "label_memory", "matching_test", "permutation_p", "permute_labels"]

_RELATED = 0.1  # neighbours whose scores correlate less are taken for independent
_AT_ONCE = 1_000_000  # events of permuted orders
_STRETCH = 512  # events in which memory is measured at once: the cost is quadratic


class NullTest(NamedTuple):
    """A statistic beside its values under permuted labels."""

    observed: float
    p: float  # (b + 1) / (m + 1), b of m permutations at least as high
    null: np.ndarray  # (n_permutations,)
    p_smallest: float  # that the number of permutations, and of different ones, allows
    unit: int = 1  # events that are moved together, at least


def permute_labels(
    labels: np.ndarray, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Permute labels, over all items or within each group.

    Permute within groups (runs, blocks) whose label frequencies differ: slow drift of signal and
    labels together would otherwise count as decoding.

    Parameters
    ----------
    labels : array of shape (n,)
    rng : numpy.random.Generator
    groups : array of shape (n,), optional
        Permute only within each of these.

    Returns
    -------
    array of shape (n,)
        A permuted copy.

    Raises
    ------
    ValueError
        If there is not one group per label.
    """
    labels = np.asarray(labels)
    if groups is None:
        return rng.permutation(labels)
    groups = np.asarray(groups)
    if groups.shape != labels.shape[:1]:
        raise ValueError(f"need a group for each of {len(labels)} labels, got {groups.shape}")
    permuted = labels.copy()
    for group in np.unique(groups):
        where = np.flatnonzero(groups == group)
        permuted[where] = labels[rng.permutation(where)]
    return permuted


def permutation_p(
    statistic: Callable[[np.ndarray], float],
    labels: np.ndarray,
    n_permutations: int = 999,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> NullTest:
    """Test a statistic of labels against label permutation; higher is better.

    Parameters
    ----------
    statistic : callable
        Takes labels of shape (n,), returns a float. It must repeat every step that uses labels.
    labels : array of shape (n,)
    n_permutations : int
        The smallest p is ``1 / (n_permutations + 1)``.
    seed : int
    groups : array of shape (n,), optional
        Permute only within each of these.

    Returns
    -------
    NullTest

    Raises
    ------
    ValueError
        If `n_permutations` is below 1, or there is not one group per label.

    References
    ----------
    Phipson, Smyth 2010, doi:10.2202/1544-6115.1585 (why p is never 0)
    """
    _check_number(n_permutations)
    rng = np.random.default_rng(seed)
    observed = statistic(labels)
    null = np.array([statistic(permute_labels(labels, rng, groups)) for _ in range(n_permutations)])
    within = np.zeros(len(labels), int) if groups is None else np.asarray(groups)
    arranged = sum(log_arrangements(labels[within == group]) for group in np.unique(within))
    return _tested(observed, null, arranged)


def matching_test(
    table: np.ndarray,
    truth: np.ndarray,
    n_permutations: int = 999,
    seed: int = 0,
    memory: int = 0,
    groups: np.ndarray | None = None,
) -> NullTest:
    """Test how well events match their items, moving labels in units as long as their memory.

    The statistic is the mean of ``table[t, truth[t]]``. If neither labels nor signal have a memory,
    single labels are permuted. Else the sequence of labels is cut into units of twice the memory or
    more, where neighbouring labels are least alike; the units are put in random order, and the whole
    is rotated. With one unit only rotations remain: `p_smallest` says what that allows.

    Parameters
    ----------
    table : array of shape (n, V)
        Score of event t if its item were v; higher is better.
    truth : array of shape (n,), int
        Item number of each event, in order of time.
    n_permutations : int
    seed : int
    memory : int
        Least memory in events, as measured elsewhere by `label_memory`: few events cannot tell.
    groups : array of shape (n,), optional
        Sentence or recording of each event; units are cut between groups where that is possible.

    Returns
    -------
    NullTest

    Raises
    ------
    ValueError
        If `n_permutations` is below 1, or there is not one item and group per event.
    """
    _check_number(n_permutations)
    seen, scored = _matches(table, truth)
    n, items = len(truth), np.searchsorted(seen, truth)
    if groups is not None and len(groups) != n:
        raise ValueError(f"need a group for each of {n} events, got {len(groups)}")
    memory = max(memory, label_memory(table, truth))
    events = np.arange(n)
    if memory == 0:
        units, unit, arranged = np.split(events, events[1:]), 1, log_arrangements(items)
    else:
        unit = min(2 * memory, n)
        units = np.split(events, _cuts(scored[:, items], unit, groups))
        kinds = np.array([str(items[rows].tolist()) for rows in units])
        # Orders of units that are rotations of each other count once, times n rotations.
        arranged = log_arrangements(kinds) + np.log(n / len(units))
        arranged = min(arranged, log_arrangements(items))
    observed = float(scored[events, items].mean())
    lengths = np.array([len(rows) for rows in units])
    null = np.concatenate([
        scored[events, items[orders]].mean(axis=1)
        for orders in _orders(lengths, n_permutations, np.random.default_rng(seed))
    ])  # fmt: skip
    return _tested(observed, null, arranged, unit)


def label_memory(table: np.ndarray, truth: np.ndarray) -> int:
    """Measure over how many events labels and signal are alike together.

    Both must have a memory to make neighbouring scores dependent: words in random order on slow
    noise have none, nor have runs of words on white noise. Compare the score of label u at event t
    with that of label u + k at event t + k, over all t and u.

    Parameters
    ----------
    table : array of shape (n, V)
        As for `matching_test`.
    truth : array of shape (n,), int

    Returns
    -------
    int
        The first lag k - 1 after which they correlate by less than .1; at most n / 4.

    Raises
    ------
    ValueError
        If there is not one item per event.
    """
    seen, scored = _matches(table, truth)
    items = np.searchsorted(seen, truth)
    stretches = np.array_split(np.arange(len(items)), -(-len(items) // _STRETCH))
    centred = [_unmatched(scored[rows][:, items[rows]]) for rows in stretches]
    power = sum(float(np.mean(one**2)) for one in centred)
    longest = len(stretches[-1]) // 4
    if not power > 0:
        return 0
    for lag in range(1, longest + 1):
        alike = sum(float(np.mean(one[:-lag, :-lag] * one[lag:, lag:])) for one in centred)
        if alike < _RELATED * power:
            return lag - 1
    return longest


def _matches(table: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items that occur (n_seen,), and the table of these alone (n, n_seen)."""
    table, truth = np.asarray(table, float), np.asarray(truth)
    if table.ndim != 2 or truth.shape != table.shape[:1] or not len(truth):
        raise ValueError(
            f"need one item for each of one event or more, got {truth.shape} and {table.shape}"
        )
    seen = np.unique(truth)
    return seen, table[:, seen]


def _centred(matrix: np.ndarray) -> np.ndarray:
    rows, columns = matrix.mean(axis=1, keepdims=True), matrix.mean(axis=0)
    return matrix - rows - columns + matrix.mean()


def _unmatched(scored: np.ndarray) -> np.ndarray:
    """Centre the scores without those of the true label: what is decoded is no memory."""
    scored, n = scored.copy(), len(scored)
    np.fill_diagonal(scored, 0.0)
    np.fill_diagonal(scored, scored.sum(axis=1) / max(1, n - 1))
    scored = _centred(scored)
    np.fill_diagonal(scored, 0.0)
    return scored


def _cuts(scored: np.ndarray, unit: int, groups: np.ndarray | None) -> np.ndarray:
    """Cut n labels, whose scores at every event are columns (n, n), into units or longer ones."""
    n = scored.shape[1]
    columns = _centred(scored)
    columns /= np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
    alike = np.sum(columns[:, 1:] * columns[:, :-1], axis=0)  # of label i and label i + 1
    if groups is not None:
        alike[np.asarray(groups)[1:] != np.asarray(groups)[:-1]] -= 3.0  # cosines span 2
    cuts, start = [], 0
    while n - start >= 2 * unit:
        candidates = alike[start + unit - 1 : min(start + 2 * unit - 1, n - unit)]
        start += unit + int(np.argmin(candidates))
        cuts.append(start)
    return np.array(cuts, int)


def _orders(lengths: np.ndarray, number: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Put units of these lengths in random order and rotate the whole, many orders (m, n) at a time."""
    n = int(lengths.sum())
    starts = np.cumsum(lengths) - lengths
    for first in range(0, number, most := max(1, _AT_ONCE // n)):
        m = min(most, number - first)
        order = rng.permuted(np.tile(np.arange(len(lengths)), (m, 1)), axis=1)
        at = np.cumsum(lengths[order], axis=1) - lengths[order]  # where each unit goes
        shift = np.repeat((starts[order] - at).ravel(), lengths[order].ravel()).reshape(m, n)
        rolled = (np.arange(n) + rng.integers(n, size=(m, 1))) % n
        yield np.take_along_axis(shift + np.arange(n), rolled, axis=1)


def _check_number(n_permutations: int) -> None:
    if n_permutations < 1:
        raise ValueError(f"need at least 1 permutation, got {n_permutations}")


def _tested(observed: float, null: np.ndarray, log_arranged: float, unit: int = 1) -> NullTest:
    # Orders that differ only by rounding of their sums tie.
    n_as_high = np.sum(null >= observed - 1e-12 * max(1.0, abs(observed)))
    smallest = max(1 / (len(null) + 1), float(np.exp(-log_arranged)))
    p = float((n_as_high + 1) / (len(null) + 1))
    return NullTest(observed, max(p, smallest), null, smallest, unit)
