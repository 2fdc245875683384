"""Make the vocabulary, and the vector that each training event is mapped to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calibration.design import Design
from calibration.scores import unit_rows
from rt_decoder.counted import counted
from rt_decoder.recipe import Recipe
from rt_decoder.timing.items import fold_key, shorten, tidy

__all__ = [
    "Targets",
    "make_targets",
    "share_vectors",
    "spelled_labels",
    "target_transform",
    "vocabulary_items",
]

# Two runs of a language model, in other batches, give the same text vectors so close to each other.
_SAME = 1e-4  # of their length


LONGEST_ITEM = 4096


class Targets(NamedTuple):
    """Vocabulary of V items, and targets of n_train events in D dimensions."""

    items: tuple[str, ...]
    item_vectors: np.ndarray  # (V, D)
    Y: np.ndarray  # (n_train, D) vector of each event, in its context if asked for
    truth: np.ndarray  # (n_train,) item number of each event
    same: tuple[tuple[int, ...], ...] = ()  # groups of items that share one vector


def spelled_labels(spec: str, labels: Sequence[str], language: str = "en") -> tuple[str, ...]:
    """Write every label as its item is written, where labels differ in no more than that.

    Parameters
    ----------
    spec : str
        The recipe's `vocabulary`; its spelling comes first, else the most frequent one.
    labels : sequence of str
        Of all events.
    language : str
        As for `vocabulary_items`.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        As `vocabulary_items`.
    """
    spelled = dict[str, str]()
    often = [label for label, _ in Counter(labels).most_common()]
    for item in (*vocabulary_items(spec, (), fold=True, language=language), *often):
        spelled.setdefault(fold_key(item), item)
    return tuple(spelled[fold_key(label)] for label in labels)


def vocabulary_items(
    spec: str, labels: Sequence[str], *, fold: bool = False, language: str = "en"
) -> tuple[str, ...]:
    """List the items to choose among: those of the recipe's `vocabulary`, then other labels.

    Parameters
    ----------
    spec : str
        The recipe's `vocabulary`: empty, ``wordfreq:N``, or a text file with one item per line.
    labels : sequence of str
        Labels of the training events.
    fold : bool
        Tidy the items of the vocabulary, and take those that differ in case for one.
    language : str
        Of ``wordfreq:N``.

    Returns
    -------
    tuple of str
        Without duplicates; the other labels are sorted.

    Raises
    ------
    ValueError
        If N is not a whole number that wordfreq can supply, or it does not know the language; if the file is empty, a table or no text.
    OSError
        If the file cannot be read.
    """
    extra: list[str] = []
    if spec.startswith("wordfreq:"):
        from calibration.language.words import frequent_words

        try:
            n = int(spec.removeprefix("wordfreq:"))
        except ValueError:
            raise ValueError(f"need wordfreq:N with a whole number, got {spec!r}") from None
        extra = frequent_words(n, language)
    elif spec:
        extra = _listed(Path(spec))
    if fold:
        spelled = dict[str, str]()
        for item in extra:
            spelled.setdefault(fold_key(item), tidy(item))
        extra = list(spelled.values())
    return tuple(dict.fromkeys([*extra, *sorted(set(labels))]))


def _listed(path: Path) -> list[str]:
    """Items of a text file, one a line."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"vocabulary {path.name}: need a text file in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_ITEM or "\0" in line:
            got = "a character 0" if "\0" in line else counted(len(line), "character")
            raise ValueError(
                f"vocabulary {path.name}, line {number}: need a word or sentence of at most "
                f"{LONGEST_ITEM} characters, got {got}"
            )
    if not any(lines):
        raise ValueError(f"vocabulary {path.name} is empty")
    _check_no_table(path.name, lines)
    return [line for line in lines if line]


def _check_no_table(name: str, lines: Sequence[str]) -> None:
    """Refuse a table: its rows would be items that nobody ever hears."""
    number, line = next(((k, one) for k, one in enumerate(lines, 1) if "\t" in one), (0, ""))
    cells = {cell.strip(" \"'").casefold() for cell in re.split("[,;]", next(filter(None, lines)))}
    if number or {"onset", "duration"} <= cells or {"onset", "trial_type"} <= cells:
        got = f"a tab in line {number} ({shorten(line)!r})" if number else "the header of a table"
        raise ValueError(
            f"vocabulary {name}: need one item a line and nothing else, got {got}; an events table "
            "goes to --events, and its items are in the vocabulary without this file"
        )


def make_targets(
    design: Design, train: np.ndarray, recipe: Recipe, embedder: Callable[..., np.ndarray]
) -> Targets:
    """Make the vocabulary, its vectors, and the target of each training event.

    Parameters
    ----------
    design : Design
        All events.
    train : array of shape (n_train,), int
        Indices of the training events; no other event is used.
    recipe : Recipe
        Language model, layer, pooling, context, vocabulary.
    embedder : callable
        Turns texts into vectors, as `language.embeddings.embed`.

    Returns
    -------
    Targets

    Raises
    ------
    ValueError
        If sentence contexts are asked for and the events have none, or the vocabulary is invalid.
    """
    labels = [design.labels[i] for i in train]
    target = recipe.target
    items = vocabulary_items(target.vocabulary, labels, fold=target.fold, language=target.spoken)
    place = {item: i for i, item in enumerate(items)}
    truth = np.array([place[label] for label in labels])
    how = {
        "model": recipe.target.embedding,
        "layer": recipe.target.layer,
        "pooling": recipe.target.pooling,
    }
    item_vectors = np.asarray(embedder(items, **how), float)
    if not recipe.target.context:
        same = share_vectors(item_vectors)
        return Targets(items, item_vectors, item_vectors[truth], truth, same)
    if design.contexts is None:
        raise ValueError("need an events table for words in sentence context, got none")
    Y = np.asarray(embedder(labels, contexts=[design.contexts[i] for i in train], **how), float)
    # An item seen in sentences gets the mean vector over them; others keep that of the bare word.
    counts = np.bincount(truth, minlength=len(items))
    sums = np.zeros_like(item_vectors)
    np.add.at(sums, truth, Y)
    seen = counts > 0
    item_vectors[seen] = sums[seen] / counts[seen, None]
    return Targets(items, item_vectors, Y, truth, share_vectors(item_vectors))


def share_vectors(vectors: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Find items with the same vector, and make it the same to the bit, so that their scores tie.

    Parameters
    ----------
    vectors : array of shape (V, D), float64
        Changed in place: vectors that differ by rounding become that of the first such item.

    Returns
    -------
    tuple of tuple of int
        Groups of two items or more, by number, each in ascending order.
    """
    unit = unit_rows(vectors)
    along = unit @ np.random.default_rng(0).standard_normal(unit.shape[1])
    reach = _SAME * np.sqrt(unit.shape[1])  # the same vectors are no further apart along it
    order, first = np.argsort(along, kind="stable"), np.arange(len(unit))
    ends = np.searchsorted(along[order], along[order] + reach, side="right")
    for place, end in enumerate(ends):
        near = order[place + 1 : end]
        if len(near):
            apart = np.linalg.norm(unit[near] - unit[order[place]], axis=1)
            for other in near[apart < _SAME]:
                a, b = sorted((first[order[place]], first[other]))
                first[first == b] = a
    groups = [tuple(np.flatnonzero(first == k).tolist()) for k in np.unique(first)]
    groups = [group for group in groups if len(group) > 1]
    for group in groups:
        vectors[list(group)] = vectors[group[0]]
    return tuple(groups)


def target_transform(items: np.ndarray, axes: np.ndarray, power: float) -> np.ndarray:
    """Make what takes a centred vector to a target power; see `Model.target_transform`.

    Parameters
    ----------
    items : array of shape (V, r)
        Items in their principal axes: singular vectors, each times its value to the power.
    axes : array of shape (r, D)
    power : float

    Returns
    -------
    array of shape (D, D), float32
        Empty for a power of 1, which changes nothing, and of 0, which forgets the values.
    """
    if power in (0.0, 1.0):
        return np.zeros((0, 0), np.float32)
    raised = np.linalg.norm(items, axis=0)  # values to the power
    return ((axes.T * raised ** ((power - 1) / power)) @ axes).astype(np.float32)
