"""Maps of windows that end early: how soon after an onset a word can be told.

Features are in order of time, so those of a shorter window are the first of the model's, and their
Gram matrix is a sub-block of the model's. What was chosen for the model is kept: whitening, target
power, and the penalty relative to the mean eigenvalue. Each window has one eigendecomposition, its
own weights, and its own posterior, which is fitted out of fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from calibration.choice import Choices, MapFit, choose_map
from calibration.confidence import Evidence
from calibration.design import Design
from calibration.frontier import earliest, one_window, window_scores
from calibration.gram import RidgeGram
from calibration.hold_out import HeldOut
from calibration.mapping import wider_groups
from calibration.readout import fit_readout
from calibration.ridge import low_rank
from calibration.scores import cosine
from calibration.splits import Fold, leave_group_out
from calibration.targets import Targets
from calibration.whitened import own_penalty
from rt_decoder.model import Model, WindowMap

__all__ = ["fit_windows", "map_of_window", "score_windows", "window_ends"]


class _Window(NamedTuple):
    """The ridge of the first features."""

    X: np.ndarray  # (n, q)
    ridge: RidgeGram
    Y: np.ndarray  # (n, r)
    penalty: float


def window_ends(model: Model) -> list[tuple[float, int]]:
    """List the shorter windows that the recipe asks for.

    Parameters
    ----------
    model : Model
        With scaling and map.

    Returns
    -------
    list of (end, n_features)
        Ends in s after the onset, rounded down to whole bins, ascending; from two steps on where
        the recipe has a step. A window that is over before its baseline is left out.
    """
    features, sfreq = model.recipe.features, model.info.sfreq
    first, last = round(features.tmin * sfreq), round(features.tmax * sfreq)
    n_bins = (last - first) // features.decim
    per_bin = len(model.center) // n_bins
    wanted = features.anytime
    if not isinstance(wanted, tuple):
        n_steps = int((features.tmax - features.tmin) / wanted) if wanted else 0
        wanted = tuple(features.tmin + k * wanted for k in range(2, n_steps + 1))
    found = {}
    for end in wanted:
        n = (round(end * sfreq) - first) // features.decim
        exact = (first + n * features.decim) / sfreq
        if 0 < n < n_bins and exact >= max((0.0, *features.baseline)):
            found[n] = exact
    return [(found[n], n * per_bin) for n in sorted(found)]


def fit_windows(
    model: Model, X: np.ndarray, design: Design, held_out: HeldOut
) -> tuple[Model, list[dict[str, Any]]]:
    """Fit the maps of shorter windows, and their posteriors out of fold.

    Parameters
    ----------
    model : Model
        With map and posterior; its recipe has what was chosen.
    X : array of shape (n, p)
        Scaled features of all events.
    design : Design
        All events.
    held_out : HeldOut
        Which events train.

    Returns
    -------
    model : Model
        With `windows`; none where other people's sums are in the map, as they are of the whole window.
    scores : list of dict
        Out of fold, as from `readout.fit_readout`, a window each.
    """
    ends, chosen = window_ends(model), model.certificate["map"]
    if not ends or chosen["kappa"]:
        return model, []
    train, targets, purge = held_out.train, held_out.targets, held_out.purge
    groups, onsets, X = held_out.groups[train], design.onsets[train], X[train]
    answered = design.answered[train]
    folds = leave_group_out(groups, onsets, purge)
    wider = leave_group_out(wider_groups(groups, onsets, 5), onsets, purge)
    choices = Choices((chosen["whiten"],), (chosen["power"],), (0.0,), (chosen["alpha"],))
    fit = choose_map(X, targets, folds, choices)
    full = min(X.shape[1], fit.Y.shape[1])
    rank = 0 if len(model.basis) == full else len(model.basis)
    bases = _bases(fit, folds, rank), _bases(fit, wider, rank)
    windows, scores = [], []
    for (end, _), one in zip(ends, _windows(fit, [q for _, q in ends]), strict=True):
        found = _evidence(fit, one, folds, bases[0]), _evidence(fit, one, wider, bases[1])
        judged, inner = fit_readout(model, found, targets, model.recipe, answered, groups)
        weights, offset = _map(fit, one, model.basis)
        windows.append(WindowMap(end, weights, offset, judged.item_bias, judged.posterior))
        scores.append(inner)
    return replace(model, windows=tuple(windows)), scores


def map_of_window(
    model: Model, X: np.ndarray, targets: Targets, folds: Sequence[Fold], n_features: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the map of the first features; of all features it is the model's own.

    Parameters
    ----------
    model : Model
        With a map of its own data alone.
    X : array of shape (n, p)
        Scaled features of the training events.
    targets : Targets
    folds : sequence of (train, test)
    n_features : int
        q, from 1 to p.

    Returns
    -------
    weights : array of shape (q, r), float32
    offset : array of shape (r,), float32
    """
    chosen = model.certificate["map"]
    choices = Choices((chosen["whiten"],), (chosen["power"],), (0.0,), (chosen["alpha"],))
    fit = choose_map(X, targets, folds, choices)
    (one,) = _windows(fit, [n_features])
    return _map(fit, one, model.basis)


def _map(fit: MapFit, one: _Window, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    A = one.ridge.coef(one.Y, one.penalty)[0] @ (fit.axes @ basis.T.astype(float))
    return A.astype(np.float32), (-one.ridge.x_mean @ A).astype(np.float32)


def _windows(fit: MapFit, sizes: Sequence[int]) -> Iterator[_Window]:
    """Yield the ridge of the first q features, for each q of `sizes`, ascending."""
    X = np.asarray(fit.features, np.float64)
    centred = X - X.mean(axis=0)
    n, whiten = len(X), fit.chosen.whiten
    primal = max((q for q in sizes if q <= n), default=0)
    gram = centred[:, :primal].T @ centred[:, :primal]
    items, done = np.zeros((n, n)) if max(sizes) > n else np.zeros((0, 0)), 0
    unit = fit.chosen.alpha / _mean_eigenvalue(fit.ridge, X, whiten)
    _, less = own_penalty(fit.chosen.alpha, whiten, X)
    for q in sizes:
        if q <= n:
            known = gram[:q, :q]
        else:
            items += centred[:, done:q] @ centred[:, done:q].T
            known, done = items, q
        part = X[:, :q]
        ridge = RidgeGram(part, gram=known)
        alpha = unit * _mean_eigenvalue(ridge, part, whiten)
        penalty, factor = own_penalty(alpha, whiten, part)
        yield _Window(part, ridge, fit.Y * (factor / less), penalty)


def _mean_eigenvalue(ridge: RidgeGram, X: np.ndarray, whiten: float) -> float:
    """Mean nonzero eigenvalue of the Gram matrix of features, whitened or not (`alphas_default`)."""
    n, p = X.shape
    values = ridge.eigenvalues / n
    if whiten:
        values = values / (values + whiten * X.var(axis=0).mean())
    return float(values.sum()) * n / min(n - 1, p)


def _bases(fit: MapFit, folds: Sequence[Fold], rank: int) -> list[np.ndarray] | None:
    """Directions (rank, r) that the map of the whole window keeps in each fold; None for all."""
    if not rank:
        return None
    bases = []
    for train, _ in folds:
        W, _ = RidgeGram(fit.X[train]).coef(fit.Y[train], fit.penalty)
        bases.append(low_rank(W, fit.X[train], fit.penalty, rank)[1])
    return bases


def _evidence(
    fit: MapFit, one: _Window, folds: Sequence[Fold], bases: list[np.ndarray] | None
) -> Evidence:
    predicted = one.ridge.out_of_fold(one.Y, folds, one.penalty, True)
    if bases is not None:
        for (_, test), B in zip(folds, bases, strict=True):
            predicted[test] = predicted[test] @ B.T @ B
    share = np.mean([len(train) for train, _ in folds]) / len(predicted)
    return Evidence(cosine(predicted, fit.items), np.linalg.norm(predicted, axis=1), float(share))


def score_windows(
    model: Model, design: Design, X: np.ndarray, held_out: HeldOut,
    out_of_fold: Sequence[Mapping[str, Any]], figures: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Score every window on the locked events: accuracy against latency.

    Parameters
    ----------
    model : Model
        With `windows`; its certificate has `out_of_fold`.
    design : Design
        All events.
    X : array of shape (n, p), float32
        Scaled features of all events.
    held_out : HeldOut
    out_of_fold : sequence of mapping
        Of `fit_windows`.
    figures : mapping
        Of `certificate.certify`.

    Returns
    -------
    dict
        Empty without `windows`, else ``anytime``: `windows`, a row for each, the model's own last: end, n, chance, rank, low, high, bits, p,
        rank_out_of_fold, bits_out_of_fold; of the locked block only if there is one. `earliest` is
        the first end from which on all windows are above chance, tested in a fixed order, the
        longest first, each at .05: no correction is needed.
    """
    if not model.windows:
        return {}
    inner = [*out_of_fold, model.certificate["out_of_fold"]]
    ends = [*(one.end for one in model.windows), model.recipe.features.tmax]
    final = held_out.locked[design.answered[held_out.locked]]
    labels, units = [design.labels[i] for i in final], held_out.units[final]
    rows = []
    for number, (end, found) in enumerate(zip(ends, inner, strict=True)):
        row = {"end": end, "rank_out_of_fold": found["rank_accuracy"],
               "bits_out_of_fold": found["bits_per_word"]}  # fmt: skip
        row |= dict.fromkeys(("n", "chance", "rank", "low", "high", "bits", "p"))
        if "final" in figures:
            one = one_window(model, number)
            row |= window_scores(one, X[final], labels, figures["null_memory"], units)
        rows.append(row)
    return {"anytime": {"windows": rows, "earliest": earliest(rows)}}
