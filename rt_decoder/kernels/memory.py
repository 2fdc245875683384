"""Memory that kernels write into, kept between calls so that the hot path allocates no array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "aligned", "padded"]

_LINE = 64  # bytes of a cache line, and of a vector register


def padded(n: int) -> int:
    """Round a number of float64 columns up, so that every row begins at a cache line."""
    return -(-n // 8) * 8


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> np.ndarray:
    """Allocate zeros that begin at a cache line.

    Vectors across two lines cost a third more [measured].

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Of the elements.

    Returns
    -------
    array of shape (n, ...)
        Of `shape`.
    """
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
        """Return a view of the first rows, growing the array if needed.

        Parameters
        ----------
        n_rows : int
            Rows of the view.
        keep : int
            Rows that growing preserves; all others are stale.

        Returns
        -------
        array of shape (n_rows, ...)
            Valid until the next call.
        """
        if n_rows == self._n_view:  # hops have one length: reuse the last view
            return self._view
        have = len(self._array)
        if n_rows > have:
            grown = aligned((max(n_rows, 2 * have), *self._array.shape[1:]), self._array.dtype)
            grown[:keep] = self._array[:keep]
            self._array = grown
        self._n_view, self._view = n_rows, self._array[:n_rows]
        return self._view
