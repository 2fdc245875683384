"""Fit a model and its certificate on a design.

Scaling and map are fitted on the training blocks; penalty, sharpness of the posterior and threshold
of abstention are chosen there with one group held out at a time. The last block is locked: only the
finished model decodes it, once, for the certificate.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration.confidence import log_posterior
from calibration.design import Design
from calibration.evaluate import evaluate, similarity
from calibration.items import same_vector_line
from calibration.language.embeddings import embed
from calibration.mapping import fit_map
from calibration.readout import fit_readout
from calibration.repeats import fit_pooling, pooled_scores
from calibration.splits import (
    check_enough,
    split_events,
    split_line,
)
from calibration.targets import Targets, make_targets, spelled_labels
from calibration.unseen import left_out_items
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model, versions
from rt_decoder.recipe import Recipe, Target

__all__ = ["fit_model", "hash_files"]

_TOLD = 4  # repeats on which their correlation is fitted, if none are pooled


def fit_model(
    draft: Model,
    design: Design,
    *,
    data_hash: Sequence[str] = (),
    embedder: Callable[..., np.ndarray] = embed,
    say: Callable[[str], None] = lambda _: None,
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
    embedder : callable
        Turns texts into vectors, as `language.embeddings.embed`.
    say : callable
        Receives lines of progress.

    Returns
    -------
    Model
        `draft` with map, vocabulary, posterior and certificate.

    Raises
    ------
    ValueError
        If there are too few events or items, or the groups leave nothing to train on.
    """
    recipe = draft.recipe
    if recipe.target.fold:
        spelled = spelled_labels(recipe.target.vocabulary, design.labels)
        design = replace(design, labels=spelled)
    check_enough(design.labels)
    groups, train, locked = split_events(design.groups, design.run, design.onsets, recipe.fit)
    final = locked[design.answered[locked]]
    if not design.answered[train].any():
        raise ValueError("need events that a live session would answer, got none to train on")
    targets = make_targets(design, train, recipe, embedder)
    split = _split_facts(design, recipe, groups, train, locked)
    say(f"{split_line(split)}; {len(targets.items)} items")
    if targets.same:
        warnings.warn(same_vector_line(targets.items, targets.same), RuntimeWarning, stacklevel=2)

    center, scale = robust_scale(design.X[train])
    X = scale_features(design.X, center, scale, recipe.features.clamp)
    model, out_of_fold = fit_map(
        replace(draft, center=center, scale=scale), X[train], targets,
        groups[train], design.onsets[train], recipe, say,
    )  # fmt: skip
    model, inner = fit_readout(model, out_of_fold, targets, recipe, design.answered[train])
    certificate: dict[str, Any] = {
        "split": split,
        "out_of_fold": inner,
        "data_hash": list(data_hash),
        "seed": recipe.fit.seed,
        "same_vector": [[targets.items[i] for i in group] for group in targets.same[:100]],
    }
    model = _note_unseen(model, targets, X[train], design.onsets[train])
    model, figures = _certify(model, design, X, {"out_of_fold": train, "final": final}, out_of_fold)
    return replace(
        model,
        recipe=replace(recipe, target=_without_folders(recipe.target)),
        certificate=certificate | dict(model.certificate) | figures,
        versions=versions(),
    )


def _note_unseen(model: Model, targets: Targets, X: np.ndarray, onsets: np.ndarray) -> Model:
    """List the items with training events, if others have none, and estimate what those are worth."""
    certificate = dict(model.certificate)
    trained = np.unique(targets.truth)
    if len(trained) < len(targets.items):
        certificate["trained"] = trained.tolist()
    if model.recipe.fit.unseen:
        alpha = certificate["map"]["alpha"]
        certificate["unseen"] = left_out_items(X, targets, onsets, alpha, model.recipe.fit)
    return replace(model, certificate=certificate)


def _certify(
    model: Model,
    design: Design,
    X: np.ndarray,
    events: dict[str, np.ndarray],
    out_of_fold: np.ndarray,
) -> tuple[Model, dict[str, Any]]:
    """Score the locked events, and repeats pooled out of fold and there; pool as fitted out of fold."""
    figures = dict[str, Any]()
    train, final = events["out_of_fold"], events["final"]
    answered = design.answered[train]
    cosines = {"out_of_fold": out_of_fold[answered]}
    events = {"out_of_fold": train[answered], "final": final}
    if len(final):
        figures["final"] = evaluate(model, X[final], [design.labels[i] for i in final])
        cosines["final"] = similarity(model, X[final])
    place = {item: i for i, item in enumerate(model.items)}
    readout = model.recipe.readout
    pooling, figures["pooled"] = None, {}
    for name, similar in cosines.items():
        truth = np.array([place.get(design.labels[i], -1) for i in events[name]])
        known = truth >= 0
        log_p = log_posterior(similar[known], model.posterior.tau, model.log_prior)
        trials = log_p, model.log_prior, truth[known], design.run[events[name]][known]
        if pooling is None:
            n = readout.repeats if readout.repeats > 1 else _TOLD
            pooling = fit_pooling(*trials, n, readout.precision)
        figures["pooled"][name] = pooled_scores(*trials, pooling.correlation)
    return replace(model, pooling=pooling if readout.repeats > 1 else None), figures


def _without_folders(target: Target) -> Target:
    """Reduce the paths in a target to file names: a model must not reveal folders."""

    def by_name(place: str) -> str:
        path = Path(place).expanduser()
        return path.name if place and (path.is_absolute() or path.exists()) else place

    return replace(
        target, embedding=by_name(target.embedding), vocabulary=by_name(target.vocabulary)
    )


def _split_facts(
    design: Design, recipe: Recipe, groups: np.ndarray, train: np.ndarray, locked: np.ndarray
) -> dict[str, Any]:
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
        "purge_s": recipe.fit.purge,
        "held_out": recipe.fit.groups or f"{recipe.fit.n_blocks} contiguous blocks a recording",
    }


def hash_files(paths: Sequence[Path]) -> list[str]:
    """Compute the SHA-256 of each recording's bytes, not of its name; a recording may be a folder."""
    hashes = []
    for path in paths:
        digest = hashlib.sha256()
        for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if part.is_file():
                with part.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        hashes.append(digest.hexdigest())
    return hashes
