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
from calibration.hold_out import HeldOut, check_agreement, hold_out, out_of_fold_null
from calibration.items import same_vector_line
from calibration.language.embeddings import embed
from calibration.mapping import fit_map
from calibration.readout import fit_readout
from calibration.splits import check_enough, split_line
from calibration.targets import spelled_labels
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model, versions
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
        If there are too few events or items, the groups leave nothing to train on, or what is
        found out of fold is a leak, by itself or by the locked block.
    """
    recipe = draft.recipe
    if recipe.target.fold:
        spelled = spelled_labels(recipe.target.vocabulary, design.labels)
        design = replace(design, labels=spelled)
    check_enough(design.labels)
    held_out = hold_out(design, recipe, embedder)
    groups, train, targets = held_out.groups, held_out.train, held_out.targets
    final = held_out.locked[design.answered[held_out.locked]]
    split = _split_facts(design, recipe, held_out)
    recipe = replace(recipe, fit=replace(recipe.fit, purge=held_out.purge))
    say(f"{split_line(split)}; {len(targets.items)} items")
    say(held_out.line)
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
    if len(final):
        certificate |= _certify(model, design, held_out, X[final], final, inner, out_of_fold)
    return replace(
        model,
        recipe=replace(draft.recipe, target=_without_folders(draft.recipe.target)),
        certificate=certificate,
        versions=versions(),
    )


def _certify(
    model: Model, design: Design, held_out: HeldOut, X: np.ndarray, final: np.ndarray,
    inner: dict[str, float], out_of_fold: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Decode the locked events, rows X, once; refuse where they contradict the folds."""
    units, kept = held_out.units, design.answered[held_out.train]
    null = out_of_fold_null(
        out_of_fold[kept], held_out.targets.truth[kept], units[held_out.train][kept], model.recipe
    )
    labels, memory = [design.labels[i] for i in final], int(null["memory"])
    scores = evaluate(model, X, labels, memory=memory, groups=units[final])
    check_agreement(inner, null, scores)
    return {"final": scores, "null_memory": memory}


def _without_folders(target: Target) -> Target:
    """Reduce the paths in a target to file names: a model must not reveal folders."""

    def by_name(place: str) -> str:
        path = Path(place).expanduser()
        return path.name if place and (path.is_absolute() or path.exists()) else place

    return replace(
        target, embedding=by_name(target.embedding), vocabulary=by_name(target.vocabulary)
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
