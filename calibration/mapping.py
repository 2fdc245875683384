"""Fit the linear map, and predict every training event by a map that has not seen it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibration.confidence import Evidence, fit_posterior
from calibration.gram import RidgeGram
from calibration.ridge import alphas_default, low_rank, select_alpha
from calibration.scores import cosine, unit_rows
from calibration.splits import Fold, blocks, encode_groups, leave_group_out
from calibration.targets import Targets
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe

__all__ = ["fit_map"]


def fit_map(
    model: Model, X: np.ndarray, targets: Targets, groups: np.ndarray, onsets: np.ndarray,
    recipe: Recipe, say: Callable[[str], None],
) -> tuple[Model, tuple[Evidence, Evidence]]:  # fmt: skip
    """Return the model with its map, and out-of-fold evidence: of one group held out, and of more."""
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
        lambda y: fit_posterior(_evidence(y, vectors[seen], folds), truth).bits_per_word,
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
    more = leave_group_out(_wider(groups, onsets), onsets, recipe.fit.purge)
    fewer = gram.out_of_fold(targets.Y, more, choice.alpha, centred=True)
    wider = _evidence(fewer, vectors, more)
    if len(B) == full:
        return model, (_evidence(choice.predictions, vectors, folds), wider)
    # B was chosen on all items; out of fold, each fold must choose its own.
    predicted = np.empty_like(choice.predictions)
    for inner, test in folds:
        fold = RidgeGram(X[inner])
        W, _ = fold.coef(targets.Y[inner], choice.alpha)
        A, B = low_rank(W, X[inner], choice.alpha, len(B))
        predicted[test] = (X[test] - fold.x_mean) @ A @ B
    return model, (_evidence(predicted, vectors, folds), wider)


def _evidence(predicted: np.ndarray, vectors: np.ndarray, folds: list[Fold]) -> Evidence:
    share = np.mean([len(train) for train, _ in folds]) / len(predicted)
    return Evidence(cosine(predicted, vectors), np.linalg.norm(predicted, axis=1), float(share))


def _wider(groups: np.ndarray, onsets: np.ndarray) -> np.ndarray:
    """Join groups (n,) that follow each other in time to five, at least two in each, or to two."""
    order = np.argsort(onsets, kind="stable")
    codes = encode_groups(groups[order])
    n_groups = int(codes.max()) + 1
    joined = np.empty(len(codes), np.int64)
    joined[order] = blocks(n_groups, max(2, min(5, n_groups // 2)))[codes]
    return joined
