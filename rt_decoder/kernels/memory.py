"""Memory that kernels write into, kept between calls so that the hot path allocates no array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Rows"]


class Rows:
    """A reusable array that grows to the longest chunk seen and never shrinks.

    Parameters
    ----------
    tail : tuple of int
        Shape of one row.
    dtype : dtype
        Of the elements.
    n_rows : int
        Rows to allocate at once.
    """

    def __init__(self, tail: tuple[int, ...], dtype: npt.DTypeLike, n_rows: int = 0) -> None:
        self._array = self._view = np.empty((n_rows, *tail), dtype)
        self._n_view = n_rows

    def take(self, n_rows: int, keep: int = 0) -> np.ndarray:
        """View of the first `n_rows` rows; growing preserves the first `keep`, the rest is stale."""
        if n_rows == self._n_view:  # hops are of one length: the view of the last one will do
            return self._view
        have = len(self._array)
        if n_rows > have:
            grown = np.empty((max(n_rows, 2 * have), *self._array.shape[1:]), self._array.dtype)
            grown[:keep] = self._array[:keep]
            self._array = grown
        self._n_view, self._view = n_rows, self._array[:n_rows]
        return self._view
