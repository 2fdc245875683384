"""Sum the events of people, whitened for each, as a prior for another person's map.

Whitened features of different people share a space: sums over their events add up. A map of these
sums alone decodes a person who has no labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import RecordingId

__all__ = ["Prior", "covariance", "prior_from_events"]


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
    recordings: tuple[RecordingId, ...] = ()  # that were summed
    n_people: int = 1

    def cross(self, vectors: np.ndarray) -> np.ndarray:
        """Return the cross products (p, r) with item vectors (V, r), centred over the events."""
        total = max(float(self.counts.sum()), 1.0)
        return np.asarray(self.sums.T @ (vectors - self.counts @ vectors / total))

    def share(self, power: float, kappa: float) -> float:
        """How much larger kappa times these sums make a Gram matrix of that trace; alphas follow."""
        return float(1 + kappa * np.trace(self.gram) / power)

    def plus(self, other: Prior) -> Prior:
        """Add other people's sums to these."""
        return Prior(
            self.gram + other.gram, self.sums + other.sums, self.counts + other.counts,
            self.shrink, self.recordings + other.recordings, self.n_people + other.n_people,
        )  # fmt: skip

    def weights(self, vectors: np.ndarray, alphas: Sequence[float]) -> Iterator[np.ndarray]:
        """Yield the map (p, r) of these people alone to item vectors (V, r), for each alpha."""
        w, v = np.linalg.eigh(self.gram)
        projected = v.T @ self.cross(vectors)
        for alpha in alphas:
            yield v @ (projected / (w.clip(0) + alpha)[:, None])


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
