"""Score the windows of a model: accuracy against latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.evaluate import evaluate, rank_scores
from calibration.interval import mean_interval
from rt_decoder.model import Model

__all__ = ["earliest", "frontier", "one_window", "window_scores"]

SHOWN = 0.05  # p of the fixed sequence from the longest window to the shortest


def one_window(model: Model, number: int) -> Model:
    """Return the model that decodes a shorter window; past the last it is the model itself."""
    if number == len(model.windows):
        return model
    one = model.windows[number]
    q = len(one.weights)
    return replace(
        model,
        center=model.center[:q],
        scale=model.scale[:q],
        weights=one.weights,
        offset=one.offset,
        item_bias=one.item_bias,
        posterior=one.posterior,
        covariance=np.zeros((0, 0), np.float32),
        windows=(),
    )


def window_scores(
    model: Model, X: np.ndarray, labels: Sequence[str], memory: int, groups: np.ndarray | None
) -> dict[str, Any]:
    """Score one window on events that it has not seen.

    Parameters
    ----------
    model : Model
        Of `one_window`.
    X : array of shape (n, p), float32
        Scaled features of the whole window; the first ones are used.
    labels : sequence of str
    memory, groups : int, array of shape (n,) or None
        As of `evaluate.evaluate`.

    Returns
    -------
    dict
        n, chance, rank with its interval (low, high), bits, p.
    """
    part, labels = X[:, : len(model.center)], [*labels]
    scores = evaluate(model, part, labels, memory=memory, groups=groups)
    ranks = rank_scores(model, part, labels)
    low, high = mean_interval(ranks, scores["null_unit"], model.recipe.fit.seed)
    return {"n": scores["n"], "chance": scores["chance_rank_accuracy"],
            "rank": scores["rank_accuracy"], "low": low, "high": high,
            "bits": scores["bits_per_word"], "p": scores["p"]}  # fmt: skip


def earliest(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Find the first end from which on all windows are above chance.

    Parameters
    ----------
    rows : sequence of mapping
        ``end`` and ``p`` of each window, in order. They are tested in a fixed order, the longest first,
        each at .05: no correction is needed.

    Returns
    -------
    float or None
        In s; None if there is none.
    """
    found = None
    for row in rows[::-1]:
        if row["p"] is None or row["p"] > SHOWN:
            break
        found = row["end"]
    return found


def frontier(
    model: Model, X: np.ndarray, labels: Sequence[str], *, memory: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score every window of a model on events that it has not seen.

    Parameters
    ----------
    model : Model
    X : array of shape (n, p), float32
        Scaled features.
    labels : sequence of str
    memory, groups : int, array of shape (n,) or None
        As of `evaluate.evaluate`.

    Returns
    -------
    dict
        ``anytime``: `windows`, a row each with its ``end``, the model's own last; `earliest`. Empty
        without `windows`.
    """
    if not model.windows:
        return {}
    ends = [*(one.end for one in model.windows), model.recipe.features.tmax]
    rows = [
        {"end": end} | window_scores(one_window(model, number), X, labels, memory, groups)
        for number, end in enumerate(ends)
    ]
    return {"anytime": {"windows": rows, "earliest": earliest(rows)}}
