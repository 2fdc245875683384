"""Make a group model of several people's sums: it decodes a person who has no calibration.

Its certificate is made by leaving people out: the others' map, chosen on the others, decodes trials
with the moments of the person's own (`left_out`), whitened by the person's own covariance. What it
needs of a new person is the same vocabulary and task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from calibration.group_certificate import Group, LeftOut, certify, fit_group_readout
from calibration.group_map import (
    POWERS,
    GroupMap,
    ItemSpace,
    Setting,
    choose_settings,
    fewer_people,
    fit_group,
    item_space,
    total,
)
from calibration.identity import told as told_of
from calibration.montage import carried, common_channels
from calibration.persons import draw_together, every_person, person_lines, persons_of, together
from calibration.scores import cosine, unit_rows
from calibration.targets import target_transform
from calibration.transfer import Shared, check_window, shared_sums
from rt_decoder.counted import counted
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import Companion, PersonSums
from rt_decoder.model import Alignment, Model, versions
from rt_decoder.timing.electrodes import shared_names
from rt_decoder.timing.items import fold_key

__all__ = ["pool_models"]

LEAST_PEOPLE = 2
_MOST_TRIALS = 2000  # of each person left out
_SAME_VECTOR = 1e-3  # relative distance of the vectors that two models have for one item


def pool_models(
    models: Sequence[Model],
    companions: Sequence[Companion],
    *,
    montage: str = "name",
    names: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Model, Companion]:
    """Fit a group model, and certify it by leaving people out.

    Models of one person, by code, are left out together and count as one in every figure.

    Parameters
    ----------
    models : sequence of Model
        Of single people, or of groups. The first gives channels and stages.
    companions : sequence of Companion
        Of the same models. A person who is in two of them counts once; people are told by their
        code, as `persons.coded` gives it.
    montage : {"name", "position"}
        How channels that differ are matched.
    names : sequence of str
        What the models are called in messages; by default "model 1" and so on.
    say : callable
        Receives lines of progress, and what is left out.
    progress : callable
        Receives the share done.

    Returns
    -------
    model : Model
        With `alignment` and the group's covariance; its map takes features of center, scale and
        covariance of the group, and ``inv(whitener(covariance, shrink)) @ weights`` whitened ones.
    companion : Companion
        The sums of everybody, without the hash of the model.

    Raises
    ------
    ValueError
        If there are fewer than two people, or they do not share features, items or vectors.
    """
    named = every_person(companions, names or [f"model {i + 1}" for i in range(len(models))], say)
    people, persons = list(named.values()), _persons(named)
    base, told = _stages(models, people, montage)
    group = _group(base, named, persons, montage)
    known = (*person_lines(named, persons), *_told(base, people, group, montage), told)
    for line in filter(None, known):
        say(line)
    space = item_space(group.vectors, total(group.shared).counts)
    seed = base.recipe.fit.seed
    rng = np.random.default_rng(seed)
    trials = draw_together(group.each, persons, _MOST_TRIALS, rng)
    setting, of_others, predictions = choose_settings(group.shared, trials, space, POWERS, progress)
    fitted = fit_group(total(group.shared), space, setting)
    say(f"penalty {fitted.alpha:.3g}, target power {setting.power:g}: most bits on people left out")

    model = _model(base, group, space, setting, fitted)
    tests = [
        LeftOut(one.truth, cosine(predicted, space.vectors(of.power)), predicted, of)
        for one, predicted, of in zip(trials, predictions, of_others, strict=True)
    ]
    if len(persons) > LEAST_PEOPLE:
        fewer = fewer_people(group.shared, trials, space, of_others)
        tests = [one._replace(fewer=rows) for one, rows in zip(tests, fewer, strict=True)]
    model, inner = fit_group_readout(model, tests, group, final=True)
    certificate = certify(model, tests, group, space) | {
        "map": {"alpha": fitted.alpha, "power": setting.power, "whiten": group.shrink,
                "kappa": 0.0, "kappa_labels": group.kappa},
        "out_of_fold": inner | {"n": int(sum(len(one.truth) for one in trials))},
        "data_hash": [one for person in people for one in person.hashes],
        "fingerprints": told_of([one for person in people for one in person.recorded]),
        "seed": seed,
        "same_vector": [],
    }  # fmt: skip
    certificate |= {"left_out_stages": told} if told else {}
    return replace(model, certificate=certificate), Companion(tuple(people), "")


def _model(
    base: Model, group: Group, space: ItemSpace, setting: Setting, fitted: GroupMap
) -> Model:
    """Put the map together: ready for features of the group's center, scale and covariance."""
    vectors = unit_rows(space.vectors(setting.power)) @ space.axes
    covariance = np.mean([one.moments.covariance for one in group.each], axis=0)
    weights = whitener(covariance.astype(np.float32), group.shrink) @ fitted.weights
    prior = total(group.shared).gram + fitted.alpha * np.eye(len(weights))
    recipe = replace(
        base.recipe,
        features=replace(base.recipe.features, whiten=group.shrink),
        target=replace(base.recipe.target, power=setting.power),
    )
    return replace(
        base,
        recipe=recipe,
        center=np.mean([_center(*one) for one in zip(group.models, group.each, strict=True)], 0),
        scale=np.exp(np.median([np.log(one.scale) for one in group.models], axis=0)),
        weights=weights.astype(np.float32),
        offset=np.zeros(weights.shape[1], np.float32),
        basis=space.axes.astype(np.float32),
        target_mean=space.mean.astype(np.float32),
        target_transform=target_transform(space.vectors(setting.power), space.axes, setting.power),
        items=group.items,
        vectors=vectors.astype(np.float32),
        covariance=covariance.astype(np.float32),
        prior_gram=(group.kappa * prior).astype(np.float32),
        target_lengths=np.linalg.norm(space.vectors(setting.power), axis=1).astype(np.float32),
        windows=(),
        alignment=Alignment(shrink=group.shrink),
        certificate={},
        versions=versions(),
    )


def _persons(named: Mapping[str, PersonSums]) -> list[list[int]]:
    """Group the sums of each person; refuse fewer than two people."""
    persons = persons_of(list(named.values()))
    if len(persons) < LEAST_PEOPLE:
        raise ValueError(
            f"need at least {LEAST_PEOPLE} people, got {len(persons)} ({len(named)} models); with one, "
            "rt-calibrate fit makes the model, and refit adds a session to it"
        )
    return persons


def _told(
    base: Model, people: Sequence[PersonSums], group: Group, montage: str
) -> tuple[str, str, str]:
    """Say who is in a group, and which channels and items not all people have."""
    n_events = int(sum(one.counts.sum() for one in group.shared))
    n_people, n_models = len(group.shared), len(people)
    who = counted(n_people, "person", "people")
    who += f" ({counted(n_models, 'model')})" if n_models > n_people else ""
    who += f", {counted(n_events, 'event')}, {counted(len(group.items), 'item')}"
    every = dict.fromkeys(name for one in people for name in one.layout["channels"])
    lost = [name for name in every if name not in base.info.ch_names]
    channels = f"channels that not all have are left out: {', '.join(lost)}"
    counts = np.array([one.counts > 0 for one in group.shared])
    n_all, n = int(counts.all(axis=0).sum()), len(group.items)
    items = (
        f"everybody heard {n_all} of {counted(n, 'item')}; the others count by those who heard them"
    )
    return who, channels if lost and montage == "name" else "", items if n_all < n else ""


def _stages(
    models: Sequence[Model], people: Sequence[PersonSums], montage: str
) -> tuple[Model, str]:
    """Return the first model, without what was fitted to one person, and what that is."""
    first = models[0]
    names = first.info.ch_names[: first.n_picks]
    shared = shared_names(names)
    kept = shared_names(common_channels(people)) if montage == "name" else shared
    if len(kept) < LEAST_PEOPLE:
        raise ValueError(
            f"need two channels or more that all people have, got {len(kept)}; "
            "--montage position interpolates where positions are known"
        )
    picks = [i for i, name in enumerate(shared) if name in kept]
    stages = sorted({stage for one in models for stage in one.cleaning} - {"mains"})
    recipe = first.recipe
    recipe = replace(
        recipe,
        stream=replace(recipe.stream, picks=tuple(names[i] for i in picks)),
        clean=replace(recipe.clean, stages=(), references=(), projections=()),
    )
    model = replace(
        first,
        info=first.info.pick(picks),
        recipe=recipe,
        references=(),
        monitor={},
        cleaning={name: one for name, one in first.cleaning.items() if name == "mains"},
        **{
            name: np.exp(np.mean([np.log(row) for row in rows], axis=0))
            for name in ("channel_scale", "channel_jump", "channel_level")
            if (rows := _levels(models, name, [shared[i] for i in picks])) is not None
        },
    )
    told = f"cleaning that was fitted to single people is left out: {', '.join(stages)}"
    return model, told if stages else ""


def _levels(models: Sequence[Model], name: str, channels: Sequence[str]) -> list[np.ndarray] | None:
    """Values above 0 of these channels, by `shared_names`, of each model that has them."""
    rows = []
    for model in models:
        own = shared_names(model.info.ch_names[: model.n_picks])
        place = {channel: i for i, channel in enumerate(own)}
        values = getattr(model, name)
        if values.size and all(channel in place for channel in channels):
            rows.append(np.maximum(values[[place[channel] for channel in channels]], 1e-300))
    return rows or None


def _group(
    base: Model, named: Mapping[str, PersonSums], persons: Sequence[Sequence[int]], montage: str
) -> Group:
    channels, positions = list(base.info.ch_names), base.info.positions
    names, people = list(named), list(named.values())
    for name, person in list(named.items())[1:]:
        check_window(person, people[0].layout, name, names[0])
    recipe = base.recipe
    average = recipe.stream.reference == "average" and recipe.features.kind == "amplitude"
    moved = [carried(one, channels, positions, montage, average=average) for one in people]
    shrinks = {one.chosen["whiten"] for one in people} - {0.0}
    shrink = shrinks.pop() if len(shrinks) == 1 else 1.0
    fold = recipe.target.fold
    items, vectors = _vocabulary(moved, fold, contextual=bool(recipe.target.context))
    each = [shared_sums(one, items, shrink, fold=fold) for one in moved]
    shared = together(each, persons)
    heard = np.array([one.counts > 0 for one in shared])
    for number, row in enumerate(heard):
        others = np.delete(heard, number, axis=0).any(axis=0)
        if (n := int((row & others).sum())) < max(2, 0.25 * row.sum()):
            raise ValueError(
                f"need people of one vocabulary, got {n} of {int(row.sum())} items of "
                f"{names[persons[number][0]]} shared with the others"
            )
    return Group(moved, each, shared, items, vectors, shrink)


def _vocabulary(
    people: Sequence[PersonSums], fold: bool, contextual: bool
) -> tuple[tuple[str, ...], np.ndarray]:
    """Items that anybody heard, and their vectors (V, D), which all must share."""
    written = fold_key if fold else str
    found: dict[str, tuple[str, float, np.ndarray]] = {}
    for person in people:
        vectors = person.vectors.astype(float)
        for item, count, vector in zip(person.items, person.counts, vectors, strict=True):
            if not count:
                continue
            spelled, n, before = found.get(written(item), (item, 0.0, vector))
            if before.shape != vector.shape or (
                not contextual
                and np.linalg.norm(before - vector) > _SAME_VECTOR * np.linalg.norm(before)
            ):
                raise ValueError(
                    "need models with the same vectors of items, got others for one item; "
                    "fit all with the same --embedding"
                )
            found[written(item)] = spelled, n + count, (n * before + count * vector) / (n + count)
    return tuple(one[0] for one in found.values()), np.stack([one[2] for one in found.values()])


def _center(person: PersonSums, shared: Shared) -> np.ndarray:
    """Mean of the unscaled features, so that the group's mean of scaled ones is 0."""
    return np.asarray(person.center + person.scale * shared.moments.mean)
