"""The clock line of the time base: stamps in, smooth times out, one sample after the other."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["line_state", "line_times"]

# places in the state vector; the line is time(i) = LEVEL + PERIOD * (i - AT), relative to ORIGIN
ORIGIN, LEVEL, PERIOD, AT, P0, P1, P2, COUNT = range(8)
LAST_STAMP, LAST_TIME, GROUP_SIZE, GROUP_MIN, GROUP_AT, SPREAD, OUTSIDE = range(8, 15)
N_STATE = 15

TIME_CONSTANT = 20.0  # s; follows a drift of 200 ppm
MAX_GROUP = 32


def line_state(sfreq: float) -> np.ndarray:
    """State of a line that has seen nothing, for a nominal rate in Hz."""
    state = np.zeros(N_STATE)
    state[PERIOD] = 1.0 / sfreq
    state[P0] = 1.0
    state[P2] = (0.0025 / 0.5) ** 2
    return state


@njit(cache=True, nogil=True)
def _update(state: np.ndarray, sfreq: float) -> None:
    """Move the line towards the open group's earliest residual, and open no new group."""
    residual = state[GROUP_MIN]
    gate = min(0.25 * sfreq, max(0.6, 6.0 * state[SPREAD]))
    size = abs(residual)
    state[SPREAD] += (min(size, 3.0 * gate) - state[SPREAD]) / 32.0
    if size > gate:
        state[OUTSIDE] += 1
        if state[OUTSIDE] <= 64:
            return
        residual = gate if residual > 0 else -gate
    else:
        state[OUTSIDE] = 0
    d = state[GROUP_AT] - state[AT]
    decay = np.exp(d / (TIME_CONSTANT * sfreq))
    p0 = (state[P0] + 2.0 * d * state[P1] + d * d * state[P2]) * decay
    p1 = (state[P1] + d * state[P2]) * decay
    p2 = state[P2] * decay
    k0, k1 = p0 / (1.0 + p0), p1 / (1.0 + p0)
    tau = state[PERIOD]
    state[LEVEL] += tau * d + k0 * residual * tau
    state[PERIOD] = min(max(tau + k1 * residual * tau, 0.99 / sfreq), 1.01 / sfreq)
    state[AT] = state[GROUP_AT]
    state[P2] = p2 - k1 * p1
    state[P0] = p0 * (1.0 - k0)
    state[P1] = p1 * (1.0 - k0)


@njit(cache=True, nogil=True)
def line_times(stamps: np.ndarray, sfreq: float, state: np.ndarray, out: np.ndarray) -> None:
    """Smooth time of each sample, in s on the stamps' clock, into `out`."""
    for i in range(stamps.shape[0]):
        stamp = stamps[i]
        n = state[COUNT]
        if n == 0.0:
            state[ORIGIN] = stamp
        elapsed = stamp - state[ORIGIN]
        step = elapsed - state[LAST_STAMP]
        residual = (elapsed - state[LEVEL]) / state[PERIOD] - (n - state[AT])
        # Samples pushed together carry back-computed stamps, or all but the same one; the
        # earliest residual of such a group is the one least delayed.
        together = (
            abs(step - 1.0 / sfreq) < min(1e-6, 0.01 / sfreq) or 0.0 <= step < 0.2 * state[PERIOD]
        )
        if state[GROUP_SIZE] > 0.0 and together and state[GROUP_SIZE] < MAX_GROUP:
            state[GROUP_SIZE] += 1.0
            if residual < state[GROUP_MIN]:
                state[GROUP_MIN] = residual
                state[GROUP_AT] = n
        else:
            if state[GROUP_SIZE] > 0.0:
                _update(state, sfreq)
                residual = (elapsed - state[LEVEL]) / state[PERIOD] - (n - state[AT])
            state[GROUP_SIZE] = 1.0
            state[GROUP_MIN] = residual
            state[GROUP_AT] = n
        time = state[LEVEL] + state[PERIOD] * (n - state[AT])
        if n > 0.0:  # a correction of the line never makes time run backwards
            time = max(time, state[LAST_TIME] + 0.01 * state[PERIOD])
        state[LAST_TIME] = time
        state[LAST_STAMP] = elapsed
        state[COUNT] = n + 1.0
        out[i] = state[ORIGIN] + time
