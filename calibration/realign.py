r"""Fit a model to another day by a minute of unlabelled signal: gains, the cap's rotation, whitening.

Compared are covariances of channels, averaged over the bins of the window: today's with that of
calibration (within items, as rest has no items). What is looked for, the simplest first:

- ``gains``: a factor for each channel;
- ``rotation``: three angles of the cap on the head. Signals at the old sites are interpolated from
  today's by the positions of the electrodes (`cap`). The angles are those whose predicted
  correlations are nearest to today's; they are taken only if each half of the rest agrees that the
  angles of the other half explain it better than none;
- another reference on the amplifier, where the recipe does not rereference: today's channels are
  brought to that of calibration first, exactly where that was one of the channels or their mean;
- ``whiten``: the map of whitened features is kept, and whitened by today's covariance. It undoes any
  mixing by which no direction of equal variance is turned, and so no pure rotation.

Centres stay those of calibration, seen through today's gains: rest has no response to items, so that
its mean is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.cap import Cap, cap_of, variances
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.model import Model, versions

__all__ = ["LEAST_WINDOWS", "METHODS", "realign"]

METHODS = ("auto", "gains", "rotation", "whiten")
LEAST_WINDOWS = 60
_LARGEST = 0.7  # rad: a cap turned by 40 degrees was put on wrongly
_NEARER = 0.5  # of the distance, below which another reference is taken to be shown
_WEIGHT = 50.0  # windows that the covariance of calibration counts for when whitening


def realign(
    model: Model, X: np.ndarray, covariance: np.ndarray, method: str = "auto"
) -> tuple[Model, dict[str, Any]]:
    """Fit a model to today's signal.

    Parameters
    ----------
    model : Model
        With a map.
    X : array of shape (n, p)
        Unscaled features of windows of today, in time order; labels are not needed.
    covariance : array of shape (p, p)
        Of the scaled features in calibration, within items.
    method : {"auto", "gains", "rotation", "whiten"}
        "auto" takes the rotation where both halves of the windows agree on one, else gains alone.

    Returns
    -------
    model : Model
    facts : dict
        ``method``, ``other_reference``, ``angle_deg``, ``gains`` (smallest, largest), and ``distance_before`` and
        ``distance_after``: of the correlations of channels from those of calibration.

    Raises
    ------
    ValueError
        If there are too few windows, or the rotation is asked for without positions.
    """
    if method not in METHODS:
        raise ValueError(f"need a method among {', '.join(METHODS)}, got {method!r}")
    X = np.asarray(X, np.float64)
    if len(X) < LEAST_WINDOWS:
        raise ValueError(
            f"need at least {LEAST_WINDOWS} good windows of today, got {len(X)}; record a minute"
        )
    c, measured = model.n_picks, X
    cap = _cap(model, covariance)
    restore = _other_reference(cap, X, c) if _free(model) else None
    if restore is not None:
        X = (X.reshape(len(X), -1, c) @ restore.T).reshape(X.shape)
    today = _channels(X, c)
    angles = _angles(cap, X, c, method, model.info.positions is not None)
    # Signals at the old sites, from today's: gains first, then the turn back, then gains there.
    first = np.sqrt(variances(cap.seen(angles)) / variances(today))
    matrix = cap.turned(-angles) * first if angles.any() else np.diag(first)
    there = matrix @ today @ matrix.T
    last = np.sqrt(variances(cap.covariance) / variances(there))
    aligned = _through(model, last[:, None] * matrix, first, angles, cap)
    if method == "whiten":
        aligned = _whitened(aligned, X, covariance)
    if restore is not None:
        aligned = _referenced(aligned, restore, measured)
    zero = np.zeros(3)
    facts = {
        "method": method if method == "whiten" else ("rotation" if angles.any() else "gains"),
        "n_windows": len(X),
        "other_reference": restore is not None,
        "angle_deg": float(np.rad2deg(np.linalg.norm(angles))),
        "gains": [float(first.min()), float(first.max())],
        "distance_before": cap.distance(today, zero),
        "distance_after": cap.distance(there, zero),
    }
    return replace(aligned, versions=versions()), facts


def _cap(model: Model, covariance: np.ndarray) -> Cap:
    c, S = model.n_picks, np.asarray(covariance, float)
    blocks = (S * model.scale[:, None] * model.scale).reshape(len(S) // c, c, len(S) // c, c)
    mean = np.mean([blocks[b, :, b] for b in range(len(blocks))], axis=0)
    positions = model.info.positions
    average = (
        model.recipe.stream.reference == "average" and model.recipe.features.kind == "amplitude"
    )
    return cap_of(None if positions is None else np.array(positions[:c]), mean, average)


def _free(model: Model) -> bool:
    """Whether channels keep the reference of the amplifier, which may be another one today."""
    return model.recipe.stream.reference == "none" and model.recipe.features.kind == "amplitude"


def _other_reference(cap: Cap, X: np.ndarray, c: int) -> np.ndarray | None:
    """Matrix (c, c) to calibration's reference, if both halves are much nearer to it that way."""
    restore, none = cap.restored(), np.zeros(3)
    for rows in (X[: len(X) // 2], X[len(X) // 2 :]):
        today = _channels(rows, c)
        there = cap.distance(restore @ today @ restore.T, none)
        if there > _NEARER * cap.distance(today, none):
            return None
    return restore


def _referenced(model: Model, restore: np.ndarray, X: np.ndarray) -> Model:
    """Fold a matrix (c, c) to the reference of calibration into a model; X (n, p) is of today."""
    spread = np.kron(np.eye(len(model.center) // len(restore)), restore)
    center, scale = robust_scale(X)
    weights = np.asarray(model.weights, float) / model.scale[:, None]
    now = scale_features(X, center, scale, _clamp(model)).astype(float)
    return replace(
        model,
        center=center,
        scale=scale,
        weights=(scale[:, None] * (spread.T @ weights)).astype(np.float32),
        windows=(),  # of other features
        offset=(model.offset + (spread @ center - model.center) @ weights).astype(np.float32),
        covariance=np.cov(now.T, bias=True).astype(np.float32)
        if model.covariance.size
        else model.covariance,
        monitor=_watched(model, restore),
    )


def _watched(model: Model, matrix: np.ndarray) -> dict[str, Mapping[str, Any]]:
    """Fold a matrix (c, c) from today's channels into what the monitor compares, where it can be."""
    if model.recipe.features.kind != "amplitude":
        return {}
    return {
        part: {**model.monitor[part], "projection": matrix.T @ model.monitor[part]["projection"]}
        for part in ("events", "sides")
        if part in model.monitor
    }


def _channels(X: np.ndarray, c: int) -> np.ndarray:
    """Covariance (c, c) of the channels of features (n, p), mean over bins and bands."""
    bins = (X - X.mean(axis=0)).reshape(len(X), -1, c)
    return np.asarray(np.einsum("nbi,nbj->ij", bins, bins) / (len(X) * bins.shape[1]))


def _angles(cap: Cap, X: np.ndarray, c: int, method: str, known: bool) -> np.ndarray:
    """Angles of the cap; 0 where they are not asked for or not shown by both halves."""
    none = np.zeros(3)
    finite = known and bool(cap.positions.any())
    if method == "rotation" and not finite:
        raise ValueError("need positions of the channels to find the cap's rotation, got none")
    if method in ("gains", "whiten") or not finite:
        return none
    half = len(X) // 2
    parts = [_channels(rows, c) for rows in (X[:half], X[half:])]
    found = [cap.search(part) for part in parts]
    agreed = all(
        cap.distance(other, angles) < cap.distance(other, none)
        for angles, other in zip(found, reversed(parts), strict=True)
    )
    if method == "auto" and not agreed:
        return none
    angles = cap.search(_channels(X, c))
    if np.linalg.norm(angles) > _LARGEST:
        raise ValueError(
            f"need a cap that sits nearly as in calibration, got one turned by "
            f"{np.rad2deg(np.linalg.norm(angles)):.0f} degrees; put it on again, or calibrate"
        )
    return angles


def _through(
    model: Model, matrix: np.ndarray, gains: np.ndarray, angles: np.ndarray, cap: Cap
) -> Model:
    """Fold a matrix (c, c) from today's channels to those of calibration into a model."""
    n_blocks = len(model.center) // len(matrix)
    if not angles.any():
        factor = np.tile(np.diag(matrix), n_blocks)
        return replace(
            model,
            center=model.center / factor,
            scale=model.scale / factor,
            monitor=_watched(model, matrix),
        )
    spread = np.kron(np.eye(n_blocks), matrix)
    forth = np.kron(np.eye(n_blocks), cap.turned(angles) / gains[:, None])
    center = forth @ model.center
    scale = model.scale / np.tile(gains, n_blocks)
    weights = np.asarray(model.weights, float)
    turned = scale[:, None] * (spread.T @ (weights / model.scale[:, None]))
    offset = model.offset + ((spread @ center - model.center) / model.scale) @ weights
    S = (forth * model.scale) @ _full(model) @ (forth * model.scale).T
    S = S / scale / scale[:, None]
    return replace(
        model,
        center=center,
        scale=scale,
        weights=turned.astype(np.float32),
        windows=(),  # of other features
        offset=offset.astype(np.float32),
        covariance=((S + S.T) / 2).astype(np.float32) if model.covariance.size else S[:0, :0],
        monitor=_watched(model, matrix),
        prior_gram=S[:0, :0],  # of whitened features, which the turn has mixed: labels cannot join
        target_lengths=S[0, :0],
    )


def _full(model: Model) -> np.ndarray:
    p = len(model.center)
    return np.asarray(model.covariance, float) if model.covariance.size else np.zeros((p, p))


def _whitened(model: Model, X: np.ndarray, covariance: np.ndarray) -> Model:
    """Keep the map of whitened features, whitened by today's covariance."""
    shrink = model.recipe.features.whiten
    shrink = shrink if shrink > 0 else 1.0
    Z = ((X - X.mean(axis=0)) / model.scale).clip(-_clamp(model), _clamp(model))
    before = np.asarray(covariance, float)
    now = (_WEIGHT * before + Z.T @ Z) / (_WEIGHT + len(Z))
    weights = np.asarray(model.weights, float)
    mean = -np.linalg.lstsq(weights.T, np.asarray(model.offset, float), rcond=None)[0]
    turned = whitener(now, shrink) @ np.linalg.solve(whitener(before, shrink), weights)
    return replace(
        model,
        weights=turned.astype(np.float32),
        windows=(),  # of other features
        offset=(-mean @ turned).astype(np.float32),
        covariance=now.astype(np.float32),
    )


def _clamp(model: Model) -> float:
    return model.recipe.features.clamp
