"""Kernel of the time base: the clock line's times and indices, kept for markers that come late."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.clock import DECIDED, RATE_OFF, advance
from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["place"]

R_HELD = 32  # signal.Reason


@njit(**KERNEL)
def place(
    stamps: np.ndarray, arrival: float, arrivals: np.ndarray, is_one: bool, start: int,
    sfreq: float, state: np.ndarray, ring: np.ndarray, scales: np.ndarray, rates: np.ndarray,
    times: np.ndarray, index: np.ndarray, flags: np.ndarray,
    n_before: int, kept_times: np.ndarray, kept_index: np.ndarray, kept_held: np.ndarray,
) -> tuple[int, float]:  # fmt: skip
    """Compute time, index and flags of samples as `clock.advance` does, and keep them at the end.

    Parameters
    ----------
    stamps : array of shape (n,)
        Stamps in s; NaN if there is none.
    arrival : float
        When all samples arrived, in s; NaN if not known.
    arrivals : array of shape (n,)
        When each sample arrived, in s; written if `is_one`.
    is_one : bool
        Whether `arrival` holds for all.
    start : int
        First sample to take.
    sfreq : float
        Nominal sampling rate in Hz.
    state, ring, scales, rates : arrays of shape (43,), (RING, 3), (N_SCALES, 5), (3, RING)
        From `clock.clock_state`; updated.
    times : array of shape (n,)
        Written: times in s.
    index : array of shape (n,), int64
        Written: absolute indices.
    flags : array of shape (n,), uint32
        Written: GAP, HELD or 0.
    n_before : int
        Samples received before these.
    kept_times, kept_index, kept_held : arrays of shape (size,), float64, int64 and bool
        Sample k of all lies at ``k % size``; written once no sample is left.

    Returns
    -------
    next : int
        The sample to continue with.
    latest : float
        Largest of the times, NaN if one is; of no meaning while samples are left.
    """
    n, size = len(stamps), len(kept_times)
    if is_one and start == 0:
        arrivals[:] = arrival
    following = advance(
        stamps, arrivals, start, sfreq, state, ring, scales, rates, times, index, flags
    )
    latest = -np.inf
    if following < n or state[DECIDED] == RATE_OFF:
        return following, latest
    for i in range(n):
        if times[i] > latest or np.isnan(times[i]):
            latest = times[i]
    at = (n_before + max(0, n - size)) % size
    for i in range(max(0, n - size), n):
        kept_times[at], kept_index[at] = times[i], index[i]
        kept_held[at] = flags[i] & R_HELD != 0
        at = at + 1 if at + 1 < size else 0
    return following, latest
