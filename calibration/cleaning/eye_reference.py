"""Check that an EOG channel shows the eyes: what it shows when it moves, the data show as well.

Blinks and gaze reach most electrodes. A dead lead, a belt or another person's EOG moves when the
data do not; an ECG moves with beats. Such a channel would tell the wrong times.
"""

from __future__ import annotations

import numpy as np

from calibration.cleaning.eye_moves import look
from calibration.cleaning.heartbeat_source import beats_in, is_heart
from calibration.cleaning.reference_kind import shows_breath
from rt_decoder.counted import counted
from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["explained", "why_no_eog"]

_LEAST = 0.1  # share of its power, when it moves, that the data explain in the held-out half
_N_SHIFTED = 19  # copies, shifted in time, that it must beat
_RIDGE = 1e-2  # of the channels' mean power
_SHORTEST = 2.0  # s in which it moves
_NEAR, _MOST_BEATS = 0.1, 0.7  # s; share of movements that may come with beats
_SLOW = 0.6  # share of a breath's power that is slow; an EOG with much gaze has .43


def why_no_eog(data: np.ndarray, info: SignalInfo, bad: np.ndarray, column: int) -> str:
    """Return why a channel is no EOG, or an empty string.

    Parameters
    ----------
    data : array of shape (n, n_channels)
        A recording, finite and high-passed.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    column : int
        The channel.

    Returns
    -------
    str
    """
    trace = data[:, column]
    if bad.all() or np.ptp(trace[~bad]) == 0:
        return "constant"
    blinks, saccades, eye, _ = look(trace[:, None], info.sfreq, bad)
    moves, rows = np.concatenate([blinks, saccades]), np.flatnonzero(eye & ~bad)
    if len(rows) < _SHORTEST * info.sfreq:
        return f"no blinks ({counted(len(moves), 'movement')})"
    breathes, what, slow = shows_breath(trace, info.sfreq, bad)
    if breathes and slow > _SLOW:
        return f"shows a breath ({what})"
    weights = np.zeros(info.n_channels)
    weights[column] = 1.0
    heart = beats_in(data, info, bad, weights, info.ch_names[column])
    if len(moves) and is_heart(heart):
        beats = np.sort(heart.beats.peaks)
        nearest = np.abs(moves[:, None] - beats[None, :]).min(axis=1)
        with_beats = float(np.mean(nearest <= _NEAR * info.sfreq))
        if with_beats > _MOST_BEATS:
            return f"shows the heart (beats: {100 * with_beats:.0f} % of {counted(len(moves), 'movement')})"
    picks = [k for k, kind in enumerate(info.ch_types) if kind in DATA_TYPES]
    share, chance = explained(data[:, picks], trace, rows)
    if share < max(_LEAST, chance):
        return (
            f"no blinks that the data show as well ({counted(len(moves), 'movement')}, of which the data "
            f"explain {100 * max(share, 0.0):.0f} %, by chance {100 * max(chance, 0.0):.0f} %)"
        )
    return ""


def explained(x: np.ndarray, trace: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Measure how much of a trace the data explain, held out.

    Parameters
    ----------
    x : array of shape (n, c)
        Data channels.
    trace : array of shape (n,)
    rows : array of shape (n_rows,), int
        Samples at which the trace moves. The first half fits a ridge regression of the trace on
        the data, the second is predicted.

    Returns
    -------
    share : float
        Of the trace's power in the second half; below 0 if the prediction is worse than the mean.
    chance : float
        The largest share of copies of the trace that are shifted in a circle.
    """
    shifts = np.linspace(0, len(trace), _N_SHIFTED + 2)[:-1].astype(int)
    y = np.stack([np.roll(trace, shift)[rows] for shift in shifts], 1)
    z = x[rows]
    z = z - z.mean(axis=0)
    size = z.std(axis=0)
    z = z[:, size > 0] / size[size > 0]
    half = len(rows) // 2
    gram = z[:half].T @ z[:half] + _RIDGE * half * np.eye(z.shape[1])
    y = y - y.mean(axis=0)
    left = y[half:] - z[half:] @ np.linalg.solve(gram, z[:half].T @ y[:half])
    shares = 1.0 - np.sum(left**2, axis=0) / np.maximum(np.sum(y[half:] ** 2, axis=0), 1e-300)
    return float(shares[0]), float(shares[1:].max())
