"""Keep recent samples, and return any stretch of them as one contiguous view.

Every sample is written twice, one capacity apart, so that a window never wraps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rt_decoder.kernels.window import keep_rows
from rt_decoder.signal import FLAGS

__all__ = ["Ring"]


class Ring:
    """Ring buffer of the newest samples, addressed by absolute index.

    Parameters
    ----------
    capacity : int
        Number of samples to keep, at least 1.
    n_channels : int
        Number of columns.
    dtype : dtype
        Type of the data.

    Attributes
    ----------
    next : int
        Absolute index of the next sample to be written.

    Raises
    ------
    ValueError
        If `capacity` or `n_channels` is below 1.

    Examples
    --------
    >>> ring = Ring(4, 1)
    >>> ring.write(np.arange(6.0)[:, None], np.zeros(6, FLAGS))
    >>> ring.window(3, 6)[0].ravel()
    array([3., 4., 5.])
    """

    def __init__(self, capacity: int, n_channels: int, dtype: npt.DTypeLike = np.float64) -> None:
        if capacity < 1 or n_channels < 1:
            raise ValueError(
                f"need room for at least 1 sample of 1 channel, got {capacity} of {n_channels}"
            )
        self.capacity, self.n_channels = capacity, n_channels
        self._data = np.zeros((2 * capacity, n_channels), dtype)
        self._flags = np.zeros(2 * capacity, FLAGS)
        # Windows are slices of these read-only views, so that no reader can change a sample.
        self._data_view, self._flags_view = self._data.view(), self._flags.view()
        self._data_view.flags.writeable = False
        self._flags_view.flags.writeable = False
        self.reset()

    def reset(self) -> None:
        """Forget all samples and begin at index 0."""
        self.restart(0)

    def restart(self, index: int) -> None:
        """Forget all samples; the next one written has this index. No window spans the loss."""
        self.next = index
        self._origin = index

    @property
    def first(self) -> int:
        """Absolute index of the oldest sample kept; equals `next` if there is none."""
        return max(self._origin, self.next - self.capacity)

    def write(self, data: np.ndarray, flags: np.ndarray) -> None:
        """Append samples at `next`.

        Parameters
        ----------
        data : array of shape (n, m), float64
            Of which the first `n_channels` columns are kept.
        flags : array of shape (n,), uint32
            Reason bits.

        Raises
        ------
        ValueError
            If there are fewer columns, or not one flag a sample.
        """
        if data.shape[1] < self.n_channels or len(flags) != len(data):
            raise ValueError(
                f"need {self.n_channels} channels and a flag a sample, got {data.shape} and {flags.shape}"
            )
        if not data.flags.carray:  # the layout that is compiled
            data = data.copy("C")
        keep_rows(data, flags, self.next, self._data, self._flags)
        self.next += len(data)

    def window(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return read-only views of a stretch of samples, valid until overwritten.

        Parameters
        ----------
        start, stop : int
            Absolute indices, `stop` excluded.

        Returns
        -------
        data : array of shape (stop - start, n_channels)
        flags : array of shape (stop - start,), uint32

        Raises
        ------
        LookupError
            If part of the window is no longer kept or not yet written.
        ValueError
            If `stop` lies before `start`.
        """
        if stop < start:
            raise ValueError(f"need a window that ends after its start, got {start} to {stop}")
        if start < self.first or stop > self.next:
            raise LookupError(
                f"need samples {start} to {stop}, got {self.first} to {self.next} in the ring; "
                + ("wait for more" if start >= self.first else "give it more capacity")
            )
        row = start % self.capacity
        rows = slice(row, row + stop - start)
        return self._data_view[rows], self._flags_view[rows]
