"""Kernel of the guard: what cannot be a sample is replaced by the channel's last value."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["N_LIMITS", "N_STATE", "guard_samples", "guard_state"]

N_STATE, N_LIMITS = 7, 4
# rows of the state: last value taken and last value seen, as delivered; last value given out; what
# is subtracted; samples seen since the value changed; samples held; samples still to settle
PREVIOUS, SEEN, GIVEN, OFFSET, SAME, HELD, SETTLE = range(N_STATE)
JUMP, AMPLITUDE, FLAT, LOST = range(N_LIMITS)  # rows of the limits; what NaN means
R_FLAT, R_RAIL, R_JUMP, R_SETTLING, R_AMPLITUDE = 2, 4, 8, 64, 2048  # signal.Reason
_LARGEST = np.finfo(np.float64).max
_STUCK = 2  # samples without a change, far from where the channel was, that mean a rail


def guard_state(n_channels: int) -> np.ndarray:
    """State (N_STATE, c) of channels that have shown nothing yet."""
    state = np.zeros((N_STATE, n_channels))
    state[[PREVIOUS, SEEN]] = np.nan
    return state


@njit(cache=True, nogil=True)
def guard_samples(
    x: np.ndarray,
    state: np.ndarray,
    limits: np.ndarray,
    channel_flags: np.ndarray,
    n_hold: int,
    n_settle: int,
) -> None:
    """Hold what cannot be a sample in `x` (n, c), in place, and flag it in `channel_flags` (n, c).

    A channel held for more than `n_hold` samples goes on from the value it was held at: the step
    to its new level is subtracted from then on, and `n_settle` samples are flagged.
    """
    n, n_channels = x.shape
    previous, seen, given = state[PREVIOUS], state[SEEN], state[GIVEN]
    offset, same = state[OFFSET], state[SAME]
    jump, largest, flat = limits[JUMP], limits[AMPLITUDE], limits[FLAT]
    n_active = 0
    for k in range(n_channels):
        n_active += state[HELD, k] > 0.0 or state[SETTLE, k] > 0.0
    for t in range(n):
        row = x[t]
        n_odd = n_active
        for k in range(n_channels):  # counting vectorizes, branching does not
            value = row[k]
            same[k] = same[k] + 1.0 if value == seen[k] else 0.0
            seen[k] = value
            n_odd += not (abs(value - previous[k]) <= jump[k] and abs(value) <= largest[k])
            n_odd += same[k] >= flat[k]
        if n_odd == 0:
            for k in range(n_channels):
                previous[k] = row[k]
                row[k] -= offset[k]
                given[k] = row[k]
            continue
        n_active = 0
        for k in range(n_channels):
            reason = _reason(row[k], k, state, limits, n_hold)
            if reason:
                state[HELD, k] += 1.0
                row[k] = given[k]
                channel_flags[t, k] |= reason
            else:
                near = abs(row[k] - previous[k]) <= jump[k]  # false before the first value
                if state[HELD, k] > (n_hold if near else 0):
                    offset[k] = row[k] - given[k]
                    state[SETTLE, k] = n_settle
                state[HELD, k] = 0.0
                previous[k] = row[k]
                row[k] -= offset[k]
                given[k] = row[k]
                if state[SETTLE, k] > 0.0:
                    state[SETTLE, k] -= 1.0
                    channel_flags[t, k] |= R_SETTLING
            n_active += state[HELD, k] > 0.0 or state[SETTLE, k] > 0.0


@njit(cache=True, nogil=True)
def _reason(value: float, k: int, state: np.ndarray, limits: np.ndarray, n_hold: int) -> int:
    """Why a value is not to be taken; 0 if it is."""
    if not abs(value) <= _LARGEST:
        return int(limits[LOST, k])
    if abs(value) > limits[AMPLITUDE, k]:
        return R_AMPLITUDE
    away = abs(value - state[PREVIOUS, k]) > limits[JUMP, k]  # false before the first value
    if away and state[SAME, k] >= _STUCK:
        return R_RAIL
    if state[SAME, k] >= limits[FLAT, k]:
        return R_FLAT
    if away and state[HELD, k] < n_hold:
        return R_JUMP  # one that stays away and lives has a new level
    return 0
