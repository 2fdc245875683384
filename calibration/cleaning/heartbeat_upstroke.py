"""Find whether beats can be told by their upstroke, before the R peak.

For `calibration.cleaning.heartbeat`; `rt_decoder.cleaning.qrs.Upstroke` tells them live.
"""

from __future__ import annotations

import numpy as np

from calibration.cleaning.heartbeat_source import Source
from rt_decoder.cleaning.qrs import LEADS, Upstroke, steepness
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo

__all__ = ["find_upstroke"]

_SPAN = (-0.08, 0.04)  # s around the R peak, in which the upstroke is looked for
_TOLD, _FALSE = 0.9, 0.05  # least share of beats that are told; most that are told and are none
_SHARES = 0.35, 0.5, 0.65  # of the usual slope, the earliest first
_EXACT = 0.008  # s: so far from its R peak may be what is told, nine times in ten


def find_upstroke(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, source: Source
) -> tuple[np.ndarray | None, str]:
    """Find how steep upstrokes are and how long before the R peak they come.

    Parameters
    ----------
    data : array of shape (n, n_channels), float64
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    source : Source
        Where the beats are seen.

    Returns
    -------
    upstroke : array of shape (3,) or None
        Of `Upstroke`; None if they tell fewer than nine beats in ten, within 8 ms of the R peak, or
        more than one in twenty that is none.
    said : str
        When they are told, or why they are not used.
    """
    slope = steepness(data, info, source.weights)
    start, stop = (round(t * info.sfreq) for t in _SPAN)
    peaks = source.beats.peaks
    inside = peaks[(peaks + start >= 0) & (peaks + stop < len(data))]
    around = np.array([slope[peak + start : peak + stop] for peak in inside.tolist()])
    if len(around) == 0:
        return None, "too few beats"
    usual = float(np.median(around.max(axis=1)))
    said = "no steep upstroke"
    for share in _SHARES:
        at = start + int(np.median(np.argmax(around > share * usual, axis=1)))
        lead = -at / info.sfreq
        if usual <= 0.0 or not LEADS[0] <= lead <= LEADS[1]:
            continue
        upstroke = np.array([usual, share, lead])
        told = _told(data, info, bad, source, upstroke)
        right, wrong = _right_and_wrong(told, peaks, inside, _EXACT * info.sfreq)
        if right >= _TOLD and wrong <= _FALSE:
            return upstroke, f"{1e3 * lead:.0f} ms before the R peak"
        said = f"tells {100 * right:.0f} % of the beats, and {100 * wrong:.0f} % that are none"
    return None, said


def _told(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, source: Source, upstroke: np.ndarray
) -> np.ndarray:
    """Run the live detector; return where R peaks are expected, (n_told,) int64."""
    n = len(data)
    flags = np.where(bad, FLAGS(Reason.HELD), FLAGS(0)).astype(FLAGS)
    chunk = Chunk(data, np.arange(n) / info.sfreq, 0, flags, np.zeros(data.shape, FLAGS))
    decided = np.full(n, -1, np.int64)
    decided[source.beats.decided] = source.beats.peaks
    told = Upstroke(info, source.weights, upstroke).process(chunk, decided)
    return told[told >= 0]


def _right_and_wrong(
    told: np.ndarray, peaks: np.ndarray, inside: np.ndarray, exact: float
) -> tuple[float, float]:
    """Share of the peaks that are told, and what is told wrongly, as a share of all peaks."""
    if len(told) == 0:
        return 0.0, 0.0
    missed = [np.abs(told - peak).min() > exact for peak in inside.tolist()]
    false = [np.abs(peaks - one).min() > exact for one in told.tolist()]
    return 1.0 - float(np.mean(missed)), float(np.sum(false)) / len(peaks)
