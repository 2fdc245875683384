r"""The clock line of the time base: turn stamps into smooth times, and find lost samples.

Samples are taken one by one, so no chunking changes a bit. A residual is how late a stamp is
against the clock line, in samples. A push group is a run of samples that the sender stamped in
one push; its earliest residual is the least delayed. Statistics are over groups.

A question is opened when residuals suggest a shift: a gap (lost samples), or a step of the
sender's clock. Later groups decide it.

Its parts share state and are read together.

==============  =======  =======================================================================
state           unit     meaning (of 43 numbers)
==============  =======  =======================================================================
ORIGIN          s        first stamp; every other time is relative to it
LEVEL           s        clock line at the sample AT: time(i) = LEVEL + PERIOD * (i - AT)
PERIOD          s        slope of the clock line, from sample to sample
AT              sample   absolute index at which the line is LEVEL
P0, P1, P2               variance of the level, covariance, variance of the period; in samples,
                         in units of the variance of a group's residual
LAST_STAMP      s        newest stamp
LAST_TIME       s        newest time returned
COUNT           samples  received so far
INDEX           sample   absolute index of the next one: COUNT plus the lost samples
GROUP_SIZE      samples  in the open group; 0 before the first
GROUP_KIND               of the open group: 0 one sample, 1 spaced by a period, 2 stamped at once
GROUP_FIRST     samples  COUNT at its first sample
GROUP_DELAY     s        smallest delay in it: arrival less stamp
GROUP_MIN       samples  earliest residual in it
GROUP_AT        sample   absolute index of the sample with that residual
GROUP_STAMP     s        stamp of that sample
GROUP_LARGEST   samples  in the largest group of late
RUN, RUN_LAST   steps    of a period without a break, and before that break
RUN_USUAL       samples  in the longest such run of late; 0 where runs are no pushes
GROUPS          groups   closed so far
FILLED          groups   closed since the last question, as far as the ring holds them
SPREAD          samples  running mean of \|residual\| of groups
SPREAD_ALL      samples  running mean of \|residual\| of single samples
OUTSIDE         groups   far off the line without a break
SIGN                     of the open question: 1 late, -1 early, 0 no question
CHANGE          samples  COUNT where the suspected shift began
SINCE           groups   closed since CHANGE
DELAY_BEFORE    s        smallest delay of arrival before CHANGE
LAST_GAP        samples  COUNT at the last gap; -inf if there is none to revoke
LAST_LOST       samples  lost in the last gap
LAST_SHIFT      samples  COUNT when the last question was decided
DECIDED                  decision of the last call: place in `CODES`
LOST            samples  added to the index by the decision
SHIFT           s        by which the decision moved the line
RATE_LATE       samples  sum of stamps less nominal times over this second's groups
RATE_PLACE      samples  sum of the indices of these groups
RATE_N          groups   in this second
RATE_AT         sample   absolute index where the second began
RATE_BLOCKS     seconds  finished so far
RATE            Hz       measured over the last ones
==============  =======  =======================================================================

==============  =======  =======================================================================
ring, scales,   unit     meaning (rows of the ring, of groups; a row of the scales is one of 4,
rates                    8, ... 256 groups; columns of the rates, of seconds)
==============  =======  =======================================================================
RESIDUAL        samples  earliest residual of a group
FIRST           samples  COUNT at its first sample
DELAY           s        smallest delay of arrival in it
B25, B75        samples  usual quartiles of the residuals of that many groups
V25, V75        samples  usual distance of the quartiles from B25, B75
BLOCKS                   looks averaged in B25 to V75
MEAN_LATE       samples  mean of stamps less nominal times in a second
MEAN_PLACE      samples  mean index in a second
WORK            samples  scratch of the quartiles and of the rate
==============  =======  =======================================================================
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["CODES", "N_SCALES", "RING", "advance", "clock_state"]

N_STATE = 43
(
    ORIGIN, LEVEL, PERIOD, AT, P0, P1, P2, LAST_STAMP, LAST_TIME, COUNT, INDEX,
    GROUP_SIZE, GROUP_KIND, GROUP_FIRST, GROUP_DELAY, GROUP_MIN, GROUP_AT, GROUP_STAMP,
    GROUP_LARGEST, RUN, RUN_LAST, RUN_USUAL,
    GROUPS, FILLED, SPREAD, SPREAD_ALL, OUTSIDE,
    SIGN, CHANGE, SINCE, DELAY_BEFORE, LAST_GAP, LAST_LOST, LAST_SHIFT,
    DECIDED, LOST, SHIFT,
    RATE_LATE, RATE_PLACE, RATE_N, RATE_AT, RATE_BLOCKS, RATE,
) = range(N_STATE)  # fmt: skip

CODES = ("", "gap", "revoked", "reset", "rate", "begun")
NONE, GAP, REVOKED, RESET, RATE_OFF, BEGUN = range(len(CODES))
R_GAP, R_HELD = 16, 32  # signal.Reason

MEMORY, SHORTEST, LONGEST = 900.0, 8.0, 30.0  # groups per SPREAD squared; s; s
RING, SMALLEST, N_SCALES = 512, 4, 7  # groups remembered; scales are 4, 8, ... 256 groups
RESIDUAL, FIRST, DELAY = range(3)
B25, V25, B75, V75, BLOCKS = range(5)
MEAN_LATE, MEAN_PLACE, WORK = range(3)
LASTS, GIVE_UP = 0.5, 2.0  # s that a flat shift must last; after which any shift is decided
RATE_VARIANCE = 0.005**2  # of the period before it is known
FORGOTTEN = 1e9  # growth of variances over a pause, above which nothing is left of them
WARM_UP = 2.0  # s before small shifts are looked for
REMEMBER = 10.0  # s within which a gap can be revoked
# samples; s of a push with one stamp; s of a group spaced by a period, where no longer pushes are
# usual; s of a push that is: clock corrections break the spacing every second
MAX_GROUP, MAX_PUSH, MAX_SPACED, MAX_RUN = 32, 1.05, 0.064, 0.7
NO_STAMP = 6.0  # s without any, after which there will be none
LATEST = 1e10  # s; a stamp beyond it is none, as files.stamps.LATEST says
N_RATES = 15  # seconds over which the rate is a median


def clock_state(sfreq: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Create the arrays of a clock that has seen nothing.

    Parameters
    ----------
    sfreq : float
        Nominal sampling rate in Hz.

    Returns
    -------
    state : array of shape (43,)
    ring : array of shape (RING, 3)
    scales : array of shape (N_SCALES, 5)
    rates : array of shape (3, RING)
        See the tables of this file.
    """
    state = np.zeros(N_STATE)
    state[[ORIGIN, DELAY_BEFORE]] = np.nan
    state[PERIOD] = 1.0 / sfreq
    state[P0], state[P2] = 1.0, RATE_VARIANCE  # in that of one group's residual
    state[SPREAD], state[SPREAD_ALL] = 2.0, 0.25
    state[[LAST_GAP, LAST_SHIFT, LAST_TIME]] = -np.inf
    return state, np.zeros((RING, 3)), np.zeros((N_SCALES, 5)), np.zeros((3, RING))


@njit(**KERNEL)
def _gate(spread: float, floor: float, largest: float, sfreq: float) -> float:
    return min(max(0.25 * sfreq, 1.5 * largest), max(floor, 6.0 * spread))


@njit(**KERNEL)
def _usual(usual: float, new: float) -> float:
    """Follow the largest of late."""
    return new if new > usual else usual + (new - usual) / 16.0


@njit(**KERNEL)
def _select(work: np.ndarray, n: int, k: int) -> float:
    """Return the k-th smallest of the first n values, which it reorders."""
    low, high = 0, n - 1
    while low < high:
        pivot = work[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while work[i] < pivot:
                i += 1
            while work[j] > pivot:
                j -= 1
            if i <= j:
                work[i], work[j] = work[j], work[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return work[k]


@njit(**KERNEL)
def _quartile(ring: np.ndarray, newest: int, n: int, sign: float, work: np.ndarray) -> float:
    """Lower (sign 1) or upper (sign -1) quartile of n residuals up to group `newest`."""
    for k in range(n):
        work[k] = ring[(newest - k) % RING, RESIDUAL]
    return _select(work, n, n // 4 if sign > 0 else n - 1 - n // 4)


@njit(**KERNEL)
def _scale_of(n: int) -> int:
    j = 0
    while j < N_SCALES - 1 and (SMALLEST << (j + 1)) <= n:
        j += 1
    return j


@njit(**KERNEL)
def _threshold(scales: np.ndarray, j: int, sign: float, sfreq: float) -> float:
    # the term in 32 covers exponential tails, which a few groups cannot average out
    stray = scales[j, V25] if sign > 0 else scales[j, V75]
    return _gate((1.0 + 32.0 / (6 * SMALLEST << j)) * stray, 0.6, MAX_GROUP, sfreq)


@njit(**KERNEL)
def _ask(state: np.ndarray, ring: np.ndarray, sign: float, excess: float, base: float) -> None:
    """Open the question whether the line is off by ``sign * excess``.

    The shift began where the sum of excess residuals, counted back from now, is largest.
    """
    newest, filled = int(state[GROUPS]) - 1, int(state[FILLED])
    total, best, since = 0.0, -np.inf, 1
    for k in range(min(filled, RING // 2)):
        total += sign * (ring[(newest - k) % RING, RESIDUAL] - base) - 0.5 * excess
        if total > best:
            best, since = total, k + 1
    state[SIGN], state[SINCE] = sign, since
    state[CHANGE] = ring[(newest - since + 1) % RING, FIRST]
    before = np.inf
    for k in range(since, filled):
        before = min(before, ring[(newest - k) % RING, DELAY])
    state[DELAY_BEFORE] = before


@njit(**KERNEL)
def _watch(
    state: np.ndarray, ring: np.ndarray, scales: np.ndarray, work: np.ndarray, sfreq: float
) -> None:
    """Look for a shift on every scale that is due, and update what is usual on it."""
    groups = int(state[GROUPS])
    for j in range(N_SCALES):
        n = SMALLEST << j
        if groups % (n // 4) or state[FILLED] < n:
            return
        row = scales[j]
        low = _quartile(ring, groups - 1, n, 1.0, work) - row[B25]
        high = _quartile(ring, groups - 1, n, -1.0, work) - row[B75]
        if row[BLOCKS] >= 8 and state[COUNT] > WARM_UP * sfreq:
            up = _threshold(scales, j, 1.0, sfreq)
            down = _threshold(scales, j, -1.0, sfreq)
            # A false alarm widens the scale: what happens often is usual.
            if low > up:
                row[V25] += (min(low, 2.0 * up) - row[V25]) / 64.0
                _ask(state, ring, 1.0, low, row[B25])
                return
            if -high > down:
                row[V75] += (min(-high, 2.0 * down) - row[V75]) / 64.0
                _ask(state, ring, -1.0, -high, row[B75])
                return
        # a loss that is not known yet says nothing about what is usual
        if groups % n == 0 and max(abs(low), abs(high)) < max(0.25 * sfreq, 1.5 * MAX_GROUP):
            row[BLOCKS] += 1.0
            share = 1.0 / min(row[BLOCKS], 32.0)
            if row[BLOCKS] > 1.0:
                row[V25] += (abs(low) - row[V25]) * share
                row[V75] += (abs(high) - row[V75]) * share
            row[B25] += low * share
            row[B75] += high * share


@njit(**KERNEL)
def _is_step(state: np.ndarray, ring: np.ndarray, shift: float) -> bool:
    """Check by arrivals that the sender's clock stepped: then packets arrive as before."""
    after = np.inf
    for k in range(int(min(state[SINCE], RING))):
        after = min(after, ring[(int(state[GROUPS]) - 1 - k) % RING, DELAY])
    early = (state[DELAY_BEFORE] - after) / (shift * state[PERIOD])  # nan without arrivals
    return 0.5 < early < 1.5


@njit(**KERNEL)
def _settle(state: np.ndarray, n: int, flat: bool, sfreq: float) -> None:
    """Close the question; the shift is as precise as a mean over n groups."""
    state[P0] = max(state[P0], 1.0 / n)
    # A slope, or several shifts in a row, mean that the rate has changed: learn it anew.
    if not flat or state[COUNT] - state[LAST_SHIFT] < 3.0 * sfreq:
        state[P0], state[P1], state[P2] = 1.0, 0.0, RATE_VARIANCE
    state[LAST_SHIFT] = state[COUNT]
    state[SIGN], state[FILLED], state[OUTSIDE] = 0.0, 0.0, 0.0


@njit(**KERNEL)
def _decide(state: np.ndarray, shift: float, gap: bool, sfreq: float) -> None:
    """Move the index past lost samples, or move the line."""
    lost = round(shift)
    if gap and state[CHANGE] >= SMALLEST:
        state[DECIDED], state[LOST], state[SHIFT] = GAP, lost, 0.0
        state[INDEX] += lost
        state[LAST_GAP], state[LAST_LOST] = state[COUNT], lost
        return
    state[DECIDED], state[LOST], state[SHIFT] = RESET, 0.0, shift * state[PERIOD]
    if state[CHANGE] < SMALLEST:  # all but the first stamps
        state[DECIDED], state[CHANGE] = BEGUN, 0.0
    recent = state[COUNT] - state[LAST_GAP] < REMEMBER * sfreq
    if recent and 0.5 < -shift / state[LAST_LOST] < 1.5:
        state[DECIDED], state[LOST] = REVOKED, lost
    state[LAST_GAP] = -np.inf
    state[LEVEL] += state[SHIFT]
    state[LAST_TIME] = -np.inf


@njit(**KERNEL)
def _judge(
    state: np.ndarray, ring: np.ndarray, scales: np.ndarray, work: np.ndarray, sfreq: float
) -> None:
    """Decide the open question once the shift has lasted and is flat, or has gone."""
    state[SINCE] += 1.0
    since, sign, newest = int(state[SINCE]), state[SIGN], int(state[GROUPS]) - 1
    if since < SMALLEST or (since % 4 and state[GROUP_SIZE] <= MAX_GROUP):
        return
    n = min(since, RING // 2)
    half = n // 2
    j, j_half = _scale_of(n), _scale_of(half)
    column = B25 if sign > 0 else B75
    shift = _quartile(ring, newest, n, sign, work) - scales[j, column]
    new = _quartile(ring, newest, half, sign, work) - scales[j_half, column]
    old = _quartile(ring, newest - half, half, sign, work) - scales[j_half, column]
    lasted = state[COUNT] - state[CHANGE]
    if sign * new < 0.5 * _threshold(scales, j, sign, sfreq):
        state[SIGN], state[FILLED], state[OUTSIDE] = 0.0, 0.0, 0.0  # a backlog that has drained
        return
    # Only a clock step makes stamps early: wait only until the jitter is averaged out.
    need = LASTS if sign > 0 else min(LASTS, max(8.0, 46.0 * state[SPREAD] ** 2) / sfreq)
    flat = abs(new - old) <= _threshold(scales, j_half, sign, sfreq)
    if lasted < (need if flat else GIVE_UP) * sfreq:
        return
    other = _quartile(ring, newest, n, -sign, work) - scales[j, B75 if sign > 0 else B25]
    if abs(other - shift) < 0.5 * _threshold(scales, j, sign, sfreq):
        shift = 0.5 * (shift + other)  # the mean of both quartiles is more precise
    if abs(shift) > max(0.5, state[SPREAD]):  # smaller shifts are left to the line
        _decide(state, shift, flat and shift > 0 and not _is_step(state, ring, shift), sfreq)
    _settle(state, n, flat, sfreq)


@njit(**KERNEL)
def _fit(state: np.ndarray, sfreq: float) -> None:
    """Move the line towards the open group's earliest residual, unless that is far off."""
    if state[GROUPS] == 1.0:  # the first group starts the line
        state[LEVEL] += state[GROUP_MIN] * state[PERIOD]
        if state[GROUP_SIZE] > MAX_GROUP:  # its samples were placed late by as much
            state[DECIDED], state[SHIFT] = BEGUN, state[GROUP_MIN] * state[PERIOD]
            state[LOST], state[CHANGE], state[LAST_TIME] = 0.0, 0.0, -np.inf
        state[GROUP_MIN] = 0.0
    residual = state[GROUP_MIN]
    is_long = state[GROUP_SIZE] > MAX_GROUP
    floor = 0.25 * state[GROUP_SIZE] if is_long and state[GROUPS] <= 16.0 else 0.6
    gate = _gate(state[SPREAD], floor, MAX_GROUP, sfreq)
    # A group much smaller than usual is more likely a stray stamp than a push: it weighs less.
    weight = min(1.0, state[GROUP_SIZE] * state[GROUPS] / state[COUNT])
    share = weight * max(1.0 / 32.0, 1.0 / (3.0 + state[GROUPS]))
    state[SPREAD] += (min(abs(residual), 0.5 * gate) - state[SPREAD]) * share
    if abs(residual) > gate:
        state[OUTSIDE] += 1.0
        return
    state[OUTSIDE] = 0.0
    d = state[GROUP_AT] - state[AT]
    # Remember just enough to average the jitter down to 0.05 samples: the rate may drift.
    memory = MEMORY * state[SPREAD] ** 2 * state[COUNT] / state[GROUPS]
    decay = np.exp(d / min(max(memory, SHORTEST * sfreq), LONGEST * sfreq))
    p0 = (state[P0] + 2.0 * d * state[P1] + d * d * state[P2]) * decay
    p1 = (state[P1] + d * state[P2]) * decay
    p2 = state[P2] * decay
    if decay > FORGOTTEN:  # a pause of minutes: as at the start
        p0, p1, p2 = 1.0, 0.0, RATE_VARIANCE
    k0, k1 = p0 / (1.0 / weight + p0), p1 / (1.0 / weight + p0)
    tau = state[PERIOD]
    state[LEVEL] += tau * d + k0 * residual * tau
    state[PERIOD] = min(max(tau + k1 * residual * tau, 0.85 / sfreq), 1.15 / sfreq)
    state[AT] = state[GROUP_AT]
    state[P2] = p2 - k1 * p1
    state[P0] = p0 * (1.0 - k0)
    state[P1] = p1 * (1.0 - k0)


@njit(**KERNEL)
def _rate(state: np.ndarray, rates: np.ndarray, sfreq: float) -> None:
    """Compare the rate of stamps, second by second, with the nominal rate, without known losses."""
    if state[INDEX] - state[RATE_AT] >= sfreq and state[RATE_N] > 0.0:
        block = int(state[RATE_BLOCKS])
        rates[MEAN_LATE, block % RING] = state[RATE_LATE] / state[RATE_N]
        rates[MEAN_PLACE, block % RING] = state[RATE_PLACE] / state[RATE_N]
        n = min(block, N_RATES)
        for k in range(n):
            new, old = (block - k) % RING, (block - k - 1) % RING
            late = rates[MEAN_LATE, new] - rates[MEAN_LATE, old]
            rates[WORK, k] = late / (rates[MEAN_PLACE, new] - rates[MEAN_PLACE, old])
        # The median is robust to losses and clock steps; the mean is exact without them.
        mean = 0.0 if n == 0 else np.mean(rates[WORK, :n])
        off = 0.0 if n == 0 else _select(rates[WORK], n, n // 2)
        state[RATE] = sfreq / (1.0 + off)
        least = 0.01 * N_RATES / max(n, 1)
        if state[GROUP_LARGEST] > MAX_GROUP:  # few a second: their jitter is not averaged out
            least += 4.0 * state[SPREAD] / (sfreq * np.sqrt(max(n, 1)))
        if n >= N_RATES // 3 and min(abs(off), max(mean * np.sign(off), 0.0)) > least:
            state[DECIDED] = RATE_OFF
        state[RATE_BLOCKS] += 1.0
        state[RATE_AT] = state[INDEX]
        state[RATE_LATE], state[RATE_PLACE], state[RATE_N] = 0.0, 0.0, 0.0
    if state[SIGN] == 0.0:
        state[RATE_LATE] += state[GROUP_STAMP] * sfreq - state[GROUP_AT]
        state[RATE_PLACE] += state[GROUP_AT]
        state[RATE_N] += 1.0


@njit(**KERNEL)
def _close(
    state: np.ndarray, ring: np.ndarray, scales: np.ndarray, rates: np.ndarray, sfreq: float
) -> None:
    """Add the open group to the statistics and the line."""
    slot = int(state[GROUPS]) % RING
    ring[slot, RESIDUAL], ring[slot, FIRST] = state[GROUP_MIN], state[GROUP_FIRST]
    ring[slot, DELAY] = state[GROUP_DELAY]
    state[GROUPS] += 1.0
    state[GROUP_LARGEST] = _usual(state[GROUP_LARGEST], state[GROUP_SIZE])
    state[FILLED] = min(state[FILLED] + 1.0, RING)
    if state[SIGN] == 0.0:
        _watch(state, ring, scales, rates[WORK], sfreq)
        if state[SIGN] == 0.0:
            _fit(state, sfreq)
            if state[OUTSIDE] >= (16.0 if state[GROUP_SIZE] <= MAX_GROUP else SMALLEST):
                sign = 1.0 if state[GROUP_MIN] > 0 else -1.0
                _ask(state, ring, sign, abs(state[GROUP_MIN]), 0.0)
    else:
        _judge(state, ring, scales, rates[WORK], sfreq)
    _rate(state, rates, sfreq)


@njit(**KERNEL)
def _regroup(state: np.ndarray, scales: np.ndarray) -> None:
    """Forget what is usual: a push was taken for many groups."""
    state[GROUPS] = max(1.0, np.round(state[COUNT] / state[RUN_USUAL]))
    state[FILLED], state[OUTSIDE], state[SIGN] = 0.0, 0.0, 0.0
    state[SPREAD] = max(state[SPREAD], 2.0)
    state[P0], state[P1], state[P2] = 1.0, 0.0, RATE_VARIANCE
    scales[:] = 0.0


@njit(**KERNEL)
def _joins(state: np.ndarray, step: float, sfreq: float) -> bool:
    """Check whether a stamp `step` s after the last one belongs to the open group."""
    size, kind = state[GROUP_SIZE], state[GROUP_KIND]
    if size == 0.0:
        return False
    if abs(step - 1.0 / sfreq) < min(1e-6, 0.01 / sfreq):
        state[RUN] += 1.0
        usual = 1.25 * state[RUN_USUAL]
        most = usual if usual > MAX_GROUP else min(MAX_GROUP, MAX_SPACED * sfreq)
        joins = kind != 2.0 and size < most
        kind = 1.0
    else:
        if state[RUN] > MAX_RUN * sfreq:
            state[RUN_USUAL] = 0.0
        elif min(state[RUN], state[RUN_LAST]) >= MAX_GROUP or state[RUN_USUAL] > 0.0:
            state[RUN_USUAL] = _usual(state[RUN_USUAL], state[RUN] + 1.0)
        state[RUN], state[RUN_LAST] = 0.0, state[RUN]
        joins = kind != 1.0 and 0.0 <= step < 0.2 * state[PERIOD]
        joins = joins and size < max(MAX_GROUP, MAX_PUSH * sfreq)
        kind = 2.0
    if joins:
        state[GROUP_KIND] = kind
    return joins


@njit(**KERNEL)
def _late(state: np.ndarray, elapsed: float) -> float:
    """Residual of a stamp, in samples."""
    return (elapsed - state[LEVEL]) / state[PERIOD] - (state[INDEX] - state[AT])


@njit(**KERNEL)
def advance(
    stamps: np.ndarray,
    arrivals: np.ndarray,
    start: int,
    sfreq: float,
    state: np.ndarray,
    ring: np.ndarray,
    scales: np.ndarray,
    rates: np.ndarray,
    times: np.ndarray,
    index: np.ndarray,
    flags: np.ndarray,
) -> int:
    """Compute time, index and flags of samples, up to and including the one that decides.

    Parameters
    ----------
    stamps : array of shape (n,)
        Stamps in s; NaN if there is none.
    arrivals : array of shape (n,)
        When each sample arrived, in s; NaN if not known.
    start : int
        First sample to take.
    sfreq : float
        Nominal sampling rate in Hz.
    state, ring, scales, rates : arrays of shape (43,), (RING, 3), (N_SCALES, 5), (3, RING)
        From `clock_state`; updated.
    times : array of shape (n,)
        Written: times in s.
    index : array of shape (n,), int64
        Written: absolute indices.
    flags : array of shape (n,), uint32
        Written: GAP, HELD or 0.

    Returns
    -------
    int
        The sample to continue with. ``state[DECIDED]`` is the decision's place in `CODES`.
    """
    state[DECIDED] = NONE
    for i in range(start, stamps.shape[0]):
        stamp = stamps[i]
        usable = abs(stamp) < LATEST  # false for NaN, too
        if np.isnan(state[ORIGIN]) and usable:
            state[ORIGIN] = stamp
            state[AT], state[LAST_TIME] = state[INDEX], -np.inf
        if usable:
            elapsed = stamp - state[ORIGIN]
            usual = state[RUN_USUAL]
            joins = _joins(state, elapsed - state[LAST_STAMP], sfreq)
            if usual == 0.0 and state[RUN_USUAL] > 0.0:
                _regroup(state, scales)
            if not joins and state[GROUP_SIZE] > 0.0:
                _close(state, ring, scales, rates, sfreq)
            late = _late(state, elapsed)
            delay = arrivals[i] - stamp
            if not np.isfinite(delay):
                delay = np.inf
            if not joins:
                state[GROUP_SIZE], state[GROUP_KIND] = 0.0, 0.0
                state[GROUP_MIN], state[GROUP_DELAY] = np.inf, np.inf
                state[GROUP_FIRST] = state[COUNT]
            state[GROUP_SIZE] += 1.0
            state[GROUP_DELAY] = min(state[GROUP_DELAY], delay)
            if late < state[GROUP_MIN]:
                state[GROUP_MIN], state[GROUP_AT] = late, state[INDEX]
                state[GROUP_STAMP] = elapsed
            state[LAST_STAMP] = elapsed
            largest = max(state[GROUP_LARGEST], MAX_GROUP)
            gate = _gate(state[SPREAD_ALL], 1.5, largest, sfreq)
            held = state[SIGN] != 0.0 or abs(late) > gate or state[GROUPS] < SMALLEST
            if state[SIGN] == 0.0:
                state[SPREAD_ALL] += (min(abs(late), 0.5 * gate) - state[SPREAD_ALL]) / 64.0
        else:
            held = True
            if np.isnan(state[ORIGIN]) and state[COUNT] > NO_STAMP * sfreq:
                state[DECIDED], state[RATE] = RATE_OFF, np.nan
        time = state[LEVEL] + state[PERIOD] * (state[INDEX] - state[AT])
        # a correction of the line never makes time run backwards; a new origin or reset may
        time = max(time, state[LAST_TIME] + 0.01 * state[PERIOD])
        state[LAST_TIME] = time
        times[i] = state[ORIGIN] + time
        index[i] = int(state[INDEX])
        decided = int(state[DECIDED])
        flags[i] = R_GAP if decided == GAP else R_HELD if held or decided else 0
        state[COUNT] += 1.0
        state[INDEX] += 1.0
        if decided:
            return i + 1
    return stamps.shape[0]
