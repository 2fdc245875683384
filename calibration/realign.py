r"""Fit a model to another day by a minute of unlabelled signal: gains, the cap's rotation, whitening.

Compared are covariances of channels, averaged over the bins of the window: today's with that of
calibration (within items, as rest has no items). What is looked for, the simplest first:

- ``gains``: a factor for each channel;
- ``rotation``: three angles of the cap on the head. Signals at the old sites are interpolated from
  today's with a Gaussian kernel of the electrodes' positions. The angles are those whose predicted
  correlations are nearest to today's; they are taken only if each half of the rest agrees that the
  angles of the other half explain it better than none;
- ``whiten``: the map of whitened features is kept, and whitened by today's covariance. It undoes any
  mixing by which no direction of equal variance is turned, and so no pure rotation.

Centres stay those of calibration, seen through today's gains: rest has no response to items, so that
its mean is another one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from rt_decoder.decoding.whitening import whitener
from rt_decoder.model import Model, versions

__all__ = ["LEAST_WINDOWS", "METHODS", "realign"]

METHODS = ("auto", "gains", "rotation", "whiten")
LEAST_WINDOWS = 60
_WIDTH = 2.0  # of the kernel, in distances of neighbouring electrodes
_RIDGE = 0.1  # of the kernel's diagonal
_FIRST = 0.15  # rad, first step of the search
_LARGEST = 0.7  # rad: a cap turned by 40 degrees was put on wrongly
_WEIGHT = 50.0  # windows that the covariance of calibration counts for when whitening


class _Cap(NamedTuple):
    """Electrodes, and what calibration saw there."""

    positions: np.ndarray  # (c, 3), centred
    covariance: np.ndarray  # (c, c) of unscaled channels, mean over bins
    average: bool  # whether channels are referenced to their mean

    def turned(self, angles: np.ndarray) -> np.ndarray:
        """Matrix (c, c) from signals at the sites to those at turned sites; no turn is exact."""
        q = self.positions
        if not angles.any():
            still = np.eye(len(q))
            return still - 1 / len(q) if self.average else still
        here, width = _kernel(q, q)
        near, _ = _kernel(Rotation.from_rotvec(angles).apply(q), q, width)
        ridge = here + _RIDGE * np.eye(len(q))
        matrix = np.eye(len(q)) + np.linalg.solve(ridge, (near - here).T).T
        return matrix - matrix.mean(axis=0) if self.average else matrix

    def seen(self, angles: np.ndarray) -> np.ndarray:
        """Covariance (c, c) that a turned cap would see."""
        matrix = self.turned(angles)
        return np.asarray(matrix @ self.covariance @ matrix.T)

    def distance(self, today: np.ndarray, angles: np.ndarray) -> float:
        """Squared distance of today's correlations from those of a turned cap."""
        return float(np.sum((_correlation(self.seen(angles)) - _correlation(today)) ** 2))

    def search(self, today: np.ndarray) -> np.ndarray:
        """Find the angles (3,) in rad that explain today's covariance best."""
        start = np.vstack([np.zeros(3), _FIRST * np.eye(3)])
        found = minimize(
            lambda angles: self.distance(today, angles), np.zeros(3), method="Nelder-Mead",
            options={"initial_simplex": start, "xatol": 1e-3, "fatol": 1e-6, "maxfev": 400},
        )  # fmt: skip
        return np.asarray(found.x)


def _kernel(p: np.ndarray, q: np.ndarray, width: float = 0.0) -> tuple[np.ndarray, float]:
    """Gaussian kernel between sites, and its width in m; 0 takes that of the sites themselves."""
    squares = (p**2).sum(axis=1)[:, None] + (q**2).sum(axis=1) - 2 * p @ q.T
    if not width:
        apart = np.sqrt((squares + np.diag(np.full(len(q), np.inf))).clip(0))
        width = _WIDTH * float(np.median(apart.min(axis=1)))
    return np.exp(-squares.clip(0) / width**2), width


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
        ``method``, ``angle_deg``, ``gains`` (smallest, largest), and ``distance_before`` and
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
    c = model.n_picks
    cap = _cap(model, covariance)
    today = _channels(X, c)
    angles = _angles(cap, X, c, method, model.info.positions is not None)
    # Signals at the old sites, from today's: gains first, then the turn back, then gains there.
    first = np.sqrt(np.diag(cap.seen(angles)) / _variances(today))
    matrix = cap.turned(-angles) * first if angles.any() else np.diag(first)
    there = matrix @ today @ matrix.T
    last = np.sqrt(_variances(cap.covariance) / _variances(there))
    aligned = _through(model, last[:, None] * matrix, first, angles, cap)
    if method == "whiten":
        aligned = _whitened(aligned, X, covariance)
    zero = np.zeros(3)
    facts = {
        "method": method if method == "whiten" else ("rotation" if angles.any() else "gains"),
        "n_windows": len(X),
        "angle_deg": float(np.rad2deg(np.linalg.norm(angles))),
        "gains": [float(first.min()), float(first.max())],
        "distance_before": cap.distance(today, zero),
        "distance_after": cap.distance(there, zero),
    }
    return replace(aligned, versions=versions()), facts


def _cap(model: Model, covariance: np.ndarray) -> _Cap:
    c, S = model.n_picks, np.asarray(covariance, float)
    blocks = (S * model.scale[:, None] * model.scale).reshape(len(S) // c, c, len(S) // c, c)
    mean = np.mean([blocks[b, :, b] for b in range(len(blocks))], axis=0)
    positions = model.info.positions
    where = np.zeros((c, 3)) if positions is None else np.array(positions[:c])
    average = model.recipe.stream.reference == "average"
    return _Cap(where, mean, average and model.recipe.features.kind == "amplitude")


def _channels(X: np.ndarray, c: int) -> np.ndarray:
    """Covariance (c, c) of the channels of features (n, p), mean over bins and bands."""
    bins = (X - X.mean(axis=0)).reshape(len(X), -1, c)
    return np.asarray(np.einsum("nbi,nbj->ij", bins, bins) / (len(X) * bins.shape[1]))


def _variances(covariance: np.ndarray) -> np.ndarray:
    variances = np.diag(covariance)
    return np.maximum(variances, 1e-6 * variances.mean())


def _correlation(covariance: np.ndarray) -> np.ndarray:
    size = np.sqrt(_variances(covariance))
    return np.asarray(covariance / size / size[:, None])


def _angles(cap: _Cap, X: np.ndarray, c: int, method: str, known: bool) -> np.ndarray:
    """Angles of the cap; 0 where they are not asked for or not shown by both halves."""
    none = np.zeros(3)
    finite = known and bool(np.isfinite(cap.positions).all())
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
    model: Model, matrix: np.ndarray, gains: np.ndarray, angles: np.ndarray, cap: _Cap
) -> Model:
    """Fold a matrix (c, c) from today's channels to those of calibration into a model."""
    n_blocks = len(model.center) // len(matrix)
    if not angles.any():
        factor = np.tile(np.diag(matrix), n_blocks)
        return replace(model, center=model.center / factor, scale=model.scale / factor)
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
        offset=offset.astype(np.float32),
        covariance=((S + S.T) / 2).astype(np.float32) if model.covariance.size else S[:0, :0],
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
        offset=(-mean @ turned).astype(np.float32),
        covariance=now.astype(np.float32),
    )


def _clamp(model: Model) -> float:
    return model.recipe.features.clamp
