"""Memory that kernels write into, kept between calls so that the hot path allocates no array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "aligned", "padded"]

_LINE = 64  # bytes of a line of the cache; a vector register holds as many


def padded(n: int) -> int:
    """Columns of float64 to allocate for `n`, so that every row begins where a cache line does."""
    return -(-n // 8) * 8


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> np.ndarray:
    """Zeros that begin at a cache line: vectors across two lines cost a third more [measured]."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.zeros(size + _LINE, np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + size].view(dtype).reshape(shape)


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
        self._array = self._view = aligned((n_rows, *tail), dtype)
        self._n_view = n_rows

    def take(self, n_rows: int, keep: int = 0) -> np.ndarray:
        """View of the first `n_rows` rows; growing preserves the first `keep`, the rest is stale."""
        if n_rows == self._n_view:  # hops are of one length: the view of the last one will do
            return self._view
        have = len(self._array)
        if n_rows > have:
            grown = aligned((max(n_rows, 2 * have), *self._array.shape[1:]), self._array.dtype)
            grown[:keep] = self._array[:keep]
            self._array = grown
        self._n_view, self._view = n_rows, self._array[:n_rows]
        return self._view
