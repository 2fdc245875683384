"""Kernels of the muscle gate: power above 25 Hz and slow excursions, judged over all channels.

Every sample is computed alone, on a grid of the absolute index, so how a stream is cut into calls
cannot change a bit. What is judged needs no more than single precision: channels come in units of
their own noise, without the offset they began with.

==========  =======  =======================================================================
memory      unit     meaning (float32 rows, a column a channel)
==========  =======  =======================================================================
GAIN        1/SI     factor to units of the channel's noise
OFFSET      SI       value that the channel began with
LIMIT       noise    of slow excursions
STATES      noise    from here on two rows a section of the filter
POWER       noise^2  running power
MEAN        noise    slow mean
WORK        noise    scratch: the sample, filtered
==========  =======  =======================================================================

==========  ========  ======================================================================
settings    unit      meaning (10 numbers, float64)
==========  ========  ======================================================================
EVERY       samples   from one on the gate's grid to the next
N_USED      channels  that count
N_TRIM      channels  of them, those of most power, that do not
ON          noise^2   mean power that raises the flag
OFF         noise^2   mean power that keeps it up
HOLD        grid      steps of the gate's grid for which it stays up after that
MOVE_NEED   channels  that must be far off at once to be movement
MOVE_HOLD   looks     for movement, for which its flag stays up
ACC_STEP              share that a new value has in the mean of the accelerometer
ACC_LIMIT   SI        distance from that mean that is movement
==========  ========  ======================================================================

==========  =======  =======================================================================
coefs, the  unit     meaning (4 numbers, float32; the rows before are sections b0 b1 b2 a1 a2)
last row
==========  =======  =======================================================================
POWER_STEP           share that a new square has in the running power
CAP         noise^2  largest square that counts
MEAN_STEP            share that a new value has in the slow mean
FLOOR       noise^2  what keeps a power from vanishing
==========  =======  =======================================================================

===========  ======  =======================================================================
status       unit    meaning (4 numbers, float64)
===========  ======  =======================================================================
PRIMED               1 once a sample was seen
MUSCLE_LEFT  grid    steps for which the flag of muscle stays up
MOVE_LEFT    looks   for which that of movement does
ACC_MEAN     SI      mean size of the accelerometer; -1 before the first
===========  ======  =======================================================================
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rt_decoder.kernels.options import KERNEL

__all__ = ["N_ROWS", "N_SETTINGS", "N_SOS", "N_STATUS", "gate_samples", "trace_samples"]

N_SOS = 3
GAIN, OFFSET, LIMIT, STATES = range(4)
POWER, MEAN, WORK = range(STATES + 2 * N_SOS, STATES + 2 * N_SOS + 3)
N_ROWS = WORK + 1
LOOK = 4  # samples of the grid from one look for movement to the next
EVERY, N_USED, N_TRIM, ON, OFF, HOLD, MOVE_NEED, MOVE_HOLD, ACC_STEP, ACC_LIMIT = range(10)
N_SETTINGS = 10
POWER_STEP, CAP, MEAN_STEP, FLOOR = range(4)
PRIMED, MUSCLE_LEFT, MOVE_LEFT, ACC_MEAN = range(4)
N_STATUS = 4
R_MUSCLE, R_MOVEMENT = 128, 256  # signal.Reason


@njit(**KERNEL)
def gate_samples(
    x: np.ndarray,
    flags: np.ndarray,
    index: int,
    coefs: np.ndarray,
    memory: np.ndarray,
    settings: np.ndarray,
    status: np.ndarray,
    acc: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write `flags` (n,) with the reasons of muscle and movement added to `out` (n,).

    `x` (n, c) is only read. `acc` are the columns of an accelerometer's axes, if any.
    """
    every = int(settings[EVERY])
    until = -index % every
    for t in range(len(x)):
        if until == 0:
            until = every
            row = x[t]
            _take(row, memory, status)
            if (index + t) // every % LOOK == 0:
                n_far = _count_far(coefs, memory)
                _judge_movement(n_far, row, acc, settings, status)
            _judge_muscle(_measure(coefs, memory), memory, settings, status)
        until -= 1
        bits = R_MUSCLE if status[MUSCLE_LEFT] > 0.0 else 0
        if status[MOVE_LEFT] > 0.0:
            bits |= R_MOVEMENT
        out[t] = flags[t] | bits


@njit(**KERNEL)
def trace_samples(
    x: np.ndarray,
    stride: int,
    coefs: np.ndarray,
    memory: np.ndarray,
    settings: np.ndarray,
    status: np.ndarray,
    scores: np.ndarray,
    power: np.ndarray,
    away: np.ndarray,
) -> None:
    """What the gate sees of `x` (n, c) from index 0 on, at every `stride`-th sample of its grid.

    Writes `scores` (m,), and `power` and distance from the slow mean `away`, both (m, c) in units
    of GAIN. For calibration.
    """
    every = int(settings[EVERY])
    n = memory.shape[1]
    u, mean = memory[WORK, :n], memory[MEAN, :n]
    for i in range(-(-len(x) // every)):
        _take(x[i * every], memory, status)
        if i % stride == 0:
            for k in range(n):
                away[i // stride, k] = u[k] - mean[k]
        if i % LOOK == 0:
            _count_far(coefs, memory)
        total = _measure(coefs, memory)
        if i % stride == 0:
            scores[i // stride] = _trimmed(total, memory, settings)
            for k in range(n):
                power[i // stride, k] = memory[POWER, k]


# short loops over few arrays: LLVM gives up on vectors where it must tell many apart


@njit(**KERNEL)
def _take(row: np.ndarray, memory: np.ndarray, status: np.ndarray) -> None:
    """One sample, in units of GAIN and without the offset it began with, to WORK."""
    n = memory.shape[1]
    gain, offset, u = memory[GAIN, :n], memory[OFFSET, :n], memory[WORK, :n]
    if status[PRIMED] == 0.0:
        status[PRIMED] = 1.0
        status[ACC_MEAN] = -1.0
        for k in range(n):
            offset[k] = row[k]
    for k in range(n):
        u[k] = np.float32(row[k] - offset[k]) * gain[k]


@njit(**KERNEL)
def _count_far(coefs: np.ndarray, memory: np.ndarray) -> float:
    """How many channels are far from their slow mean, which then takes the sample in."""
    n = memory.shape[1]
    u, mean, limit = memory[WORK, :n], memory[MEAN, :n], memory[LIMIT, :n]
    slow = coefs[N_SOS, MEAN_STEP]
    n_far = np.int32(0)
    for k in range(n):
        away = u[k] - mean[k]
        mean[k] += slow * away
        n_far += np.int32(abs(away) > limit[k])
    return float(n_far)


@njit(**KERNEL)
def _measure(coefs: np.ndarray, memory: np.ndarray) -> float:
    """Filter WORK, in place, and sum up the running powers of all channels."""
    n = memory.shape[1]
    power, u = memory[POWER, :n], memory[WORK, :n]
    rest = coefs[N_SOS]
    step, cap, floor = rest[POWER_STEP], rest[CAP], rest[FLOOR]
    for s in range(N_SOS):
        b0, b1, b2 = coefs[s, 0], coefs[s, 1], coefs[s, 2]
        a1, a2 = coefs[s, 3], coefs[s, 4]
        s0, s1 = memory[STATES + 2 * s, :n], memory[STATES + 2 * s + 1, :n]
        for k in range(n):
            y = b0 * u[k] + s0[k]
            s0[k] = b1 * u[k] - a1 * y + s1[k]
            s1[k] = b2 * u[k] - a2 * y
            u[k] = y
    for k in range(n):
        power[k] += step * (min(u[k] * u[k], cap) - power[k]) + floor
    return _sum(power)


@njit(**KERNEL)
def _sum(values: np.ndarray) -> float:
    """Sum in a fixed order; eight chains of additions keep the processor busy."""
    n_eights = len(values) // 8 * 8
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    e, f, g, h = 0.0, 0.0, 0.0, 0.0
    for k in range(0, n_eights, 8):
        a += values[k]
        b += values[k + 1]
        c += values[k + 2]
        d += values[k + 3]
        e += values[k + 4]
        f += values[k + 5]
        g += values[k + 6]
        h += values[k + 7]
    for k in range(n_eights, len(values)):
        a += values[k]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@njit(**KERNEL)
def _judge_muscle(
    total: float, memory: np.ndarray, settings: np.ndarray, status: np.ndarray
) -> None:
    """Raise the flag at the score ON; drop it after HOLD samples of the grid below OFF."""
    most = settings[N_USED] - settings[N_TRIM]
    if total > settings[OFF] * most:
        score = _trimmed(total, memory, settings)
        if score > (settings[OFF] if status[MUSCLE_LEFT] > 0.0 else settings[ON]):
            status[MUSCLE_LEFT] = settings[HOLD]
            return
    status[MUSCLE_LEFT] = max(status[MUSCLE_LEFT] - 1.0, 0.0)


@njit(**KERNEL)
def _judge_movement(
    n_far: float, row: np.ndarray, acc: np.ndarray, settings: np.ndarray, status: np.ndarray
) -> None:
    """Raise the flag while most channels are far off or the sensor is shaken, and after."""
    moved = n_far >= settings[MOVE_NEED]
    if len(acc):
        square = 0.0
        for k in acc:
            square += row[k] * row[k]
        size = math.sqrt(square)
        if status[ACC_MEAN] < 0.0:
            status[ACC_MEAN] = size
        moved |= abs(size - status[ACC_MEAN]) > settings[ACC_LIMIT]
        status[ACC_MEAN] += settings[ACC_STEP] * (size - status[ACC_MEAN])
    if moved:
        status[MOVE_LEFT] = settings[MOVE_HOLD]
    else:
        status[MOVE_LEFT] = max(status[MOVE_LEFT] - 1.0, 0.0)


@njit(**KERNEL)
def _trimmed(total: float, memory: np.ndarray, settings: np.ndarray) -> float:
    """Mean power over channels without the N_TRIM largest: a bad electrode is no muscle."""
    n_trim = int(settings[N_TRIM])
    power, top = memory[POWER], memory[WORK]  # the first of WORK: the largest so far, falling
    for i in range(n_trim):
        top[i] = 0.0
    for k in range(len(power)):
        if n_trim and power[k] > top[n_trim - 1]:
            i = n_trim - 1
            while i > 0 and power[k] > top[i - 1]:
                top[i] = top[i - 1]
                i -= 1
            top[i] = power[k]
    for i in range(n_trim):
        total -= top[i]
    return total / (settings[N_USED] - n_trim)
