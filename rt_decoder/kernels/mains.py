"""Kernel of the mains canceller: an oscillator that tracks the mains, and weights per channel.

Every sample is computed alone, and the frequency is set on a grid of the absolute index, so the
cuts between calls cannot change a bit.

=========  ========  =======================================================================
memory     unit      meaning (rows, a column a channel)
=========  ========  =======================================================================
MEAN       SI        slow mean
SIZE       SI        running mean of the error's size
ERROR      SI        part of this sample that mean and weights do not explain
WEIGHTS    SI        from here on four rows a harmonic: real and imaginary part of its weight,
                     and both as they were at the last look at the frequency
=========  ========  =======================================================================

=========  ========  =======================================================================
settings   unit      meaning (of 11 numbers)
=========  ========  =======================================================================
EVERY      samples   from one look at the frequency to the next
STEP                 least share of a new sample in the weights
SIZE_STEP            least share of a new sample in SIZE
MEAN_STEP            share of a new sample in MEAN
CLIP                 largest error that counts, in units of SIZE
LEARNT     samples   good ones until SIZE can be trusted
START      samples   that the first good sample counts for
PULL                 share of a turn of the weights by which the frequency moves
CERTAIN              power above which mains are present, in units of noise
NOMINAL    rad       per sample: nominal frequency of the mains
RANGE      rad       per sample: largest deviation from it
=========  ========  =======================================================================

=========  ========  =======================================================================
status     unit      meaning (of 4 numbers)
=========  ========  =======================================================================
N_GOOD     samples   good ones so far; -1 before the first
FREQ       rad       per sample: frequency now
COS, SIN             the oscillator, of length 1
=========  ========  =======================================================================
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["N_ROWS", "N_SETTINGS", "N_STATUS", "cancel_line"]

MEAN, SIZE, ERROR, WEIGHTS = range(4)
N_ROWS = WEIGHTS
EVERY, STEP, SIZE_STEP, MEAN_STEP, CLIP, LEARNT, START, PULL, CERTAIN, NOMINAL, RANGE = range(11)
N_SETTINGS = 11
N_GOOD, FREQ, COS, SIN = range(4)
N_STATUS = 4
R_REPAIRED, R_EYE, R_HEARTBEAT, R_REGRESSED = 4096, 8192, 16384, 32768  # signal.Reason
R_CORRECTED = R_REPAIRED | R_EYE | R_HEARTBEAT | R_REGRESSED
R_BAD = 0xFFFFFFFF ^ R_CORRECTED  # signal.BAD
_TINY = 1e-60  # weights below this become 0: subnormal numbers are slow
_LEAST = 1e-30  # V or T; least SIZE


@njit(**KERNEL)
def cancel_line(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    index: int,
    gains: np.ndarray,
    passed: np.ndarray,
    settings: np.ndarray,
    memory: np.ndarray,
    status: np.ndarray,
    out: np.ndarray,
) -> None:
    """Subtract the mains.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    flags : array of shape (n,), uint32
        Flags of the samples.
    channel_flags : array of shape (n, c), uint32
        Flags of single channels.
    index : int
        Absolute index of the first sample.
    gains : array of shape (n_harmonics, 2)
        Real and imaginary factor from a weight behind the high-pass to one before it.
    passed : array of shape (n_passed,), int
        Columns that are copied unchanged.
    settings : array of shape (11,)
        See the table of this file.
    memory : array of shape (3 + 4 * n_harmonics, c)
        Updated; see the table.
    status : array of shape (4,)
        Updated; see the table.
    out : array of shape (n, c)
        Written: samples without the mains.
    """
    n, n_channels = x.shape
    due = -index % int(settings[EVERY])
    if n and status[N_GOOD] < 0.0:
        status[N_GOOD], status[FREQ] = 0.0, settings[NOMINAL]
        status[COS], status[SIN] = 1.0, 0.0
        for k in range(n_channels):
            memory[MEAN, k], memory[SIZE, k] = x[0, k], _LEAST
    turn_c, turn_s = math.cos(status[FREQ]), math.sin(status[FREQ])
    for t in range(n):
        if due == 0:
            due = int(settings[EVERY])
            _follow(len(gains), settings, memory, status)
            turn_c, turn_s = math.cos(status[FREQ]), math.sin(status[FREQ])
        due -= 1
        c, s = status[COS], status[SIN]
        status[COS], status[SIN] = c * turn_c - s * turn_s, s * turn_c + c * turn_s
        _subtract(x[t], c, s, gains, settings, memory, out[t])
        if not flags[t] & R_BAD:
            for k in passed:
                memory[ERROR, k] = 0.0
            _learn(c, s, len(gains), channel_flags[t, :n_channels], settings, memory, status)


@njit(**KERNEL)
def _subtract(
    row: np.ndarray,
    c: float,
    s: float,
    gains: np.ndarray,
    settings: np.ndarray,
    memory: np.ndarray,
    clean: np.ndarray,
) -> None:
    """Subtract the mains from one sample, and leave the unexplained part in ERROR."""
    n = len(row)
    mean, error = memory[MEAN, :n], memory[ERROR, :n]
    step = settings[MEAN_STEP]
    for k in range(n):
        away = row[k] - mean[k]
        mean[k] += step * away
        error[k] = away
    for k in range(n):
        clean[k] = row[k]
    hc, hs = 1.0, 0.0
    for h in range(len(gains)):
        hc, hs = hc * c - hs * s, hs * c + hc * s
        gc, gs = hc * gains[h, 0] - hs * gains[h, 1], hs * gains[h, 0] + hc * gains[h, 1]
        real, imag = memory[WEIGHTS + 4 * h, :n], memory[WEIGHTS + 4 * h + 1, :n]
        for k in range(n):
            error[k] -= real[k] * hc - imag[k] * hs
        for k in range(n):
            clean[k] -= real[k] * gc - imag[k] * gs


@njit(**KERNEL)
def _learn(
    c: float,
    s: float,
    n_harmonics: int,
    marks: np.ndarray,
    settings: np.ndarray,
    memory: np.ndarray,
    status: np.ndarray,
) -> None:
    """Move the weights along the error, clipped so that a pop does not count as mains."""
    n = len(marks)
    size, error = memory[SIZE, :n], memory[ERROR, :n]
    status[N_GOOD] += 1.0
    clip = settings[CLIP] if status[N_GOOD] > settings[LEARNT] else 1e60
    share = max(settings[SIZE_STEP], 1.0 / status[N_GOOD])
    bits = np.uint32(0)
    for k in range(n):
        bits |= marks[k]
    if bits & R_BAD:
        for k in range(n):
            if marks[k] & R_BAD:
                error[k] = 0.0
            else:
                error[k] = max(min(error[k], clip * size[k]), -clip * size[k])
                size[k] = max(size[k] + share * (abs(error[k]) - size[k]), _LEAST)
    else:
        for k in range(n):
            error[k] = max(min(error[k], clip * size[k]), -clip * size[k])
            size[k] = max(size[k] + share * (abs(error[k]) - size[k]), _LEAST)
    step = max(settings[STEP], 2.0 / (status[N_GOOD] + settings[START]))
    hc, hs = 1.0, 0.0
    for h in range(n_harmonics):
        hc, hs = hc * c - hs * s, hs * c + hc * s
        up, down = step * hc, step * hs
        real, imag = memory[WEIGHTS + 4 * h, :n], memory[WEIGHTS + 4 * h + 1, :n]
        for k in range(n):
            real[k] += up * error[k]
        for k in range(n):
            imag[k] -= down * error[k]


@njit(**KERNEL)
def _follow(n_harmonics: int, settings: np.ndarray, memory: np.ndarray, status: np.ndarray) -> None:
    """Adjust the frequency by how far the weights have turned since the last look.

    Each channel counts by its mains over its noise. While no mains stand out of the noise, the
    frequency returns to the nominal one.
    """
    n = memory.shape[1]
    size, mean = memory[SIZE, :n], memory[MEAN, :n]
    turned, power = 0.0, 0.0
    for h in range(n_harmonics):
        row = WEIGHTS + 4 * h
        real, imag = memory[row, :n], memory[row + 1, :n]
        real_before, imag_before = memory[row + 2, :n], memory[row + 3, :n]
        across, along = 0.0, 0.0
        for k in range(n):
            if abs(real[k]) + abs(imag[k]) < _TINY:
                real[k] = imag[k] = 0.0
            if size[k] > _LEAST:
                weight = 1.0 / (size[k] * size[k])
                across += weight * (real_before[k] * imag[k] - imag_before[k] * real[k])
                along += weight * (real[k] * real[k] + imag[k] * imag[k])
            real_before[k], imag_before[k] = real[k], imag[k]
        turned += (h + 1.0) * across
        power += (h + 1.0) * (h + 1.0) * along
    for k in range(n):
        if abs(mean[k]) < _TINY:
            mean[k] = 0.0
    step = max(settings[STEP], 2.0 / (max(status[N_GOOD], 0.0) + settings[START]))
    low, high = settings[NOMINAL] - settings[RANGE], settings[NOMINAL] + settings[RANGE]
    if status[N_GOOD] > settings[LEARNT] and power > settings[CERTAIN] * step * n:
        turn = max(min(turned / power, 1.0), -1.0)
        status[FREQ] = max(min(status[FREQ] + settings[PULL] * step * turn, high), low)
    else:
        back = settings[PULL] * step * settings[EVERY]
        status[FREQ] += back * (settings[NOMINAL] - status[FREQ])
    # rounding changes the oscillator's length: bring it back to 1
    grow = 1.5 - 0.5 * (status[COS] * status[COS] + status[SIN] * status[SIN])
    status[COS] *= grow
    status[SIN] *= grow
