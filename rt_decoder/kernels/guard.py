"""Kernel of the guard: replace impossible values by the channel's last good value.

=========  =======  ========================================================================
memory     unit     meaning (rows, a column a channel)
=========  =======  ========================================================================
PREVIOUS   SI       last value that was accepted, as delivered; NaN before the first
SEEN       SI       last value, as delivered; NaN before the first
GIVEN      SI       last value of the output
OFFSET     SI       subtracted from a value that is accepted
SAME       samples  since the value last changed
HELD       samples  held without a break
SETTLE     samples  still to be flagged as settling
JUMP       SI       limit: largest step between samples
AMPLITUDE  SI       limit: largest value
FLAT       samples  limit: how long a value may stay the same
LOST                limit: the reason for a value that is not finite
=========  =======  ========================================================================

The rows of the limits are counted from 0 again: the first is `memory[N_STATE]`.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["N_LIMITS", "N_STATE", "guard_samples", "guard_state"]

N_STATE, N_LIMITS = 7, 4
PREVIOUS, SEEN, GIVEN, OFFSET, SAME, HELD, SETTLE = range(N_STATE)
JUMP, AMPLITUDE, FLAT, LOST = range(N_LIMITS)
R_FLAT, R_RAIL, R_JUMP, R_SETTLING, R_AMPLITUDE = 2, 4, 8, 64, 2048  # signal.Reason
_LARGEST = np.finfo(np.float64).max
_STUCK = 2  # samples without a change, away from the last good value, that mean a rail


def guard_state(n_channels: int) -> np.ndarray:
    """Create the state (N_STATE, c) of channels that have not seen a value yet."""
    state = np.zeros((N_STATE, n_channels))
    state[[PREVIOUS, SEEN]] = np.nan
    return state


@njit(**KERNEL)
def guard_samples(
    x: np.ndarray,
    channel_flags: np.ndarray,
    memory: np.ndarray,
    n_hold: int,
    n_settle: int,
    out: np.ndarray,
    out_flags: np.ndarray,
) -> bool:
    """Hold impossible values, and flag them.

    A channel held for more than `n_hold` samples continues from the value it was held at: the step
    to its new level is subtracted from then on, and `n_settle` samples are flagged.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    channel_flags : array of shape (n, c), uint32
        Flags of single channels.
    memory : array of shape (N_STATE + N_LIMITS, c)
        State, which is updated, and limits; see the table of this file.
    n_hold : int
        Longest hold, in samples, after which a channel continues where it is.
    n_settle : int
        Samples flagged SETTLING after a longer hold.
    out : array of shape (n, c)
        Written if something changed: the samples.
    out_flags : array of shape (n, c), uint32
        Written if something changed: flags of single channels.

    Returns
    -------
    changed : bool
        Whether `out` and `out_flags` were written. If not, the input is the output.
    """
    n, c = x.shape
    state, limits = memory[:N_STATE], memory[N_STATE:]
    offset = state[OFFSET, :c]
    n_active, n_same, n_offset = _census(state)
    # the output is contiguous
    writes = n_offset > 0 or x.strides != out.strides
    behind = False  # whether the state lags one sample behind
    for t in range(n):
        row = x[t, :c]
        if n_active == 0:
            # all channels were good: the values seen last were accepted
            if behind:
                n_odd, n_same = _compare(row, x[t - 1, :c], n_same, state, limits)
            else:
                n_odd, n_same = _compare(row, state[SEEN, :c], n_same, state, limits)
            if n_odd == 0:
                behind = True
                if writes:
                    _pass_on(row, channel_flags[t], offset, out[t], out_flags[t])
                continue
            if behind:
                _remember(x[t - 1], state)
        else:
            n_same, _ = _count_same(row, state[SEEN, :c], state[SAME], limits[FLAT])
        behind = False
        if not writes:
            writes = True
            for i in range(t):
                _pass_on(x[i], channel_flags[i], offset, out[i], out_flags[i])
        _pass_on(row, channel_flags[t], offset, out[t], out_flags[t])
        n_active = _judge(row, state, limits, n_hold, n_settle, out[t], out_flags[t])
    if behind:
        _remember(x[n - 1], state)
    return writes


@njit(**KERNEL)
def _census(state: np.ndarray) -> tuple[int, int, int]:
    """Count the channels that are held or settle, that stand still, and that have an offset."""
    c = state.shape[1]
    held, settle = state[HELD, :c], state[SETTLE, :c]
    same, offset = state[SAME, :c], state[OFFSET, :c]
    n_active, n_same, n_offset = 0, 0, 0
    for k in range(c):
        n_active += (held[k] > 0.0) | (settle[k] > 0.0)
        n_same += same[k] > 0.0
        n_offset += offset[k] != 0.0
    return n_active, n_same, n_offset


@njit(**KERNEL)
def _compare(
    row: np.ndarray, before: np.ndarray, n_same: int, state: np.ndarray, limits: np.ndarray
) -> tuple[int, int]:
    """Count the impossible values, and the channels that stand still."""
    c = len(row)
    jump, largest = limits[JUMP, :c], limits[AMPLITUDE, :c]
    n_fine = 0  # counting vectorizes, branching does not
    for k in range(c):
        step = abs(row[k] - before[k])
        n_fine += (step <= jump[k]) & (step > 0.0) & (abs(row[k]) <= largest[k])
    if n_fine == c and n_same == 0:
        return 0, 0
    n_fine = 0
    for k in range(c):
        n_fine += (abs(row[k] - before[k]) <= jump[k]) & (abs(row[k]) <= largest[k])
    n_same, n_flat = _count_same(row, before, state[SAME], limits[FLAT])
    return c - n_fine + n_flat, n_same


@njit(**KERNEL)
def _count_same(
    row: np.ndarray, before: np.ndarray, same: np.ndarray, flat: np.ndarray
) -> tuple[int, int]:
    """Update how long each value has stood still; count those that do, and those for too long."""
    n_same, n_flat = 0, 0
    for k in range(len(row)):
        same[k] = same[k] + 1.0 if row[k] == before[k] else 0.0
        n_same += same[k] > 0.0
        n_flat += same[k] >= flat[k]
    return n_same, n_flat


@njit(**KERNEL)
def _pass_on(
    row: np.ndarray, marks: np.ndarray, offset: np.ndarray, out: np.ndarray, out_marks: np.ndarray
) -> None:
    """Copy a sample, less the offsets."""
    for k in range(len(row)):
        out[k] = row[k] - offset[k]
    for k in range(len(row)):
        out_marks[k] = marks[k]


@njit(**KERNEL)
def _remember(row: np.ndarray, state: np.ndarray) -> None:
    """Update the state after a good sample."""
    for k in range(len(row)):
        state[SEEN, k] = state[PREVIOUS, k] = row[k]
        state[GIVEN, k] = row[k] - state[OFFSET, k]


@njit(**KERNEL)
def _judge(
    row: np.ndarray,
    state: np.ndarray,
    limits: np.ndarray,
    n_hold: int,
    n_settle: int,
    out: np.ndarray,
    out_marks: np.ndarray,
) -> int:
    """Hold and flag the channels of a sample one by one; count those that are held or settle."""
    previous, given, offset = state[PREVIOUS], state[GIVEN], state[OFFSET]
    n_active = 0
    for k in range(len(row)):
        state[SEEN, k] = row[k]
        reason = _reason(row[k], k, state, limits, n_hold)
        if reason:
            state[HELD, k] += 1.0
            out[k] = given[k]
            out_marks[k] |= reason
        else:
            near = abs(row[k] - previous[k]) <= limits[JUMP, k]  # false before the first value
            if state[HELD, k] > (n_hold if near else 0):
                offset[k] = row[k] - given[k]
                state[SETTLE, k] = n_settle
            state[HELD, k] = 0.0
            previous[k] = row[k]
            given[k] = out[k] = row[k] - offset[k]
            if state[SETTLE, k] > 0.0:
                state[SETTLE, k] -= 1.0
                out_marks[k] |= R_SETTLING
        n_active += state[HELD, k] > 0.0 or state[SETTLE, k] > 0.0
    return n_active


@njit(**KERNEL)
def _reason(value: float, k: int, state: np.ndarray, limits: np.ndarray, n_hold: int) -> int:
    """Return why a value is not accepted; 0 if it is."""
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
        return R_JUMP  # held for longer, a varying value is a new level
    return 0
