"""Certify a finished model: the locked block, repeats pooled, and items never seen in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.confidence import Evidence, log_posterior
from calibration.design import Design
from calibration.detail import detail, judged
from calibration.evaluate import evaluate, evidence
from calibration.hold_out import HeldOut, check_agreement, out_of_fold_null
from calibration.ideas import COLUMNS, idea_scores
from calibration.nuisance import nuisance_scores
from calibration.null_table import null_table
from calibration.repeats import fit_pooling, pooled_scores
from calibration.unseen import left_out_items, scored_events
from rt_decoder.model import Model, Pooling
from rt_decoder.recipe import Fit

__all__ = ["certify", "idea_column", "pool_repeats", "score_ideas"]

_Trials = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # what `repeats` scores
_TOLD = 4  # repeats for which the correlation is fitted where the recipe pools none


def certify(
    model: Model, design: Design, X: np.ndarray, held_out: HeldOut, out_of_fold: Evidence
) -> dict[str, Any]:
    """Score the locked events once, and what else the certificate tells.

    Parameters
    ----------
    model : Model
        With map and posterior; its certificate holds `map`, `out_of_fold` and, where some items had
        no training event, `trained`.
    design : Design
        All events.
    X : array of shape (n, p), float32
        Scaled features of all events.
    held_out : HeldOut
        Which events train, and which are locked.
    out_of_fold : Evidence
        Of the training events.

    Returns
    -------
    dict
        `final`, `out_of_fold` with intervals, `null_memory`, `nuisance`, `nulls`, `ideas` and
        `unseen`, where there are such.

    Raises
    ------
    ValueError
        If the locked block contradicts what was found out of fold.
    """
    figures: dict[str, Any] = {}
    train, locked, targets = held_out.train, held_out.locked, held_out.targets
    kept, final = design.answered[train], locked[design.answered[locked]]
    if model.recipe.fit.unseen:
        figures["unseen"] = left_out_items(
            X[train], targets, design.onsets[train], model.certificate["map"], model.recipe.fit
        )
    if len(final):
        units = held_out.units
        null = out_of_fold_null(
            out_of_fold.of(kept).cosines, targets.truth[kept], units[train][kept], model.recipe
        )
        labels, memory = [design.labels[i] for i in final], int(null["memory"])
        scores = evaluate(
            model, X[final], labels, memory=memory, groups=units[final], in_detail=True
        )
        check_agreement(model.certificate["out_of_fold"], null, scores)
        figures |= {"final": scores, "null_memory": memory}
        figures["out_of_fold"] = model.certificate["out_of_fold"] | {
            "detail": _intervals(model, out_of_fold.of(kept), targets.truth[kept], memory,
                                 units[train][kept])
        }  # fmt: skip
        nuisance = nuisance_scores(model, design, X, held_out, memory)
        figures |= {"nuisance": nuisance} if nuisance else {}
        figures["nulls"] = null_table(model, design, X, held_out, scores, nuisance)
    if design.ideas is not None:
        figures["ideas"] = {
            "column": idea_column(model.recipe.fit),
            "out_of_fold": score_ideas(model, design, train[kept], out_of_fold.of(kept).cosines),
        }
        if len(final):
            cosines = evidence(model, X[final]).cosines
            figures["ideas"]["final"] = score_ideas(model, design, final, cosines)
    return figures


def _intervals(
    model: Model, out_of_fold: Evidence, truth: np.ndarray, memory: int, groups: np.ndarray
) -> dict[str, Any]:
    """Intervals of the map's scores, and these by word and block: sharpness and threshold are not as they were out of fold."""
    events = judged(model, out_of_fold, truth)
    spread = detail(model, events, unit=max(1, 2 * memory), groups=groups)
    names = [n for score in events.values if score != "bits_per_word"
             for n in (score, f"macro_{score}")]  # fmt: skip
    return {
        "unit": spread["unit"],
        "n_units": spread["n_units"],
        "intervals": {name: spread["intervals"][name] for name in names},
        **{name: spread[name] for name in ("words", "blocks", "blocks_are")},
    }


def idea_column(rules: Fit) -> str:
    """Return the events column that names ideas, or those that may."""
    return rules.ideas or " or ".join(COLUMNS)


def score_ideas(
    model: Model, design: Design, events: np.ndarray, cosines: np.ndarray
) -> dict[str, Any]:
    """Score the ideas of events whose items are known.

    Parameters
    ----------
    model : Model
    design : Design
    events : array of shape (n,), int
        Numbers of events of the design.
    cosines : array of shape (n, V)
        Of these, by a map that has not seen them.

    Returns
    -------
    dict
        Of `ideas.idea_scores`; empty where the design names no ideas.
    """
    place = {item: i for i, item in enumerate(model.items)}
    known = np.array([design.labels[i] in place for i in events])
    events, rules = events[known], model.recipe.fit
    if design.ideas is None or not len(events):
        return {}
    truth = np.array([place[design.labels[i]] for i in events])
    names = [design.ideas[i] for i in events]
    return idea_scores(
        cosines[known], truth, model.vectors, names, design.run[events],
        rules.n_permutations, rules.seed,
    )  # fmt: skip


def pool_repeats(
    model: Model, design: Design, X: np.ndarray, held_out: HeldOut, out_of_fold: Evidence
) -> tuple[Pooling | None, dict[str, Any]]:
    """Fit the pooling of repeats out of fold, and score it there and on the locked events.

    Parameters
    ----------
    model : Model
        With map and posterior.
    design : Design
        All events.
    X : array of shape (n, p), float32
        Scaled features of all events.
    held_out : HeldOut
        Which events train, and which are locked.
    out_of_fold : Evidence
        Of the training events.

    Returns
    -------
    pooling : Pooling or None
        None where the recipe pools no repeats.
    scores : dict
        Of `repeats.pooled_scores`, by ``out_of_fold`` and ``final``, and their ``correlation``.
    """
    train, final = held_out.train, held_out.locked[design.answered[held_out.locked]]
    kept = design.answered[train]
    place, readout = {item: i for i, item in enumerate(model.items)}, model.recipe.readout

    def trials(events: np.ndarray, found: Evidence) -> _Trials:
        truth = np.array([place.get(design.labels[i], -1) for i in events])
        known = truth >= 0
        known[known] = scored_events(model, truth[known])
        log_p = log_posterior(found.of(known), model.posterior, model.log_prior, model.item_bias)
        return log_p, model.log_prior, truth[known], design.run[events][known]

    of_train = trials(train[kept], out_of_fold.of(kept))
    n = readout.repeats if readout.repeats > 1 else _TOLD
    pooling = fit_pooling(*of_train, n, readout.precision, held_out.groups[train][kept])
    scores: dict[str, Any] = {
        "correlation": pooling.correlation,
        "out_of_fold": pooled_scores(*of_train, pooling.correlation, readout.repeats),
    }
    if len(final):
        of_final = trials(final, evidence(model, X[final]))
        scores["final"] = pooled_scores(*of_final, pooling.correlation, readout.repeats)
    return pooling if readout.repeats > 1 else None, scores
