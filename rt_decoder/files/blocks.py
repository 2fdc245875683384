"""Samples that stay in their file and are read in blocks, so that a recording may be of any length.

A small file is read whole: an array is faster, and stages run over a recording several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["WHOLE_BYTES", "Blocks", "block_rows", "fits", "loaded"]

WHOLE_BYTES = 256 << 20  # of samples that are kept in memory; a longer recording is read in blocks
BLOCK_BYTES = 16 << 20


class Blocks:
    """Samples in a file; sliced as an array of shape (n, c) is, each slice is read when asked for.

    ``data[start:stop]``, ``data[start:stop, picks]`` and ``data[rows, column]`` return arrays; the
    last block is kept, so that small slices in order cost one reading of the file.

    Parameters
    ----------
    read : callable
        Takes the first row and the row behind the last; returns the samples, (stop - start, c)
        float64. The same rows give the same bits however they are cut.
    shape : tuple of int
        Samples and channels, (n, c).

    Examples
    --------
    >>> data = Blocks(lambda start, stop: np.arange(start, stop, dtype=float)[:, None], (1000, 1))
    >>> len(data), data[3:5].ravel().tolist(), data[-2:, 0].tolist()
    (1000, [3.0, 4.0], [998.0, 999.0])
    """

    def __init__(self, read: Callable[[int, int], np.ndarray], shape: tuple[int, int]) -> None:
        self._read, self.shape = read, shape
        self._rows = block_rows(shape[1])
        self._start, self._kept = 0, np.zeros((0, shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read rows, or some columns of them."""
        rows, columns = key if isinstance(key, tuple) else (key, None)
        if not (isinstance(rows, slice) and rows.step in (None, 1)):
            raise TypeError(f"need a slice of rows that are in order, got {rows!r}")
        start, stop, _ = rows.indices(len(self))
        if columns is None or stop - start <= self._rows:
            found = self._rows_at(start, stop)
            return found if columns is None else found[:, columns]
        some = self._rows_at(start, start + 1)[:, columns]
        # in the order of an array's: sums of floats depend on it
        order: Any = "C" if isinstance(columns, slice) else "F"
        found = np.empty((stop - start, *some.shape[1:]), order=order)
        for at in range(start, stop, self._rows):
            end = min(at + self._rows, stop)
            found[at - start : end - start] = self._rows_at(at, end)[:, columns]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All samples in memory."""
        if copy is False:
            raise ValueError("need memory for samples that are in a file, got copy=False")
        whole = np.empty(self.shape)
        for at in range(0, len(self), self._rows):
            stop = min(at + self._rows, len(self))
            whole[at:stop] = self._read(at, stop)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def _rows_at(self, start: int, stop: int) -> np.ndarray:
        if stop <= start:
            return np.zeros((0, self.shape[1]))
        if stop - start > self._rows:
            return self._read(start, stop)
        if not (self._start <= start and stop <= self._start + len(self._kept)):
            self._kept = self._read(start, min(start + self._rows, len(self)))
            self._start = start
        return self._kept[start - self._start : stop - self._start]


def block_rows(n_channels: int) -> int:
    """Return how many samples of `n_channels` channels a block holds, at least 1."""
    return max(1, BLOCK_BYTES // (8 * max(1, n_channels)))


def loaded(data: Blocks) -> Blocks | np.ndarray:
    """Read samples into memory if they take at most `WHOLE_BYTES`; else leave them in their file.

    Parameters
    ----------
    data : Blocks
        (n, c).

    Returns
    -------
    Blocks or array of shape (n, c), float64
    """
    return np.asarray(data) if fits(data.shape) else data


def fits(shape: tuple[int, int]) -> bool:
    """Whether samples of this shape, (n, c), are kept in memory."""
    return 8 * shape[0] * shape[1] <= WHOLE_BYTES
