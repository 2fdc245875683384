"""Test a group model on people left out, for its certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from calibration.confidence import Evidence
from calibration.evaluate import evaluate
from calibration.group_map import ItemSpace, Setting
from calibration.left_out import permute_items, sign_flip_p
from calibration.people_ceiling import item_means, people_ceiling
from calibration.readout import fit_readout
from calibration.scores import unit_rows
from calibration.targets import Targets
from calibration.transfer import Shared
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Model

__all__ = ["METHOD", "Group", "LeftOut", "certify", "fit_group_readout"]

METHOD = (
    "each person left out: the others' map, chosen by the others, on trials simulated from the "
    "person's item means and covariance within items, whitened by the person's own covariance"
)
_OF_EACH = ("n_events", "n", "rank_accuracy", "bits_per_word", "p")


class Group(NamedTuple):
    """People in one layout, and what they share."""

    models: list[PersonSums]  # in one layout; several models may be of one person
    each: list[Shared]  # one a model
    shared: list[Shared]  # one a person: the sums of all their models
    items: tuple[str, ...]
    vectors: np.ndarray  # (V, D)
    shrink: float

    @property
    def kappa(self) -> float:
        """Weight of an event of the group beside a labelled one of a new person.

        The group counts as much as one of its people: in the map of a random person, the others'
        mean and a person's own events then have one person's evidence each.
        """
        return 1 / len(self.shared)


class LeftOut(NamedTuple):
    """A person left out: trials decoded by the others' map."""

    truth: np.ndarray  # (n,)
    cosines: np.ndarray  # (n, V)
    predicted: np.ndarray  # (n, r)
    setting: Setting
    fewer: Evidence | None = None  # by a map of fewer people, if there is one


def fit_group_readout(
    model: Model, tests: Sequence[LeftOut], group: Group, *, final: bool = False
) -> tuple[Model, dict[str, float]]:
    """Fit posterior and threshold on trials of people left out.

    Parameters
    ----------
    model : Model
    tests : sequence of LeftOut
    group : Group
    final : bool
        Raise the sharpness to what the map of everybody deserves, by what more people gave.

    Returns
    -------
    model : Model
    scores : dict
        As `readout.fit_readout`.
    """
    cosines = np.concatenate([one.cosines for one in tests])
    truth = np.concatenate([one.truth for one in tests])
    lengths = np.concatenate([np.linalg.norm(one.predicted, axis=1) for one in tests])
    person = np.repeat(np.arange(len(tests)), [len(one.truth) for one in tests])
    targets = Targets(group.items, group.vectors, group.vectors[truth], truth)
    evidence = wider = Evidence(cosines, lengths, 1 - 1 / len(tests))
    fewer = [one.fewer for one in tests if one.fewer is not None]
    if final and len(fewer) == len(tests):
        wider = Evidence(
            np.concatenate([one.cosines for one in fewer]),
            np.concatenate([one.lengths for one in fewer]),
            fewer[0].share,
        )
    answered = np.ones(len(truth), bool)
    return fit_readout(model, (evidence, wider), targets, model.recipe, answered, person)


def certify(
    model: Model, tests: Sequence[LeftOut], group: Group, space: ItemSpace
) -> dict[str, Any]:
    """Score each person with map and posterior of the others.

    Parameters
    ----------
    model : Model
        Of the group.
    tests : sequence of LeftOut
        One a person.
    group : Group
    space : ItemSpace

    Returns
    -------
    dict
        ``final``, mean scores over people, and ``people``, how they came about.
    """
    rng = np.random.default_rng(model.recipe.fit.seed)
    each, nulls = [], []
    for number, one in enumerate(tests):
        scores = _scores_of_others(model, tests, number, group, space)
        test = permute_items(one.cosines, one.truth, model.recipe.fit.n_permutations, rng)
        nulls.append(test.null)
        scores |= {
            "p": test.p,
            "null_rank_accuracy": float(test.null.mean()),
            "n_events": int(group.shared[number].counts.sum()),
        }
        each.append(scores)
    null = np.mean(nulls, axis=0)
    items_p = float((np.sum(null >= _ranks(tests)) + 1) / (len(null) + 1))
    gains = np.array([_ranks([one]) - n.mean() for one, n in zip(tests, nulls, strict=True)])
    people_p = sign_flip_p(gains, rng)
    final = _mean(each) | {
        "n": int(sum(one["n"] for one in each)),
        "n_outside": 0,
        "n_items": len(group.items),
        "p": max(items_p, people_p),  # the claim is about people; 4 of them give .06 at best
        "p_smallest": _p_smallest(tests, len(null)),
        "null_unit": 1,
        "null_of": "items and people",
        "null_rank_accuracy": float(null.mean()),
    }
    return {
        "final": final,
        "people": {
            "method": METHOD,
            "n": len(each),
            "n_models": len(group.models),
            "n_unknown": sum(not one.code for one in group.models),
            "n_events": int(sum(one["n_events"] for one in each)),
            "p_items": items_p,
            "p_people": people_p,
            "above": int(np.sum(gains > 0)),
            "ceiling": people_ceiling(item_means(group.shared), seed=model.recipe.fit.seed),
            "each": [{key: one[key] for key in _OF_EACH} for one in each],
        },
    }


def _scores_of_others(
    model: Model, tests: Sequence[LeftOut], number: int, group: Group, space: ItemSpace
) -> dict[str, Any]:
    """Score one person's predictions with the posterior of the others; p is left to the caller."""
    one = tests[number]
    judged, _ = fit_group_readout(model, [*tests[:number], *tests[number + 1 :]], group)
    rank = one.predicted.shape[1]
    vectors = unit_rows(space.vectors(one.setting.power)) @ space.axes
    judged = replace(
        judged,
        recipe=replace(model.recipe, fit=replace(model.recipe.fit, n_permutations=1)),
        weights=np.eye(rank, dtype=np.float32),
        offset=np.zeros(rank, np.float32),
        vectors=vectors.astype(np.float32),
    )
    return evaluate(judged, one.predicted.astype(np.float32), [group.items[i] for i in one.truth])


def _p_smallest(tests: Sequence[LeftOut], n_permutations: int) -> float:
    """The smallest p that so many permutations, items and people can give."""
    n_items = min(len(np.unique(one.truth)) for one in tests)
    orders = math.gamma(min(n_items, 100) + 1)
    return max(1 / (n_permutations + 1), 1 / orders, 2.0 ** -len(tests))


def _ranks(tests: Sequence[LeftOut]) -> float:
    """Mean rank accuracy over people, among the items that each heard, as permutation has it."""
    rng = np.random.default_rng(0)
    return float(np.mean([permute_items(one.cosines, one.truth, 1, rng).observed for one in tests]))


def _mean(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean of every figure over people; None where nobody has one."""
    mean: dict[str, Any] = {}
    for key in each[0]:
        found = [one[key] for one in each if one[key] is not None]
        mean[key] = float(np.mean(found)) if found else None
    return mean
