"""Kernel of the channel repair: residuals against neighbours, trust, soft replacement.

As long as every channel is trusted, predictions depend on their sample alone and are computed for
a block of samples at once, vectorized over time. Only a sample where something is wrong is walked
through channel by channel, at a cost that grows with the number of channels that are wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["new_memory", "parts", "repair"]

# Without numba's runtime nothing can be allocated, and neither views nor arguments are counted.
KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False, "error_model": "numpy"}

BLOCK = 24  # samples predicted at once; a power of two would crowd a few lines of the cache
N_STATE, N_LIMITS, N_SETTINGS = 7, 7, 8
# rows of the state: running mean squares of residual, value and prediction; share that is replaced;
# envelope of the residual and worst suspicion of this episode; suspicion from the mean squares
NOISE, POWER, PREDICTED, Q, ENVELOPE, WORST, SLOW = range(N_STATE)
# rows of the limits: residual, mean square of its share of that, share of the power that a dead channel is below,
# mean square in calibration, largest value, always bad (0 or 1), and watched at all (0 or 1)
LIMIT, NOISY, FLAT, USUAL, LARGEST, ALWAYS, WATCHED = range(N_LIMITS)
# settings: samples between updates of the running means, what share a new square has in those of
# the residual and of the power, share of the envelope that is kept a sample, most that q falls a
# sample, tolerance relative to the prediction, number of bad channels that is too many, number of
# suspects at which the search for more ends
EVERY, A_NOISE, A_POWER, KEEP, RELEASE, TOLERANCE, TOO_MANY, MOST = range(N_SETTINGS)
REGRESSION, GAIN, SHARE = range(3)  # rows of the weights
FULL = 1.5  # times the limit at which a channel is not trusted at all
LEAVE, STAY = 0.4, 0.8  # times the limit below which an episode ends, above which it lasts
R_BAD, R_REPAIRED, CORRECTED = 512, 4096, 4096 | 8192 | 16384 | 32768  # signal.Reason
_LOOK = 8  # samples between looks at the running means, on the grid of the absolute index
_CAP = 2.5  # times its limit that one square counts at most: one blink is no noise
_TINY = 1e-60  # keeps the running means of a dead channel from becoming subnormal


@njit(**KERNEL)
def parts(memory: np.ndarray, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Limits (N_LIMITS, c), state (N_STATE, c), scratch and settings in one array: fewer arguments."""
    a, b = N_LIMITS * c, (N_LIMITS + N_STATE) * c
    limits, state = memory[:a].reshape(N_LIMITS, c), memory[a:b].reshape(N_STATE, c)
    return limits, state, memory[b:-N_SETTINGS], memory[-N_SETTINGS:]


def new_memory(n_channels: int) -> np.ndarray:
    """Memory for `repair`, all zero."""
    n_scratch = 3 * (BLOCK + 1) * n_channels
    return np.zeros((N_LIMITS + N_STATE) * n_channels + n_scratch + N_SETTINGS)


@njit(**KERNEL)
def _ramp(value: float, low: float, high: float) -> float:
    """From 0 at `low` to 1 at `high` without corners."""
    s = min(max((value - low) / (high - low), 0.0), 1.0)
    return s * s * (3.0 - 2.0 * s)


@njit(**KERNEL)
def _residuals(
    x: np.ndarray,
    neighbors: np.ndarray,
    regression: np.ndarray,
    turned: np.ndarray,
    work: np.ndarray,
    out: np.ndarray,
) -> None:
    """What each value of `x` (n, c) differs by from its prediction if all are trusted.

    `turned` and `work` (c, BLOCK) are scratch, `out` is (BLOCK, c). Eight neighbours at once over
    whole vectors of time are three times as fast as a sample at a time [measured].
    """
    n, c = x.shape
    whole = (n + 7) // 8 * 8  # what is beyond n is old and not used
    for k in range(c):
        for t in range(n):
            turned[k, t] = x[t, k]
    for k in range(c):
        own, left = turned[k], work[k]
        for j in range(0, neighbors.shape[1], 8):  # the constructor pads to eights
            a, b = neighbors[k, j : j + 8], regression[k, j : j + 8]
            w0, w1, w2, w3, w4, w5, w6, w7 = b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]
            x0, x1, x2, x3 = turned[a[0]], turned[a[1]], turned[a[2]], turned[a[3]]
            x4, x5, x6, x7 = turned[a[4]], turned[a[5]], turned[a[6]], turned[a[7]]
            for t in range(whole):
                first = (w0 * x0[t] + w1 * x1[t]) + (w2 * x2[t] + w3 * x3[t])
                second = (w4 * x4[t] + w5 * x5[t]) + (w6 * x6[t] + w7 * x7[t])
                left[t] = own[t] - (first + second)
            own = left
    for t in range(n):
        for k in range(c):
            out[t, k] = work[k, t]


@njit(**KERNEL)
def _estimate(
    x: np.ndarray,
    active: np.ndarray,
    n_active: int,
    neighbors: np.ndarray,
    weights: np.ndarray,
    q: np.ndarray,
    trusted: np.ndarray,
    predicted: np.ndarray,
) -> None:
    """Predict the active channels of one sample, `x` (c,), from what is trusted.

    First a stand-in for each: the mean of single-neighbour regressions, weighted by trust, which
    cannot run away however many are bad. Then the regression on all neighbours, where stand-ins
    take the place of bad ones, three times over: near the conditional mean if few are adjacent.
    """
    n_neighbors = neighbors.shape[1]
    for k in range(len(x)):
        trusted[k] = x[k]
    if n_active > 1:
        for a in range(n_active):
            b = active[a]
            total, mass = 0.0, 0.0
            for j in range(n_neighbors):
                i = neighbors[b, j]
                trust = weights[SHARE, b, j] * (1.0 - q[i])
                total += trust * weights[GAIN, b, j] * x[i]
                mass += trust
            stand_in = total / mass if mass > 1e-6 else 0.0
            trusted[b] = x[b] - q[b] * (x[b] - stand_in)
    n_passes = 3 if n_active > 1 else 1
    for _ in range(n_passes):
        for a in range(n_active):
            b = active[a]
            total = 0.0
            for j in range(n_neighbors):
                total += weights[REGRESSION, b, j] * trusted[neighbors[b, j]]
            predicted[b] = total
            trusted[b] = x[b] - q[b] * (x[b] - total)


@njit(**KERNEL)
def _propagate(
    b: int, change: float, links: np.ndarray, regression: np.ndarray, residual: np.ndarray
) -> None:
    """Correct the residuals of those that channel `b` predicts, whose trusted value changed."""
    n_neighbors = regression.shape[1]
    for at in range(links[b], links[b + 1]):
        i, j = links[at] // n_neighbors, links[at] % n_neighbors
        residual[i] -= regression[i, j] * change


@njit(**KERNEL)
def _activate(b: int, state: np.ndarray, active: np.ndarray, n_active: int) -> int:
    """Put channel `b` on the list of suspects, which is in the order of channels."""
    at = n_active
    while at > 0 and active[at - 1] > b:
        active[at] = active[at - 1]
        at -= 1
    active[at] = b
    state[ENVELOPE, b] = max(state[ENVELOPE, b], _TINY)  # marks who is on the list
    return n_active + 1


@njit(**KERNEL)
def _search(
    x: np.ndarray,
    active: np.ndarray,
    n_active: int,
    links: np.ndarray,
    weights: np.ndarray,
    limits: np.ndarray,
    settings: np.ndarray,
    state: np.ndarray,
    residual: np.ndarray,
) -> int:
    """Distrust the channel furthest beyond its limit, correct the others, until none is left.

    Suspects known before are judged alike: one that was suspected wrongly must not be blamed for
    the pop of a neighbour.
    """
    q, c = state[Q], len(x)
    limit, tolerance = limits[LIMIT, :c], settings[TOLERANCE]
    for _ in range(int(settings[MOST])):
        n_beyond = 0
        for k in range(c):
            n_beyond += abs(residual[k]) > limit[k] + tolerance * abs(x[k] - residual[k])
        for a in range(n_active):  # those fully distrusted need no search
            b = active[a]
            beyond = abs(residual[b]) > limit[b] + tolerance * abs(x[b] - residual[b])
            n_beyond -= beyond and q[b] > 0.99
        if n_beyond == 0:
            break
        worst, most, doubt = -1, 0.0, 0.0
        for k in range(c):
            r = residual[k]
            u = abs(r) / (limit[k] + tolerance * abs(x[k] - r))
            if u > 1.0 and _ramp(u, 1.0, FULL) > q[k] + 0.01:
                # One of usual size that differs is rather predicted from a bad one: from one that
                # is far too large, or has been weak for a while.
                blame = u * min(max(x[k] * x[k] / (16.0 * limits[USUAL, k] + _TINY), 0.25), 1.0)
                if state[POWER, k] < 0.25 * min(state[PREDICTED, k], limits[USUAL, k]):
                    blame = 2.0 * u
                if blame > most:
                    worst, most, doubt = k, blame, _ramp(u, 1.0, FULL)
        if worst < 0 or (state[ENVELOPE, worst] == 0.0 and n_active >= settings[MOST]):
            break
        if state[ENVELOPE, worst] == 0.0:
            n_active = _activate(worst, state, active, n_active)
        change = (q[worst] - doubt) * residual[worst]
        q[worst] = doubt
        _propagate(worst, change, links, weights[REGRESSION], residual)
    return n_active


@njit(**KERNEL)
def _release(
    x: np.ndarray,
    bits: np.ndarray,
    active: np.ndarray,
    n_active: int,
    limits: np.ndarray,
    settings: np.ndarray,
    state: np.ndarray,
    predicted: np.ndarray,
    before: np.ndarray,
) -> tuple[int, int]:
    """Replace what is not trusted in `x` (c,), in place; number of suspects that stay, and of bad.

    `before` (c,) is q of the sample before.
    """
    stay, n_bad = 0, 0
    for a in range(n_active):
        b = active[a]
        r = x[b] - predicted[b]
        u = abs(r) / (limits[LIMIT, b] + settings[TOLERANCE] * abs(predicted[b]))
        if bits[b] & ~CORRECTED:  # flagged by the guard: distrust until its filters have rung out
            u = max(u, FULL)
        state[ENVELOPE, b] = max(u, state[ENVELOPE, b] * settings[KEEP])
        state[WORST, b] = max(state[WORST, b], _ramp(u, 1.0, FULL))
        doubt = state[WORST, b] * _ramp(state[ENVELOPE, b], LEAVE, STAY)
        doubt = max(doubt, state[SLOW, b], limits[ALWAYS, b])
        q = max(doubt, before[b] - settings[RELEASE])
        state[Q, b] = q
        x[b] -= q * r
        if q > 0.05:
            bits[b] |= R_REPAIRED
        if q > 0.5:
            bits[b] |= R_BAD
            n_bad += limits[ALWAYS, b] == 0.0
        if q <= 0.0 and state[ENVELOPE, b] < LEAVE:
            state[Q, b] = state[ENVELOPE, b] = state[WORST, b] = 0.0
        else:
            active[stay] = b
            stay += 1
    return stay, n_bad


@njit(**KERNEL)
def _weigh(x: np.ndarray, residual: np.ndarray, settings: np.ndarray, state: np.ndarray) -> None:
    """Update the running mean squares of values and of predictions from untouched neighbours.

    Were those taken that are corrected, a dead channel could hide behind neighbours that are
    suspected in its place.
    """
    b, c = settings[A_POWER], len(x)
    power, expected = state[POWER, :c], state[PREDICTED, :c]
    for k in range(c):
        p = x[k] - residual[k]
        power[k] += b * (x[k] * x[k] - power[k]) + _TINY
        expected[k] += b * (p * p - expected[k]) + _TINY


@njit(**KERNEL)
def _follow(
    x: np.ndarray, residual: np.ndarray, limits: np.ndarray, settings: np.ndarray, state: np.ndarray
) -> None:
    """Update the running mean square of the residual's share of its limit, outside of episodes."""
    c, tolerance = len(x), settings[TOLERANCE]
    noise, worst = state[NOISE, :c], state[WORST, :c]
    noisy, limit = limits[NOISY, :c], limits[LIMIT, :c]
    for k in range(c):
        r = residual[k] / (limit[k] + tolerance * abs(x[k] - residual[k]))
        share = settings[A_NOISE] if worst[k] == 0.0 else 0.0
        noise[k] += share * (min(r * r, _CAP * noisy[k]) - noise[k]) + _TINY


@njit(**KERNEL)
def _look(limits: np.ndarray, state: np.ndarray, active: np.ndarray, n_active: int) -> int:
    """Suspicion from the running means: too noisy, or far weaker than predicted and than usual."""
    n_odd = 0
    for k in range(limits.shape[1]):
        floor = 2.0 * limits[FLAT, k] * min(state[PREDICTED, k], limits[USUAL, k])
        n_odd += state[NOISE, k] > limits[NOISY, k] or state[POWER, k] < floor
        n_odd += state[SLOW, k] > 0.0
    if n_odd == 0:
        return n_active
    for k in range(limits.shape[1]):
        doubt = 0.0
        if limits[WATCHED, k] > 0.0:
            floor = limits[FLAT, k] * min(state[PREDICTED, k], limits[USUAL, k])
            doubt = _ramp(state[NOISE, k], limits[NOISY, k], 1.5 * limits[NOISY, k])
            doubt = max(doubt, 1.0 - _ramp(state[POWER, k], floor, 2.0 * floor + _TINY))
        state[SLOW, k] = doubt
        if doubt > 0.0 and state[ENVELOPE, k] == 0.0:
            n_active = _activate(k, state, active, n_active)
    return n_active


@njit(**KERNEL)
def _mend(
    x: np.ndarray,
    bits: np.ndarray,
    due: bool,
    active: np.ndarray,
    n_active: int,
    neighbors: np.ndarray,
    weights: np.ndarray,
    links: np.ndarray,
    limits: np.ndarray,
    settings: np.ndarray,
    state: np.ndarray,
    residual: np.ndarray,
    rest: np.ndarray,
) -> tuple[int, int]:
    """Repair one sample, `x` (c,), in place; number of suspects that stay, and of bad ones."""
    c, q = len(x), state[Q]
    trusted, predicted, before = rest[:c], rest[c : 2 * c], rest[2 * c : 3 * c]
    for k in range(c):
        before[k] = q[k]
    for k in range(c):
        odd = bits[k] & ~CORRECTED != 0 or abs(x[k]) > limits[LARGEST, k]
        if odd and limits[WATCHED, k] > 0.0:
            if state[ENVELOPE, k] == 0.0:
                n_active = _activate(k, state, active, n_active)
            q[k] = 1.0
    _estimate(x, active, n_active, neighbors, weights, q, trusted, predicted)
    for a in range(n_active):
        b = active[a]
        _propagate(b, trusted[b] - x[b], links, weights[REGRESSION], residual)
    n_active = _search(x, active, n_active, links, weights, limits, settings, state, residual)
    _estimate(x, active, n_active, neighbors, weights, q, trusted, predicted)
    for a in range(n_active):
        residual[active[a]] = x[active[a]] - predicted[active[a]]
    if due:
        _follow(x, residual, limits, settings, state)
    return _release(x, bits, active, n_active, limits, settings, state, predicted, before)


@njit(**KERNEL)
def repair(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    index: int,
    neighbors: np.ndarray,
    weights: np.ndarray,
    places: np.ndarray,
    memory: np.ndarray,
) -> None:
    """Repair `x` (n, c) in place; `index` is the absolute index of its first sample.

    `neighbors` (c, k) and `weights` (3, c, k) predict. `places` holds c + 1 places for the suspects
    and, last, their number, then whom each channel predicts: c + 1 bounds, and places in
    `neighbors`. `memory` holds limits, state, scratch and settings, see `parts`. `flags` (n,) and
    `channel_flags` (n, c) get the reasons.
    """
    n, c = x.shape
    active, links = places[: c + 1], places[c + 1 :]
    limits, state, scratch, settings = parts(memory, c)
    turned = scratch[: BLOCK * c].reshape(c, BLOCK)
    work = scratch[BLOCK * c : 2 * BLOCK * c].reshape(c, BLOCK)
    residuals = scratch[2 * BLOCK * c : 3 * BLOCK * c].reshape(BLOCK, c)
    rest = scratch[3 * BLOCK * c :]
    limit, tolerance = limits[LIMIT, :c], settings[TOLERANCE]
    every, n_active = int(settings[EVERY]), int(active[c])
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        _residuals(x[start:stop], neighbors, weights[REGRESSION], turned, work, residuals)
        for t in range(start, stop):
            row, bits, residual = x[t, :c], channel_flags[t, :c], residuals[t - start, :c]
            if (index + t) % _LOOK == 0:
                n_active = _look(limits, state, active, n_active)
            any_bits = np.uint16(0)
            for k in range(c):
                any_bits |= bits[k]
            n_beyond = n_active
            for k in range(c):
                r = residual[k]
                n_beyond += abs(r) > limit[k] + tolerance * abs(row[k] - r)
            due = flags[t] & ~CORRECTED == 0 and (index + t) % every == 0
            if due:
                _weigh(row, residual, settings, state)
            if n_beyond > 0 or any_bits & ~CORRECTED:
                n_active, n_bad = _mend(row, bits, due, active, n_active, neighbors, weights,
                                        links, limits, settings, state, residual, rest)  # fmt: skip
                if n_bad > settings[TOO_MANY]:
                    flags[t] |= R_BAD
            elif due:
                _follow(row, residual, limits, settings, state)
    active[c] = n_active
