"""Kernel of the line canceller: an oscillator that follows the mains, and its share in each channel.

Every sample is computed alone; the frequency is set on a grid of the absolute index, so how a
stream is cut into calls cannot change a bit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["N_ROWS", "N_SETTINGS", "N_STATUS", "cancel_line"]

# rows of the memory (N_ROWS + 4 * n_harmonics, c): slow mean; usual size of the error; the error;
# then four a harmonic: real and imaginary part of its weight, and what these were at the last look
MEAN, SIZE, ERROR, WEIGHTS = range(4)
N_ROWS = WEIGHTS
# settings: samples between two looks at the frequency; least share that a new sample has in the
# weights, and in the usual size; share that it has in the slow mean; an error counts up to so many
# usual sizes; good samples until these are usual, and that the first one counts for; share of a
# turn of the weights that goes into the frequency; power that makes a line, in units of noise;
# nominal frequency and how far the mains may be from it, radian a sample
EVERY, STEP, SIZE_STEP, MEAN_STEP, CLIP, LEARNT, START, PULL, CERTAIN, NOMINAL, RANGE = range(11)
N_SETTINGS = 11
# status: good samples so far, -1 before the first; frequency in radian a sample; oscillator
N_GOOD, FREQ, COS, SIN = range(4)
N_STATUS = 4
BAD = 0xFFFFFFFF ^ (4096 | 8192 | 16384 | 32768)  # all but signal.CORRECTED
_TINY = 1e-60  # weights below are none: subnormal numbers are slow
_LEAST = 1e-30  # V or T, of the usual size of an error


@njit(cache=True, nogil=True)
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
    """Copy `x` (n, c) to `out` (n, c) without the line; columns `passed` as they are.

    `gains` (n_harmonics, 2) turn a weight learnt behind the high-pass into one before it.
    """
    n, n_channels = x.shape
    due = -index % int(settings[EVERY])
    if n and status[N_GOOD] < 0.0:
        status[N_GOOD], status[FREQ] = 0.0, settings[NOMINAL]
        status[COS], status[SIN] = 1.0, 0.0
        memory[MEAN, :n_channels] = x[0]
        memory[SIZE, :n_channels] = _LEAST
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
        if not flags[t] & BAD:
            for k in passed:
                memory[ERROR, k] = 0.0
            _learn(c, s, len(gains), channel_flags[t, :n_channels], settings, memory, status)


@njit(cache=True, nogil=True)
def _subtract(
    row: np.ndarray,
    c: float,
    s: float,
    gains: np.ndarray,
    settings: np.ndarray,
    memory: np.ndarray,
    clean: np.ndarray,
) -> None:
    """Take the line out of one sample, and leave what is unexplained of it in ERROR."""
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


@njit(cache=True, nogil=True)
def _learn(
    c: float,
    s: float,
    n_harmonics: int,
    marks: np.ndarray,
    settings: np.ndarray,
    memory: np.ndarray,
    status: np.ndarray,
) -> None:
    """Move the weights along the error, which is bounded: a pop is no line."""
    n = len(marks)
    size, error = memory[SIZE, :n], memory[ERROR, :n]
    status[N_GOOD] += 1.0
    clip = settings[CLIP] if status[N_GOOD] > settings[LEARNT] else 1e60
    share = max(settings[SIZE_STEP], 1.0 / status[N_GOOD])
    bits = np.uint32(0)
    for k in range(n):
        bits |= marks[k]
    if bits & BAD:
        for k in range(n):
            if marks[k] & BAD:
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


@njit(cache=True, nogil=True)
def _follow(n_harmonics: int, settings: np.ndarray, memory: np.ndarray, status: np.ndarray) -> None:
    """Look how far the weights have turned since the last look, and turn faster or slower.

    Every channel counts by its line over its noise. Where no line stands out of the noise the
    frequency goes back to the nominal one.
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
    # the length of the oscillator, which rounding changes, back to 1
    grow = 1.5 - 0.5 * (status[COS] * status[COS] + status[SIN] * status[SIN])
    status[COS] *= grow
    status[SIN] *= grow
