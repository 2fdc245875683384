"""Heartbeat template: subtract what follows every beat but no ECG lead explains, as the pulse.

Fitted by `calibration.cleaning.heartbeat`; comes after the regression on the ECG. Leave it out to
study the brain's response to heartbeats.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.cleaning.arguments import bound, numbers
from rt_decoder.cleaning.qrs import REFRACTORY, QrsDetector, Upstroke
from rt_decoder.cleaning.stage import SAMPLES, Calls, KernelStage
from rt_decoder.kernels import heartbeat as kernel
from rt_decoder.kernels.heartbeat import heartbeat_subtract
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.qrs import N_LEVELS
from rt_decoder.settings import read
from rt_decoder.signal import BAD, DATA_TYPES, FLAGS, Reason, SignalInfo

__all__ = ["HeartbeatTemplate"]

_RISE, _FADE, _PATIENCE = (
    0.016,
    0.1,
    0.06,
)  # s: smooth start when a beat is decided, smooth end of the template; see the class
_BASELINE, _TURN = 1.5, 0.5  # s, of the slow mean; in which the share of the session's own moves
_LEARNING_RATE = 250.0  # Hz: heartbeats hold no faster detail
_MARK = 0.1  # of the template's largest size: samples below it are not flagged
_N_BEATS = 8  # remembered: 0.8 s of template span 3 beats at 180 per minute, 8 with false ones
_NEVER = -(1 << 40)
_AT_FIRST = 0.7  # share of a watched template that is there, as long as nothing is known
_SILENT = 5.0  # s without a beat
_N_AVERAGED = bound(0.0)
_REASONS = int(BAD), int(Reason.HEARTBEAT)


class HeartbeatTemplate(KernelStage):
    """Subtracts a template locked to the R peak from the data channels.

    The template is ``courses @ maps``. It is subtracted from the moment the beat is decided, some
    35 ms after the R peak; or from the moment the beat is told by its upstroke, some
    15 ms before the R peak, for the QRS complex itself. What comes earlier would need look-ahead.
    A beat that is told but not decided within 60 ms after its R peak is faded out, and so is an R
    peak that turns out to be false within 0.2 s. If beats are closer together than the template is
    long, their templates add up. On good samples the courses follow the signal's components
    ``x @ filters.T``: their mean over the beats of the session, but no more of its difference from
    calibration than stands out of noise, each component by itself (empirical Bayes), a share that
    moves over some five beats. The maps stay fixed. A missed or false beat does no more harm than the
    size of the template.

    If `watched`, the template is subtracted only while the data hold it. It helps where more than
    half of it is there: evidence that less is, as where beats come from noise or from another
    person's ECG, adds up to doubt and fades it out (log likelihood ratio 2 to 3.5). Evidence for it
    only takes doubt away.

    Parameters
    ----------
    info : SignalInfo
        Of the signal, data channels first; unchanged by the stage.
    source : array of shape (n_channels,)
        Combination of channels in which beats are detected: a single 1 for an ECG channel.
    maps : array of shape (rank, n_data)
        How each component shows in the data channels.
    filters : array of shape (rank, n_data)
        How each component is measured from the data channels, at unit variance without heartbeats.
    courses : array of shape (n_template, rank)
        Course of each component, from the R peak or, if it comes earlier, the upstroke on.
    levels : array of shape (7,), (10,) or None
        Levels of the beat detector, from calibration; None learns them in the first 2 s. Then
        three of the upstroke, see `rt_decoder.cleaning.qrs.Upstroke`; without these, nothing is
        subtracted until beats are decided.
    n_beats : float
        Beats in the session's mean, at least 1: so many are remembered. 0 keeps the calibrated
        template.
    watched : array of shape (2,) or None
        Mean square of the template in calibration, and time constant of the running mean in s;
        None watches nothing.

    Attributes
    ----------
    names : tuple of str
        The ECG channel in which beats are detected, or "heartbeat" for a mix of channels.
    template : array of shape (n_template, n_data)
        As learned so far.
    delay, settling : float
        0 s.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite or data channels do not come first.
    """

    delay = 0.0
    settling = 0.0

    notes = True

    def __init__(
        self,
        info: SignalInfo,
        source: np.ndarray,
        maps: np.ndarray,
        filters: np.ndarray,
        courses: np.ndarray,
        levels: np.ndarray | None = None,
        n_beats: float = 300.0,
        watched: np.ndarray | None = None,
    ) -> None:
        self.info = info
        n_data = _n_data(info)
        maps = numbers("maps", maps, (None, n_data))
        filters = numbers("filters", filters, maps.shape)
        courses = numbers("courses", courses, (None, len(maps)))
        if not (len(maps) and len(courses)):
            raise ValueError(f"need maps and courses that are not empty, got {courses.shape}")
        n_beats = read("n_beats", n_beats, _N_AVERAGED)
        if 0.0 < n_beats < 1.0:
            raise ValueError(f"need n_beats of at least 1, or 0 to learn nothing, got {n_beats:g}")
        watched = numbers("watched", np.zeros(2) if watched is None else watched, (2,), 0.0)
        self._levels, upstroke = _parted(levels)
        self._detector = QrsDetector(info, source, self._levels)
        self._upstroke = Upstroke(info, source, upstroke)
        rank, share = len(maps), np.abs(filters).sum(axis=0)
        self._space = np.vstack([maps, filters, share / max(share.sum(), 1e-300), 0.0 * share])
        self._courses = np.column_stack(
            [courses, *_weights(info, courses @ maps), np.zeros(courses.shape)]
        )
        n_rise = max(round(_RISE * info.sfreq), 1)
        self._rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, n_rise + 1) / (n_rise + 1))
        stride = max(round(info.sfreq / _LEARNING_RATE), 1)
        self._start, self._state = np.zeros((8, rank + 6)), np.zeros((8, rank + 6))
        self._start[0, rank + 2 : rank + 4] = stride / max(_BASELINE * info.sfreq, 1.0), n_beats
        self._start[0, rank + 5] = 1.0 - float(np.exp(-1.0 / (_TURN * info.sfreq)))
        self._start[kernel.TRUST, :5] = _trust(watched, info.sfreq / stride)
        self.names = (_name(info, source),)
        self._beats = np.full((1 + _N_BEATS, 7), _NEVER, np.int64)
        before = max(self._upstroke.lead, 0)
        refractory, patience = (round(s * info.sfreq) for s in (REFRACTORY, _PATIENCE))
        self._beats[0] = *_REASONS, refractory, stride, int(Reason.REPAIRED), before, patience
        self._data = Rows((info.n_channels,), np.float64)
        self._flags = Rows((), FLAGS)
        self.reset()

    @property
    def template(self) -> np.ndarray:
        """Template that is subtracted after a beat, (n_template, n_data)."""
        rank = len(self._space) // 2 - 1
        given = self._state[kernel.GIVEN, :rank]
        return (self._courses[:, :rank] + given * self._courses[:, rank + 2 :]) @ self._space[:rank]

    @property
    def agreement(self) -> np.ndarray:
        """How much of the template is there, (1,); 0 if no beat was seen for 5 s."""
        floor = 1e-300 + 0.02 * self._start[kernel.TRUST, kernel.USUAL]
        trust = self._state[kernel.TRUST]
        share = (trust[kernel.FOUND] + floor) / (trust[kernel.SAID] + floor)
        seen = self._now - int(self._beats[1:, 1].max())
        silent = self._now > _SILENT * self.info.sfreq and seen > _SILENT * self.info.sfreq
        return np.array([0.0 if silent else min(max(share, -9.0), 9.0)])

    @property
    def size(self) -> float:
        """Size of beats in the source, over that in calibration."""
        if self._levels is None or self._levels[0] <= 0.0:
            return 1.0
        return float(self._detector.levels[0] / self._levels[0])

    def calls(self, n: int) -> Calls:
        """Subtract the template after every beat, and learn from the remainder."""
        data, flags = self._data.take(n), self._flags.take(n)
        detect, peaks = self._detector.call(n)
        expect, told = self._upstroke.call(n, peaks)
        arguments = (
            *SAMPLES, peaks, told, self._space,
            self._courses, self._rise, self._state, self._beats, data, flags,
        )  # fmt: skip
        return Calls((detect, expect, (heartbeat_subtract, arguments)), data, flags)

    def done(self, _calls: Calls, stop: int, _changed: bool) -> None:
        """Keep the time.

        Parameters
        ----------
        _calls : Calls
        stop : int
        _changed : bool
            As of `KernelStage.done`.
        """
        self._now = stop

    def reset(self) -> None:
        """Restore the calibrated template and levels; forget the beats."""
        self._detector.reset()
        self._upstroke.reset()
        self._courses[:, len(self._space) // 2 + 1 :] = 0.0
        self._state[:] = self._start
        self._beats[1:] = _NEVER
        self._now = 0


def _name(info: SignalInfo, source: np.ndarray) -> str:
    picks = np.flatnonzero(source)
    is_ecg = len(picks) == 1 and info.ch_types[picks[0]] == "ecg"
    return info.ch_names[picks[0]] if is_ecg else "heartbeat"


def _parted(levels: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Part levels into those of the detector and those of the upstroke."""
    if levels is None:
        return None, None
    parts = numbers("levels", levels, (None,))
    return parts[:N_LEVELS].copy(), parts[N_LEVELS:].copy() if len(parts) > N_LEVELS else None


def _trust(watched: np.ndarray, rate: float) -> tuple[float, ...]:
    """Compute how a template is watched to begin with, (5,); `rate` samples are looked at a second."""
    usual, seconds = watched.tolist()
    share = 1.0 - float(np.exp(-1.0 / (max(seconds, 1e-3) * rate))) if usual * seconds > 0 else 0.0
    return 1.0, _AT_FIRST * usual, usual, share, usual


def _weights(info: SignalInfo, template: np.ndarray) -> np.ndarray:
    """Weight of each sample of the template and whether it is worth a flag, (2, n_template)."""
    n = len(template)
    n_fade = min(max(round(_FADE * info.sfreq), 1), n)
    weights = np.ones((2, n))
    down = np.arange(1, n_fade + 1) / (n_fade + 1)
    weights[0, n - n_fade :] = 0.5 + 0.5 * np.cos(np.pi * down)
    # by channel type, each in units of its own size: V and T cannot be compared
    kinds = np.array(info.ch_types[: template.shape[1]])
    size = np.zeros(n)
    for kind in set(kinds.tolist()):
        part = np.sqrt(np.mean(template[:, kinds == kind] ** 2, axis=1))
        size = np.maximum(size, part / max(part.max(), 1e-300))
    weights[1] = size >= _MARK
    return weights


def _n_data(info: SignalInfo) -> int:
    is_data = [kind in DATA_TYPES for kind in info.ch_types]
    n_data = sum(is_data)
    if n_data == 0 or not all(is_data[:n_data]):
        raise ValueError(
            "need data channels before all others, got types " + " ".join(info.ch_types)
        )
    return n_data
