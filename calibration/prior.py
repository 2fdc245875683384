"""Sum the events of people, whitened for each, as a prior for another person's map.

Whitened features of different people share a space: sums over their events add up. A map of these
sums alone decodes a person who has no labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calibration.gram import RidgeGram
from rt_decoder.decoding.whitening import whitener

__all__ = ["Prior", "covariance", "prior_from_events", "with_prior"]


def covariance(X: np.ndarray) -> np.ndarray:
    """Compute the covariance (p, p) of features (n, p), float32 as a model keeps it."""
    centred = X - X.mean(axis=0, dtype=np.float64)
    return (centred.T @ centred / len(X)).astype(np.float32)


class Prior(NamedTuple):
    """Sums over other people's events, each person whitened and centred for themselves."""

    gram: np.ndarray  # (p, p) X'X
    sums: np.ndarray  # (V, p) features of each item of this person's vocabulary; 0 if never seen
    counts: np.ndarray  # (V,) events of each item
    shrink: float = 1.0  # shrinkage of the covariances that whitened

    def cross(self, vectors: np.ndarray) -> np.ndarray:
        """Return the cross products (p, r) with item vectors (V, r), centred over the events."""
        total = max(float(self.counts.sum()), 1.0)
        return np.asarray(self.sums.T @ (vectors - self.counts @ vectors / total))

    def plus(self, other: Prior) -> Prior:
        """Add other people's sums to these."""
        return Prior(
            self.gram + other.gram, self.sums + other.sums, self.counts + other.counts, self.shrink
        )

    def weights(self, vectors: np.ndarray, alphas: Sequence[float]) -> Iterator[np.ndarray]:
        """Yield the map (p, r) of these people alone to item vectors (V, r), for each alpha."""
        w, v = np.linalg.eigh(self.gram)
        projected = v.T @ self.cross(vectors)
        for alpha in alphas:
            yield v @ (projected / (w.clip(0) + alpha)[:, None])


def with_prior(
    X: np.ndarray, items: np.ndarray, prior: Prior | None, kappa: float
) -> tuple[RidgeGram, np.ndarray | None, float]:
    """Decompose whitened features for ridge regression, with kappa times a prior.

    Parameters
    ----------
    X : array of shape (n, p)
    items : array of shape (V, r)
        Item vectors.
    prior : Prior or None
    kappa : float

    Returns
    -------
    ridge : RidgeGram
    cross : array of shape (p, r) or None
        The prior's cross products with the items, times kappa; None without.
    share : float
        How much larger the Gram matrix is with the prior: penalties follow its scale.

    Raises
    ------
    ValueError
        If the features are not finite, or the prior has another number of them.
    """
    if prior is None or not kappa:
        return RidgeGram(X), None, 1.0
    share = float(1 + kappa * np.trace(prior.gram) / (X.var(axis=0).sum() * len(X)))
    return RidgeGram(X, prior=kappa * prior.gram), kappa * prior.cross(items), share


def prior_from_events(X: np.ndarray, truth: np.ndarray, n_items: int, shrink: float) -> Prior:
    """Sum one person's events.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features; whitened here by their own covariance, and centred.
    truth : array of shape (n,), int
        Item number of each event.
    n_items : int
    shrink : float
        Shrinkage of the covariance, above 0.

    Returns
    -------
    Prior

    Raises
    ------
    ValueError
        If the features do not vary.
    """
    white = (X - X.mean(axis=0, dtype=np.float64)) @ whitener(covariance(X), shrink)
    sums = np.zeros((n_items, X.shape[1]))
    np.add.at(sums, truth, white)
    counts = np.bincount(truth, minlength=n_items).astype(float)
    return Prior(white.T @ white, sums, counts, shrink)
