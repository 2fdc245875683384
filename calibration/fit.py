"""From a design to a model with a certificate.

Everything is chosen on the training blocks, by held-out groups: scaling, penalty, sharpness of the
posterior, threshold of abstention. The last block is locked: it is decoded once, by the finished
model, and gives the certificate.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calibration.confidence import (
    expected_calibration_error,
    fit_abstention,
    fit_posterior,
    log_posterior,
    log_prior_from_counts,
)
from calibration.design import Design
from calibration.embeddings import embed
from calibration.nulls import permutation_p
from calibration.recipe import Recipe
from calibration.ridge import RidgeGram, alphas_default, low_rank, select_alpha
from calibration.scores import (
    bits_beyond_prior,
    cosine,
    macro,
    rank_accuracy,
    summarize,
    top_k,
    unit_rows,
)
from calibration.splits import blocks, final_block, leave_group_out
from rt_decoder.features import robust_scale, scale_features
from rt_decoder.mapping import LinearMap
from rt_decoder.model import Model
from rt_decoder.vocabulary import Vocabulary

__all__ = ["evaluate", "fit_model", "similarity", "vocabulary_items"]

MIN_ITEMS = 10  # fewer events than this cannot be split and tested


class _Targets(NamedTuple):
    """What the training items are mapped to. V items, D dimensions."""

    items: tuple[str, ...]
    item_vectors: np.ndarray  # (V, D)
    Y: np.ndarray  # (n_train, D)
    truth: np.ndarray  # (n_train,) item number


def vocabulary_items(spec: str, labels: Sequence[str]) -> tuple[str, ...]:
    """Items to choose among: the labels, then what the recipe's `vocabulary` adds.

    Parameters
    ----------
    spec : str
        Empty, ``wordfreq:N``, or a text file with one item a line.
    labels : sequence of str
        Labels of the training items.
    """
    extra: list[str] = []
    if spec.startswith("wordfreq:"):
        from calibration.vocabulary_words import frequent_words

        try:
            n = int(spec.removeprefix("wordfreq:"))
        except ValueError:
            raise ValueError(f"need wordfreq:N with a whole number, got {spec!r}") from None
        extra = frequent_words(n)
    elif spec:
        lines = Path(spec).read_text(encoding="utf-8-sig").splitlines()
        extra = [line.strip() for line in lines if line.strip()]
        if not extra:
            raise ValueError(f"vocabulary {Path(spec).name} is empty")
    return tuple(dict.fromkeys([*extra, *sorted(set(labels))]))


def fit_model(
    draft: Model,
    design: Design,
    *,
    data_hash: str = "",
    embedder: Callable[..., np.ndarray] = embed,
    say: Callable[[str], None] = lambda _: None,
) -> Model:
    """Fit map, posterior and certificate.

    Parameters
    ----------
    draft : Model
        Stages and recipe, without a map.
    design : Design
        What `design.build_design` gave for it.
    data_hash : str
        Sha256 of the recordings, for the certificate.
    embedder : callable
        Texts to vectors, as `embeddings.embed`.
    say : callable
        Takes a line of progress.

    Raises
    ------
    ValueError
        If there are too few events or items, or the groups leave nothing to train on.
    """
    recipe = Recipe.from_dict(draft.recipe)
    n = len(design.labels)
    if n < MIN_ITEMS or len(set(design.labels)) < 2:
        raise ValueError(
            f"need at least {MIN_ITEMS} events of 2 items or more, "
            f"got {n} events of {len(set(design.labels))}"
        )
    groups = _groups(design, recipe)
    train, final = _split(groups, design, recipe)
    targets = _targets(design, train, recipe, embedder)
    say(f"{n} events, {len(train)} train, {len(final)} locked, {len(targets.items)} items")

    center, scale = robust_scale(design.X[train])
    clamp = recipe.features.clamp
    X = scale_features(design.X, center, scale, clamp)
    model, out_of_fold = _fit_map(
        replace(draft, center=center, scale=scale), X[train], targets,
        groups[train], design.onsets[train], recipe, say,
    )  # fmt: skip
    model, inner = _fit_posterior(model, out_of_fold, targets, recipe)
    certificate: dict[str, Any] = {
        "split": {
            "n_events": n,
            "n_dropped": design.n_dropped,
            "n_train": len(train),
            "n_final": len(final),
            "n_groups": len(set(groups[train].tolist())),
            "purge_s": recipe.fit.purge,
            "held_out": recipe.fit.groups or f"{recipe.fit.n_blocks} contiguous blocks a recording",
        },
        "out_of_fold": inner,
        "data_hash": data_hash,
        "seed": recipe.fit.seed,
    }
    if len(final):
        labels = [design.labels[i] for i in final]
        certificate["final"] = evaluate(model, X[final], labels)
    return replace(model, certificate=certificate, versions=_versions())


def _groups(design: Design, recipe: Recipe) -> np.ndarray:
    if recipe.fit.groups:
        return np.array(design.groups)
    names = np.empty(len(design.run), object)
    for run in np.unique(design.run):
        where = np.flatnonzero(design.run == run)
        block = blocks(len(where), min(recipe.fit.n_blocks, len(where)))
        names[where] = [f"{run}/{b}" for b in block]
    return names.astype(str)


def _split(groups: np.ndarray, design: Design, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    if recipe.fit.final_block == 0:
        return np.arange(len(groups)), np.arange(0)
    return final_block(groups, recipe.fit.final_block, design.onsets, recipe.fit.purge)


def _targets(
    design: Design, train: np.ndarray, recipe: Recipe, embedder: Callable[..., np.ndarray]
) -> _Targets:
    labels = [design.labels[i] for i in train]
    items = vocabulary_items(recipe.target.vocabulary, labels)
    place = {item: i for i, item in enumerate(items)}
    truth = np.array([place[label] for label in labels])
    how = {
        "model": recipe.target.embedding,
        "layer": recipe.target.layer,
        "pooling": recipe.target.pooling,
    }
    item_vectors = np.asarray(embedder(items, **how), float)
    if not recipe.target.context:
        return _Targets(items, item_vectors, item_vectors[truth], truth)
    if design.contexts is None:
        raise ValueError("need an events table for words in sentence context, got none")
    Y = np.asarray(embedder(labels, contexts=[design.contexts[i] for i in train], **how), float)
    # An item that was read in sentences is the mean of its readings; others stay words alone.
    counts = np.bincount(truth, minlength=len(items))
    sums = np.zeros_like(item_vectors)
    np.add.at(sums, truth, Y)
    seen = counts > 0
    item_vectors[seen] = sums[seen] / counts[seen, None]
    return _Targets(items, item_vectors, Y, truth)


def _fit_map(
    model: Model, X: np.ndarray, targets: _Targets, groups: np.ndarray, onsets: np.ndarray,
    recipe: Recipe, say: Callable[[str], None],
) -> tuple[Model, np.ndarray]:  # fmt: skip
    """Give the model with its map, and out-of-fold cosines (n_train, V)."""
    mean = targets.Y.mean(axis=0)
    vectors = unit_rows(targets.item_vectors - mean)
    if not np.any(vectors):
        raise ValueError("need items with different embeddings, got only one vector")
    gram = RidgeGram(X)
    folds = leave_group_out(groups, onsets, recipe.fit.purge)
    alphas = np.array(recipe.fit.alphas) if recipe.fit.alphas else alphas_default(X)
    choice = select_alpha(
        gram,
        targets.Y,
        folds,
        alphas,
        lambda predicted: macro(
            rank_accuracy(cosine(predicted, vectors), targets.truth), targets.truth
        ),
    )
    say(f"alpha {choice.alpha:.3g}, out-of-fold rank accuracy {choice.scores.max():.3f}")
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
    # The kept directions were chosen on all items: each fold has to choose its own.
    predicted = np.empty_like(choice.predictions)
    for inner, test in folds:
        fold = RidgeGram(X[inner])
        W, _ = fold.coef(targets.Y[inner], choice.alpha)
        A, B = low_rank(W, X[inner], choice.alpha, len(B))
        predicted[test] = (X[test] - fold.x_mean) @ A @ B
    return model, cosine(predicted, vectors)


def _fit_posterior(
    model: Model, out_of_fold: np.ndarray, targets: _Targets, recipe: Recipe
) -> tuple[Model, dict[str, float]]:
    n_items = len(targets.items)
    counts = np.zeros(n_items)
    if recipe.readout.prior == "training":
        counts = np.bincount(targets.truth, minlength=n_items).astype(float)
    log_prior = log_prior_from_counts(counts)
    if recipe.readout.prior == "wordfreq":
        from calibration.vocabulary_words import word_log_prior

        log_prior = word_log_prior(targets.items)
    fitted = fit_posterior(out_of_fold, targets.truth, log_prior)
    posterior = log_posterior(out_of_fold, fitted.tau, log_prior)
    confidence = np.exp(posterior.max(axis=1))
    correct = posterior.argmax(axis=1) == targets.truth
    abstention = fit_abstention(confidence, correct, recipe.readout.precision)
    scores = summarize(out_of_fold, targets.truth, np.exp(log_prior))
    scores |= {
        "bits_per_word": fitted.bits_per_word,
        "calibration_error": fitted.ece,
        "precision": abstention.precision,
        "coverage": abstention.coverage,
    }
    model = replace(
        model,
        log_prior=log_prior,
        posterior={
            "tau": fitted.tau,
            "threshold": abstention.threshold,
            "min_quality": recipe.readout.min_quality,
        },
    )
    return model, _finite(scores)


def similarity(model: Model, X: np.ndarray) -> np.ndarray:
    """Cosines (n, V) of scaled features (n, p), by the kernels of the live readout."""
    mapping = LinearMap(model.weights, model.offset)
    vocabulary = Vocabulary(model.items, model.vectors, model.basis)
    return np.stack([vocabulary.scores(mapping.process(row)).copy() for row in X])


def evaluate(model: Model, X: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Score a finished model on events it has never seen, beside chance and the prior alone.

    Parameters
    ----------
    X : array of shape (n, p), float32
        Scaled features.
    labels : sequence of str
        The items that were there. Those outside the vocabulary cannot be named: they are counted
        (`n_outside`) and left out of the scores.

    Raises
    ------
    ValueError
        If no label is in the vocabulary.
    """
    place = {item: i for i, item in enumerate(model.items)}
    known = np.array([label in place for label in labels])
    if not known.any():
        raise ValueError("need labels of the model's vocabulary, got none of them")
    truth = np.array([place[label] for label in labels if label in place])
    cosines = similarity(model, X[known])
    log_prior = model.log_prior
    posterior = log_posterior(cosines, model.posterior["tau"], log_prior)
    confidence, winner = np.exp(posterior.max(axis=1)), posterior.argmax(axis=1)
    answered = confidence >= model.posterior["threshold"]
    right = winner == truth
    recipe = Recipe.from_dict(model.recipe)
    null = permutation_p(
        lambda permuted: float(rank_accuracy(cosines, permuted).mean()),
        truth,
        recipe.fit.n_permutations,
        recipe.fit.seed,
    )
    scores = summarize(cosines, truth, np.exp(log_prior)) | {
        "n": int(known.sum()),
        "n_outside": int((~known).sum()),
        "n_items": len(model.items),
        "p": null.p,
        "null_rank_accuracy": float(null.null.mean()),
        "posterior_top1": float(right.mean()),
        "posterior_top10": float(top_k(posterior, truth, 10).mean()),
        "bits_per_word": float(bits_beyond_prior(posterior, log_prior, truth).mean()),
        "calibration_error": expected_calibration_error(confidence, right),
        "answered": float(answered.mean()),
        "precision": float(right[answered].mean()) if answered.any() else float("nan"),
    }
    return _finite(scores)


def _finite(scores: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what is not defined is null."""
    return {
        k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in scores.items()
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("rt-decoder", "numpy", "numba", "scipy", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hash_files(paths: Sequence[Path]) -> str:
    """Sha256 over the bytes of the recordings, in order; names do not enter."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
