"""Causal detection of QRS complexes, sample by sample, after Pan and Tompkins.

The sharp look smooths the source by a short mean and differences it twice over `_LAG`. This keeps
waves as narrow as a QRS (10 to 30 Hz), drops baseline, T waves, 50 and 60 Hz, and delays by only
half its length. The threshold follows running levels of beats and of noise. It falls while a beat
is overdue; this replaces the search back of the paper, which is of no use live. The refractory
time and the higher threshold during the T wave are those of the paper.

Broad beats, such as ventricular ones, are too slow for the sharp look. The broad look (`_B_`)
differences over a longer lag.

============  =======  =====================================================================
layout        unit     meaning (of 15 whole numbers)
============  =======  =====================================================================
_MEAN         samples  of the sharp look's mean; with _LAG, zeros at 60 and 50 Hz
_LAG          samples  of the sharp look's second difference
_REFRACTORY   samples  after a beat in which there is no other beat
_T_WAVE       samples  after a beat in which only a large peak counts
_PATIENCE     samples  to wait for a lobe of the usual polarity
_LEARN        samples  from which the levels are learned
_NOISE_TIME   samples  time constant of the noise
_HALVING      samples  in which the threshold halves while a beat is overdue
_AUDIT        samples  after a beat until all of it was seen and the levels follow it
_B_MEAN       samples  of the broad look's mean
_B_LAG        samples  of the broad look's second difference
_B_WAIT       samples  for which a broad peak's top must stay the largest
_B_AFTER      samples  after a beat until its T wave is over
_BLINDING     bits     reasons that blind the detector
_HEALING      bits     reason that makes a blinded channel good again
============  =======  =====================================================================

============  =======  =====================================================================
integers      unit     meaning (of 11 whole numbers)
============  =======  =====================================================================
_COUNT        samples  seen so far; each count below is a value of this one
_LAST         count    at the last beat
_START        count    where the open peak began; -1 if none is open
_AT           count    of its top in the usual polarity; while learning, samples learned from
_OTHER_AT     count    of its top in the other polarity
_BLIND        count    from which the filters can be trusted again
_LEARNED               1 once the levels are known
_AUDITED               1 once the levels followed the last beat
_B_START      count    where the open broad peak began; -1 if none is open
_B_AT         count    of its top
_T_SEEN                1 once the T wave of the last beat is over
============  =======  =====================================================================

============  =======  =====================================================================
numbers       unit     meaning (of 17, then five histories of 512)
============  =======  =====================================================================
_BEAT         source   usual size of a beat in the sharp look
_NOISE        source   mean size between beats
_INTERVAL     samples  usual interval from beat to beat
_POLARITY              1 or -1
_B_BEAT       source   usual size of a beat in the broad look
_B_T          source   usual size of a T wave in the broad look
_B_NOISE      source   mean size between beats in the broad look
_TOP          source   top of the open peak in the usual polarity
_OTHER        source   its top in the other polarity
_SIZE         source   size of the last beat
_UP, _DOWN    source   largest value of either sign since the last beat
_UPS, _DOWNS  source   running means of _UP and _DOWN
_B_TOP        source   top of the open broad peak, with its sign
_B_MAX        source   largest in the broad look from the last beat to its audit
_T_MAX        source   largest in the broad look during the T wave
============  =======  =====================================================================

The histories hold the source, the sharp look's means and sums, the broad look's means and sums.

References
----------
Pan & Tompkins (1985), IEEE Trans. Biomed. Eng. 32:230, doi:10.1109/TBME.1985.325532
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit
from rt_decoder.kernels.weighted import weighted

__all__ = ["N_LEVELS", "qrs_detect", "qrs_layout", "qrs_state"]

# times in s, and their places in the layout
_SECONDS = (0.0167, 0.02, 0.2, 0.36, 0.06, 2.0, 1.0, 1.0, 0.1, 0.03, 0.06, 0.065, 0.42)
_MEAN, _LAG, _REFRACTORY, _T_WAVE, _PATIENCE, _LEARN, _NOISE_TIME, _HALVING = range(8)
_AUDIT, _B_MEAN, _B_LAG, _B_WAIT, _B_AFTER, _BLINDING, _HEALING = range(8, 15)

_LOST = 0.25  # share of the source's weights: with more on blinded channels it is ignored
_RING = 512  # samples of history; a power of two
_ANEW = 64  # samples after which a running sum is computed afresh; a power of two
_SHARE, _T_SHARE, _LEAST_SHARE = 0.4, 0.5, 0.06  # of the beat level
_NOISE_FACTOR = 5.0  # of the mean size of noise: 4 standard deviations of a normal one
_OVERDUE = 1.4  # intervals
_AGAIN = 1.5  # a peak this much larger within the refractory time moves the beat
_FALLEN = 0.7  # of its height: below it the peak is over
_NOTCH = 0.6  # of the beat level: a smaller peak may be a notch of a broad beat
_BROAD_SHARE, _BROAD_T, _BROAD_NOISE = 0.5, 1.4, 3.5  # of the broad levels
_BROAD_OTHER = 1.2  # a lobe of the other sign must be this much larger to be the beat

_COUNT, _LAST, _START, _AT, _OTHER_AT, _BLIND, _LEARNED, _AUDITED = range(8)
_B_START, _B_AT, _T_SEEN = 8, 9, 10
_N_INTEGERS, _N_NUMBERS, _N_HISTORIES = 11, 17, 5
N_LEVELS = 7  # the first numbers: what a detector has learned
_BEAT, _NOISE, _INTERVAL, _POLARITY, _B_BEAT, _B_T, _B_NOISE = range(N_LEVELS)
_TOP, _OTHER, _SIZE, _UP, _DOWN, _UPS, _DOWNS, _B_TOP, _B_MAX, _T_MAX = range(N_LEVELS, 17)


def qrs_layout(sfreq: float, blinding: int, healing: int) -> np.ndarray:
    """Compute the detector's constants.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    blinding : int
        Reasons that blind the detector.
    healing : int
        Reason that makes a blinded channel good again.

    Returns
    -------
    array of shape (15,), int64
        See the table of this file.
    """
    times = [max(round(s * sfreq), 1) for s in _SECONDS]
    return np.array([*times, blinding, healing], np.int64)


def qrs_state(sfreq: float, levels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Create the state of a new detector.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    levels : array of shape (N_LEVELS,) or None
        Levels to begin with; None learns them.

    Returns
    -------
    integers : array of shape (11,), int64
        See the table of this file.
    numbers : array of shape (17 + 5 * 512,), float64
        See the table; the levels come first.
    """
    integers = np.zeros(_N_INTEGERS, np.int64)
    # as if the last T wave were just over: the first beat is neither suppressed nor overdue
    integers[_LAST] = -round(_SECONDS[_B_AFTER] * sfreq)
    integers[_B_AT] = -round(_SECONDS[_REFRACTORY] * sfreq) - 1
    integers[[_START, _B_START]] = -1
    integers[[_AUDITED, _T_SEEN]] = 1
    numbers = np.zeros(_N_NUMBERS + _N_HISTORIES * _RING)
    numbers[_INTERVAL], numbers[_POLARITY] = sfreq, 1.0
    if levels is not None:
        numbers[:N_LEVELS] = levels
        integers[_LEARNED] = 1
        numbers[_UPS if levels[_POLARITY] > 0 else _DOWNS] = levels[_BEAT]
    return integers, numbers


@njit(**KERNEL)
def qrs_detect(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    index: int,
    source: tuple[np.ndarray, np.ndarray],
    layout: np.ndarray,
    integers: np.ndarray,
    numbers: np.ndarray,
    beats: np.ndarray,
) -> None:
    """Detect R peaks.

    The source is ``x[:, picks] @ weights``. A sample is ignored if it is blinded, or if more than a
    quarter of the weights are on blinded channels. A peak less than the refractory time after the
    last one replaces it.

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
    source : tuple of arrays of shape (n_picks,), (n_picks,)
        Picks, and their weights, whose sizes add up to 1.
    layout : array of shape (15,), int64
        From `qrs_layout`.
    integers : array of shape (11,), int64
        From `qrs_state`; updated.
    numbers : array of shape (17 + 5 * 512,), float64
        From `qrs_state`; updated.
    beats : array of shape (n,), int64
        Written: absolute index of the R peak that each sample decided, or -1.
    """
    picks, weights = source
    history = numbers[_N_NUMBERS:].reshape(_N_HISTORIES, _RING)
    for t in range(len(x)):
        value, lost = weighted(
            x[t], channel_flags[t], picks, weights, layout[_BLINDING], layout[_HEALING]
        )
        count = integers[_COUNT]
        integers[_COUNT] += 1
        if count == 0:
            history[:] = value
        history[0, count & (_RING - 1)] = value
        h = _sharpen(history, 1, count, layout[_MEAN], layout[_LAG])
        g = _sharpen(history, 3, count, layout[_B_MEAN], layout[_B_LAG])
        if flags[t] & layout[_BLINDING] or lost > _LOST:
            # the filters cannot be trusted until they hold none of this sample
            integers[_BLIND] = count + layout[_B_MEAN] + 2 * layout[_B_LAG]
        beats[t] = -1
        if count < integers[_BLIND]:
            integers[_START] = integers[_B_START] = -1
            integers[_AUDITED] = integers[_T_SEEN] = 1
        elif integers[_LEARNED] == 0:
            _learn(h, g, count, layout, integers, numbers)
        else:
            back = _look(h, count, layout, integers, numbers)
            broad = _look_broad(g, count, layout, integers, numbers)
            back = broad if back < 0 else back
            if back >= 0:
                beats[t] = index + t - back


@njit(**KERNEL, inline="always")
def _sharpen(history: np.ndarray, row: int, count: int, n_mean: int, lag: int) -> float:
    """Smooth `history[0]` over `n_mean` samples; return minus its second difference over `lag`.

    Row `row` of the history keeps the means, the next row the sums.
    """
    at = count & (_RING - 1)
    if count & (_ANEW - 1):
        total = history[row + 1, (count - 1) & (_RING - 1)]
        total += history[0, at] - history[0, (count - n_mean) & (_RING - 1)]
    else:  # compute afresh now and then, or rounding errors would add up
        total = 0.0
        for k in range(n_mean):
            total += history[0, (count - k) & (_RING - 1)]
    mean = total / n_mean
    history[row + 1, at], history[row, at] = total, mean
    middle = history[row, (count - lag) & (_RING - 1)]
    return 2.0 * middle - mean - history[row, (count - 2 * lag) & (_RING - 1)]


@njit(**KERNEL, inline="always")
def _learn(
    h: float, g: float, count: int, layout: np.ndarray, integers: np.ndarray, numbers: np.ndarray
) -> None:
    """Learn the levels from the first two seconds."""
    numbers[_UPS] = max(numbers[_UPS], h)
    numbers[_DOWNS] = max(numbers[_DOWNS], -h)
    numbers[_B_BEAT] = max(numbers[_B_BEAT], abs(g))
    integers[_AT] += 1
    numbers[_NOISE] += (abs(h) - numbers[_NOISE]) / integers[_AT]
    if integers[_AT] >= layout[_LEARN]:
        numbers[_POLARITY] = 1.0 if numbers[_UPS] >= numbers[_DOWNS] else -1.0
        numbers[_BEAT] = max(numbers[_UPS], numbers[_DOWNS])
        numbers[_NOISE] = min(numbers[_NOISE], 0.1 * numbers[_BEAT])
        numbers[_B_T], numbers[_B_NOISE] = numbers[_B_BEAT], 0.05 * numbers[_B_BEAT]
        integers[_LAST] = count
        integers[_LEARNED] = 1


@njit(**KERNEL, inline="always")
def _look(
    h: float, count: int, layout: np.ndarray, integers: np.ndarray, numbers: np.ndarray
) -> int:
    """Run the sharp look: samples since the R peak that this sample decides, or -1."""
    since = count - integers[_LAST]
    size = abs(h)
    if integers[_AUDITED] == 0:
        numbers[_UP] = max(numbers[_UP], h)
        numbers[_DOWN] = max(numbers[_DOWN], -h)
        if since >= layout[_AUDIT]:
            _audit(integers, numbers)
    threshold = _threshold(since, layout, numbers)
    if integers[_START] < 0:
        if size <= threshold:
            if since > layout[_AUDIT]:
                numbers[_NOISE] += (size - numbers[_NOISE]) / layout[_NOISE_TIME]
            return -1
        integers[_START] = count
        numbers[_TOP] = numbers[_OTHER] = 0.0
    signed = h * numbers[_POLARITY]
    if signed > numbers[_TOP]:
        numbers[_TOP], integers[_AT] = signed, count
    if -signed > numbers[_OTHER]:
        numbers[_OTHER], integers[_OTHER_AT] = -signed, count
    if numbers[_TOP] > threshold:
        if signed > _FALLEN * numbers[_TOP]:
            return -1
        at, height = integers[_AT], numbers[_TOP]
    elif count - integers[_START] >= layout[_PATIENCE]:
        at, height = integers[_OTHER_AT], numbers[_OTHER]
    else:
        return -1
    integers[_START] = -1
    if since > layout[_REFRACTORY]:
        gap = min(max(since, 0.5 * numbers[_INTERVAL]), 1.5 * numbers[_INTERVAL])
        numbers[_INTERVAL] += 0.125 * (gap - numbers[_INTERVAL])
    integers[_LAST], integers[_AUDITED], integers[_T_SEEN] = at, 0, 0
    numbers[_B_MAX] = numbers[_T_MAX] = 0.0
    numbers[_SIZE] = height
    numbers[_UP] = numbers[_TOP] if numbers[_POLARITY] > 0 else numbers[_OTHER]
    numbers[_DOWN] = numbers[_OTHER] if numbers[_POLARITY] > 0 else numbers[_TOP]
    return count - at + layout[_LAG] + (layout[_MEAN] - 1) // 2


@njit(**KERNEL, inline="always")
def _threshold(since: int, layout: np.ndarray, numbers: np.ndarray) -> float:
    """Level that a peak must exceed `since` samples after the last beat."""
    if since <= layout[_REFRACTORY]:
        return _AGAIN * max(numbers[_SIZE], _SHARE * numbers[_BEAT])
    share = _T_SHARE if since < layout[_T_WAVE] else _SHARE
    overdue = since - _OVERDUE * numbers[_INTERVAL]
    if overdue > 0:
        share = max(share * math.exp2(-overdue / layout[_HALVING]), _LEAST_SHARE)
    return max(share * numbers[_BEAT], _NOISE_FACTOR * numbers[_NOISE])


@njit(**KERNEL, inline="always")
def _audit(integers: np.ndarray, numbers: np.ndarray) -> None:
    """Move the levels towards the last beat, now that all of it was seen."""
    integers[_AUDITED] = 1
    size = max(numbers[_UP], numbers[_DOWN])
    sudden = size < _SHARE * numbers[_BEAT] or size > 2.0 * numbers[_BEAT]
    weight = 0.4 if sudden else 0.125
    numbers[_BEAT] += weight * (min(size, 2.0 * numbers[_BEAT]) - numbers[_BEAT])
    numbers[_B_BEAT] += weight * (min(numbers[_B_MAX], 2.0 * numbers[_B_BEAT]) - numbers[_B_BEAT])
    numbers[_UPS] += 0.25 * (numbers[_UP] - numbers[_UPS])
    numbers[_DOWNS] += 0.25 * (numbers[_DOWN] - numbers[_DOWNS])
    ahead, behind = (_UPS, _DOWNS) if numbers[_POLARITY] > 0 else (_DOWNS, _UPS)
    if numbers[behind] > 1.3 * numbers[ahead]:
        numbers[_POLARITY] = -numbers[_POLARITY]


@njit(**KERNEL, inline="always")
def _look_broad(
    g: float, count: int, layout: np.ndarray, integers: np.ndarray, numbers: np.ndarray
) -> int:
    """Run the broad look: samples since the R peak that this sample decides, or -1."""
    since, size = count - integers[_LAST], abs(g)
    if integers[_AUDITED] == 0:
        numbers[_B_MAX] = max(numbers[_B_MAX], size)
    if integers[_T_SEEN] == 0:
        if since >= layout[_B_AFTER]:
            integers[_T_SEEN] = 1
            numbers[_B_T] += 0.125 * (min(numbers[_T_MAX], numbers[_B_BEAT]) - numbers[_B_T])
        elif since > layout[_AUDIT] + layout[_PATIENCE]:
            numbers[_T_MAX] = max(numbers[_T_MAX], size)
    if integers[_B_START] < 0:
        threshold = max(_BROAD_SHARE * numbers[_B_BEAT], _BROAD_T * numbers[_B_T])
        rests = count - integers[_B_AT] <= layout[_REFRACTORY]
        if rests or size <= max(threshold, _BROAD_NOISE * numbers[_B_NOISE]):
            if since > layout[_B_AFTER]:
                numbers[_B_NOISE] += (
                    min(size, 0.3 * numbers[_B_BEAT]) - numbers[_B_NOISE]
                ) / layout[_NOISE_TIME]
            return -1
        integers[_B_START] = count
        numbers[_B_TOP] = 0.0
    same_side = g * numbers[_B_TOP] > 0.0
    if size > (1.0 if same_side else _BROAD_OTHER) * abs(numbers[_B_TOP]):
        numbers[_B_TOP], integers[_B_AT] = g, count
    if count - integers[_B_AT] < layout[_B_WAIT]:
        return -1
    integers[_B_START] = -1
    later = layout[_B_LAG] + (layout[_B_MEAN] - 1) // 2 - layout[_LAG] - (layout[_MEAN] - 1) // 2
    at = integers[_B_AT] - later  # where the sharp look would have seen this beat
    apart = at - integers[_LAST]
    if apart <= layout[_REFRACTORY]:
        # the sharp look has found it already, unless all it met was a notch of a broad beat
        if abs(apart) < layout[_LAG] or numbers[_SIZE] > _NOTCH * numbers[_BEAT]:
            return -1
    elif apart < layout[_B_AFTER] - layout[_PATIENCE]:
        return -1
    integers[_LAST], integers[_START], integers[_T_SEEN] = at, -1, 1
    numbers[_SIZE] = numbers[_BEAT]
    return count - at + layout[_LAG] + (layout[_MEAN] - 1) // 2
