"""Recursive least squares on references that all data channels share: SIMD across channels.

One inverse correlation P of k regressors serves all c channels: k^2 + 2kc operations a sample.
Each sample is computed alone, and slow limits act on a grid of the absolute index, so the cuts
between calls cannot change a bit.

Its parts share state and are read together.

===========  =======  ======================================================================
constants    unit     meaning (of 7 numbers)
===========  =======  ======================================================================
FORGET                factor of P's inverse at a lesson
LEAK                  share of the way to calibration that a weight goes at a leak
POWER_RATE            share of a new square in a reference's power
CLOSE                 share by which a gate closes per sample
OPEN                  share of the rest by which it opens per sample
EVERY        samples  from one lesson to the next
STRANGE               share by which a flagged sample makes a reference unknown, as at first
===========  =======  ======================================================================

===========  =======  ======================================================================
references   unit     meaning (columns, a row a reference; from POWER on they change)
===========  =======  ======================================================================
COLUMN                its column in the signal
GAIN         1/ref    factor to units of its RMS in calibration
LIMIT        ref      largest credible value
FLOOR        ref^2    power below which it teaches nothing
HOLDOFF      samples  for which it is not used after it was bad
MOST_TRACE            largest trace of its block of P
REACH                 largest ENERGY that teaches
SMOOTH                share of a new value in each of two running means; 1 does not smooth
LOUD         samples  for which it is not used after it rose above LIMIT and nothing flags it
WATCH                 share of a new lesson in FOUND and SAID; 0 watches nothing
USUAL                 SAID in calibration
RHYTHM                STEPS over POWER in calibration; 0 judges no rhythm
PRIOR                 SAID before anybody knows: what is heard outweighs AT_FIRST once it is more
POWER        ref^2    running power
HOLD         samples  for which it is still held off
GATE                  share of its value that is used, 0 to 1
AGE          samples  seen so far
PLACE                 row of its newest value in the ring
ENERGY                scratch: its part of ``z.T @ P @ z``
ONCE         ref      first running mean
TWICE        ref      second running mean
TRUST                 share of its effect that is subtracted, 0 to 1
FOUND                 running product of what it says about the data and what is there
SAID                  running square of what it says
STEPS        ref^2    running square of its change from sample to sample
BEFORE       ref      last value
DOUBT                 evidence that what it says is not there: log likelihood ratio, 0 to 4
LAST         ref      last value as it came, at most LIMIT
===========  =======  ======================================================================

===========  =======  ======================================================================
weights      unit     meaning (rows, each regressors by channels)
===========  =======  ======================================================================
LIVE         SI       as learned so far
CALIBRATED   SI       as fitted by calibration
===========  =======  ======================================================================

===========  =======  ======================================================================
channels     unit     meaning (rows, a column a channel)
===========  =======  ======================================================================
CLIP         SI       largest error that teaches
NOTABLE      SI       subtraction that is worth a flag
PREDICTED    SI       scratch: what is subtracted
ERROR        SI       scratch: what teaches
===========  =======  ======================================================================

===========  =======  ======================================================================
regressors   unit     meaning (rows, a column a regressor; all scratch)
===========  =======  ======================================================================
NOW                   value of the regressor
WORTH                 worth of a lesson, 0 to 1; 0 may not learn
LEARNING              NOW where it may learn, else 0
GAINED                ``P @ LEARNING``
TRUSTED               NOW by the trust in its reference
COURSE                weight of a regressor in what its reference says; not scratch
===========  =======  ======================================================================
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["regress"]

# signal.Reason
R_NONFINITE, R_FLAT, R_RAIL, R_JUMP, R_GAP, R_HELD = 1, 2, 4, 8, 16, 32
R_BAD_CHANNEL, R_REFERENCE_LOST, R_AMPLITUDE = 512, 1024, 2048
R_REPAIRED, R_EYE, R_HEARTBEAT, R_REGRESSED = 4096, 8192, 16384, 32768
R_CORRECTED = R_REPAIRED | R_EYE | R_HEARTBEAT | R_REGRESSED
R_BAD = 0xFFFFFFFF ^ R_CORRECTED  # signal.BAD
# Not R_JUMP: an R wave looks like one, and `LIMIT` judges the reference better. A jump only
# restarts a holdoff that is running. Not R_SETTLING: after the holdoff the remainder is small.
UNUSABLE = R_NONFINITE | R_FLAT | R_RAIL | R_GAP | R_HELD
UNUSABLE |= R_BAD_CHANNEL | R_REFERENCE_LOST | R_AMPLITUDE

FORGET, LEAK, POWER_RATE, CLOSE, OPEN, EVERY, STRANGE = range(7)
COLUMN, GAIN, LIMIT, FLOOR, HOLDOFF, MOST_TRACE, REACH, SMOOTH, LOUD = range(9)
WATCH, USUAL, RHYTHM, PRIOR = range(9, 13)
POWER, HOLD, GATE, AGE, PLACE, ENERGY, ONCE, TWICE, TRUST, FOUND, SAID = range(13, 24)
STEPS, BEFORE, DOUBT, LAST = range(24, 28)
LIVE, CALIBRATED = range(2)
CLIP, NOTABLE, PREDICTED, ERROR = range(4)
NOW, WORTH, LEARNING, GAINED, TRUSTED, COURSE = range(6)

_GRID = 16  # lessons from one leak, and check of the box, to the next
_SHUT, _OPEN = 1e-3, 0.999  # a gate beyond these is shut or open: it gets there in finite time
_LEAST, _WHOLE = 0.4, 0.8  # shares of what a reference says that are there: no trust, whole trust
_CLIP = 4.0  # standard deviations: what is there counts up to this beyond twice what is said
_OTHER = 5.0  # times as fast or slow as in calibration: it is another kind of signal
_USED = 0.5  # of LIMIT: what is larger is used as if it were that large
_SOME_DOUBT, _MOST_DOUBT = 1.0, 4.0  # log likelihood ratios: whole trust below, no trust
_CERTAIN = 12.5  # 1 / (2 * _UNSURE**2) of `calibration.cleaning.reference_effect`
LITTLE = 0.02  # of USUAL is added to FOUND and SAID, so that silence is no contradiction
AT_FIRST = 0.45  # share of it and LITTLE that is there before anybody knows: a trust of .04


@njit(**KERNEL)
def regress(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    index: int,
    constants: np.ndarray,
    taps: np.ndarray,
    ring: np.ndarray,
    references: np.ndarray,
    inverse: np.ndarray,
    weights: np.ndarray,
    products: np.ndarray,
    most: np.ndarray,
    channels: np.ndarray,
    regressors: np.ndarray,
    filters: np.ndarray,
    out: np.ndarray,
    out_flags: np.ndarray,
) -> None:
    """Subtract what the references explain, then learn.

    Parameters
    ----------
    x : array of shape (n, n_all)
        Samples, c data channels first.
    flags : array of shape (n,), uint32
        Flags of the samples.
    channel_flags : array of shape (n, n_all), uint32
        Flags of single channels.
    index : int
        Absolute index of the first sample.
    constants : array of shape (7,)
        See the tables of this file.
    taps : array of shape (k, 2), int64
        Reference, and lag in samples, of each regressor.
    ring : array of shape (n_past, r)
        Past of the references; updated.
    references : array of shape (r, 28)
        Updated from column POWER on; see the tables.
    inverse : array of shape (2, k, k)
        P, live, which is updated, and calibrated.
    weights : array of shape (2, k, c)
        Live ones are updated; see the tables.
    products : array of shape (k, k)
        Mean products of the regressors, 0 between references.
    most : array of shape (r, c)
        Largest power that live weights may remove from a channel beyond calibrated ones.
    channels : array of shape (4, c)
        See the tables.
    regressors : array of shape (6, k)
        See the tables.
    filters : array of shape (r, c)
        Measure in the data what each reference says, in standard deviations of everything else.
    out : array of shape (n, n_all)
        Written: the clean samples.
    out_flags : array of shape (n,), uint32
        Written: `flags`, with REGRESSED added where more than NOTABLE was subtracted from a
        channel.
    """
    live = weights[LIVE]
    n_channels = live.shape[1]
    every = int(constants[EVERY])
    for t in range(len(x)):
        row = out[t, :n_channels]
        _listen(x[t], channel_flags[t], constants, ring, references)
        _look_back(taps, ring, references, regressors)
        n_notable = _subtract(x[t], live, channels, regressors[TRUSTED], out[t])
        out_flags[t] = flags[t]
        if n_notable > 0:
            out_flags[t] |= R_REGRESSED
        if (index + t) % every or flags[t] & R_BAD:
            continue
        _watch(x[t], taps, references, regressors, filters)
        n_learning = _may_learn(taps, len(ring), references, regressors)
        if 0 < n_learning < len(taps):
            _set_apart(inverse[0], regressors[WORTH])
        if n_learning == 0 or not _is_known(inverse, taps, references, regressors):
            continue
        _learn(row, channel_flags[t], constants[FORGET], inverse[0], live, channels, regressors)
        _cap_trace(inverse[0], taps, references)
        if (index + t) // every % _GRID == 0:
            _leak(weights, regressors[WORTH], constants[LEAK])
            for r in range(len(references)):
                _bound(r, weights, taps, regressors[WORTH], products, most[r], channels[ERROR])


@njit(**KERNEL)
def _listen(
    row: np.ndarray,
    channel_flags: np.ndarray,
    constants: np.ndarray,
    ring: np.ndarray,
    references: np.ndarray,
) -> None:
    """Take the newest value of each reference, judge it, and move its gate."""
    for r in range(len(references)):
        state = references[r]
        column = int(state[COLUMN])
        value = row[column]
        flag = channel_flags[column]
        bad = flag & UNUSABLE != 0
        beyond = abs(value) > state[LIMIT]
        back = 0.0 < state[HOLD] <= state[HOLDOFF]  # after a flag: what filters still ring with
        loud = beyond and not bad and not back and abs(state[LAST]) < state[LIMIT]
        bad = bad or beyond or (flag & R_JUMP != 0 and state[HOLD] > 0.0)
        state[LAST] = min(max(value, -state[LIMIT]), state[LIMIT])
        most = _USED * state[LIMIT]
        value = min(max(value, -most), most)
        if state[SMOOTH] < 1.0:
            if state[AGE] == 0.0:
                state[ONCE] = state[TWICE] = value
            state[ONCE] += state[SMOOTH] * (value - state[ONCE])
            state[TWICE] += state[SMOOTH] * (state[ONCE] - state[TWICE])
            value = state[TWICE]
        other = _measure(value, bad or back, constants[POWER_RATE], state)
        loud = loud or (other and not back)
        _gate(bad, loud, constants, state)
        value *= state[GAIN]
        if state[AGE] == 0.0:
            ring[:, r] = value
        place = int(state[PLACE]) + 1
        if place == len(ring):
            place = 0
        ring[place, r] = value
        state[PLACE] = place
        state[AGE] += 1.0


@njit(**KERNEL)
def _measure(value: float, bad: bool, rate: float, state: np.ndarray) -> bool:
    """Update the power of a reference and of its steps; true if it has another rhythm."""
    if not bad:
        step = value - state[BEFORE] if state[AGE] > 0.0 else 0.0
        state[POWER] += rate * (value * value - state[POWER])
        state[STEPS] += rate * (step * step - state[STEPS])
    state[BEFORE] = value
    if state[RHYTHM] > 0.0 and state[POWER] >= state[FLOOR]:
        pace = state[STEPS] / (state[RHYTHM] * state[POWER])
        return pace > _OTHER or pace * _OTHER < 1.0
    return False


@njit(**KERNEL)
def _gate(bad: bool, loud: bool, constants: np.ndarray, state: np.ndarray) -> None:
    """Hold a reference off while it is bad, move its gate, and set its trust."""
    if bad or loud:
        state[HOLD] = max(state[HOLD] - 1.0, state[LOUD] if loud else state[HOLDOFF])
    else:
        state[HOLD] = max(state[HOLD] - 1.0, 0.0)
    if state[HOLD] > 0.0:
        state[GATE] -= constants[CLOSE] * state[GATE]
        if state[GATE] < _SHUT:
            state[GATE] = 0.0
    else:
        state[GATE] += constants[OPEN] * (1.0 - state[GATE])
        if state[GATE] > _OPEN:
            state[GATE] = 1.0
    if state[WATCH] == 0.0:
        return
    floor = LITTLE * state[USUAL]
    share = (state[FOUND] + floor) / (state[SAID] + floor)
    if loud:
        state[DOUBT] = _MOST_DOUBT
    elif bad:  # who knows what comes back
        share += constants[STRANGE] * (AT_FIRST - share)
        state[SAID] += constants[STRANGE] * (state[PRIOR] - state[SAID])
        state[FOUND] = share * (state[SAID] + floor) - floor
    rise = min(max((share - _LEAST) / (_WHOLE - _LEAST), 0.0), 1.0)
    fall = min(max((_MOST_DOUBT - state[DOUBT]) / (_MOST_DOUBT - _SOME_DOUBT), 0.0), 1.0)
    rise = min(rise, fall)
    state[TRUST] = rise * rise * (3.0 - 2.0 * rise)


@njit(**KERNEL)
def _look_back(
    taps: np.ndarray, ring: np.ndarray, references: np.ndarray, regressors: np.ndarray
) -> None:
    """Fill NOW and TRUSTED."""
    for j in range(len(taps)):
        r = taps[j, 0]
        place = int(references[r, PLACE]) - taps[j, 1]
        if place < 0:
            place += len(ring)
        regressors[NOW, j] = references[r, GATE] * ring[place, r]
        regressors[TRUSTED, j] = references[r, TRUST] * regressors[NOW, j]


@njit(**KERNEL)
def _watch(
    row: np.ndarray,
    taps: np.ndarray,
    references: np.ndarray,
    regressors: np.ndarray,
    filters: np.ndarray,
) -> None:
    """Compare what each reference says about the data with what is there."""
    for r in range(len(references)):
        state = references[r]
        if state[WATCH] == 0.0:
            continue
        if state[GATE] < 1.0 or state[POWER] < state[FLOOR]:
            continue  # nobody knows
        said, there = 0.0, 0.0
        for j in range(len(taps)):
            if taps[j, 0] == r:
                said += regressors[COURSE, j] * regressors[NOW, j]
        for k in range(filters.shape[1]):
            there += filters[r, k] * row[k]
        most = _CLIP + 2.0 * abs(said)
        there = min(max(there, -most), most)
        state[FOUND] += state[WATCH] * (said * there - state[FOUND])
        state[SAID] += state[WATCH] * (said * said - state[SAID])
        evidence = _CERTAIN * state[WATCH] / state[USUAL] * (0.5 * said * said - said * there)
        state[DOUBT] = min(max(state[DOUBT] + evidence, 0.0), _MOST_DOUBT)


@njit(**KERNEL)
def _may_learn(
    taps: np.ndarray, n_past: int, references: np.ndarray, regressors: np.ndarray
) -> int:
    """Fill WORTH and LEARNING; return how many regressors may learn."""
    n_learning = 0
    for j in range(len(taps)):
        state = references[taps[j, 0]]
        learns = state[GATE] == 1.0 and state[POWER] >= state[FLOOR] and state[AGE] >= n_past
        learns = learns and state[TRUST] >= 0.5
        share = state[POWER] * state[GAIN] * state[GAIN]
        regressors[WORTH, j] = min(share, 1.0) if learns else 0.0
        regressors[LEARNING, j] = regressors[NOW, j] if learns else 0.0
        n_learning += learns
    return n_learning


@njit(**KERNEL)
def _subtract(
    row: np.ndarray, live: np.ndarray, channels: np.ndarray, now: np.ndarray, clean: np.ndarray
) -> int:
    """Write `row` less ``live.T @ now`` to `clean`; count channels where that was notable."""
    n_channels = live.shape[1]
    predicted, notable = channels[PREDICTED, :n_channels], channels[NOTABLE, :n_channels]
    predicted[:] = 0.0
    n_triples = len(now) - len(now) % 3
    for j in range(0, n_triples, 3):  # three rows a pass: fewer loads and stores of the sum
        z0, z1, z2 = now[j], now[j + 1], now[j + 2]
        w0, w1, w2 = live[j, :n_channels], live[j + 1, :n_channels], live[j + 2, :n_channels]
        for k in range(n_channels):
            predicted[k] = ((predicted[k] + z0 * w0[k]) + z1 * w1[k]) + z2 * w2[k]
    for j in range(n_triples, len(now)):
        z0, w0 = now[j], live[j, :n_channels]
        for k in range(n_channels):
            predicted[k] += z0 * w0[k]
    n_notable = 0
    for k in range(n_channels):
        clean[k] = row[k] - predicted[k]
        n_notable += abs(predicted[k]) > notable[k]
    for k in range(n_channels, len(row)):
        clean[k] = row[k]
    return n_notable


@njit(**KERNEL)
def _set_apart(p: np.ndarray, worth: np.ndarray) -> None:
    """Set P to 0 between references that may learn and those that may not.

    Then the blocks and weights of those that may not stay as they are, whatever the others learn.
    """
    for i in range(len(worth)):
        for j in range(len(worth)):
            if (worth[i] > 0.0) != (worth[j] > 0.0):
                p[i, j] = 0.0


@njit(**KERNEL)
def _is_known(
    inverse: np.ndarray, taps: np.ndarray, references: np.ndarray, regressors: np.ndarray
) -> bool:
    """Check that no reference moves as it never did in calibration, and fill GAINED.

    A reference that stops half-way, unflagged, contradicts itself for as long as its taps reach. In
    directions that it never takes, little is known, and a lesson would unlearn that at once.
    """
    p, z, v = inverse[0], regressors[LEARNING], regressors[GAINED]
    n_taps = len(z)
    v[:] = 0.0
    for j in range(n_taps):  # P is symmetric: rows in place of columns
        zj = z[j]
        for i in range(n_taps):
            v[i] += p[j, i] * zj
    references[:, ENERGY] = 0.0
    for i in range(n_taps):
        references[taps[i, 0], ENERGY] += v[i] * z[i]
    total = 0.0
    known = True
    for r in range(len(references)):
        total += references[r, ENERGY]
        known &= references[r, ENERGY] <= references[r, REACH]
    if not total >= 0.0:  # P is no longer definite by rounding, or a NaN came: start again
        for i in range(n_taps):
            for j in range(n_taps):
                p[i, j] = inverse[1, i, j]
        return False
    return known


@njit(**KERNEL)
def _learn(
    row: np.ndarray,
    channel_flags: np.ndarray,
    forget: float,
    p: np.ndarray,
    live: np.ndarray,
    channels: np.ndarray,
    regressors: np.ndarray,
) -> None:
    """Do one step of recursive least squares on the error `row` (c,), clipped in each channel."""
    z, v = regressors[LEARNING], regressors[GAINED]
    n_taps, n_channels = len(z), len(row)
    energy = 0.0
    for i in range(n_taps):
        energy += v[i] * z[i]
    gain = 1.0 / (forget + energy)
    remembered = 1.0 / forget
    for i in range(n_taps):
        if regressors[WORTH, i] == 0.0:
            continue
        for j in range(n_taps):
            p[i, j] = (p[i, j] - gain * (v[i] * v[j])) * remembered
    error, clip = channels[ERROR, :n_channels], channels[CLIP, :n_channels]
    for k in range(n_channels):
        e = min(max(row[k], -clip[k]), clip[k])
        error[k] = 0.0 if channel_flags[k] & R_BAD else e
    for j in range(n_taps):
        step, w = gain * v[j], live[j, :n_channels]
        for k in range(n_channels):
            w[k] += step * error[k]


@njit(**KERNEL)
def _cap_trace(p: np.ndarray, taps: np.ndarray, references: np.ndarray) -> None:
    """Bound the trace of each reference's block of P; P stays symmetric and definite."""
    for r in range(len(references)):
        trace = 0.0
        for i in range(len(taps)):
            if taps[i, 0] == r:
                trace += p[i, i]
        if trace > references[r, MOST_TRACE]:
            shrink = np.sqrt(references[r, MOST_TRACE] / trace)
            for i in range(len(taps)):
                for j in range(len(taps)):
                    if taps[i, 0] == r:
                        p[i, j] *= shrink
                    if taps[j, 0] == r:
                        p[i, j] *= shrink


@njit(**KERNEL)
def _leak(weights: np.ndarray, worth: np.ndarray, leak: float) -> None:
    """Let weights that learn leak towards calibration.

    They leak as fast as they are taught, so a reference that goes quiet keeps its weights.
    """
    n_channels = weights.shape[2]
    for j in range(len(worth)):
        if worth[j] > 0.0:
            live, calibrated = weights[LIVE, j, :n_channels], weights[CALIBRATED, j, :n_channels]
            share = leak * worth[j]
            for k in range(n_channels):
                live[k] += share * (calibrated[k] - live[k])


@njit(**KERNEL)
def _bound(
    r: int,
    weights: np.ndarray,
    taps: np.ndarray,
    worth: np.ndarray,
    products: np.ndarray,
    most: np.ndarray,
    power: np.ndarray,
) -> None:
    """Bound by `most` (c,) the power by which reference `r`'s weights differ from calibration's.

    All taps of a channel shrink alike. Neighbouring taps nearly balance each other: clipping a
    single one would change their sum by as much as the others balance. `power` (c,) is scratch.
    """
    n_channels = weights.shape[2]
    power[:] = 0.0
    for i in range(len(taps)):
        for j in range(len(taps)):
            if taps[i, 0] == r and taps[j, 0] == r and worth[i] > 0.0:
                live_i, live_j = weights[LIVE, i, :n_channels], weights[LIVE, j, :n_channels]
                then_i = weights[CALIBRATED, i, :n_channels]
                then_j = weights[CALIBRATED, j, :n_channels]
                for k in range(n_channels):
                    change = (live_i[k] - then_i[k]) * (live_j[k] - then_j[k])
                    power[k] += products[i, j] * change
    for k in range(n_channels):
        if power[k] > most[k]:
            share = np.sqrt(most[k] / power[k])
            for j in range(len(taps)):
                if taps[j, 0] == r:
                    then = weights[CALIBRATED, j, k]
                    weights[LIVE, j, k] = then + share * (weights[LIVE, j, k] - then)
