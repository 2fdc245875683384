r"""Align the map of a group with one person, by that person's unlabelled events.

People share a map from *whitened* features, each person's whitened by their own covariance. With the
group's covariance :math:`S_g`, which counts for `weight` events, and n scaled, centred events X,

.. math:: S = \frac{w S_g + X^\top X}{w + n}, \qquad
          A = W(S) \, W(S_g)^{-1} A_g, \qquad b = -\bar x A .

Centre and scale are the person's own, so that gains and offsets of channels cancel. No label enters,
unless a session is told that its labels are true: then the whitened map is that of `learning`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.learning import LabelSums
from rt_decoder.decoding.whitening import whitener
from rt_decoder.model import Model

__all__ = ["LEAST_EVENTS", "Aligned", "align", "map_change", "one_thread", "whitened_weights"]

LEAST_EVENTS = 20  # below, scale and covariance of one's own are noise: the group's are used


class Aligned(NamedTuple):
    """What of a model an alignment replaces, under the names that `Model` has for it."""

    center: np.ndarray  # (p,) float64
    scale: np.ndarray  # (p,) float64
    weights: np.ndarray  # (p, r) float32
    offset: np.ndarray  # (r,) float32


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let matrix products use one thread: the number of threads changes the last bits."""
    with _libraries().limit(limits=1):
        yield


def whitened_weights(model: Model) -> np.ndarray:
    """Compute the map of a group model for whitened features, which people share.

    Parameters
    ----------
    model : Model
        With `alignment` and `covariance`.

    Returns
    -------
    array of shape (p, r), float64

    Raises
    ------
    ValueError
        If the model holds no covariance or does not say how to align it.
    """
    if model.alignment is None or not model.covariance.size:
        raise ValueError("need a model with alignment and covariance, got one without; pool again")
    with one_thread():
        W = whitener(model.covariance, model.alignment.shrink)
        return np.linalg.solve(W, np.asarray(model.weights, np.float64))


def align(
    model: Model,
    features: np.ndarray,
    whitened: np.ndarray | None = None,
    labels: LabelSums | None = None,
) -> Aligned:
    """Align the map with one person.

    On one machine, equal features in equal order give equal bits.

    Parameters
    ----------
    model : Model
        Of a group, with `alignment` and `covariance`.
    features : array of shape (n, p), float64
        Unscaled features of the person's events, finite. Below `LEAST_EVENTS` the model's own
        parts are returned.
    whitened : array of shape (p, r) or None
        From `whitened_weights`, which takes as long again; None computes it.
    labels : LabelSums or None
        Of the person's events whose items are known.

    Returns
    -------
    Aligned

    Raises
    ------
    ValueError
        If the model cannot be aligned, or `features` are not finite or of another shape.

    Examples
    --------
    `dataclasses.replace(model, **align(model, features)._asdict())` is the model of that person.
    """
    if whitened is None:
        whitened = whitened_weights(model)
    if model.alignment is None:
        raise ValueError("need a model with alignment, got one without; pool again")
    if np.ndim(features) != 2 or np.shape(features)[1] != len(whitened):
        raise ValueError(f"need events of {len(whitened)} features, got {np.shape(features)}")
    if len(features) < LEAST_EVENTS:
        return Aligned(model.center, model.scale, model.weights, model.offset)
    center, scale = robust_scale(features)
    X = scale_features(features, center, scale, model.recipe.features.clamp).astype(np.float64)
    mean = X.mean(axis=0)
    X -= mean
    weight = model.alignment.weight
    with one_thread():
        S = (weight * np.asarray(model.covariance, np.float64) + X.T @ X) / (weight + len(X))
        W = whitener(S, model.alignment.shrink)
        weights = W @ (whitened if labels is None else labels.learned(whitened, W, scale))
        offset = -mean @ weights
    return Aligned(center, scale, weights.astype(np.float32), offset.astype(np.float32))


def map_change(before: Aligned, after: Aligned) -> float:
    """Compute how far an alignment moved the map from unscaled features, as a share of its size.

    Parameters
    ----------
    before, after : Aligned
        Parts of the model before and after.

    Returns
    -------
    float
        Frobenius norm of the difference over that of `before`.
    """
    old, new = (np.asarray(one.weights / one.scale[:, None], np.float64) for one in (before, after))
    size = float(np.linalg.norm(old))
    return float(np.linalg.norm(new - old)) / size if size > 0 else 0.0
