"""Put every null beside the score: what is reached without the brain, or without its link to words.

================  ================================================================================
prior             the prior alone, without any signal
permutation       labels permuted in whole units, against the model's own predictions
circular_shift    labels shifted around in time, all together
phases            signal with random phases over events, refitted
artifacts         EOG, ECG, EMG and breathing channels alone, refitted
length_frequency  length and frequency of the words alone (`nuisance`)
================  ================================================================================

All are of the locked block; `low` and `high` hold 95 % of a row's null. A row's `tests` says what its p is of: "model", how often the model's
score is reached under this null, or "null", how often what the null uses scores so high by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.design import Design
from calibration.evaluate import similarity
from calibration.gram import RidgeGram
from calibration.hold_out import HeldOut
from calibration.nulls import NullTest, matching_test
from calibration.ridge import alphas_default
from calibration.scores import cosine, rank_accuracies, rank_accuracy
from calibration.splits import leave_group_out
from calibration.surrogates import circular_shift_test, phase_test
from calibration.whitened import own_penalty
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model

__all__ = ["NULLS", "null_lines", "null_table"]

NULLS = {
    "prior": "prior alone",
    "permutation": "labels permuted in units",
    "circular_shift": "labels shifted in time",
    "phases": "phases of the signal random, refitted",
    "artifacts": "artifact channels alone, refitted",
    "length_frequency": "length and frequency alone",
}


def null_table(
    model: Model,
    design: Design,
    X: np.ndarray,
    held_out: HeldOut,
    final: Mapping[str, Any],
    nuisance: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute the table of nulls.

    Parameters
    ----------
    model : Model
        Its certificate holds `map`.
    design : Design
        All events; with `artifacts`, if there are such channels.
    X : array of shape (n, p)
        Scaled features of all events.
    held_out : HeldOut
        Which events train, and which are locked.
    final : mapping
        Scores of the locked block, as `evaluate.evaluate` gives them.
    nuisance : mapping or None
        Of `nuisance.nuisance_scores`.

    Returns
    -------
    dict of str to dict
        By the names above: `score`, a rank accuracy, `p`, `p_smallest` and `tests`; a row that
        could not be computed has only a `note`.
    """
    table = {
        "permutation": {
            "score": final["null_rank_accuracy"],
            "p": final["p"],
            "p_smallest": final["p_smallest"],
            "tests": "model",
        }
        | _spread((final.get("detail") or {}).get("null"))
    }
    place = {model.items[i]: int(i) for i in np.unique(held_out.targets.truth)}
    locked = held_out.locked[design.answered[held_out.locked]]
    locked = np.array([i for i in locked if design.labels[i] in place], int)
    if len(locked) < 2:
        return table
    truth = np.array([place[design.labels[i]] for i in locked])
    ranks = rank_accuracies(similarity(model, X[locked]))
    memory, units = final["null_unit"] // 2, held_out.units[locked]
    table["prior"] = _row(_prior_test(model, ranks, truth, final["null_unit"]), "model")
    table["circular_shift"] = _row(circular_shift_test(ranks, truth, memory), "model")
    table["length_frequency"] = (
        {"score": nuisance["alone"]["rank_accuracy"], "tests": "null"}
        | {name: nuisance["alone"][name] for name in ("low", "high", "p", "p_smallest")}
        if nuisance
        else {"note": "too few items, or neither varies"}
    )
    if model.recipe.fit.nulls:
        table["phases"] = _row(_phases(model, design, X, held_out, locked, truth), "model")
        table["artifacts"] = {"note": "none recorded"}
        if design.artifacts is not None:
            scored = rank_accuracies(_artifacts(model, design, held_out, locked))
            rules = model.recipe.fit
            test = matching_test(scored, truth, rules.n_permutations, rules.seed, memory, units)
            table["artifacts"] = _row(test, "null") | {"score": test.observed}
    return {name: table[name] for name in NULLS if name in table}


def _prior_test(model: Model, ranks: np.ndarray, truth: np.ndarray, unit: int) -> NullTest:
    """Test that the model ranks true items above the prior, by signs of whole units of events."""
    alone = rank_accuracies(np.broadcast_to(model.log_prior, (1, len(model.items))))[0, truth]
    gain = ranks[np.arange(len(truth)), truth] - alone
    sums = np.add.reduceat(gain, np.arange(0, len(gain), max(unit, 1)))
    rules = model.recipe.fit
    signs = np.random.default_rng(rules.seed).choice([-1, 1], (rules.n_permutations, len(sums)))
    as_high = int(np.sum(signs @ sums >= sums.sum() - 1e-12))
    smallest = max(1 / (rules.n_permutations + 1), 0.5 ** len(sums))
    p = max((as_high + 1) / (rules.n_permutations + 1), smallest)
    return NullTest(float(alone.mean()), p, np.full(1, alone.mean()), smallest)


def _row(test: NullTest, tests: str) -> dict[str, Any]:
    told = {"score": float(test.null.mean())} | _spread(test.null)
    return told | {"p": test.p, "p_smallest": test.p_smallest, "tests": tests}


def _spread(null: Sequence[float] | np.ndarray | None) -> dict[str, float]:
    """Ends between which 95 % of a null lie; empty where it has one value, or is unknown."""
    if null is None or len(null) < 2:
        return {}
    return dict(zip(("low", "high"), np.quantile(null, (0.025, 0.975)).tolist(), strict=True))


def _space(model: Model) -> np.ndarray:
    """Items (V, r) in the directions that the map keeps."""
    return np.asarray(model.vectors, float) @ np.asarray(model.basis, float).T


def _phases(
    model: Model, design: Design, X: np.ndarray, held_out: HeldOut, locked: np.ndarray,
    truth: np.ndarray,
) -> NullTest:  # fmt: skip
    train, items = held_out.train, _space(model)
    chosen = model.certificate["map"]
    own = np.asarray(X[train], float)
    penalty, factor = own_penalty(chosen["alpha"], chosen["whiten"], own)
    Y = items[held_out.targets.truth] * factor
    return phase_test(
        RidgeGram(own), penalty, (Y, design.run[train]), (X[locked], truth, design.run[locked]),
        items, model.recipe.fit.seed,
    )  # fmt: skip


def _artifacts(model: Model, design: Design, held_out: HeldOut, locked: np.ndarray) -> np.ndarray:
    """Cosines (n_locked, V) of a map on artifact channels; its penalty is chosen out of fold."""
    train, items = held_out.train, _space(model)
    rows, truth = np.asarray(design.artifacts, float), held_out.targets.truth
    X = scale_features(rows, *robust_scale(rows[train]), model.recipe.features.clamp).astype(float)
    folds = leave_group_out(held_out.groups[train], design.onsets[train], held_out.purge)
    ridge, Y, alphas = RidgeGram(X[train]), items[truth], alphas_default(X[train])
    scores = [
        float(rank_accuracy(cosine(found, items), truth).mean())
        for found in ridge.sweep(Y, folds, alphas, centred=True)
    ]
    best = float(alphas[int(np.argmax(scores))])
    return cosine(next(ridge.sweep_new(X[locked], Y, [best])), items)


def null_lines(nulls: Mapping[str, Mapping[str, Any]], score: float) -> list[str]:
    """Format the table of nulls.

    Parameters
    ----------
    nulls : mapping
        Of `null_table`.
    score : float
        Rank accuracy of the model in the locked block.

    Returns
    -------
    list of str

    Examples
    --------
    >>> row = {"score": 0.5012, "p": 0.01, "p_smallest": 0.01, "tests": "model"}
    >>> for line in null_lines({"phases": row, "artifacts": {"note": "none recorded"}}, 0.61):
    ...     print(line)
    nulls, beside the model's rank accuracy of 0.610 in the locked block:
      phases of the signal random, refitted 0.501; the model against it: p = 0.01 (at best 0.01)
      artifact channels alone, refitted     none recorded
    """
    lines = [f"nulls, beside the model's rank accuracy of {score:.3f} in the locked block:"]
    for name, row in nulls.items():
        told = row.get("note", "")
        if not told:
            whose = "the model against it" if row["tests"] == "model" else "this above chance"
            told = (
                f"{row['score']:.3f}; {whose}: p = {row['p']:.2g} (at best {row['p_smallest']:.2g})"
            )
        lines.append(f"  {NULLS[name]:<38}{told}")
    return lines
