r"""Let people help each other: other people's sums in a space that all share.

Every person's features are whitened by their own covariance, :math:`W_i`, and centred for
themselves; in that space sums add:

.. math:: G = \sum_i W_i X_i^\top X_i W_i, \qquad s_w = \sum_i W_i \sum_{j: w_j = w} x_{ij}

Needed: the same task, the same window and kind of features, and items that are shared. Events of
items that are not shared are taken out by the covariance within items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.choice import Prior
from calibration.identity import is_same
from calibration.montage import carried
from calibration.sums import Moments, layout_of, moments
from calibration.targets import Targets
from rt_decoder.counted import counted
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import PersonSums, RecordingId
from rt_decoder.model import Model
from rt_decoder.timing.items import fold_key

__all__ = ["Shared", "Wanted", "check_window", "prior_of", "shared_sums", "wanted_for"]

LEAST_ITEMS = 2
LEAST_SHARE = 0.25  # of one's own items that another person must have heard


class Shared(NamedTuple):
    """One person's sums over the items of a vocabulary, whitened and centred."""

    gram: np.ndarray  # (p, p)
    sums: np.ndarray  # (V, p), 0 where never heard
    counts: np.ndarray  # (V,)
    whitener: np.ndarray  # (p, p)
    moments: Moments  # of the features before, all items

    def plus(self, other: Shared) -> Shared:
        """Add another person's sums; whitener and moments stay the first's."""
        return self._replace(
            gram=self.gram + other.gram,
            sums=self.sums + other.sums,
            counts=self.counts + other.counts,
        )


class Wanted(NamedTuple):
    """What a prior is wanted for."""

    layout: Mapping[str, Any]  # as `sums.layout_of`
    items: tuple[str, ...]  # V
    heard: np.ndarray  # (V,) bool, items of one's own training events
    positions: np.ndarray | None = None  # (c, 3) in m
    recorded: Sequence[RecordingId] = ()  # one's own recordings
    shrink: float = 1.0  # of the covariances that whiten


def wanted_for(model: Model, targets: Targets, recorded: Sequence[RecordingId] = ()) -> Wanted:
    """Tell what a prior is wanted for, from a draft and the targets of its training events.

    Parameters
    ----------
    model : Model
        Stages and recipe; a map is not needed.
    targets : Targets
        Of the training events.
    recorded : sequence of RecordingId
        One's own recordings, which other people's sums may not hold.

    Returns
    -------
    Wanted
        `shrink` is 1 where the recipe does not whiten.
    """
    positions = model.info.positions
    heard = np.bincount(targets.truth, minlength=len(targets.items)) > 0
    whiten = model.recipe.features.whiten
    return Wanted(
        layout_of(model), targets.items, heard,
        None if positions is None else positions[: model.n_picks],
        recorded, whiten if whiten > 0 else 1.0,
    )  # fmt: skip


def check_window(
    person: PersonSums, layout: Any, name: str = "the other model", against: str = ""
) -> None:
    """Refuse a person whose features or targets are others than those of a layout.

    Parameters
    ----------
    person : PersonSums
    layout : mapping
        As `sums.layout_of`; its ``window`` and ``target`` are compared.
    name : str
        Of the person's model, for the sentence of an error.
    against : str
        Of the model whose layout it is, if it has a name.

    Raises
    ------
    ValueError
        With the first keys that differ.
    """
    for part in ("window", "target"):
        mine, theirs = layout[part], person.layout[part]
        if differ := [key for key in mine if mine[key] != theirs.get(key)]:
            told = ", ".join(f"{key} {theirs.get(key)} against {mine[key]}" for key in differ[:3])
            same = f"the same {part} as {against}" if against else f"the same {part}"
            raise ValueError(f"need {name} fitted with {same}, got {told}")


def shared_sums(
    person: PersonSums, items: Sequence[str], shrink: float, *, fold: bool = False
) -> Shared:
    """Whiten and centre one person's sums, and match them to a vocabulary.

    Parameters
    ----------
    person : PersonSums
        In the layout of the others.
    items : sequence of str
        The vocabulary, V items.
    shrink : float
        Of the covariance that whitens.
    fold : bool
        Take items that differ in case for one.

    Returns
    -------
    Shared
        Over events of shared items only.

    Raises
    ------
    ValueError
        If the features do not vary.
    """
    of = moments(person)
    W = whitener(of.covariance.astype(np.float32), shrink)
    written = fold_key if fold else str
    place = {written(item): i for i, item in enumerate(items)}
    at = np.array([place.get(written(item), -1) for item in person.items])
    counts, sums = person.counts, person.sums
    counts_there, sums_there = np.zeros(len(items)), np.zeros((len(items), person.n_features))
    known = (at >= 0) & (counts > 0)
    np.add.at(counts_there, at[known], counts[known])
    np.add.at(sums_there, at[known], sums[known])
    n = max(float(counts_there.sum()), 1.0)
    mean = sums_there.sum(axis=0) / n
    gram = person.gram if known.sum() == (counts > 0).sum() else _gram_of(of, counts, sums, known)
    gram = W @ (gram - n * np.outer(mean, mean)) @ W
    centred = (sums_there - counts_there[:, None] * mean) @ W
    return Shared((gram + gram.T) / 2, centred, counts_there, W, of)


def _gram_of(of: Moments, counts: np.ndarray, sums: np.ndarray, known: np.ndarray) -> np.ndarray:
    """X'X of the events of some items: exact between items, pooled within."""
    between = (sums[known] / counts[known, None]).T @ sums[known]
    freedom = float((counts[known] - 1).sum())
    return np.asarray(between + freedom * of.within)


def prior_of(
    others: Sequence[PersonSums],
    mine: Wanted,
    *,
    montage: str = "name",
    names: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Prior:
    """Add other people's sums to a prior of one's own map.

    Parameters
    ----------
    others : sequence of PersonSums
    mine : Wanted
    montage : {"name", "position"}
        How channels that differ are matched.
    names : sequence of str
        What the others are called in messages.
    say : callable
        Receives a line: how many people and items are shared.

    Returns
    -------
    Prior

    Raises
    ------
    ValueError
        If features differ, a recording is one's own, or too few items are shared.
    """
    channels, items = mine.layout["channels"], mine.items
    fold = bool(mine.layout["target"]["fold"])
    n_heard, shared, total = int(mine.heard.sum()), [], None
    for number, person in enumerate(others, 1):
        name = f"model {number} of {len(others)}" if len(others) > 1 else "the other model"
        name = names[number - 1] if names else name
        check_window(person, mine.layout, name)
        if any(is_same(one, own) for one in person.recorded for own in mine.recorded):
            raise ValueError(f"need recordings of other people, got one's own in {name}")
        one = shared_sums(
            carried(person, channels, mine.positions, montage), items, mine.shrink, fold=fold
        )
        n_shared = int(np.sum((one.counts > 0) & mine.heard))
        if n_shared < max(LEAST_ITEMS, LEAST_SHARE * n_heard):
            raise ValueError(
                f"need people of one vocabulary, got {n_shared} of {n_heard} items in {name}"
            )
        shared.append(n_shared)
        total = one if total is None else total.plus(one)
    if total is None:
        raise ValueError("need other people's models, got none")
    most, least = max(shared), min(shared)
    told = f"{least}" if least == most else f"{least} to {most}"
    n_people = len({one.code or number for number, one in enumerate(others)})
    n_events = int(total.counts.sum())
    people = counted(n_people, "other person", "other people")
    events = counted(n_events, "event")
    say(f"prior of {people}: {events}, {told} of {counted(n_heard, 'item')} shared")
    recorded = tuple(one for person in others for one in person.recorded)
    return Prior(total.gram, total.sums, total.counts, mine.shrink, recorded, n_people)
