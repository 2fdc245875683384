"""Compute the exact cosine of a prediction with every vocabulary item.

A prediction of a rank-r map lies in r directions of embedding space. The coordinates of the items
in these directions suffice: the inner products are the same, and V x r numbers are read instead of
V x D.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt_decoder.kernels.scan import normalize, project, scan
from rt_decoder.kernels.top import top_k

__all__ = ["Vocabulary"]


class Vocabulary:
    """Items, and their embeddings projected on the directions of the map.

    Parameters
    ----------
    items : sequence of str
        At least one, unique.
    vectors : array of shape (n_items, n_dims)
        Centred embeddings of length 1.
    basis : array of shape (rank, n_dims)
        Orthonormal rows: a prediction is ``z @ basis``.

    Raises
    ------
    ValueError
        If shapes do not fit, items repeat, vectors are not of length 1 or the basis is not
        orthonormal.

    Examples
    --------
    >>> words = Vocabulary(("axe", "bee"), np.eye(2), np.eye(2))
    >>> words.scores(np.array([0.0, 3.0], np.float32))
    array([0., 1.], dtype=float32)
    """

    def __init__(self, items: Sequence[str], vectors: np.ndarray, basis: np.ndarray) -> None:
        self.items = tuple(items)
        vectors = np.ascontiguousarray(vectors, np.float32)
        basis = np.asarray(basis, np.float64)
        _check(self.items, vectors, basis)
        self.rank = len(basis)
        n_rows = -(-self.rank // 4) * 4  # the scan reads four rows a pass; padding is 0
        self._table = np.zeros((n_rows, len(vectors)), np.float32)
        project(vectors, np.ascontiguousarray(basis.T), np.zeros(self.rank), self._table)
        self._query = np.zeros(n_rows, np.float32)
        self._scores = np.zeros(len(vectors), np.float32)
        self._indices = np.zeros(0, np.int64)
        self._best = np.zeros(0, np.float32)
        self.length = 0.0  # of the newest prediction

    def __len__(self) -> int:
        return len(self.items)

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Compute the cosine of a prediction with every item.

        Parameters
        ----------
        z : array of shape (rank,), float32
            Output of the map.

        Returns
        -------
        array of shape (n_items,), float32
            All 0 if `z` is 0. Valid until the next call.

        Raises
        ------
        ValueError
            If `z` has another rank.
        """
        if z.shape != (self.rank,):
            raise ValueError(f"need a prediction of rank {self.rank}, got shape {z.shape}")
        self.length = normalize(z, self._query)
        scan(self._query, self._table, self._scores)
        return self._scores

    def top(self, scores: np.ndarray, k: int) -> np.ndarray:
        """Find the indices of the largest scores.

        Parameters
        ----------
        scores : array of shape (n_items,)
            Cosines.
        k : int
            How many; between 1 and the number of items.

        Returns
        -------
        array of shape (k,), int64
            Best first, ties by lower index, NaN last. Valid until the next call.

        Raises
        ------
        ValueError
            If `k` is not between 1 and the number of items.
        """
        if not 1 <= k <= len(self.items):
            raise ValueError(f"need k between 1 and {len(self.items)}, got {k}")
        if len(self._indices) != k:
            self._indices, self._best = np.zeros(k, np.int64), np.zeros(k, np.float32)
        top_k(scores, self._indices, self._best)
        return self._indices


def _check(items: tuple[str, ...], vectors: np.ndarray, basis: np.ndarray) -> None:
    if not items or len(set(items)) != len(items):
        raise ValueError(f"need unique items, got {len(items)} of which {len(set(items))} differ")
    if vectors.ndim != 2 or len(vectors) != len(items):
        raise ValueError(f"need one vector for each of {len(items)} items, got {vectors.shape}")
    if basis.ndim != 2 or len(basis) == 0 or basis.shape[1] != vectors.shape[1]:
        raise ValueError(f"need a basis of shape (rank, {vectors.shape[1]}), got {basis.shape}")
    lengths = np.sqrt(np.einsum("vd,vd->v", vectors, vectors))
    if not (np.abs(lengths - 1) < 1e-3).all():
        worst = int(np.argmax(np.nan_to_num(np.abs(lengths - 1), nan=np.inf)))
        raise ValueError(f"need vectors of length 1, got {lengths[worst]:g} for {items[worst]!r}")
    if not np.allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-4):
        raise ValueError("need a basis with orthonormal rows, got another; take it from low_rank")
