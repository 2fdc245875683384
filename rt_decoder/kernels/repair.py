"""Kernel of the channel repair: residuals against neighbours, trust, soft replacement.

While every channel is trusted, a prediction depends on its sample alone. Predictions are computed
for a block of samples at once, vectorized over time. Only samples in which something is wrong are
repaired channel by channel, at a cost that grows with the number of bad channels.

Its parts share state and are read together.

==========  =======  =======================================================================
state       unit     meaning (rows, a column a channel)
==========  =======  =======================================================================
NOISE                running mean square of the residual's share of its limit
POWER       SI^2     running mean square of the value
PREDICTED   SI^2     running mean square of the prediction
Q                    share of the value that is replaced, 0 to 1
ENVELOPE             decaying maximum of the residual over its limit; 0 if not a suspect
WORST                largest suspicion of this episode, 0 to 1; 0 outside episodes
SLOW                 suspicion from the running mean squares, 0 to 1
AWAY                 running share of the time in which most of it is replaced, and its size plausible (60 s)
SIZE                 running mean of the log of its power over the usual one (10 s), if replaced
ROUGH                running mean square of the residual over its limit (10 s), if a suspect
APART                1 if it disagrees for long: passed on, but no neighbour is predicted from it
RUN         samples  replaced in a row, four times faster down than up
CALM        samples  in which a channel that is APART agrees with calibration, less others
TOLD                 1 if replaced for more than a minute, and told
SEEN                 SIZE at the last change of APART or TOLD
==========  =======  =======================================================================

==========  =======  =======================================================================
limits      unit     meaning (rows, a column a channel)
==========  =======  =======================================================================
LIMIT       SI       residual where distrust begins, before the tolerance is added
NOISY                NOISE where distrust begins
FLAT                 share of the usual power below which a channel is dead
USUAL       SI^2     mean square in calibration
LARGEST     SI       largest credible value
ALWAYS               1 if already bad in calibration
WATCHED              1 if neighbours predict it
CALIBRATED  SI       LIMIT in calibration; LIMIT is larger for a channel that is APART
==========  =======  =======================================================================

==========  ========  ======================================================================
settings    unit      meaning (of 13 numbers)
==========  ========  ======================================================================
EVERY       samples   from one update of the running means to the next
A_NOISE               share of a new square in NOISE
A_POWER               share of a new square in POWER and PREDICTED
KEEP                  factor of ENVELOPE per sample
RELEASE               largest decrease of Q per sample
TOLERANCE             share of the prediction that is added to LIMIT
TOO_MANY    channels  bad at once; with more the whole sample is flagged
MOST        channels  suspected; with so many the search for more ends
A_AWAY                share of a new look in AWAY
A_SIZE                share of a new look in SIZE
A_ROUGH               share of a new square in ROUGH
MINUTE      samples   replaced in a row, until it is told
EVENTS                number of changes of APART and TOLD; updated
==========  ========  ======================================================================

==========  =======  =======================================================================
memory      unit     meaning (rows, a column a channel; see `parts`)
==========  =======  =======================================================================
limits               N_LIMITS rows
state                N_STATE rows
scratch     SI       a row for the residuals of a sample; four rows for its trusted values, its
                     predictions, Q of the sample before, and distrust; BLOCK rows for a block's samples,
                     channel by channel; BLOCK rows for their residuals
settings             the last row
==========  =======  =======================================================================

==========  =======  =======================================================================
weights     unit     meaning (rows, each channels by neighbours)
==========  =======  =======================================================================
REGRESSION           of the channel on all its neighbours together
GAIN                 of the channel on this neighbour alone
SHARE                of this neighbour in the mean of these predictions
==========  =======  =======================================================================
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["N_ROWS", "parts", "repair"]

BLOCK = 24  # samples predicted at once; a power of two would crowd a few cache lines
N_STATE, N_LIMITS, N_SETTINGS = 15, 8, 13
_N_FIXED = N_LIMITS + N_STATE
N_ROWS = _N_FIXED + 5 + 2 * BLOCK + 1  # of the memory, (N_ROWS, m) with m >= c and m >= N_SETTINGS
NOISE, POWER, PREDICTED, Q, ENVELOPE, WORST, SLOW = range(7)
AWAY, SIZE, ROUGH, APART, RUN, CALM, TOLD, SEEN = range(7, N_STATE)
LIMIT, NOISY, FLAT, USUAL, LARGEST, ALWAYS, WATCHED, CALIBRATED = range(N_LIMITS)
EVERY, A_NOISE, A_POWER, KEEP, RELEASE, TOLERANCE, TOO_MANY, MOST = range(8)
A_AWAY, A_SIZE, A_ROUGH, MINUTE, EVENTS = range(8, N_SETTINGS)
REGRESSION, GAIN, SHARE = range(3)
FULL = 1.5  # times the limit at which a channel is not trusted at all
LEAVE, STAY = 0.4, 0.8  # times the limit: an episode ends below the first, lasts above the second
# signal.Reason
R_BAD_CHANNEL, R_REPAIRED, R_EYE, R_HEARTBEAT, R_REGRESSED = 512, 4096, 8192, 16384, 32768
R_CORRECTED = R_REPAIRED | R_EYE | R_HEARTBEAT | R_REGRESSED
R_BAD = 0xFFFFFFFF ^ R_CORRECTED  # signal.BAD
LOOK = 8  # samples between looks at the running means, on the grid of the absolute index
_CAP = 2.5  # times its limit: most that one square counts, because a blink is not noise
_LONG = 0.25  # of the time: AWAY above which a channel disagrees for long, after 17 s in a row
_PLAUSIBLE = 2.2  # log of a factor of 9 in power: at most three times larger or smaller
_MOMENT = 3.2  # the same within .3 s, in which power varies: at most five times
_ROOM = 6.0  # times ROUGH: NOISY of a channel that disagrees; at least 1.5 times the limit
_AGREES = 0.5  # of NOISY: below it, for half a minute, a channel that disagreed agrees again
_BOUND = 25.0  # squares above it are pops, and do not count in ROUGH
TINY = 1e-60  # keeps the running means of a dead channel from becoming subnormal


@njit(**KERNEL)
def parts(memory: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Split the memory; the kernels take one argument instead of four.

    Parameters
    ----------
    memory : array of shape (N_ROWS, m)
        See the table of this file.

    Returns
    -------
    limits : array of shape (N_LIMITS, m)
    state : array of shape (N_STATE, m)
    scratch : array of shape (n_scratch, m)
    settings : array of shape (m,)
        Views of the memory.
    """
    rows, settings = memory[:-1], memory[-1]
    return rows[:N_LIMITS], rows[N_LIMITS:_N_FIXED], rows[_N_FIXED:], settings


@njit(**KERNEL)
def _ramp(value: float, low: float, high: float) -> float:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    s = min(max((value - low) / (high - low), 0.0), 1.0)
    return s * s * (3.0 - 2.0 * s)


@njit(**KERNEL)
def _turn(x: np.ndarray, stride: int, turned: np.ndarray) -> None:
    """Copy `x` (n, c) to `turned` (c * stride,), channel by channel."""
    n, c = x.shape
    step = np.uint64(stride)
    for k in range(c):
        to = np.uint64(k) * step
        for t in range(np.uint64(n)):
            turned[to + t] = x[t, k]


@njit(**KERNEL)
def _residuals(
    n: int,
    neighbors: np.ndarray,
    regression: np.ndarray,
    limit: np.ndarray,
    tolerance: float,
    turned: np.ndarray,
    work: np.ndarray,
) -> int:
    """Subtract from `n` values of each channel their prediction, as if all channels were trusted.

    `turned` and `work` (c * BLOCK,), the result, are ordered channel by channel. Returns how many
    residuals are beyond their limit, or a few more. Eight neighbours at a time, over whole vectors
    of time, are three times as fast as sample by sample [measured].
    """
    c, width = neighbors.shape
    # values beyond the samples are stale and not used
    whole = block = np.uint64(n)  # unsigned: an index that cannot be negative vectorizes
    n_beyond = 0
    for k in range(c):
        to, most = np.uint64(k) * block, limit[k]
        n_here = 0
        for j in range(0, width, 8):  # the constructor pads to eights
            w0, w1 = regression[k, j], regression[k, j + 1]
            w2, w3 = regression[k, j + 2], regression[k, j + 3]
            w4, w5 = regression[k, j + 4], regression[k, j + 5]
            w6, w7 = regression[k, j + 6], regression[k, j + 7]
            a, b = neighbors[k, j] * block, neighbors[k, j + 1] * block
            d, e = neighbors[k, j + 2] * block, neighbors[k, j + 3] * block
            f, g = neighbors[k, j + 4] * block, neighbors[k, j + 5] * block
            h, i = neighbors[k, j + 6] * block, neighbors[k, j + 7] * block
            n_here = 0  # only the count of the last pass, with all neighbours, is kept
            for t in range(whole):
                x0, x1, x2, x3 = turned[a + t], turned[b + t], turned[d + t], turned[e + t]
                x4, x5, x6, x7 = turned[f + t], turned[g + t], turned[h + t], turned[i + t]
                first = (w0 * x0 + w1 * x1) + (w2 * x2 + w3 * x3)
                second = (w4 * x4 + w5 * x5) + (w6 * x6 + w7 * x7)
                own = turned[to + t]
                r = (own if j == 0 else work[to + t]) - (first + second)
                work[to + t] = r
                n_here += abs(r) > most + tolerance * abs(own - r)
        n_beyond += n_here
    return n_beyond


@njit(**KERNEL)
def _any_reason(channel_flags: np.ndarray) -> int:
    """Join the bits of all samples and channels, without those of corrections."""
    bits = np.uint32(0)
    for t in range(len(channel_flags)):
        for k in range(channel_flags.shape[1]):
            bits |= channel_flags[t, k]
    return int(bits) & R_BAD


@njit(**KERNEL)
def _copy(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    start: int,
    stop: int,
    out: np.ndarray,
    out_flags: np.ndarray,
    out_channel_flags: np.ndarray,
) -> None:
    """Copy samples `start` to `stop` and their flags."""
    for t in range(start, stop):
        out_flags[t] = flags[t]
        for k in range(x.shape[1]):
            out[t, k] = x[t, k]
        for k in range(x.shape[1]):
            out_channel_flags[t, k] = channel_flags[t, k]


@njit(**KERNEL)
def _estimate(
    x: np.ndarray,
    active: np.ndarray,
    n_active: int,
    neighbors: np.ndarray,
    weights: np.ndarray,
    state: np.ndarray,
    rest: np.ndarray,
) -> None:
    """Predict the active channels of one sample, `x` (c,), from trusted values.

    First estimate a stand-in for each: the mean of single-neighbour regressions, weighted by trust.
    It stays bounded however many channels are bad. Then predict by the regression on all
    neighbours, with stand-ins in place of bad ones, three times over. The result is near the
    conditional mean if few bad channels are adjacent.
    """
    n_neighbors, c = neighbors.shape[1], len(x)
    trusted, predicted, q = rest[:c], rest[c : 2 * c], rest[3 * c : 4 * c]
    for k in range(c):
        trusted[k] = x[k]
        q[k] = max(state[Q, k], state[APART, k])
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
    """Correct the residuals of channels predicted from `b`, after its trusted value changed."""
    n_neighbors = regression.shape[1]
    for at in range(links[b], links[b + 1]):
        i, j = links[at] // n_neighbors, links[at] % n_neighbors
        residual[i] -= regression[i, j] * change


@njit(**KERNEL)
def _activate(b: int, state: np.ndarray, active: np.ndarray, n_active: int) -> int:
    """Add channel `b` to the list of suspects, which is sorted by channel."""
    at = n_active
    while at > 0 and active[at - 1] > b:
        active[at] = active[at - 1]
        at -= 1
    active[at] = b
    state[ENVELOPE, b] = max(state[ENVELOPE, b], TINY)  # above 0 marks a suspect
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
    """Distrust the channel furthest beyond its limit, correct the others, until none is beyond.

    Earlier suspects are judged in the same way: one that was suspected wrongly must not be blamed
    for a neighbour's pop.
    """
    q, c = state[Q], len(x)
    limit, tolerance = limits[LIMIT, :c], settings[TOLERANCE]
    for _ in range(int(settings[MOST])):
        n_beyond = 0
        for k in range(c):
            n_beyond += abs(residual[k]) > limit[k] + tolerance * abs(x[k] - residual[k])
        for a in range(n_active):  # fully distrusted channels need no search
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
                # A channel of usual size that differs from its prediction is rather predicted
                # from a bad one: blame channels that are far too large, or have become weak.
                blame = u * min(max(x[k] * x[k] / (16.0 * limits[USUAL, k] + TINY), 0.25), 1.0)
                if state[POWER, k] < 0.25 * min(state[PREDICTED, k], limits[USUAL, k]):
                    blame = 2.0 * u
                if blame > most:
                    worst, most, doubt = k, blame, _ramp(u, 1.0, FULL)
        if worst < 0 or (state[ENVELOPE, worst] == 0.0 and n_active >= settings[MOST]):
            break
        if state[ENVELOPE, worst] == 0.0:
            n_active = _activate(worst, state, active, n_active)
        apart = state[APART, worst]
        change = (max(q[worst], apart) - max(doubt, apart)) * residual[worst]
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
    """Replace what is not trusted in `x` (c,), in place; count the suspects that stay, and the bad.

    `before` (c,) is Q of the sample before.
    """
    stay, n_bad = 0, 0
    for a in range(n_active):
        b = active[a]
        r = x[b] - predicted[b]
        u = abs(r) / (limits[LIMIT, b] + settings[TOLERANCE] * abs(predicted[b]))
        if u * u < _BOUND:  # no pop
            state[ROUGH, b] += settings[A_ROUGH] * (u * u - state[ROUGH, b])
        if bits[b] & R_BAD:  # flagged by the guard: distrust until its filters have rung out
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
            bits[b] |= R_BAD_CHANNEL
            n_bad += limits[ALWAYS, b] == 0.0
        if q <= 0.0 and state[ENVELOPE, b] < LEAVE and state[APART, b] == 0.0:
            state[Q, b] = state[ENVELOPE, b] = state[WORST, b] = 0.0
        else:
            if q <= 0.0 and state[ENVELOPE, b] < LEAVE:
                state[ENVELOPE, b], state[WORST, b] = TINY, 0.0  # the episode ends
            active[stay] = b
            stay += 1
    return stay, n_bad


@njit(**KERNEL)
def _weigh(x: np.ndarray, residual: np.ndarray, settings: np.ndarray, state: np.ndarray) -> None:
    """Update the running mean squares of values, and of predictions from uncorrected neighbours.

    With corrected neighbours a dead channel could hide behind others that are suspected in its
    place.
    """
    b, c = settings[A_POWER], len(x)
    power, expected = state[POWER, :c], state[PREDICTED, :c]
    for k in range(c):
        p = x[k] - residual[k]
        power[k] += b * (x[k] * x[k] - power[k]) + TINY
        expected[k] += b * (p * p - expected[k]) + TINY


@njit(**KERNEL)
def _follow(
    x: np.ndarray, residual: np.ndarray, limits: np.ndarray, settings: np.ndarray, state: np.ndarray
) -> None:
    """Update the running mean square of the residual over its limit, outside episodes."""
    c, tolerance = len(x), settings[TOLERANCE]
    noise, worst = state[NOISE, :c], state[WORST, :c]
    noisy, limit = limits[NOISY, :c], limits[LIMIT, :c]
    for k in range(c):
        r = residual[k] / (limit[k] + tolerance * abs(x[k] - residual[k]))
        share = settings[A_NOISE] if worst[k] == 0.0 else 0.0
        noise[k] += share * (min(r * r, _CAP * noisy[k]) - noise[k]) + TINY


@njit(**KERNEL)
def _look(
    limits: np.ndarray, settings: np.ndarray, state: np.ndarray, active: np.ndarray, n_active: int
) -> int:
    """Suspect channels by their running means: too noisy, or too weak to be alive."""
    n_odd = 0
    for k in range(limits.shape[1]):
        n_odd += state[AWAY, k] > 0.0
    if n_odd + n_active > 0:
        _remember(limits, settings, state)
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
            doubt = max(doubt, 1.0 - _ramp(state[POWER, k], floor, 2.0 * floor + TINY))
        state[SLOW, k] = doubt
        if doubt > 0.0 and state[ENVELOPE, k] == 0.0:
            n_active = _activate(k, state, active, n_active)
    return n_active


@njit(**KERNEL)
def _remember(limits: np.ndarray, settings: np.ndarray, state: np.ndarray) -> None:
    """Follow for how long each channel is replaced; pass on one of usual size that disagrees.

    A pop, a dead or a noisy electrode is far from the usual size. A channel of usual size that differs from its prediction for long has changed its relation to its neighbours:
    what was learned in calibration is wrong, not the channel. Its limit is raised to what is usual
    now, so that pops are still found in it, and predictions of neighbours do without it.
    """
    for k in range(limits.shape[1]):
        if limits[WATCHED, k] == 0.0 or limits[ALWAYS, k] > 0.0:
            continue
        is_bad = state[Q, k] > 0.5
        state[RUN, k] = state[RUN, k] + LOOK if is_bad else max(state[RUN, k] - 4.0 * LOOK, 0.0)
        told = state[RUN, k] > (settings[MINUTE] if state[TOLD, k] == 0.0 else 0.0)
        was_apart, was_told = state[APART, k], state[TOLD, k]
        state[TOLD, k] = told
        if not is_bad and state[AWAY, k] < 1e-3:
            state[AWAY, k] = state[SIZE, k] = 0.0
        else:
            high = max(state[PREDICTED, k], limits[USUAL, k]) + TINY
            low = min(state[PREDICTED, k], limits[USUAL, k]) + TINY
            ratio = max(state[POWER, k] / high, min(state[POWER, k] / low, 1.0))
            size = math.log(min(max(ratio, 1e-3), 1e3))
            state[SIZE, k] += settings[A_SIZE] * (size - state[SIZE, k])
            is_plausible = is_bad and abs(size) < _MOMENT
            state[AWAY, k] += settings[A_AWAY] * (is_plausible - state[AWAY, k])
            if is_plausible and state[AWAY, k] > _LONG and abs(state[SIZE, k]) < _PLAUSIBLE:
                _rescale(k, math.sqrt(max(_ROOM * state[ROUGH, k] / limits[NOISY, k], 2.25)),
                         limits, state)  # fmt: skip
                state[APART, k], state[AWAY, k], state[CALM, k] = 1.0, 0.5 * _LONG, 0.0
        if state[APART, k] > 0.0:
            wider = limits[LIMIT, k] / limits[CALIBRATED, k]
            agrees = state[NOISE, k] * wider * wider < _AGREES * limits[NOISY, k] and not is_bad
            state[CALM, k] = max(state[CALM, k] + (LOOK if agrees else -LOOK), 0.0)
            if state[CALM, k] > 0.5 * settings[MINUTE]:
                _rescale(k, 1.0 / wider, limits, state)
                limits[LIMIT, k], state[APART, k] = limits[CALIBRATED, k], 0.0
        if state[APART, k] != was_apart or state[TOLD, k] != was_told:
            settings[EVENTS] += 1
            state[SEEN, k] = state[SIZE, k]


@njit(**KERNEL)
def _rescale(k: int, gain: float, limits: np.ndarray, state: np.ndarray) -> None:
    """Multiply the limit of channel `k`, and divide what is measured by it."""
    limits[LIMIT, k] *= gain
    state[NOISE, k] /= gain * gain
    state[ROUGH, k] /= gain * gain


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
    """Repair one sample, `x` (c,), in place; count the suspects that stay, and the bad."""
    c, q = len(x), state[Q]
    trusted, predicted, before = rest[:c], rest[c : 2 * c], rest[2 * c : 3 * c]
    for k in range(c):
        before[k] = q[k]
    for k in range(c):
        odd = bits[k] & R_BAD != 0 or abs(x[k]) > limits[LARGEST, k]
        if odd and limits[WATCHED, k] > 0.0:
            if state[ENVELOPE, k] == 0.0:
                n_active = _activate(k, state, active, n_active)
            q[k] = 1.0
    _estimate(x, active, n_active, neighbors, weights, state, rest)
    for a in range(n_active):
        b = active[a]
        _propagate(b, trusted[b] - x[b], links, weights[REGRESSION], residual)
    n_active = _search(x, active, n_active, links, weights, limits, settings, state, residual)
    _estimate(x, active, n_active, neighbors, weights, state, rest)
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
    out: np.ndarray,
    out_flags: np.ndarray,
    out_channel_flags: np.ndarray,
) -> bool:
    """Repair bad channels.

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
    neighbors : array of shape (c, k), uint32
        Columns that predict each channel; k is a multiple of eight.
    weights : array of shape (3, c, k)
        See the tables of this file; 0 for columns that only pad.
    places : array of shape (n_places,), int64
        The suspects, in c places, and their number. Then, for each channel, where it stands among
        the neighbours of others: c + 1 bounds, and flat places in `neighbors`. The suspects are
        updated.
    memory : array of shape (N_ROWS, m)
        Updated; see the tables.
    out : array of shape (n, c)
        Written if something was suspect: the repaired samples.
    out_flags : array of shape (n,), uint32
        Written if something was suspect: `flags`, with BAD_CHANNEL where too many channels are bad.
    out_channel_flags : array of shape (n, c), uint32
        Written if something was suspect: REPAIRED and BAD_CHANNEL are added.

    Returns
    -------
    changed : bool
        Whether the outputs were written. If not, nothing was suspect, and the input is the output.
    """
    n, c = x.shape
    active, links = places[: c + 1], places[c + 1 :]
    limits, state, scratch, settings = parts(memory)
    residual, rest = scratch[0, :c], scratch[1:5].reshape(-1)
    turned, work = scratch[5 : 5 + BLOCK].reshape(-1), scratch[5 + BLOCK :].reshape(-1)
    limit, tolerance = limits[LIMIT, :c], settings[TOLERANCE]
    every, n_active = int(settings[EVERY]), int(active[c])
    until_due = (-index) % every
    writes = False
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        stride = (stop - start + 7) // 8 * 8
        _turn(x[start:stop], stride, turned)
        n_far = _residuals(stride, neighbors, weights[REGRESSION], limit, tolerance, turned, work)
        n_odd = n_far + _any_reason(channel_flags[start:stop])
        for t in range(start, stop):
            if (index + t) % LOOK == 0:
                n_active = _look(limits, settings, state, active, n_active)
            is_due = until_due == 0
            until_due = every - 1 if is_due else until_due - 1
            due = is_due and flags[t] & R_BAD == 0
            odd = n_odd + n_active > 0
            if due or odd:
                for k in range(c):
                    residual[k] = work[k * stride + t - start]
            if odd and n_active == 0:
                odd = _is_odd(x[t, :c], channel_flags[t, :c], limit, tolerance, residual)
            if due:
                _weigh(x[t, :c], residual, settings, state)
            if not odd and due:
                _follow(x[t, :c], residual, limits, settings, state)
            if odd and not writes:
                _copy(x, flags, channel_flags, 0, t, out, out_flags, out_channel_flags)
                writes = True
            if writes:
                _copy(x, flags, channel_flags, t, t + 1, out, out_flags, out_channel_flags)
            if odd:
                n_active, n_bad = _mend(out[t, :c], out_channel_flags[t, :c], due, active, n_active,
                                        neighbors, weights, links, limits, settings, state,
                                        residual, rest)  # fmt: skip
                if n_bad > settings[TOO_MANY]:
                    out_flags[t] |= R_BAD_CHANNEL
    active[c] = n_active
    return writes


@njit(**KERNEL)
def _is_odd(
    row: np.ndarray, bits: np.ndarray, limit: np.ndarray, tolerance: float, residual: np.ndarray
) -> bool:
    """Check whether a channel of this sample is flagged or beyond its limit."""
    c = len(row)
    any_bits = np.uint32(0)
    for k in range(c):
        any_bits |= bits[k]
    n_beyond = 0
    for k in range(c):
        r = residual[k]
        n_beyond += abs(r) > limit[k] + tolerance * abs(row[k] - r)
    return n_beyond > 0 or any_bits & R_BAD != 0
