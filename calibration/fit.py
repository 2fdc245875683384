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

from calibration.confidence import (
    fit_abstention,
    fit_posterior,
    log_posterior,
    log_prior_from_counts,
)
from calibration.design import Design
from calibration.evaluate import evaluate, finite
from calibration.gram import RidgeGram
from calibration.items import same_vector_line
from calibration.language.embeddings import embed
from calibration.ridge import alphas_default, low_rank, select_alpha
from calibration.scores import (
    cosine,
    summarize,
    unit_rows,
)
from calibration.splits import (
    check_enough,
    leave_group_out,
    split_events,
    split_line,
)
from calibration.targets import Targets, make_targets, spelled_labels
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model, PosteriorParameters, versions
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
    model, out_of_fold = _fit_map(
        replace(draft, center=center, scale=scale), X[train], targets,
        groups[train], design.onsets[train], recipe, say,
    )  # fmt: skip
    model, inner = _fit_posterior(model, out_of_fold, targets, recipe, design.answered[train])
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


def _fit_map(
    model: Model, X: np.ndarray, targets: Targets, groups: np.ndarray, onsets: np.ndarray,
    recipe: Recipe, say: Callable[[str], None],
) -> tuple[Model, np.ndarray]:  # fmt: skip
    """Return the model with its map, and out-of-fold cosines (n_train, V)."""
    mean = targets.Y.mean(axis=0)
    vectors = unit_rows(targets.item_vectors - mean)
    if not np.any(vectors):
        raise ValueError("need items with different embeddings, got only one vector")
    gram = RidgeGram(X)
    folds = leave_group_out(groups, onsets, recipe.fit.purge)
    alphas = np.array(recipe.fit.alphas) if recipe.fit.alphas else alphas_default(X)
    seen, truth = np.unique(targets.truth, return_inverse=True)
    choice = select_alpha(
        gram,
        targets.Y,
        folds,
        alphas,
        lambda predicted: fit_posterior(cosine(predicted, vectors[seen]), truth).bits_per_word,
    )
    say(f"alpha {choice.alpha:.3g}, by {choice.scores.max():.3f} bits a word out of fold")
    W, _ = gram.coef(targets.Y, choice.alpha)
    full = min(W.shape)
    A, B = low_rank(W, X, choice.alpha, min(recipe.fit.rank or full, full))
    model = replace(
        model,
        weights=A.astype(np.float32),
        offset=(-gram.x_mean @ A).astype(np.float32),
        basis=B.astype(np.float32),
        target_mean=mean.astype(np.float32),
        items=targets.items,
        vectors=vectors.astype(np.float32),
    )
    if len(B) == full:
        return model, cosine(choice.predictions, vectors)
    # B was chosen on all items; out of fold, each fold must choose its own.
    predicted = np.empty_like(choice.predictions)
    for inner, test in folds:
        fold = RidgeGram(X[inner])
        W, _ = fold.coef(targets.Y[inner], choice.alpha)
        A, B = low_rank(W, X[inner], choice.alpha, len(B))
        predicted[test] = (X[test] - fold.x_mean) @ A @ B
    return model, cosine(predicted, vectors)


def _fit_posterior(
    model: Model,
    out_of_fold: np.ndarray,
    targets: Targets,
    recipe: Recipe,
    answered: np.ndarray,
) -> tuple[Model, dict[str, float]]:
    """Fit tau and threshold on the training events that are `answered`, (n_train,) bool."""
    out_of_fold, truth = out_of_fold[answered], targets.truth[answered]
    n_items = len(targets.items)
    counts = np.zeros(n_items)
    if recipe.readout.prior == "training":
        counts = np.bincount(targets.truth, minlength=n_items).astype(float)
    log_prior = log_prior_from_counts(counts)
    if recipe.readout.prior == "wordfreq":
        from calibration.language.words import word_log_prior

        log_prior = word_log_prior(targets.items)
    fitted = fit_posterior(out_of_fold, truth, log_prior)
    posterior = log_posterior(out_of_fold, fitted.tau, log_prior)
    confidence = np.exp(posterior.max(axis=1))
    correct = posterior.argmax(axis=1) == truth
    abstention = fit_abstention(confidence, correct, recipe.readout.precision)
    scores = summarize(out_of_fold, truth, np.exp(log_prior))
    scores |= {
        "bits_per_word": fitted.bits_per_word,
        "calibration_error": fitted.ece,
        "precision": abstention.precision,
        "coverage": abstention.coverage,
    }
    model = replace(
        model,
        log_prior=log_prior,
        posterior=PosteriorParameters(fitted.tau, abstention.threshold, recipe.readout.min_quality),
    )
    return model, finite(scores)


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
