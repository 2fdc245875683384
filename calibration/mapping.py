"""Fit the linear map, and predict every training event by a map that has not seen it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibration.confidence import fit_posterior
from calibration.gram import RidgeGram
from calibration.ridge import alphas_default, low_rank, select_alpha
from calibration.scores import cosine, unit_rows
from calibration.splits import leave_group_out
from calibration.targets import Targets
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe

__all__ = ["fit_map"]


def fit_map(
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
        certificate={**model.certificate, "map": {"alpha": choice.alpha}},
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
