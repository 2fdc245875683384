"""Fit a model and its certificate on a design.

Scaling and map are fitted on the training blocks; penalty, sharpness of the posterior and threshold
of abstention are chosen there with one group held out at a time. The last block is locked: only the
finished model decodes it, once, for the certificate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration.certificate import certify, pool_repeats
from calibration.choice import Prior
from calibration.design import Design
from calibration.hold_out import HeldOut, hold_out
from calibration.identity import recording_ids, told
from calibration.items import same_vector_line
from calibration.language_weight import LanguageWish, weigh_language
from calibration.mapping import fit_map
from calibration.readout import fit_readout
from calibration.repeats import few_trials
from calibration.senses import embedder_of
from calibration.splits import check_enough, split_line
from calibration.sums import person_sums
from calibration.targets import Targets, spelled_labels
from calibration.transfer import Wanted, wanted_for
from calibration.unseen import trained_items
from calibration.windows import fit_windows, score_windows
from rt_decoder.counted import counted
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.files.proof import answers_line
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Model, versions
from rt_decoder.recipe import Recipe, Target

__all__ = ["fit_model"]


def fit_model(
    draft: Model,
    design: Design,
    *,
    data_hash: Sequence[str] = (),
    embedder: Callable[..., np.ndarray] | None = None,
    say: Callable[[str], None] = lambda _: None,
    others: Callable[[Wanted], Prior] | None = None,
    keep: Callable[[PersonSums], None] | None = None,
    language: LanguageWish | None = None,
) -> Model:
    """Fit map, posterior and certificate.

    Parameters
    ----------
    draft : Model
        Stages and recipe, without a map.
    design : Design
        Built by `design.build_design` with this draft.
    data_hash : sequence of str
        SHA-256 of each recording, for the certificate.
    embedder : callable or None
        Turns items into vectors, as `language.embeddings.embed`; None takes what the recipe names.
    say : callable
        Receives lines of progress.
    others : callable or None
        Makes the prior of other people, as `transfer.prior_of`.
    keep : callable or None
        Receives the sums that the map was fitted on.
    language : LanguageWish or None
        A language whose weight in the prior is to be fitted.

    Returns
    -------
    Model
        `draft` with map, vocabulary, posterior and certificate.

    Raises
    ------
    ValueError
        If there are too few events or items, the groups leave nothing to train on, or what is
        found out of fold is a leak, by itself or by the locked block.
    """
    design = _checked(design, draft.recipe.target)
    held_out = hold_out(design, draft.recipe, embedder or embedder_of(draft.recipe.target))
    groups, train, targets = held_out.groups, held_out.train, held_out.targets
    split = _tell_split(design, draft.recipe, held_out, say)
    recipe = replace(draft.recipe, fit=replace(draft.recipe.fit, purge=held_out.purge))
    center, scale = robust_scale(design.X[train])
    X = scale_features(design.X, center, scale, recipe.features.clamp)
    recorded = recording_ids(data_hash, design.fingerprints)
    prior = others(wanted_for(draft, targets, recorded)) if others else None
    model, held = fit_map(
        replace(draft, center=center, scale=scale), X[train], targets,
        groups[train], design.onsets[train], recipe, say, prior,
    )  # fmt: skip
    if keep is not None:
        keep(person_sums(model, X[train], targets, design.run[train], recorded, prior))
    recipe = model.recipe  # with what was chosen
    model, inner = fit_readout(model, held, targets, recipe, design.answered[train], groups[train])
    say(f"the model {answers_line(model.posterior.threshold, inner)}")
    model, spoken = weigh_language(model, language, design, X, held_out, held[0])
    model, by_window = fit_windows(model, X, design, held_out)
    found: dict[str, Any] = spoken | {
        "split": split,
        "map": model.certificate["map"],
        "out_of_fold": inner,
        **_told(data_hash, told(recorded), recipe, targets),
    }
    model = replace(model, certificate=found)
    pooling, found["pooled"] = pool_repeats(model, design, X, held_out, held[0])
    _tell_repeats(recipe.readout.repeats, found["pooled"]["out_of_fold"], say)
    found |= certify(model, design, X, held_out, held[0])
    found |= score_windows(model, design, X, held_out, by_window, found)
    return replace(_as_kept(model, draft.recipe), certificate=found, pooling=pooling)


def _as_kept(model: Model, asked: Recipe) -> Model:
    """Give a model versions, the rules of the fit as they were asked for, and no folders."""
    target = _without_folders(model.recipe.target)
    recipe = replace(model.recipe, fit=asked.fit, target=target)
    return replace(model, recipe=recipe, versions=versions())


def _checked(design: Design, target: Target) -> Design:
    """Spell labels as the vocabulary does, where the recipe folds case; refuse too few."""
    if target.fold:
        design = replace(
            design, labels=spelled_labels(target.vocabulary, design.labels, target.spoken)
        )
    check_enough(design.labels)
    return design


def _tell_split(
    design: Design, recipe: Recipe, held_out: HeldOut, say: Callable[[str], None]
) -> dict[str, Any]:
    """Say how events are split, and warn (RuntimeWarning) of items with the same vector."""
    split, targets = _split_facts(design, recipe, held_out), held_out.targets
    say(f"{split_line(split)}; {counted(len(targets.items), 'item')}")
    say(held_out.line)
    if targets.same:
        warnings.warn(same_vector_line(targets.items, targets.same), RuntimeWarning, stacklevel=3)
    return split


def _told(
    data_hash: Sequence[str], fingerprints: list[str], recipe: Recipe, targets: Targets
) -> dict[str, Any]:
    same = [[targets.items[i] for i in group] for group in targets.same[:100]]
    trained = trained_items(np.bincount(targets.truth, minlength=len(targets.items)))
    seen = {"data_hash": list(data_hash), "fingerprints": fingerprints}
    return seen | trained | {"seed": recipe.fit.seed, "same_vector": same}


def _tell_repeats(repeats: int, scores: dict[str, Any], say: Callable[[str], None]) -> None:
    """Say if too few trials show what repeats add."""
    if told := few_trials(repeats, scores):
        say(told)


def _without_folders(target: Target) -> Target:
    """Reduce the paths in a target to file names: a model must not reveal folders."""

    def by_name(place: str) -> str:
        path = Path(place).expanduser()
        return path.name if place and (path.is_absolute() or path.exists()) else place

    return replace(
        target,
        embedding=by_name(target.embedding),
        vocabulary=by_name(target.vocabulary),
        vectors=by_name(target.vectors),
        stimuli="." if target.stimuli else "",
    )


def _split_facts(design: Design, recipe: Recipe, held_out: HeldOut) -> dict[str, Any]:
    groups, train, locked = held_out.groups, held_out.train, held_out.locked
    n_final = int(np.sum(design.answered[locked]))
    return {
        "n_events": len(design.labels),
        "n_dropped": design.n_dropped,
        "n_train": len(train),
        "n_muscle": int(np.sum(~design.answered[train])),
        "n_final": n_final,
        "n_final_muscle": len(locked) - n_final,
        "n_purged": len(design.labels) - len(train) - len(locked),
        "n_groups": len(set(groups[train].tolist())),
        "purge_s": held_out.purge,
        "memory_s": held_out.memory,
        "held_out": recipe.fit.groups
        or f"{counted(recipe.fit.n_blocks, 'contiguous block')} a recording",
    }
