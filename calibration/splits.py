"""Split items into training and test by whole groups, and purge training items near the test.

Neighbouring words share slow signal and context, so items are never split at random: a fold is a
group (a sentence, a run, a block), and training items too close to it in time are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.sentences import encode_groups, merge_groups, whole_sentences
from rt_decoder.counted import counted
from rt_decoder.recipe import Fit

__all__ = [
    "Fold",
    "blocks",
    "check_enough",
    "encode_groups",
    "final_block",
    "leave_group_out",
    "split_events",
    "split_line",
]

MIN_ITEMS = 10  # fewer events cannot be split and tested

Fold = tuple[np.ndarray, np.ndarray]  # (train, test) indices


def blocks(n: int, n_blocks: int) -> np.ndarray:
    """Number n items by contiguous blocks of nearly equal size.

    Parameters
    ----------
    n : int
        Number of items.
    n_blocks : int
        From 1 to `n`.

    Returns
    -------
    array of shape (n,), int64
        Block of each item, from 0.

    Raises
    ------
    ValueError
        If `n_blocks` is out of range.

    Examples
    --------
    >>> blocks(5, 2)
    array([0, 0, 0, 1, 1])
    """
    if not 1 <= n_blocks <= n:
        raise ValueError(f"need between 1 and {n} blocks for {n} items, got {n_blocks}")
    sizes = np.full(n_blocks, n // n_blocks)
    sizes[: n % n_blocks] += 1
    return np.repeat(np.arange(n_blocks), sizes)


def final_block(
    groups: np.ndarray | int,
    share: float,
    onsets: np.ndarray | None = None,
    purge: float = 0.0,
) -> Fold:
    """Lock the last contiguous share of the items away for one final test.

    The cut splits no group; it lies as close to the wanted share as the groups allow.

    Parameters
    ----------
    groups : array of shape (n,) or int
        Group of each item; an int is a number of items, each a group by itself.
    share : float
        Share of the items to lock, in (0, 1).
    onsets : array of shape (n,), optional
        Onset of each item in s, on one axis over all runs; the order of the items by default.
    purge : float
        Training items within this many s of a final item are dropped; needs `onsets`.

    Returns
    -------
    train : array of shape (n_train,), int
    final : array of shape (n_final,), int
        Indices in onset order; purged items are in neither.

    Raises
    ------
    ValueError
        If `share`, `onsets` or `purge` is invalid, every cut would split a group, or nothing is
        left to train on.
    """
    if not 0 < share < 1:
        raise ValueError(f"need a final share between 0 and 1, got {share}")
    codes = np.arange(groups) if isinstance(groups, int) else encode_groups(groups)
    n = len(codes)
    onsets = _checked_onsets(onsets, n, purge)
    order = np.argsort(onsets, kind="stable")
    # A cut before position i is clean when all groups seen so far are complete.
    last = np.zeros(codes.max(initial=-1) + 1, np.int64)
    last[codes[order]] = np.arange(n)
    reach = np.maximum.accumulate(last[codes[order]])
    cuts = np.flatnonzero(reach[:-1] == np.arange(n - 1)) + 1
    if not len(cuts):
        raise ValueError(
            f"need a cut in time that splits no group, got {len(last)} group(s) that overlap "
            "throughout; use contiguous blocks as groups"
        )
    cut = cuts[np.argmin(np.abs(cuts - (1 - share) * n))]
    train, final = order[:cut], order[cut:]
    return _purged(train, final, onsets, purge), final


def leave_group_out(
    groups: np.ndarray, onsets: np.ndarray | None = None, purge: float = 0.0
) -> list[Fold]:
    """Hold out one group at a time, and drop its neighbours in time from training.

    Parameters
    ----------
    groups : array of shape (n,)
        Group of each item; at least two groups.
    onsets : array of shape (n,), optional
        Onset of each item in s, on one axis over all runs.
    purge : float
        Training items within this many s of a held-out item are dropped; needs `onsets`.

    Returns
    -------
    folds : list of (train, test)
        Sorted indices, one fold a group in order of first appearance.

    Raises
    ------
    ValueError
        If `onsets` or `purge` is invalid, there are fewer than two groups, or a fold is left
        without training items.
    """
    codes = encode_groups(np.asarray(groups))
    n_groups = int(codes.max(initial=-1)) + 1
    if n_groups < 2:
        raise ValueError(f"need at least 2 groups to hold one out, got {n_groups}")
    onsets = _checked_onsets(onsets, len(codes), purge)
    items = np.arange(len(codes))
    folds = []
    for group in range(n_groups):
        test = items[codes == group]
        folds.append((_purged(items[codes != group], test, onsets, purge), test))
    return folds


def _checked_onsets(onsets: np.ndarray | None, n: int, purge: float) -> np.ndarray:
    if purge < 0:
        raise ValueError(f"need a purge of 0 s or more, got {purge}")
    if onsets is None:
        if purge > 0:
            raise ValueError("need onsets in s to purge by time, got none")
        return np.arange(n, dtype=float)
    onsets = np.asarray(onsets, float)
    if onsets.shape != (n,) or not np.isfinite(onsets).all():
        raise ValueError(f"need {n} finite onsets in s, got shape {onsets.shape}")
    return onsets


def _purged(train: np.ndarray, test: np.ndarray, onsets: np.ndarray, purge: float) -> np.ndarray:
    """Training items farther than `purge` from every test item."""
    if purge > 0:
        held = np.sort(onsets[test])
        at = np.searchsorted(held, onsets[train])
        before = np.abs(onsets[train] - held[np.maximum(at - 1, 0)])
        after = np.abs(onsets[train] - held[np.minimum(at, len(held) - 1)])
        train = train[np.minimum(before, after) > purge]
    if not len(train):
        raise ValueError(
            f"need training items, got none after purging {purge} s; use fewer groups or a "
            "shorter purge"
        )
    return train


def split_line(split: Mapping[str, Any]) -> str:
    """Account for every event of a fit.

    Parameters
    ----------
    split : mapping
        The certificate's; one of an older model may not tell all.

    Returns
    -------
    str

    Examples
    --------
    >>> split_line({"n_events": 9, "n_train": 6, "n_final": 2, "n_dropped": 1, "n_purged": 1})
    '10 events: 6 train, 2 locked, 1 purged between them, 1 dropped (incomplete or of low quality)'
    """
    parts = [f"{split['n_train']} train", f"{split['n_final']} locked"]
    if n := split.get("n_final_muscle"):
        parts.append(f"{n} locked but not scored (muscle activity)")
    n_purged = split.get("n_purged", split["n_events"] - split["n_train"] - split["n_final"])
    parts.append(f"{n_purged} purged between them")
    parts.append(f"{split['n_dropped']} dropped (incomplete or of low quality)")
    return f"{counted(split['n_events'] + split['n_dropped'], 'event')}: {', '.join(parts)}"


def check_enough(labels: Sequence[str]) -> None:
    """Refuse too few events, or only one item.

    Parameters
    ----------
    labels : sequence of str
        Item of each event.

    Raises
    ------
    ValueError
        If nothing can be learnt from them.
    """
    if len(labels) < MIN_ITEMS or len(set(labels)) < 2:
        got = f"got {counted(len(labels), 'event')} of {len(set(labels))}"
        raise ValueError(f"need at least {MIN_ITEMS} events of 2 items or more, {got}")


def split_events(
    groups: Sequence[str],
    run: np.ndarray,
    onsets: np.ndarray,
    rules: Fit,
    sentences: np.ndarray | None = None,
    purge: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lock the last events away, and group the others for cross-validation.

    Blocks are cut between sentences, and groups that share a sentence become one: a sentence is
    seen from one side only. For the same reason nothing trains that repeats a locked sentence.

    Parameters
    ----------
    groups : sequence of str
        Group of each event, used if the recipe names a column of groups.
    run : array of shape (n,), int
        Recording of each event.
    onsets : array of shape (n,), float64
        Onset of each event in s, on one axis over all recordings.
    rules : Fit
        The recipe's: groups, number of blocks, share locked away, purge.
    sentences : array of shape (n,), int, optional
        As from `sentences.sentence_numbers`.
    purge : float, optional
        s; the recipe's by default.

    Returns
    -------
    groups : array of shape (n,), str
        Group of each event: of the column, or contiguous blocks.
    train, final : array of shape (n_train,), array of shape (n_final,), int
        Events to train on, and those locked away.

    Raises
    ------
    ValueError
        If every cut would split a group, or nothing is left to train on.
    """
    purge = max(rules.purge, 0.0) if purge is None else purge  # -1: not measured yet
    names = np.array(groups) if rules.groups else _blocks_of_runs(run, rules.n_blocks, sentences)
    if rules.final_block == 0:
        train, final = np.arange(len(names)), np.arange(0)
    else:
        train, final = final_block(names, rules.final_block, onsets, purge)
    if sentences is None:
        return names, train, final
    train = train[~np.isin(sentences[train], sentences[final])]
    if not len(train):
        raise ValueError(
            "need sentences that only the training events have, got all of them in the final block "
            "too; set final_block = 0, or context = '' for words alone"
        )
    names = names.copy()
    names[train] = merge_groups(names[train], sentences[train])
    return names, train, final


def _blocks_of_runs(run: np.ndarray, n_blocks: int, sentences: np.ndarray | None) -> np.ndarray:
    """Name contiguous blocks of each recording, cut between sentences."""
    named = np.empty(len(run), object)
    for one in np.unique(run):
        where = np.flatnonzero(run == one)
        block = blocks(len(where), min(n_blocks, len(where)))
        if sentences is not None:
            block = whole_sentences(block, sentences[where])
        named[where] = [f"{one}/{b}" for b in block]
    return named.astype(str)
