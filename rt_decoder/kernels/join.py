"""Look up an auxiliary stream, of another clock and rate, at the times of the main stream.

A ring keeps the stream's recent samples. Each has two times: its own, and the mean time of its
average with the samples before it. Before each look-up the ring takes in samples up to the first
one after the time asked for, so that the cuts into chunks change nothing.

============  =======  =====================================================================
state         unit     meaning (of 7 numbers)
============  =======  =====================================================================
COUNT         samples  put into the ring so far
OLDEST        sample   oldest one that is still valid
NEXT          sample   next one that waits to be put into the ring
ASKED         s        newest time that was looked up
LATE          samples  that came after their time was looked up, or were far ahead
MISSING                look-ups that found no value
INTERPOLATES           1 if any channel is interpolated
============  =======  =====================================================================

============  =======  =====================================================================
ring's times  unit     meaning (columns)
============  =======  =====================================================================
SAMPLE        s        when the sample was taken
AVERAGE       s        mean time of the samples in its average
============  =======  =====================================================================
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["LATE", "MISSING", "NEXT", "join", "join_state", "take_all"]

N_STATE = 7
COUNT, OLDEST, NEXT, ASKED, LATE, MISSING, INTERPOLATES = range(N_STATE)
SAMPLE, AVERAGE = range(2)
R_HELD = 32  # signal.Reason


def join_state(interpolates: bool) -> np.ndarray:
    """Create the state of an empty ring.

    Parameters
    ----------
    interpolates : bool
        Whether any channel is interpolated.

    Returns
    -------
    array of shape (7,)
        See the table of this file.
    """
    state = np.zeros(N_STATE)
    state[ASKED], state[INTERPOLATES] = -np.inf, interpolates
    return state


@njit(**KERNEL)
def _time(times: np.ndarray, stamps: np.ndarray, flags: np.ndarray, i: int) -> float:
    # While it is undecided whether samples were lost, the stamp is better than the clock line.
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
    """Average the newest `span` samples, at their mean time, but never across a dropout."""
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
    if time < before - limit:  # the clock was set back: the samples kept are invalid
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
        # look-ups between the sample before and this one found nothing
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
    """Put all waiting samples into the ring.

    Parameters
    ----------
    data, times, stamps, flags : arrays of shape (m, c), (m,), (m,), (m,)
        Samples that wait, from ``state[NEXT]`` on.
    span : int
        Samples to average; 1 averages none, and `averaged` is then `ring`.
    limit : float
        Longest step in s that is not a dropout.
    ring_times, ring, averaged : arrays of shape (size, 2), (size, c), (size, c)
        The ring; updated.
    state : array of shape (7,)
        Updated; see the table of this file.
    """
    for i in range(int(state[NEXT]), len(times)):
        time = _time(times, stamps, flags, i)
        if np.isfinite(time):
            _put(data[i], time, span, limit, ring_times, ring, averaged, state)
    state[NEXT] = len(times)


@njit(**KERNEL)
def _before(ring_times: np.ndarray, column: int, first: int, count: int, time: float) -> int:
    """Find the newest of samples `first` to `count` not after `time`; `first - 1` if none is."""
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
    """Look up the values (c,) at one time; NaN where there is none."""
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
    """Look up the auxiliary stream at the times of main samples.

    Channels in `hold` keep their last sample for up to `limit` s. The others are interpolated
    between two samples at most `limit` s apart. Where neither is possible the value is NaN.

    Parameters
    ----------
    main_times, main_stamps, main_flags : arrays of shape (n,), (n,), (n,)
        Times and flags from the time base, and the stamps it was given.
    start : int
        First main sample to look up.
    more : bool
        Whether more samples can be pulled: if so, the kernel returns as soon as it needs them.
    delay : float
        Look up main times less this many s.
    latest : float
        Samples with a later time in s are dropped and counted as late: their clock was just set,
        and waiting for that time would stop the stream.
    data, times, stamps, flags : arrays of shape (m, c), (m,), (m,), (m,)
        Samples that wait, from ``state[NEXT]`` on.
    span : int
        Samples to average; 1 averages none, and `averaged` is then `ring`.
    limit : float
        Longest step in s that is not a dropout.
    hold : array of shape (c,), bool
        Channels that are not interpolated.
    ring_times, ring, averaged : arrays of shape (size, 2), (size, c), (size, c)
        The ring; updated.
    state : array of shape (7,)
        Updated; see the table of this file.
    out : array of shape (n, n_out)
        Written in columns `column` to ``column + c``.
    column : int
        First column to write.

    Returns
    -------
    int
        The main sample to continue with; n if all are done.
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
