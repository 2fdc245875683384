"""A reference of another clock and rate, looked up at the times of the main stream.

A ring keeps the recent samples of the reference with two times each: that of the sample, and that
of its average with the samples before it (the same where nothing is averaged). Before each look-up
the ring takes reference samples up to the first one after the time that is asked for, so the answer
depends on times and on what has arrived, never on how either stream was cut into chunks.

============  =======  =====================================================================
state         unit     meaning (of 7 numbers)
============  =======  =====================================================================
COUNT         samples  put into the ring so far
OLDEST        sample   first of them that is still valid
NEXT          sample   next of those that wait to be put
ASKED         s        newest time asked for
LATE          samples  that came too late for it, or far ahead
MISSING                look-ups in vain
INTERPOLATES           1 if any channel is interpolated
============  =======  =====================================================================

============  =======  =====================================================================
ring's times  unit     meaning (columns)
============  =======  =====================================================================
SAMPLE        s        when the sample was taken
AVERAGE       s        mean time of what its average is over
============  =======  =====================================================================
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rt_decoder.kernels.options import KERNEL

__all__ = ["LATE", "MISSING", "NEXT", "join", "join_state", "take_all"]

N_STATE = 7
COUNT, OLDEST, NEXT, ASKED, LATE, MISSING, INTERPOLATES = range(N_STATE)
SAMPLE, AVERAGE = range(2)
R_HELD = 32  # signal.Reason


def join_state(interpolates: bool) -> np.ndarray:
    """State of a ring that holds nothing."""
    state = np.zeros(N_STATE)
    state[ASKED], state[INTERPOLATES] = -np.inf, interpolates
    return state


@njit(**KERNEL)
def _time(times: np.ndarray, stamps: np.ndarray, flags: np.ndarray, i: int) -> float:
    # While it is open whether samples were lost the line knows less than the stamp.
    if flags[i] & R_HELD and np.isfinite(stamps[i]):
        return stamps[i]
    return times[i]


@njit(**KERNEL)
def _average(
    count: int,
    first: int,
    span: int,
    limit: float,
    ring_times: np.ndarray,
    ring: np.ndarray,
    averaged: np.ndarray,
) -> None:
    """Mean of the newest `span` samples at their mean time; it never reaches across a dropout."""
    size, slot = len(ring_times), count % len(ring_times)
    newest = ring_times[slot, SAMPLE]
    total, n, after = 0.0, 0, newest
    averaged[slot] = 0.0
    for k in range(count, max(first, count - span + 1) - 1, -1):
        time = ring_times[k % size, SAMPLE]
        if after - time > limit:
            break
        total += time - newest
        for c in range(ring.shape[1]):
            averaged[slot, c] += ring[k % size, c]
        n += 1
        after = time
    ring_times[slot, AVERAGE] = newest + total / n
    for c in range(ring.shape[1]):
        averaged[slot, c] /= n


@njit(**KERNEL)
def _put(
    data: np.ndarray,
    time: float,
    span: int,
    limit: float,
    ring_times: np.ndarray,
    ring: np.ndarray,
    averaged: np.ndarray,
    state: np.ndarray,
) -> None:
    """Put one sample (c,) into the ring."""
    size, count, first = len(ring_times), int(state[COUNT]), int(state[OLDEST])
    before = ring_times[(count - 1) % size, SAMPLE] if count > first else -np.inf
    if time < before - limit:  # the clock was set back: what is kept is of another time
        first, before = count, -np.inf
        state[OLDEST] = count
    slot = count % size
    ring_times[slot, SAMPLE] = ring_times[slot, AVERAGE] = max(time, before)
    for c in range(len(data)):
        ring[slot, c] = data[c]
    if span > 1:
        _average(count, max(first, count - size + 1), span, limit, ring_times, ring, averaged)
    at = ring_times[slot, AVERAGE]
    if count > first and state[INTERPOLATES] > 0.0:
        # whoever asked for a time between the one before and this one had no answer
        before = ring_times[(count - 1) % size, AVERAGE]
        state[LATE] += before < state[ASKED] and at - before <= limit
    else:
        state[LATE] += at <= state[ASKED]
    state[COUNT] = count + 1.0


@njit(**KERNEL)
def take_all(
    data: np.ndarray,
    times: np.ndarray,
    stamps: np.ndarray,
    flags: np.ndarray,
    span: int,
    limit: float,
    ring_times: np.ndarray,
    ring: np.ndarray,
    averaged: np.ndarray,
    state: np.ndarray,
) -> None:
    """Put all samples that wait; arguments as in `join`."""
    for i in range(int(state[NEXT]), len(times)):
        time = _time(times, stamps, flags, i)
        if np.isfinite(time):
            _put(data[i], time, span, limit, ring_times, ring, averaged, state)
    state[NEXT] = len(times)


@njit(**KERNEL)
def _before(ring_times: np.ndarray, column: int, first: int, count: int, time: float) -> int:
    """The newest of samples `first` to `count` that is not after `time`; `first - 1` if none is."""
    size = len(ring_times)
    low, high = first - 1, count
    while high - low > 1:
        middle = (low + high) // 2
        if ring_times[middle % size, column] <= time:
            low = middle
        else:
            high = middle
    return low


@njit(**KERNEL)
def _look_up(
    time: float,
    limit: float,
    hold: np.ndarray,
    ring_times: np.ndarray,
    ring: np.ndarray,
    averaged: np.ndarray,
    state: np.ndarray,
    out: np.ndarray,
) -> None:
    """Values (c,) at one time; NaN where there is none."""
    size, count = len(ring_times), int(state[COUNT])
    first = max(int(state[OLDEST]), count - size)
    held = _before(ring_times, SAMPLE, first, count, time)
    holds = held >= first and time - ring_times[held % size, SAMPLE] <= limit
    here = _before(ring_times, AVERAGE, first, count, time)
    a, b, weight = here % size, (here + 1) % size, np.nan
    if here >= first:
        gone = time - ring_times[a, AVERAGE]
        if gone == 0.0:
            b, weight = a, 0.0
        elif here + 1 < count and ring_times[b, AVERAGE] - ring_times[a, AVERAGE] <= limit:
            weight = gone / (ring_times[b, AVERAGE] - ring_times[a, AVERAGE])
    missing = False
    for c in range(len(hold)):
        if hold[c]:
            out[c] = ring[held % size, c] if holds else np.nan
            missing |= not holds
        else:
            value = averaged[a, c]
            out[c] = value + weight * (averaged[b, c] - value)
            missing |= np.isnan(weight)
    state[MISSING] += missing
    state[ASKED] = max(state[ASKED], time)


@njit(**KERNEL)
def join(
    main_times: np.ndarray,
    main_stamps: np.ndarray,
    main_flags: np.ndarray,
    start: int,
    more: bool,
    delay: float,
    latest: float,
    data: np.ndarray,
    times: np.ndarray,
    stamps: np.ndarray,
    flags: np.ndarray,
    span: int,
    limit: float,
    hold: np.ndarray,
    ring_times: np.ndarray,
    ring: np.ndarray,
    averaged: np.ndarray,
    state: np.ndarray,
    out: np.ndarray,
    column: int,
) -> int:
    """Reference at the times of main samples from `start` on, less `delay` s.

    Channels in `hold` keep the last sample for up to `limit` s; the others are interpolated between
    two samples that are not further apart than that. What is neither is NaN.

    Parameters
    ----------
    main_times, main_stamps, main_flags : arrays of shape (n,)
        As the time base gives them, and the stamps that it was given.
    more : bool
        Whether more reference samples may be had: then the kernel returns once it needs them.
    latest : float
        A reference sample that bears a later time is left out and counted as late: its clock was
        just set, and waiting for that time would stop the reference.
    data, times, stamps, flags : arrays of shape (m, c), (m,), (m,), (m,)
        Reference samples that wait, from ``state[NEXT]`` on.
    span : int
        Samples to average; 1 averages none, and `averaged` is then `ring`.
    limit : float
        Longest step, in s, that is no dropout.
    hold : array of shape (c,), bool
        Channels that are not interpolated.
    ring_times, ring, averaged : arrays of shape (size, 2), (size, c), (size, c)
        Of the ring.
    out : array of shape (n, ...)
        Written from `column` on.

    Returns
    -------
    int
        The main sample to go on with; n if all are done.
    """
    size, n_channels = len(ring_times), len(hold)
    for i in range(start, len(main_times)):
        time = _time(main_times, main_stamps, main_flags, i) - delay
        while state[COUNT] == state[OLDEST] or not (
            ring_times[(int(state[COUNT]) - 1) % size, AVERAGE] > time
        ):
            k = int(state[NEXT])
            if k == len(times):
                if more:
                    return i
                break
            state[NEXT] = k + 1.0
            at = _time(times, stamps, flags, k)
            if at <= latest:
                _put(data[k], at, span, limit, ring_times, ring, averaged, state)
            else:
                state[LATE] += 1.0
        _look_up(
            time, limit, hold, ring_times, ring, averaged, state,
            out[i, column : column + n_channels],
        )  # fmt: skip
    return len(main_times)
