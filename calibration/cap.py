r"""Predict what a cap sees that is turned on the head, from the covariance of its channels.

Potentials on the scalp are as smooth as sources below it make them. Sources at a share
:math:`\sqrt h` of the radius give the kernel of two sites an angle :math:`\gamma` apart

.. math:: k(\gamma) = \frac{1 - h^2}{(1 - 2 h \cos\gamma + h^2)^{3/2}} - 1

(Poisson's kernel, without its constant: references are arbitrary). Depth and noise are those with
which calibration's channels are best predicted from each other, each left out in turn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

__all__ = ["Cap", "cap_of", "correlation", "variances"]

DEPTHS = (0.3, 0.4, 0.5, 0.6, 0.7)  # h
NOISES = (0.001, 0.003, 0.01, 0.03, 0.1)  # of the kernel's mean diagonal
_FIRST = 0.15  # rad, first step of the search
_CONSTANT = 100.0  # of the kernel's mean diagonal: any constant may be added to all channels
_ROUND = 0.3  # most that distances from the centre may spread on a head, as a share of them


class Cap(NamedTuple):
    """Electrodes, and what calibration saw there."""

    positions: np.ndarray  # (c, 3) unit vectors from the centre of the head
    covariance: np.ndarray  # (c, c) of unscaled channels, mean over bins
    average: bool  # whether channels are referenced to their mean
    depth: float
    noise: float

    def turned(self, angles: np.ndarray) -> np.ndarray:
        """Matrix (c, c) from signals at the sites to sites turned by angles (3,); no turn is exact."""
        q = self.positions
        still = np.eye(len(q))
        if not angles.any():
            return still - 1 / len(q) if self.average else still
        here = _kernel(q, q, self.depth)
        near = _kernel(Rotation.from_rotvec(angles).apply(q), q, self.depth)
        ridge = here + self.noise * np.trace(here) / len(q) * still
        matrix = still + np.linalg.solve(ridge, (near - here).T).T
        return matrix - matrix.mean(axis=0) if self.average else matrix

    def seen(self, angles: np.ndarray) -> np.ndarray:
        """Covariance (c, c) that a cap turned by angles (3,) would see."""
        matrix = self.turned(angles)
        return np.asarray(matrix @ self.covariance @ matrix.T)

    def distance(self, today: np.ndarray, angles: np.ndarray) -> float:
        """Squared distance of today's correlations (c, c) from those of a cap turned by angles (3,)."""
        return float(np.sum((correlation(self.seen(angles)) - correlation(today)) ** 2))

    def restored(self) -> np.ndarray:
        """Matrix (c, c) from signals of any reference to those of calibration's, as far as they tell.

        A reference takes one signal from all channels. It is predicted from differences of channels,
        exactly where calibration's was one of the channels or their mean.
        """
        away = np.eye(len(self.covariance)) - 1 / len(self.covariance)
        differences = away @ self.covariance @ away
        inverse = np.linalg.pinv((differences + differences.T) / 2, rcond=1e-6, hermitian=True)
        return np.asarray(self.covariance @ away @ inverse @ away)

    def search(self, today: np.ndarray) -> np.ndarray:
        """Find the angles (3,) in rad that explain today's covariance (c, c) best."""
        start = np.vstack([np.zeros(3), _FIRST * np.eye(3)])
        found = minimize(
            lambda angles: self.distance(today, angles), np.zeros(3), method="Nelder-Mead",
            options={"initial_simplex": start, "xatol": 1e-3, "fatol": 1e-6, "maxfev": 400},
        )  # fmt: skip
        return np.asarray(found.x)


def cap_of(positions: np.ndarray | None, covariance: np.ndarray, average: bool) -> Cap:
    """Describe a cap.

    Parameters
    ----------
    positions : array of shape (c, 3) or None
        In m; None leaves a cap that cannot be turned.
    covariance : array of shape (c, c)
        Of the channels in calibration.
    average : bool
        Whether channels are referenced to their mean.

    Returns
    -------
    Cap
    """
    if positions is None or not np.isfinite(positions).all():
        return Cap(np.zeros((len(covariance), 3)), covariance, average, DEPTHS[0], NOISES[0])
    away = positions - _centre(positions)
    q = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    grid = [(depth, noise) for depth in DEPTHS for noise in NOISES]
    best = min(grid, key=lambda one: _left_out(q, covariance, *one))
    return Cap(q, covariance, average, *best)


def _centre(positions: np.ndarray) -> np.ndarray:
    """Centre (3,) of the sphere nearest to all sites; the origin if they are on none."""
    design = np.column_stack((2 * positions, np.ones(len(positions))))
    solution, _, rank, _ = np.linalg.lstsq(design, (positions**2).sum(axis=1), rcond=1e-6)
    apart = np.linalg.norm(positions - solution[:3], axis=1)
    is_round = rank == 4 and np.ptp(apart) <= _ROUND * apart.mean()
    return np.asarray(solution[:3]) if is_round else np.zeros(3)


def _kernel(p: np.ndarray, q: np.ndarray, depth: float) -> np.ndarray:
    """Poisson's kernel without its constant, between unit vectors (n, 3) and (m, 3)."""
    return np.asarray((1 - depth**2) / (1 - 2 * depth * (p @ q.T) + depth**2) ** 1.5 - 1)


def _left_out(q: np.ndarray, covariance: np.ndarray, depth: float, noise: float) -> float:
    """Mean squared error of predicting each channel from all others, of its variance."""
    kernel = _kernel(q, q, depth)
    size = np.trace(kernel) / len(q)
    inverse = np.linalg.inv(kernel + noise * size * np.eye(len(q)) + _CONSTANT * size)
    errors = np.diag(inverse @ covariance @ inverse) / np.diag(inverse) ** 2
    return float(np.mean(errors / variances(covariance)))


def variances(covariance: np.ndarray) -> np.ndarray:
    """Variances (c,) of channels, those of flat ones raised to a millionth of the mean."""
    found = np.diag(covariance)
    return np.asarray(np.maximum(found, 1e-6 * found.mean()))


def correlation(covariance: np.ndarray) -> np.ndarray:
    """Correlations (c, c) of channels."""
    size = np.sqrt(variances(covariance))
    return np.asarray(covariance / size / size[:, None])
