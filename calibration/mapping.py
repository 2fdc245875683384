"""Fit the linear map, and predict every training event by a map that has not seen it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.choice import MOST_FEATURES, Candidate, MapFit, choices_of, choose_map
from calibration.confidence import Evidence
from calibration.gram import RidgeGram
from calibration.prior import Prior, covariance
from calibration.ridge import low_rank, signed
from calibration.scores import cosine, unit_rows
from calibration.splits import Fold, blocks, encode_groups, leave_group_out
from calibration.targets import Targets, target_transform
from rt_decoder.decoding.whitening import whitener
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe

__all__ = ["fit_map", "wider_groups"]

_MOST_FOLDS = 10  # with a prior, where each is fitted anew


def fit_map(
    model: Model, X: np.ndarray, targets: Targets, groups: np.ndarray, onsets: np.ndarray,
    recipe: Recipe, say: Callable[[str], None], prior: Prior | None = None,
) -> tuple[Model, tuple[Evidence, Evidence]]:  # fmt: skip
    """Fit the map; whitening and target power are chosen, and part of it.

    Parameters
    ----------
    model : Model
        With feature scaling.
    X : array of shape (n_train, p)
        Scaled features of the training events.
    targets : Targets
        Of the same events.
    groups : array of shape (n_train,)
        Events of one group are held out together.
    onsets : array of shape (n_train,)
        In s, on one axis over all recordings.
    recipe : Recipe
        Alphas, rank, purge; whitening and power, -1 to choose.
    say : callable
        Receives a line of progress.
    prior : Prior or None
        Sums of other people, in the order of the items of `targets`.

    Returns
    -------
    model : Model
        With map, vocabulary and covariance. Its recipe has what was chosen, and ``certificate["map"]``
        tells how.
    evidence : (Evidence, Evidence)
        Of every training event, by maps that left one group out, and by maps that left out more.

    Raises
    ------
    ValueError
        If features or item vectors do not vary, or the prior does not fit.
    """
    fit, groups = _choose(X, targets, groups, onsets, recipe, prior)
    folds = leave_group_out(groups, onsets, recipe.fit.purge)
    chosen = fit.chosen
    say(_told(fit))
    if prior is not None and not chosen.kappa:
        say("the other people's recordings did not help out of fold: they are not used (kappa 0)")
    W = fit.weights()
    full = min(W.shape)
    A, B = low_rank(W, fit.X, fit.penalty, min(recipe.fit.rank or full, full), fit.prior)
    A, basis = signed(A, B @ fit.axes)
    weights = A if fit.whitener is None else fit.whitener @ A
    kept = chosen.whiten or X.shape[1] <= MOST_FEATURES
    model = replace(
        model,
        recipe=replace(
            recipe,
            features=replace(recipe.features, whiten=chosen.whiten),
            target=replace(recipe.target, power=chosen.power),
        ),
        weights=weights.astype(np.float32),
        offset=(-fit.ridge.x_mean @ A).astype(np.float32),
        basis=basis.astype(np.float32),
        target_mean=targets.Y.mean(axis=0).astype(np.float32),
        target_transform=target_transform(fit.items, fit.axes, chosen.power),
        items=targets.items,
        vectors=(unit_rows(fit.items) @ fit.axes).astype(np.float32),
        covariance=covariance(X) if kept else np.zeros((0, 0), np.float32),
        certificate={**model.certificate, "map": _facts(fit, prior)},
    )
    more = leave_group_out(wider_groups(groups, onsets, 5), onsets, recipe.fit.purge)
    rank = 0 if len(B) == full else len(B)
    return model, (_evidence(fit, folds, rank), _evidence(fit, more, rank))


def _choose(
    X: np.ndarray, targets: Targets, groups: np.ndarray, onsets: np.ndarray, recipe: Recipe,
    prior: Prior | None,
) -> tuple[MapFit, np.ndarray]:  # fmt: skip
    """Choose the map, and return the groups (n,) to hold out; a prior that is not used costs nothing."""
    if prior is not None:
        fewer = groups
        if len(set(groups.tolist())) > _MOST_FOLDS:
            fewer = wider_groups(groups, onsets, _MOST_FOLDS)
        folds = leave_group_out(fewer, onsets, recipe.fit.purge)
        fit = choose_map(X, targets, folds, choices_of(recipe, targets, X.shape[1], prior), prior)
        if fit.chosen.kappa:
            return fit, fewer
    folds = leave_group_out(groups, onsets, recipe.fit.purge)
    return choose_map(X, targets, folds, choices_of(recipe, targets, X.shape[1], None)), groups


def _evidence(fit: MapFit, folds: Sequence[Fold], rank: int) -> Evidence:
    """Predict out of fold; 0 keeps the full rank."""
    predicted = _refitted(fit, folds, rank) if rank else fit.out_of_fold(folds)
    share = np.mean([len(train) for train, _ in folds]) / len(predicted)
    lengths = np.linalg.norm(predicted, axis=1)
    return Evidence(cosine(predicted, fit.items), lengths, float(share))


def _refitted(fit: MapFit, folds: Sequence[Fold], rank: int) -> np.ndarray:
    """Predict out of fold at a lower rank: the basis was chosen on all items, so each fold has its own."""
    predicted = np.empty_like(fit.Y)
    for inner, test in folds:
        X = fit.features
        if fit.whitener is not None:
            X = X @ whitener(covariance(X[inner]), fit.chosen.whiten)
        ridge = RidgeGram(X[inner], prior=fit.prior)
        W, _ = ridge.coef(fit.Y[inner], fit.penalty, fit.cross)
        A, B = low_rank(W, X[inner], fit.penalty, rank, fit.prior)
        predicted[test] = (X[test] - ridge.x_mean) @ A @ B
    return predicted


def _facts(fit: MapFit, prior: Prior | None) -> dict[str, Any]:
    chosen = fit.chosen
    facts = {
        "whiten": chosen.whiten,
        "power": chosen.power,
        "kappa": chosen.kappa,
        "alpha": chosen.alpha,
        "bits_per_word": chosen.bits,
        "plain_bits_per_word": _plainest(fit).bits,
    }
    if prior is None:
        return facts
    n_events = int(prior.counts.sum())
    people = {"n_people": prior.n_people, "n_events": n_events, "kappa": chosen.kappa}
    return facts | {"prior": people}


def _plainest(fit: MapFit) -> Candidate:
    return min(fit.tried, key=lambda one: (one.kappa, one.whiten, -one.power))


def _told(fit: MapFit) -> str:
    chosen, how = fit.chosen, []
    if chosen.whiten:
        how.append(f"features whitened (shrinkage {chosen.whiten:g})")
    if chosen.power != 1:
        how.append(f"targets to the power {chosen.power:g}")
    if chosen.kappa:
        how.append(f"{chosen.kappa:g} of the other people's sums")
    line = f"penalty (alpha) {chosen.alpha:.3g}: {chosen.bits:.3f} bits a word out of fold"
    return f"{line}; {', '.join(how)} (plain: {_plainest(fit).bits:.3f})" if how else line


def wider_groups(groups: np.ndarray, onsets: np.ndarray, most: int) -> np.ndarray:
    """Join groups that follow each other in time.

    Parameters
    ----------
    groups : array of shape (n,)
    onsets : array of shape (n,)
        In s.
    most : int
        Groups that are wanted, at least two of the old ones in each, or else two.

    Returns
    -------
    array of shape (n,), int
    """
    order = np.argsort(onsets, kind="stable")
    codes = encode_groups(groups[order])
    n_groups = int(codes.max()) + 1
    joined = np.empty(len(codes), np.int64)
    joined[order] = blocks(n_groups, max(2, min(most, n_groups // 2)))[codes]
    return joined
