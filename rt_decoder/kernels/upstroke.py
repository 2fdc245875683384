"""Tell a heartbeat by its upstroke, some 15 ms before the R peak; the detector decides 50 ms later.

The slope is the change of the source within 20 ms. It passes a share of its usual largest size
nowhere but in a QRS complex, and there always equally long before the R peak.

============  =======  =====================================================================
layout        unit     meaning
============  =======  =====================================================================
_LAG          samples  over which the slope is taken
_QUIET        samples  after an R peak in which no beat is expected
_LEAD         samples  from the upstroke to the R peak
_BLINDING     bits     reasons that blind this detector
_HEALING      bits     reason that makes a blinded channel good again
============  =======  =====================================================================

============  =======  =====================================================================
state         unit     meaning
============  =======  =====================================================================
_COUNT        samples  seen
_LAST         count    of the last R peak
_TOLD         count    where a beat was told that is not decided yet, or _NEVER
_BLIND        count    before which the slope cannot be trusted
_USUAL        source   usual largest slope of a beat
_SHARE                 share of it that tells a beat
_TOP          source   largest slope since the last beat
_HISTORY      source   from here on, 256 past values
============  =======  =====================================================================
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit
from rt_decoder.kernels.weighted import weighted

__all__ = ["upstroke_detect", "upstroke_layout", "upstroke_slope", "upstroke_state"]

_SECONDS = 0.02, 0.25  # lag and quiet
_RING = 256  # samples of history; a power of two
_LOST = 0.25  # share of the source's weights: with more on blinded channels it is ignored
_NEVER = -(1 << 40)
_LAG, _QUIET, _LEAD, _BLINDING, _HEALING = range(5)
_COUNT, _LAST, _TOLD, _BLIND = range(4)
_USUAL, _SHARE, _TOP, _HISTORY = range(4)


def upstroke_layout(sfreq: float, lead: int, blinding: int, healing: int) -> np.ndarray:
    """Compute the constants.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    lead : int
        Samples from the upstroke to the R peak.
    blinding, healing : int
        Reasons that blind the detector, and the one that makes a blinded channel good again.

    Returns
    -------
    array of shape (5,), int64
        See the table of this file.
    """
    lag, quiet = (max(round(s * sfreq), 1) for s in _SECONDS)
    return np.array([min(lag, _RING - 1), quiet, lead, blinding, healing], np.int64)


def upstroke_state(usual: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Create the state of a new detector.

    Parameters
    ----------
    usual : float
        Usual largest slope of a beat.
    share : float
        Share of it that tells a beat.

    Returns
    -------
    integers : array of shape (4,), int64
        See the table of this file.
    numbers : array of shape (3 + 256,), float64
        See the table; the history of the source comes last.
    """
    numbers = np.zeros(_HISTORY + _RING)
    numbers[_USUAL], numbers[_SHARE] = usual, share
    return np.array([0, _NEVER, _NEVER, 0], np.int64), numbers


def upstroke_slope(source: np.ndarray, sfreq: float) -> np.ndarray:
    """Compute the size of the slope of a whole recording, as the kernel does.

    Parameters
    ----------
    source : array of shape (n,)
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n,)
    """
    lag = int(upstroke_layout(sfreq, 0, 0, 0)[_LAG])
    before = np.concatenate([np.repeat(source[:1], lag), source[:-lag]])[: len(source)]
    return np.abs(source - before)


@njit(**KERNEL)
def upstroke_detect(
    x: np.ndarray,
    flags: np.ndarray,
    channel_flags: np.ndarray,
    index: int,
    source: tuple[np.ndarray, np.ndarray],
    layout: np.ndarray,
    integers: np.ndarray,
    numbers: np.ndarray,
    peaks: np.ndarray,
    told: np.ndarray,
) -> None:
    """Tell beats by their upstroke.

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
    layout : array of shape (5,), int64
        From `upstroke_layout`.
    integers : array of shape (4,), int64
        From `upstroke_state`; updated.
    numbers : array of shape (3 + 256,), float64
        From `upstroke_state`; updated.
    peaks : array of shape (n,), int64
        Absolute index of the R peak that the detector decided at each sample, or -1.
    told : array of shape (n,), int64
        Written: absolute index where an R peak is expected, told by each sample, or -1.
    """
    picks, weights = source
    history = numbers[_HISTORY:]
    for t in range(len(x)):
        value, lost = weighted(
            x[t], channel_flags[t], picks, weights, layout[_BLINDING], layout[_HEALING]
        )
        count = integers[_COUNT]
        integers[_COUNT] += 1
        if count == 0:
            history[:] = value
        history[count & (_RING - 1)] = value
        slope = abs(value - history[(count - layout[_LAG]) & (_RING - 1)])
        if flags[t] & layout[_BLINDING] or lost > _LOST:
            integers[_BLIND] = count + layout[_LAG] + 1
        told[t] = -1
        if peaks[t] >= 0:
            integers[_LAST], integers[_TOLD] = count - (index + t - peaks[t]), _NEVER
            _follow(numbers)
        elif count < integers[_BLIND]:
            numbers[_TOP] = 0.0
        elif count - integers[_LAST] > layout[_QUIET]:
            if slope > numbers[_TOP]:
                numbers[_TOP] = slope
            pending = count - integers[_TOLD] <= layout[_QUIET]
            if slope > numbers[_SHARE] * numbers[_USUAL] and not pending:
                integers[_TOLD] = count
                told[t] = index + t + layout[_LEAD]


@njit(**KERNEL, inline="always")
def _follow(numbers: np.ndarray) -> None:
    """Move the usual slope towards that of the beat that was decided."""
    top, usual = numbers[_TOP], numbers[_USUAL]
    if top > 0.0:
        weight = 0.4 if top < 0.5 * usual or top > 2.0 * usual else 0.125
        numbers[_USUAL] += weight * (min(top, 2.0 * usual) - usual)
    numbers[_TOP] = 0.0
