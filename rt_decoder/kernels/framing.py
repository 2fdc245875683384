"""Kernel of the framer: rows that are left, and new ones after them."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["append_rows"]


@njit(**KERNEL)
def append_rows(
    x: np.ndarray, times: np.ndarray, flags: np.ndarray, channel_flags: np.ndarray,
    skip: int, first: int, have: int, last: np.ndarray,
    data: np.ndarray, all_times: np.ndarray, all_flags: np.ndarray, all_channel_flags: np.ndarray,
) -> None:  # fmt: skip
    """Move rows to the front, and append samples.

    Parameters
    ----------
    x, times, flags, channel_flags : arrays of shape (n, c), (n,), (n,), (n, c)
        New samples, n of at least 1.
    skip : int
        How many of them are left out, at the beginning.
    first, have : int
        Row that becomes the first, and how many rows from it on are kept.
    last : array of shape (c,)
        Written: the newest sample.
    data, all_times, all_flags, all_channel_flags : arrays of shape (m, c), (m,), (m,), (m, c)
        Updated; ``m >= first + have`` and ``m >= have + n - skip``.
    """
    n, c = x.shape
    if first > 0:  # to lower rows: in this order nothing is read that was written
        for t in range(have):
            all_times[t], all_flags[t] = all_times[first + t], all_flags[first + t]
            for k in range(c):
                data[t, k] = data[first + t, k]
                all_channel_flags[t, k] = all_channel_flags[first + t, k]
    for t in range(skip, n):
        row = have + t - skip
        all_times[row], all_flags[row] = times[t], flags[t]
        for k in range(c):
            data[row, k] = x[t, k]
            all_channel_flags[row, k] = channel_flags[t, k]
    for k in range(c):
        last[k] = x[n - 1, k]
