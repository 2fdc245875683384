"""Check that a reference is what its type says: an ECG shows beats, a belt breaths.

A dead lead, swapped leads or another kind of signal must not be fitted: by chance it explains a
little of the data, and live it may say anything.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from calibration.cleaning.heartbeat_source import beats_in, is_heart
from calibration.cleaning.words import share_text
from rt_decoder.counted import counted
from rt_decoder.signal import SignalInfo

__all__ = ["Shown", "shown", "shows_breath"]

_SLOW = 0.4  # s of smoothing that leaves a breath and little else
_SLOW_SHARE = 0.1  # least share of a belt's power that is slow; white noise to 40 Hz has .02
_BREATHS = 4.0, 70.0  # cycles a minute, of which some belts show two a breath
_PEAKY = 6.0  # largest kurtosis of a breath; blinks have more
_STEADY, _NEAR = 0.5, 0.5  # least share of cycles that are so near the median of those around


class Shown(NamedTuple):
    """What a reference shows."""

    is_kind: bool  # whether it is what its type says
    what: str  # in words
    size: float  # of the effect: beats over noise, or share of slow power
    peaks: np.ndarray  # (n,) int64 R peaks of an ECG, else empty


def shown(data: np.ndarray, info: SignalInfo, bad: np.ndarray, column: int) -> Shown:
    """Look at one reference.

    Parameters
    ----------
    data : array of shape (n, n_channels), float64
        A recording, filtered as in the session.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    column : int
        The reference.

    Returns
    -------
    Shown
        Types other than ecg and resp are always what they say.
    """
    kind, none = info.ch_types[column], np.empty(0, np.int64)
    if kind == "ecg":
        weights = np.zeros(info.n_channels)
        weights[column] = 1.0
        source = beats_in(data, info, bad, weights, info.ch_names[column])
        what = (
            f"{counted(len(source.beats.peaks), 'beat')}, {source.rate:.0f} a minute, "
            f"{share_text(source.regularity, 0)} of the intervals regular, {source.clarity:.1f} times the noise"
        )
        return Shown(is_heart(source), what, source.clarity, source.beats.peaks)
    if kind == "resp":
        good, what, share = shows_breath(data[:, column], info.sfreq, bad)
        return Shown(good, what, share, none)
    return Shown(True, "", 0.0, none)


def shows_breath(belt: np.ndarray, sfreq: float, bad: np.ndarray) -> tuple[bool, str, float]:
    """Whether a belt shows breaths: slow waves at the pace of breathing.

    Parameters
    ----------
    belt : array of shape (n,), float64
    sfreq : float
        Sampling rate in Hz.
    bad : array of shape (n,), bool
        Samples to leave out.

    Returns
    -------
    good : bool
    what : str
        What is seen, in words.
    share : float
        Share of its power that is slow.
    """
    if bad.all():
        return False, "no good sample", 0.0
    x = np.where(bad, 0.0, belt - belt[~bad].mean())
    length = max(round(_SLOW * sfreq), 1)
    slow = uniform_filter1d(uniform_filter1d(x, length), length)
    power = float(np.mean(x[~bad] ** 2))
    share = float(np.mean(slow[~bad] ** 2)) / max(power, 1e-300)
    size = np.sqrt(np.mean(slow[~bad] ** 2))
    ups, high = [], False
    side = (slow > 0.4 * size).astype(np.int8) - (slow < -0.4 * size)
    for t in np.flatnonzero(side).tolist():
        if side[t] > 0 and not high:
            ups.append(t)
        high = side[t] > 0
    gaps = np.array([b - a for a, b in pairwise(ups)]) / sfreq
    if len(gaps) < 4:
        return False, counted(len(ups), "breath"), share
    usual = np.array([np.median(gaps[max(i - 3, 0) : i + 4]) for i in range(len(gaps))])
    steady = float(np.mean(np.abs(gaps / usual - 1.0) < _NEAR))
    rate = 60.0 / float(np.median(gaps))
    peaky = float(np.mean(slow[~bad] ** 4)) / max(size**4, 1e-300)
    good = (
        share >= _SLOW_SHARE
        and peaky <= _PEAKY
        and steady >= _STEADY
        and _BREATHS[0] <= rate <= _BREATHS[1]
    )
    what = f"{counted(len(ups), 'breath')}, {rate:.0f} a minute, {share_text(steady, 0)} steady, {share_text(share, 0)} of it slow"
    return good, what, share
