"""Keep sentences whole when events are split: each is seen from one side only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["encode_groups", "merge_groups", "sentence_numbers", "whole_sentences"]


def encode_groups(labels: Sequence[object] | np.ndarray) -> np.ndarray:
    """Number labels 0, 1, ... in order of first appearance.

    Parameters
    ----------
    labels : sequence or array of shape (n,)

    Returns
    -------
    array of shape (n,), int64

    Examples
    --------
    >>> encode_groups(["run-2", "run-2", "run-1"])
    array([0, 0, 1])
    """
    _, first, inverse = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse.ravel()]


def sentence_numbers(
    contexts: Sequence[tuple[str, int] | None] | None, run: np.ndarray
) -> np.ndarray | None:
    """Number the sentence of each event; the same text has the same number.

    A context that grows word by word counts as one sentence.

    Parameters
    ----------
    contexts : sequence of (sentence, place of the word) or None
    run : array of shape (n,), int
        Recording of each event, in order of time.

    Returns
    -------
    array of shape (n,), int64, or None
        None without contexts.

    Examples
    --------
    >>> said = [("I am", 0), ("I am", 1), ("You", 0), ("You are", 1), ("I am", 0)]
    >>> sentence_numbers(said, np.zeros(5))
    array([0, 0, 1, 1, 0])
    """
    if contexts is None:
        return None
    texts = [context[0] if context else "" for context in contexts]
    for i in range(len(texts) - 2, -1, -1):
        if run[i] == run[i + 1] and texts[i] and texts[i + 1].startswith(texts[i]):
            texts[i] = texts[i + 1]
    return encode_groups(texts)


def whole_sentences(block: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Give all words of a sentence the block of its first word.

    Parameters
    ----------
    block, sentences : array of shape (n,)
        Block and sentence of each event, in order of time.

    Returns
    -------
    array of shape (n,)
    """
    starts = np.concatenate([[True], sentences[1:] != sentences[:-1]])
    return block[np.flatnonzero(starts)[np.cumsum(starts) - 1]]


def merge_groups(names: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Give groups that share a sentence the name of the first of them.

    Parameters
    ----------
    names, sentences : array of shape (n,)
        Group and sentence of each event.

    Returns
    -------
    array of shape (n,)
        Groups that share no sentence.

    Raises
    ------
    ValueError
        If repeated sentences join all groups.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    group, said = encode_groups(names), encode_groups(sentences)
    n = group.max() + 1
    links = coo_matrix((np.ones(len(group)), (group, n + said)), (n + said.max() + 1,) * 2)
    part = connected_components(links, directed=False)[1][:n]
    if part.max() == 0 and n > 1:
        raise ValueError(
            f"need groups that share no sentence, got {n} groups that all hang together by repeated "
            "sentences; hold sentences out by a column of groups, or set context = ''"
        )
    _, first = np.unique(group, return_index=True)
    _, of_part = np.unique(part, return_index=True)
    return names[first][of_part[part]][group]
