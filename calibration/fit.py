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

from calibration.design import Design
from calibration.evaluate import evaluate
from calibration.items import same_vector_line
from calibration.language.embeddings import embed
from calibration.mapping import fit_map
from calibration.readout import fit_readout
from calibration.splits import (
    check_enough,
    split_events,
    split_line,
)
from calibration.targets import make_targets, spelled_labels
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model, answers_line, versions
from rt_decoder.recipe import Recipe, Target

__all__ = ["fit_model", "hash_files"]


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
    model, held = fit_map(
        replace(draft, center=center, scale=scale), X[train], targets,
        groups[train], design.onsets[train], recipe, say,
    )  # fmt: skip
    model, inner = fit_readout(model, held, targets, recipe, design.answered[train], groups[train])
    say(answers_line(model.posterior.threshold, inner))
    certificate: dict[str, Any] = {
        "split": split,
        "out_of_fold": inner,
        "data_hash": list(data_hash),
        "seed": recipe.fit.seed,
        "same_vector": [[targets.items[i] for i in group] for group in targets.same[:100]],
    }
    if len(final):
        certificate["final"] = evaluate(model, X[final], [design.labels[i] for i in final])
    return replace(
        model,
        recipe=replace(recipe, target=_without_folders(recipe.target)),
        certificate=certificate,
        versions=versions(),
    )


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
