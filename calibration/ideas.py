"""Score ideas: what a run of events has in common, from the evidence of all of them together.

An idea is a category, a sentence, or whatever else the events table names. Events of one idea that
follow each other are a run. The vector of an idea is the mean of those of its items, weighted by how
often they come in it; the score of an idea is its cosine with the predictions of the run, averaged.
What each event is told to be is part of the design, never of the signal.

Beside it stand the same score of single events, that of the items, and two controls. With the
items' grouping permuted, a run is compared with ideas that are made of random items: chance. With
the same items pooled in random groups as large, what is gained is due to pooling alone: above it,
items of one idea have more in common than others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.interval import mean_interval
from calibration.nulls import matching_test
from calibration.scores import rank_accuracies, rank_accuracy, top_k, unit_rows
from calibration.sentences import encode_groups
from rt_decoder.counted import counted

__all__ = ["COLUMNS", "WHERE", "Ideas", "idea_lines", "idea_scores", "ideas_of", "runs_of"]

COLUMNS = ("idea", "category", "sentence")  # of events tables, if the recipe names none
WHERE = {"new": "these recordings", "final": "locked final block", "out_of_fold": "held-out groups"}
N_GROUPINGS = 99
_LEAST = 8  # runs, for a figure


class Ideas(NamedTuple):
    """Ideas of n events, and what they are made of."""

    idea: np.ndarray  # (n,) int, number of the idea of each event
    counts: np.ndarray  # (K, V) how often each item comes in each idea

    @property
    def partition(self) -> bool:
        """Whether every item that comes is of one idea alone, as with categories."""
        return bool(((self.counts > 0).sum(axis=0) <= 1).all())


def ideas_of(names: Sequence[str], truth: np.ndarray, n_items: int) -> Ideas:
    """Number the ideas, and count the items of each.

    Parameters
    ----------
    names : sequence of str
        Idea of each of n events.
    truth : array of shape (n,), int
        Item of each event.
    n_items : int

    Returns
    -------
    Ideas

    Raises
    ------
    ValueError
        If there is not one idea per event.
    """
    if len(names) != len(truth):
        raise ValueError(f"need an idea for each of {len(truth)} events, got {len(names)}")
    idea = encode_groups(list(names))
    return Ideas(idea, _counted(idea, truth, int(idea.max()) + 1, n_items))


def runs_of(idea: np.ndarray, run: np.ndarray) -> list[np.ndarray]:
    """Find the events of one idea that follow each other in one recording.

    Parameters
    ----------
    idea : array of shape (n,), int
        In order of time.
    run : array of shape (n,)
        Recording of each event.

    Returns
    -------
    list of array of shape (n_events,), int
        Numbers of the events of each run.

    Examples
    --------
    >>> [rows.tolist() for rows in runs_of(np.array([0, 0, 1, 1, 0]), np.array([0, 0, 0, 1, 1]))]
    [[0, 1], [2], [3], [4]]
    """
    idea, run = np.asarray(idea), np.asarray(run)
    new = np.flatnonzero((np.diff(idea) != 0) | (run[1:] != run[:-1])) + 1
    return np.split(np.arange(len(idea)), new)


def idea_scores(
    cosines: np.ndarray,
    truth: np.ndarray,
    vectors: np.ndarray,
    names: Sequence[str],
    run: np.ndarray,
    n_permutations: int = 999,
    seed: int = 0,
) -> dict[str, Any]:
    """Rank the true idea of every run among all, beside single events, items and controls.

    Parameters
    ----------
    cosines : array of shape (n, V)
        Held out, in order of time.
    truth : array of shape (n,), int
        Item of each event.
    vectors : array of shape (V, D)
        Of the items, in the space of the cosines.
    names : sequence of str
        Idea of each event; events with an empty one are left out.
    run : array of shape (n,)
        Recording of each event.
    n_permutations : int
    seed : int

    Returns
    -------
    dict
        Empty with fewer than 8 runs or two ideas.

        ====================  =======================================================
        n, n_ideas, events    runs, ideas, mean events in a run
        rank_accuracy, top1   of the idea of a run; chance .5 and `chance_top1`
        low, high             95 % interval of the rank accuracy over units of runs, or None
        p, p_smallest         runs' ideas permuted, in units of their memory
        single                rank accuracy of the idea from one event
        items                 rank accuracy of the item from one event
        permuted              mean of `rank_accuracy` with items grouped at random
        permuted_spread       its standard deviation over groupings
        pooled                mean of `rank_accuracy` of the same items pooled in random groups
        p_beyond              share of those groups that score as high: are there ideas?
        ====================  =======================================================

    Raises
    ------
    ValueError
        If there is not one idea and item per event.
    """
    if len(names) != len(cosines):
        raise ValueError(f"need an idea for each of {len(cosines)} events, got {len(names)}")
    told = np.array([bool(name) for name in names], bool)
    kept = [name for name in names if name]
    if len(set(kept)) < 2:
        return {}
    cosines, truth, run = cosines[told], np.asarray(truth)[told], np.asarray(run)[told]
    ideas = ideas_of(kept, truth, cosines.shape[1])
    runs = runs_of(ideas.idea, run)
    if len(runs) < _LEAST:
        return {}
    of_run = ideas.idea[[rows[0] for rows in runs]]
    unit = unit_rows(vectors)
    single = cosines @ _weights(ideas.counts, unit).T
    table = _pooled(single, runs)
    null = matching_test(rank_accuracies(table), of_run, n_permutations, seed)
    low, high = mean_interval(rank_accuracy(table, of_run), null.unit, seed)
    permuted, pooled = _groupings(cosines, truth, unit, ideas, runs, seed)
    return {
        "n": len(runs),
        "n_ideas": len(ideas.counts),
        "events": float(np.mean([len(rows) for rows in runs])),
        "rank_accuracy": null.observed,
        "low": low,
        "high": high,
        "top1": float(top_k(table, of_run, 1).mean()),
        "chance_top1": 1 / len(ideas.counts),
        "p": null.p,
        "p_smallest": null.p_smallest,
        "single": float(rank_accuracy(single, ideas.idea).mean()),
        "items": float(rank_accuracy(cosines, truth).mean()),
        "permuted": float(permuted.mean()),
        "permuted_spread": float(permuted.std()),
        "pooled": float(pooled.mean()),
        "p_beyond": float((np.sum(pooled >= null.observed) + 1) / (len(pooled) + 1)),
    }


def _groupings(
    cosines: np.ndarray,
    truth: np.ndarray,
    unit: np.ndarray,
    ideas: Ideas,
    runs: Sequence[np.ndarray],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank accuracies with the items' grouping permuted, and of items pooled in random groups."""
    rng, lengths = np.random.default_rng(seed), [len(rows) for rows in runs]
    of_run = ideas.idea[[rows[0] for rows in runs]]
    K, V = ideas.counts.shape
    permuted, pooled = np.empty(N_GROUPINGS), np.empty(N_GROUPINGS)
    there = np.flatnonzero(ideas.counts.any(axis=0))
    for i in range(N_GROUPINGS):
        counts = np.zeros_like(ideas.counts)
        if ideas.partition:  # which item is of which idea; sizes stay
            shuffled = rng.permutation(there)
            counts[:, there] = ideas.counts[:, shuffled] > 0
            group = counts.argmax(axis=0)[truth]
            counts = _counted(group, truth, K, V)
            parts = _cut(group, lengths, rng)
            found = group[[rows[0] for rows in parts]]
        else:  # which event is in which run
            order = rng.permutation(len(truth))
            parts = np.split(order, np.cumsum(lengths)[:-1])
            group = np.empty(len(truth), int)
            for rows, idea in zip(parts, of_run, strict=True):
                group[rows] = idea
            counts, found = _counted(group, truth, K, V), of_run
        weights = _weights(counts, unit)
        table = cosines @ weights.T
        permuted[i] = rank_accuracy(_pooled(table, runs), of_run).mean()
        pooled[i] = rank_accuracy(_pooled(table, parts), found).mean()
    return permuted, pooled


def _cut(group: np.ndarray, lengths: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Cut the events of each group, in order of time, into runs about as long as the given ones."""
    parts = []
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        while len(rows):
            n = int(rng.choice(lengths))
            parts.append(rows[:n])
            rows = rows[n:]
    return parts


def _counted(idea: np.ndarray, truth: np.ndarray, n_ideas: int, n_items: int) -> np.ndarray:
    counts = np.zeros((n_ideas, n_items))
    np.add.at(counts, (idea, truth), 1.0)
    return counts


def _weights(counts: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Weights (K, V) of the items' cosines by which they become those of the ideas' mean vectors."""
    means = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    lengths = np.linalg.norm(means @ unit, axis=1, keepdims=True)
    return means / np.maximum(lengths, np.finfo(float).tiny ** 0.5)


def _pooled(table: np.ndarray, runs: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over the events of each run, (n_runs, K)."""
    lengths = np.array([len(rows) for rows in runs])
    starts = np.cumsum(lengths) - lengths
    return np.add.reduceat(table[np.concatenate(runs)], starts, axis=0) / lengths[:, None]


def idea_lines(ideas: Mapping[str, Any]) -> list[str]:
    """Say how well ideas are decoded, beside single events and controls.

    Parameters
    ----------
    ideas : mapping
        `column`, and scores by ``out_of_fold`` and ``final``, as in the certificate, or ``new``.

    Returns
    -------
    list of str
    """
    lines = []
    for name, where in WHERE.items():
        if not (scores := ideas.get(name)):
            continue
        within = (
            "" if scores.get("low") is None else f" ({scores['low']:.3f} to {scores['high']:.3f})"
        )
        lines += [
            f"ideas ({ideas['column']}), {where}: {counted(scores['n'], 'run')} of {scores['events']:.1f} events, "
            f"{counted(scores['n_ideas'], 'idea')}",
            f"  rank accuracy {scores['rank_accuracy']:.3f}{within} (chance 0.500, p = {scores['p']:.2g}; "
            f"the smallest possible {scores['p_smallest']:.2g}); from one event "
            f"{scores['single']:.3f}, of the item {scores['items']:.3f}",
            f"  items grouped at random {scores['permuted']:.3f}; pooled in random groups "
            f"{scores['pooled']:.3f} (as high as the ideas: p = {scores['p_beyond']:.2g})",
        ]
    return lines
