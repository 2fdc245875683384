"""Subtract the heartbeat template sample by sample, and learn it from the same samples.

A few components ``z = filters @ x`` carry the artifact. Each has a course in time that begins with
the R peak or a little earlier. The output is ``x - maps.T @ (sum of the courses after all recent
beats)``: if beats follow each other faster than a course is long, their courses add up.

Each sample moves the change of a course in this session by a small share of what was left over. Far
apart, this is a mean over beats; with overlap it still converges on the true course. Of the change
of each component, ``.65 s / (s + v)`` is subtracted: v is the power that noise alone would give it, s
what it has beyond; where single beats show the change, .65 rises to 1. The share moves over some five
beats. A beat that is only told ends soon unless it is decided; from one to the other they cross over.

============  =======  =====================================================================
state, beats  unit     meaning
============  =======  =====================================================================
_BASELINE              row of the state: slow mean of each component; then the next five
_Z            SDs      row of the state: components of this sample, then what is left of them
_AMOUNT                row of the state: amount of each component that is subtracted now
_SEEN         samples  column rank of _BASELINE: samples learned from so far
_RATE                  column rank + 1 of _BASELINE: share of a beat in the change of a course
_SHARE                 column rank + 2 of _BASELINE: least share of a sample in the slow mean
_MOST         beats    column rank + 3 of _BASELINE: in the mean; 0 learns nothing
_COUNT        beats    column rank + 4 of _BASELINE: decided so far, at most _MOST
_PACE                  column rank + 5 of _BASELINE: share of the way that GIVEN moves in a sample
GIVEN                  row of the state: share of each component's change that is subtracted
_WANTED                row of the state: what it moves to; changes with each beat
_POWER                 row of the state: sum of squares of the change of each component
_NOISE                 row of the state: mean square of what is left of each component
TRUST                  row of the state: the next six
TRUSTED                column 0: share of the template that is subtracted, 0 to 1
FOUND                  column 1: running product of the template and what is there
SAID                   column 2: running square of the template
WATCH                  column 3: share of a new sample in these two; 0 watches nothing
USUAL                  column 4: SAID in calibration
DOUBT                  column 5: evidence that the template is not there: log likelihood ratio
_PEAK         sample   column of the beats: absolute index where the course begins
_DECIDED      sample   column of the beats: absolute index where it was decided
_END          sample   column of the beats: absolute index where it was found to be false
_STOPS        bits     row 0 of the beats: reasons that stop learning
_MARK         bits     row 0 of the beats: this stage's own reason
_REFRACTORY   samples  row 0 of the beats: a peak within so many of the last one replaces it
_STRIDE       samples  row 0 of the beats: one in so many, on the grid of the index, teaches
_HEALS        bits     row 0 of the beats: reason that makes a flagged channel good again
_BEFORE       samples  row 0 of the beats: from the beginning of the course to the R peak
_PATIENCE     samples  row 0 of the beats: a beat that is told ends so long after its R peak
============  =======  =====================================================================
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["FOUND", "GIVEN", "SAID", "TRUST", "TRUSTED", "USUAL", "WATCH", "heartbeat_subtract"]

_SLOWER = 0.05  # of the pace of the slow mean: that of the noise
_LARGEST = 3.0  # standard deviations: errors that move a course are clipped to this
_MOST_GIVEN = 0.65  # of a change that single beats do not show: to follow it takes from the brain
_STEADY = 5.0  # beats over which the share of a change moves: one beat tells little of its power
_LOST = 0.05  # share of the filters' weights: with more on flagged channels nothing is learned
_SOME_DOUBT, _MOST_DOUBT = 2.0, 3.5  # log likelihood ratios: whole trust below, no trust
_CERTAIN = 12.5  # 1 / (2 * _UNSURE**2) of `calibration.cleaning.reference_effect`
_BASELINE, _Z, _AMOUNT, TRUST, GIVEN, _WANTED, _POWER, _NOISE = range(8)
TRUSTED, FOUND, SAID, WATCH, USUAL, DOUBT = range(6)
_SEEN, _RATE, _SHARE, _MOST, _COUNT, _PACE = range(6)
_PEAK, _DECIDED, _END = range(3)
_STOPS, _MARK, _REFRACTORY, _STRIDE, _HEALS, _BEFORE, _PATIENCE = range(7)
_FOREVER = 1 << 62


@njit(**KERNEL)
def heartbeat_subtract(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    index: int,
    peaks: np.ndarray,
    told: np.ndarray,
    space: np.ndarray,
    courses: np.ndarray,
    rise: np.ndarray,
    state: np.ndarray,
    beats: np.ndarray,
    out: np.ndarray,
    out_flags: np.ndarray,
) -> None:
    """Subtract the template from the data channels.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples, data channels first.
    flags : array of shape (n,), uint32
        Flags of the samples.
    channel_flags : array of shape (n, c), uint32
        Flags of single channels.
    index : int
        Absolute index of the first sample.
    peaks : array of shape (n,), int64
        Absolute index of the R peak that each sample decided, or -1.
    told : array of shape (n,), int64
        Absolute index of the R peak that each sample lets expect, or -1.
    space : array of shape (2 * rank + 2, n_data)
        Maps and filters of the components, each channel's share of the filters' weights, and a row
        of scratch.
    courses : array of shape (n_template, 2 * rank + 2)
        Courses of the components in calibration; the weight of each sample and whether it is worth
        a flag; then the changes of the courses, which are updated.
    rise : array of shape (n_rise,)
        Weight in the samples after the decision; reversed, it fades out a false beat.
    state : array of shape (8, rank + 6)
        Updated; see the table of this file.
    beats : array of shape (1 + n_beats, 7), int64
        Row 0 holds constants, the others recent beats, in turn. Updated.
    out : array of shape (n, c)
        Written: the clean samples.
    out_flags : array of shape (n,), uint32
        Written: `flags`, with this stage's reason added.
    """
    rank, n_data = space.shape[0] // 2 - 1, space.shape[1]
    amount, given, wanted = state[_AMOUNT], state[GIVEN], state[_WANTED]
    for t in range(len(x)):
        now = index + t
        out_flags[t] = flags[t]
        if peaks[t] >= 0:
            _begin(peaks[t], now, _FOREVER, beats)
            _count(len(courses), rank, state)
        elif told[t] >= 0:
            _begin(told[t], now, told[t] + beats[0, _PATIENCE], beats)
        for r in range(rank):
            given[r] += state[_BASELINE, rank + _PACE] * (wanted[r] - given[r])
        if _sum(now, courses, rise, state, beats):
            out_flags[t] |= beats[0, _MARK]
        row, clean = x[t], out[t]
        for k in range(x.shape[1]):
            clean[k] = row[k]
        for r in range(rank):
            if amount[r] != 0.0:
                size, topography = state[TRUST, TRUSTED] * amount[r], space[r, :n_data]
                for k in range(n_data):
                    clean[k] -= size * topography[k]
        if now % beats[0, _STRIDE] or flags[t] & beats[0, _STOPS]:
            continue
        if _project(row, channel_flags[t], space, beats, state[_Z]):
            _watch(rank, state)
            _learn(now, courses, rise, state, beats)


@njit(**KERNEL)
def _begin(peak: int, now: int, end: int, beats: np.ndarray) -> None:
    """Replace the oldest beat by a new one; end the last beat if the new one corrects it."""
    peak -= beats[0, _BEFORE]
    last, oldest = 1, 1
    for b in range(2, len(beats)):
        if beats[b, _DECIDED] > beats[last, _DECIDED]:
            last = b
        if beats[b, _DECIDED] < beats[oldest, _DECIDED]:
            oldest = b
    if peak - beats[last, _PEAK] <= beats[0, _REFRACTORY]:
        beats[last, _END] = min(now, beats[last, _END])
    beats[oldest, _PEAK], beats[oldest, _DECIDED], beats[oldest, _END] = peak, now, end


@njit(**KERNEL)
def _count(size: int, rank: int, state: np.ndarray) -> None:
    """Count a beat; find its share in the mean, and the share of each change that is no noise."""
    most = state[_BASELINE, rank + _MOST]
    if most == 0.0:
        return
    count = state[_BASELINE, rank + _COUNT]  # the mean holds so many
    for r in range(rank if count > 0.0 else 0):
        spread = state[_NOISE, r] * size / count
        true = max(state[_POWER, r] - spread, 0.0)
        largest = (true + _MOST_GIVEN * spread * count) / max(true + spread * count, 1e-300)
        share = largest * true / max(true + spread, 1e-300)
        state[_WANTED, r] += (share - state[_WANTED, r]) / _STEADY
    state[_BASELINE, rank + _COUNT] = min(count + 1.0, most)
    state[_BASELINE, rank + _RATE] = 1.0 / min(count + 1.0, most)


@njit(**KERNEL)
def _project(
    row: np.ndarray, row_flags: np.ndarray, space: np.ndarray, beats: np.ndarray, z: np.ndarray
) -> bool:
    """Compute a sample's components without flagged channels; false if these weigh too much."""
    rank, n_data = space.shape[0] // 2 - 1, space.shape[1]
    stops, heals, n_bad = beats[0, _STOPS], beats[0, _HEALS], 0
    for k in range(n_data):
        n_bad += (row_flags[k] & stops) != 0
    lost, products = 0.0, space[2 * rank + 1, :n_data]
    for r in range(rank):
        weights = space[rank + r, :n_data]
        for k in range(n_data):
            products[k] = weights[k] * row[k]
        n = n_data
        while n > 1:  # sum by halves: a plain sum waits for each addition and does not vectorize
            half = (n + 1) // 2
            upper = products[half:n]
            for k in range(n - half):
                products[k] += upper[k]
            n = half
        z[r] = products[0]
    if n_bad > 0:
        for k in range(n_data):
            if row_flags[k] & stops and not row_flags[k] & heals:
                lost += space[2 * rank, k]
                for r in range(rank):
                    z[r] -= space[rank + r, k] * row[k]
    return lost <= _LOST


@njit(**KERNEL)
def _sum(
    now: int, courses: np.ndarray, rise: np.ndarray, state: np.ndarray, beats: np.ndarray
) -> bool:
    """Add up the courses after all recent beats; true if any is worth a flag."""
    amount, given = state[_AMOUNT], state[GIVEN]
    rank, marked = courses.shape[1] // 2 - 1, False
    amount[:] = 0.0
    for b in range(1, len(beats)):
        at = now - beats[b, _PEAK]
        if at < len(courses):
            weight = courses[at, rank] * _weight(now, beats[b, _DECIDED], beats[b, _END], rise)
            for r in range(rank):
                amount[r] += weight * (courses[at, r] + given[r] * courses[at, rank + 2 + r])
            marked |= weight > 0.0 and courses[at, rank + 1] > 0.0
    return marked


@njit(**KERNEL)
def _weight(now: int, decided: int, end: int, rise: np.ndarray) -> float:
    """Weight of a beat at a time: rises after its decision, falls after its end."""
    weight = rise[now - decided] if now - decided < len(rise) else 1.0
    if now >= end:
        left = len(rise) - 1 - (now - end)
        weight = min(weight, rise[left]) if left >= 0 else 0.0
    return weight


@njit(**KERNEL)
def _watch(rank: int, state: np.ndarray) -> None:
    """Doubt the template where less than half of it is there: then it harms. Set its share."""
    trust, found, said = state[TRUST], 0.0, 0.0
    if trust[WATCH] == 0.0:
        return
    for r in range(rank):
        off = state[_Z, r] - state[_BASELINE, r]
        most = _LARGEST + 2.0 * abs(state[_AMOUNT, r])
        found += state[_AMOUNT, r] * min(max(off, -most), most)
        said += state[_AMOUNT, r] * state[_AMOUNT, r]
    trust[FOUND] += trust[WATCH] * (found - trust[FOUND])
    trust[SAID] += trust[WATCH] * (said - trust[SAID])
    usual = max(trust[SAID], trust[USUAL])  # one that has grown is doubted no faster: noise bursts
    evidence = _CERTAIN * trust[WATCH] / usual * (0.5 * said - found)
    trust[DOUBT] = min(max(trust[DOUBT] + evidence, 0.0), _MOST_DOUBT)
    rise = min((_MOST_DOUBT - trust[DOUBT]) / (_MOST_DOUBT - _SOME_DOUBT), 1.0)
    trust[TRUSTED] = rise * rise * (3.0 - 2.0 * rise)


@njit(**KERNEL)
def _learn(
    now: int, courses: np.ndarray, rise: np.ndarray, state: np.ndarray, beats: np.ndarray
) -> None:
    """Move baseline and changes towards this sample, which stands for the `_STRIDE` around it."""
    rank, stride = courses.shape[1] // 2 - 1, beats[0, _STRIDE]
    state[_BASELINE, rank + _SEEN] += 1.0
    rate, usual = state[_BASELINE, rank + _RATE], state[_BASELINE, rank + _SHARE]
    # plain means at first; once the baseline is known, outliers are clipped
    plain = 1.0 / state[_BASELINE, rank + _SEEN]
    share, slow = max(usual, plain), max(usual * _SLOWER, plain)
    found, given, noise = share <= usual, state[GIVEN], state[_NOISE]
    for r in range(rank):
        # mean of the whole component: a mean of the rest could absorb part of a course
        off = state[_Z, r] - state[_BASELINE, r]
        left = off - state[_AMOUNT, r]
        state[_BASELINE, r] += share * (min(max(off, -_LARGEST), _LARGEST) if found else off)
        left = min(max(left, -_LARGEST), _LARGEST)
        state[_Z, r] = left
        noise[r] += slow * (left * left - noise[r])
    n_active = 0
    for b in range(1, len(beats)):
        n_active += now - beats[b, _PEAK] < len(courses) and now < beats[b, _END]
    rate /= max(n_active, 1)  # courses that overlap share the error
    for b in range(1, len(beats)):
        at = now - beats[b, _PEAK]
        if at < len(courses) and now < beats[b, _END]:
            weight = courses[at, rank] * _weight(now, beats[b, _DECIDED], beats[b, _END], rise)
            first = at - stride // 2
            for near in range(max(first, 0), min(first + stride, len(courses))):
                for r in range(rank):
                    # the part that the weight held back is no error
                    old = courses[near, rank + 2 + r]
                    held_back = (1.0 - weight) * (courses[near, r] + given[r] * old)
                    new = old + rate * (state[_Z, r] - held_back - (1.0 - given[r]) * old)
                    courses[near, rank + 2 + r] = new
                    state[_POWER, r] += new * new - old * old
