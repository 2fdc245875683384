"""Compute the exact cosine of a prediction with every vocabulary item.

A prediction of a rank-r map lies in r directions of embedding space. The coordinates of the items
in these directions suffice: the inner products are the same, and V x r numbers are read instead of
V x D.

A table that is too large for the caches is kept in whole numbers of 16 bits as well, which halves the
bytes that a prediction waits for. Its cosines are off by about 1e-6, and by no more than a bound; the
best are computed again from float32, here and by `readout.Posterior`, so that they are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt_decoder.decoding.readout import ALL_EXACT, Exact
from rt_decoder.kernels.memory import aligned
from rt_decoder.kernels.scan import TOGETHER, WIDTH, normalize, project, scan, scan_compact
from rt_decoder.kernels.top import top_exactly, top_k

__all__ = ["Vocabulary"]

_LARGE = 1 << 21  # bytes of a float32 table from which on the compact one is read
_MOST = 32767
_ROUNDING = 2.0**-24  # of float32


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
    compact : bool or None
        Whether to scan whole numbers of 16 bits; None where float32 would take over 2 MiB.

    Attributes
    ----------
    length : float
        Of the newest prediction.
    exact : Exact
        How to compute its cosines again.

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

    def __init__(
        self, items: Sequence[str], vectors: np.ndarray, basis: np.ndarray, *,
        compact: bool | None = None,
    ) -> None:  # fmt: skip
        self.items = tuple(items)
        vectors = np.ascontiguousarray(vectors, np.float32)
        basis = np.asarray(basis, np.float64)
        _check(self.items, vectors, basis)
        self.rank = len(basis)
        n_rows = -(-self.rank // 8) * 8  # the scans read whole groups of rows; padding is 0
        table = np.zeros((n_rows, len(vectors)), np.float32)
        project(vectors, np.ascontiguousarray(basis.T), np.zeros(TOGETHER * self.rank), table)
        self._query = np.zeros(n_rows, np.float32)
        self.compact = table.nbytes > _LARGE if compact is None else compact
        self.exact = ALL_EXACT
        if self.compact:
            self._make_compact(table)
        else:
            self._table, self._all_scores = table, np.zeros(len(vectors), np.float32)
        self._scores = self._all_scores[: len(vectors)]
        self._indices = np.zeros(0, np.int64)
        self._best = np.zeros(0, np.float32)
        self.length = 0.0

    def _make_compact(self, table: np.ndarray) -> None:
        """Keep a table (n_rows, n_items) in whole numbers, its rows for exact cosines, and the bound."""
        n_rows, n_items = table.shape
        units = np.abs(table).max(axis=1) / np.float32(_MOST)
        units[units == 0] = 1.0
        n_blocks = -(-n_items // WIDTH)
        self._table = aligned((n_blocks, n_rows, WIDTH), np.int16)
        worst = longest = 0.0
        for b in range(n_blocks):
            part = table[:, b * WIDTH : (b + 1) * WIDTH]
            whole = np.rint(part / units[:, None])
            self._table[b, :, : part.shape[1]] = whole
            rest = part - whole * units[:, None].astype(np.float64)
            worst = max(worst, np.sqrt((rest**2).sum(axis=0).max()))
            longest = max(longest, np.sqrt((part**2).sum(axis=0).max()))
        self._units, self._scaled = units, np.zeros(n_rows, np.float32)
        self._all_scores = aligned((n_blocks * WIDTH,), np.float32)
        rows = np.ascontiguousarray(table[: self.rank].T)
        slack = float(worst + (n_rows + 3) * _ROUNDING * longest)
        self.exact = Exact(self._query, rows, slack)

    @property
    def table_bytes(self) -> int:
        """Bytes that a prediction is scanned against."""
        return self._table.nbytes

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
            All 0 if `z` is 0; of a compact table off by at most ``exact.slack``. Valid until the
            next call.

        Raises
        ------
        ValueError
            If `z` has another rank.
        """
        if z.shape != (self.rank,):
            raise ValueError(f"need a prediction of rank {self.rank}, got shape {z.shape}")
        self.length = normalize(z, self._query)
        if self.compact:
            np.multiply(self._query, self._units, out=self._scaled)
            scan_compact(self._scaled, self._table, self._all_scores)
        else:
            scan(self._query, self._table, self._scores)
        return self._scores

    def top(self, scores: np.ndarray, k: int) -> np.ndarray:
        """Find the indices of the largest scores.

        Parameters
        ----------
        scores : array of shape (n_items,), float32
            Cosines of the newest prediction, or any others. Those of a compact table that can be
            among the best are computed again, in place.
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
        if self.compact and scores is self._scores:
            top_exactly(scores, *self.exact, self._indices, self._best)
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
