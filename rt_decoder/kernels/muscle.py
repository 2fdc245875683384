"""Kernels of the muscle gate: power above 25 Hz and slow excursions, judged over all channels.

Every sample is computed alone, on a grid of the absolute index, so the cuts between calls cannot
change a bit. Single precision is enough: channels are scaled to units of their own noise, and the
offset they began with is subtracted.

==========  =======  =======================================================================
memory      unit     meaning (float32 rows, a column a channel)
==========  =======  =======================================================================
GAIN        1/SI     factor to units of the channel's noise
OFFSET      SI       first value of the channel
LIMIT       noise    largest credible slow excursion
STATES      noise    from here on two rows for each section of the filter
POWER       noise^2  running power
MEAN        noise    slow mean
WORK        noise    scratch: the filtered sample
==========  =======  =======================================================================

==========  ========  ======================================================================
settings    unit      meaning (10 numbers, float64)
==========  ========  ======================================================================
EVERY       samples   from one point of the gate's grid to the next
N_USED      channels  that count
N_TRIM      channels  of them that are left out: those of most power
ON          noise^2   mean power that raises the flag
OFF         noise^2   mean power that keeps it up
HOLD        grid      steps of the gate's grid below OFF after which it drops
MOVE_NEED   channels  far off at once that mean movement
MOVE_HOLD   looks     for movement for which the flag of movement stays up
ACC_STEP              share of a new value in the mean of the accelerometer
ACC_LIMIT   SI        distance from that mean that means movement
==========  ========  ======================================================================

==========  =======  =======================================================================
coefs, the  unit     meaning (4 numbers, float32; the rows before are sections b0 b1 b2 a1 a2)
last row
==========  =======  =======================================================================
POWER_STEP           share of a new square in the running power
CAP         noise^2  largest square that counts
MEAN_STEP            share of a new value in the slow mean
FLOOR       noise^2  added at each step so that the power never becomes subnormal
==========  =======  =======================================================================

===========  ======  =======================================================================
status       unit    meaning (4 numbers, float64)
===========  ======  =======================================================================
PRIMED               1 once a sample was seen
MUSCLE_LEFT  grid    steps for which the flag of muscle still stays up
MOVE_LEFT    looks   for which the flag of movement still stays up
ACC_MEAN     SI      mean size of the accelerometer; -1 before the first
===========  ======  =======================================================================
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

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
    """Flag samples with muscle or movement.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples; only read.
    flags : array of shape (n,), uint32
        Flags of the samples.
    index : int
        Absolute index of the first sample.
    coefs : array of shape (N_SOS + 1, 5), float32
        Filter and constants; see the table of this file.
    memory : array of shape (N_ROWS, c), float32
        Updated; see the table.
    settings : array of shape (10,)
        See the table.
    status : array of shape (4,)
        Updated; see the table.
    acc : array of shape (n_axes,), int
        Columns of the accelerometer's axes; may be empty.
    out : array of shape (n,), uint32
        Written: `flags`, with the reasons of muscle and movement added.
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
    """Record what the gate computes, for calibration.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples from index 0 on; only read.
    stride : int
        Points of the gate's grid from one that is recorded to the next.
    coefs : array of shape (N_SOS + 1, 5), float32
        Filter and constants; see the table of this file.
    memory : array of shape (N_ROWS, c), float32
        Updated; see the table.
    settings : array of shape (10,)
        See the table.
    status : array of shape (4,)
        Updated; see the table.
    scores : array of shape (m,)
        Written: mean power over channels, in squared units of the noise.
    power : array of shape (m, c), float32
        Written: running power of each channel, in squared units of the noise.
    away : array of shape (m, c), float32
        Written: distance of each channel from its slow mean, in units of the noise.
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


# Short loops over few arrays: LLVM does not vectorize where many arrays may overlap.


@njit(**KERNEL)
def _take(row: np.ndarray, memory: np.ndarray, status: np.ndarray) -> None:
    """Write one sample to WORK, in units of GAIN and less the offset it began with."""
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
    """Count the channels far from their slow mean, then update the mean."""
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
    """Filter WORK in place, and sum the running powers of all channels."""
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
    """Raise the flag while most channels are far off or the sensor shakes, and hold it after."""
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
    """Average power over channels without the N_TRIM largest: one bad electrode is not muscle."""
    n_trim = int(settings[N_TRIM])
    power, top = (
        memory[POWER],
        memory[WORK],
    )  # scratch in WORK: the largest so far, in falling order
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
