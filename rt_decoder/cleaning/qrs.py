"""Detect heartbeats live, in an ECG or in any linear combination of channels.

Only `heartbeat` knows what is done about them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rt_decoder.cleaning.arguments import SMALLEST, numbers
from rt_decoder.cleaning.stage import SAMPLES, Call, run
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.qrs import N_LEVELS, qrs_detect, qrs_layout, qrs_state
from rt_decoder.kernels.upstroke import (
    upstroke_detect,
    upstroke_layout,
    upstroke_slope,
    upstroke_state,
)
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo

__all__ = [
    "LEADS",
    "N_LEVELS",
    "REFRACTORY",
    "Beats",
    "QrsDetector",
    "Upstroke",
    "find_beats",
    "steepness",
]

REFRACTORY = 0.2  # s: of two R peaks closer than this the later one counts
_NEVER = 1.0, float("inf"), 0.0  # of an upstroke: nothing is so steep
LEADS = -0.02, 0.06  # s from an upstroke to its R peak
# a QRS may look like a jump or a rail, and pauses between may be flat: these do not blind
_BLINDING = Reason.NONFINITE | Reason.GAP | Reason.HELD | Reason.BAD_CHANNEL | Reason.REFERENCE_LOST


class Beats(NamedTuple):
    """Heartbeats of a recording, as absolute sample indices."""

    peaks: np.ndarray  # (n,) int64, of the R peaks
    decided: np.ndarray  # (n,) int64, the samples that decided them


class QrsDetector:
    """Finds R peaks some 35 ms after they occur, and broad ectopic beats some 140 ms after.

    Polarity and gain of the source do not matter and may change. Without `levels` the first 2 s
    teach them, and no beats are found there. Behind a causal band-pass, peaks come with its delay.

    Parameters
    ----------
    info : SignalInfo
        Of the signal.
    weights : array of shape (n_channels,)
        The source is this combination of the channels: one 1 and zeros for an ECG channel.
    levels : array of shape (7,) or None
        Levels that a detector learned in calibration with the same `weights`.

    Raises
    ------
    ValueError
        If `weights` or `levels` have another shape or are not finite, or all weights are 0.

    References
    ----------
    Pan & Tompkins (1985), IEEE Trans. Biomed. Eng. 32:230, doi:10.1109/TBME.1985.325532
    """

    def __init__(
        self, info: SignalInfo, weights: np.ndarray, levels: np.ndarray | None = None
    ) -> None:
        self.info = info
        self._source = _source_picks(info, weights)
        self._start = _check_levels(levels)
        self._layout = qrs_layout(info.sfreq, int(_BLINDING), int(Reason.REPAIRED))
        self._peaks = Rows((), np.int64)
        self._state = qrs_state(info.sfreq, self._start)

    @property
    def levels(self) -> np.ndarray:
        """Levels learned so far, (7,)."""
        return self._state[1][:N_LEVELS].copy()

    def call(self, n: int) -> tuple[Call, np.ndarray]:
        """Return what `process` calls.

        Parameters
        ----------
        n : int
            Samples.

        Returns
        -------
        call : Call
            Kernel and arguments.
        peaks : array of shape (n,), int64
            Written by it; see `process`.
        """
        peaks = self._peaks.take(n)
        arguments = *SAMPLES, self._source, self._layout, *self._state, peaks
        return (qrs_detect, arguments), peaks

    def process(self, chunk: Chunk) -> np.ndarray:
        """Return the absolute index of the R peak that each sample decided, (n,) int64, or -1."""
        one, peaks = self.call(len(chunk.data))
        run(one, chunk)
        return peaks

    def reset(self) -> None:
        """Forget all but the calibrated levels."""
        for mine, first in zip(self._state, qrs_state(self.info.sfreq, self._start), strict=True):
            mine[:] = first


class Upstroke:
    """Expects R peaks some 15 ms before they occur, where the source is as steep as in a beat.

    The size of the slope follows the beats that are decided, so a gain that changes does not matter
    for long. What is told may be wrong: at most one beat every 250 ms.

    Parameters
    ----------
    info : SignalInfo
        Of the signal.
    weights : array of shape (n_channels,)
        The source is this combination of the channels.
    upstroke : array of shape (3,) or None
        Usual largest change of the source within 20 ms; share of it that tells a beat, below 1;
        time in s from there to the R peak, -.02 to .06. None expects nothing.

    Raises
    ------
    ValueError
        If `weights` or `upstroke` have another shape, are not finite or out of range.
    """

    def __init__(self, info: SignalInfo, weights: np.ndarray, upstroke: np.ndarray | None) -> None:
        usual, share, lead = _NEVER
        if upstroke is not None:
            usual, share, lead = numbers("upstroke", upstroke, (3,)).tolist()
        limited = share < 1.0 or upstroke is None
        if not (usual > 0.0 and share > 0.0 and limited and LEADS[0] <= lead <= LEADS[1]):
            raise ValueError(
                "need upstroke of a size above 0, a share between 0 and 1 and a lead of "
                f"{LEADS[0]} to {LEADS[1]} s, got {usual:g}, {share:g} and {lead:g} s"
            )
        self._source = _source_picks(info, weights)
        self._start, self.lead = (usual, share), round(lead * info.sfreq)
        bits = int(_BLINDING), int(Reason.REPAIRED)
        self._layout = upstroke_layout(info.sfreq, self.lead, *bits)
        self._told = Rows((), np.int64)
        self._state = upstroke_state(*self._start)

    def call(self, n: int, peaks: np.ndarray) -> tuple[Call, np.ndarray]:
        """Return what `process` calls.

        Parameters
        ----------
        n : int
            Samples.
        peaks : array of shape (n,), int64
            As of `process`.

        Returns
        -------
        call : Call
            Kernel and arguments.
        told : array of shape (n,), int64
            Written by it; see `process`.
        """
        told = self._told.take(n)
        arguments = *SAMPLES, self._source, self._layout, *self._state, peaks, told
        return (upstroke_detect, arguments), told

    def process(self, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        """Return where an R peak is expected, (n,) int64, or -1; `peaks` are those decided."""
        one, told = self.call(len(chunk.data), peaks)
        run(one, chunk)
        return told

    def reset(self) -> None:
        """Restore the calibrated size."""
        for mine, first in zip(self._state, upstroke_state(*self._start), strict=True):
            mine[:] = first


def _source_picks(info: SignalInfo, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels that make up the source and their weights, whose sizes add up to 1."""
    weights = numbers("source", weights, (info.n_channels,))
    if np.abs(weights).sum() < SMALLEST:
        raise ValueError("need a source of weights that are not all 0, got nothing else")
    picks = np.flatnonzero(weights)
    return picks, weights[picks] / np.abs(weights).sum()


def _check_levels(levels: np.ndarray | None) -> np.ndarray | None:
    """Copy of calibrated levels."""
    if levels is None:
        return None
    return numbers("levels", levels, (N_LEVELS,)).copy()


def steepness(data: np.ndarray, info: SignalInfo, weights: np.ndarray) -> np.ndarray:
    """Compute how far the source moves within 20 ms, as `Upstroke` does.

    Parameters
    ----------
    data : array of shape (n, c)
        Recording.
    info : SignalInfo
        Of the signal.
    weights : array of shape (c,)
        The source is this combination of the channels.

    Returns
    -------
    array of shape (n,)
        Not negative.
    """
    picks, weights = _source_picks(info, weights)
    return upstroke_slope(data[:, picks] @ weights, info.sfreq)


def find_beats(
    data: np.ndarray,
    info: SignalInfo,
    weights: np.ndarray,
    bad: np.ndarray | None = None,
    levels: np.ndarray | None = None,
) -> tuple[Beats, np.ndarray]:
    """Run a `QrsDetector` over a recording.

    Without `levels` it runs twice, so that the first two seconds are not lost.

    Parameters
    ----------
    data : array of shape (n, c)
        Recording.
    info : SignalInfo
        Of the signal.
    weights : array of shape (c,)
        The source is this combination of the channels.
    bad : array of shape (n,), bool, or None
        Samples that count as held.
    levels : array of shape (7,) or None
        Levels to begin with; None learns them.

    Returns
    -------
    beats : Beats
        R peaks, and the samples that decided them.
    levels : array of shape (7,)
        Levels at the end.
    """
    n, c = data.shape
    flags = np.zeros(n, FLAGS)
    if bad is not None:
        flags[bad] = Reason.HELD
    chunk = Chunk(data, np.arange(n) / info.sfreq, 0, flags, np.zeros((n, c), FLAGS))
    if levels is None:
        first = QrsDetector(info, weights)
        first.process(chunk)
        levels = first.levels
    detector = QrsDetector(info, weights, levels)
    found = detector.process(chunk)
    decided = np.flatnonzero(found >= 0)
    peaks = found[decided]
    last = np.diff(peaks, append=n + info.sfreq) > round(REFRACTORY * info.sfreq)
    return Beats(peaks[last], decided[last]), detector.levels
