"""Judge the heartbeat template on held-out data, through the live stage.

For `calibration.cleaning.heartbeat`, which fits it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.cleaning.reference_effect import decibels_on_beats
from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo

__all__ = ["LENGTH", "N_SURROGATES", "SEEN", "judge_template", "locked_mean"]

LENGTH = 0.8  # s
SEEN = 0.04  # s after the R peak until the beat is detected; nothing earlier can be subtracted
N_SURROGATES = 20
_N_PASSES = 4  # rounds in which beats nearer than the length of the template are told apart


def locked_mean(
    x: np.ndarray, peaks: np.ndarray, bad: np.ndarray, n_after: int, n_passes: int = _N_PASSES
) -> np.ndarray:
    """Compute the mean of `x` after `peaks`.

    Where the next peak comes earlier than `n_after`, its response is subtracted first, as estimated
    in the pass before.

    Parameters
    ----------
    x : array of shape (n, c), float64
    peaks : array of shape (n_peaks,), int64
        Sample indices; peaks too near to an end of `x` are left out.
    bad : array of shape (n,), bool
        Samples to leave out.
    n_after : int
        Samples after each peak.
    n_passes : int
        Rounds in which overlapping responses are told apart; 1 for the plain mean.

    Returns
    -------
    array of shape (n_after, c), float64
    """
    peaks = peaks[(peaks >= 0) & (peaks + n_after <= len(x))]
    good = (~bad).astype(np.float64)
    total, count = np.zeros((n_after, x.shape[1])), np.zeros(n_after)
    for peak in peaks:
        count += good[peak : peak + n_after]
        total += x[peak : peak + n_after] * good[peak : peak + n_after, None]
    count = np.maximum(count, 1.0)[:, None]
    mean = total / count
    near = [
        (peaks[i], peaks[i + k] - peaks[i])
        for k in (1, 2, 3)
        for i in range(len(peaks) - k)
        if peaks[i + k] - peaks[i] < n_after
    ]
    for _ in range(n_passes - 1 if near else 0):
        left = total.copy()
        for peak, shift in near:
            mask = good[peak + shift : peak + n_after, None]
            left[shift:] -= mask * mean[: n_after - shift]  # the later beat, out of the earlier
            left[: n_after - shift] -= mask * mean[shift:]  # the earlier, out of the later
        mean = left / count
    return mean


def judge_template(
    arguments: dict[str, Any],
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    beats: np.ndarray,
    split: int,
    n_beats: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Clean held-out samples by the live stage, and measure the result.

    Parameters
    ----------
    arguments : dict
        Of `HeartbeatTemplate`, fitted before `split`.
    data : array of shape (n, n_channels), float64
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    beats : array of shape (n_beats,), int64
        R peaks.
    split : int
        First held-out row of `data`.
    n_beats : float
        Time constant of the live stage in beats.
    rng : numpy.random.Generator
        Draws random moments and the injected response.

    Returns
    -------
    dict
        Held-out values of the report, see `calibration.cleaning.heartbeat.fit_heartbeat`.
    """
    x, n_data = data[split:], arguments["maps"].shape[1]
    kind = info.ch_types[0]
    picks = np.flatnonzero([name == kind for name in info.ch_types])
    n_after, n_seen = round(LENGTH * info.sfreq), round(SEEN * info.sfreq)
    peaks = beats[beats >= split] - split
    clean = _run(HeartbeatTemplate(info, **arguments, n_beats=n_beats), x, bad[split:])
    means = [
        locked_mean(part[:, picks], peaks, bad[split:], n_after, 1)[n_seen:] for part in (x, clean)
    ]
    chance = _chance(clean[:, picks], len(peaks), bad[split:], n_after, rng)
    size = np.maximum(np.std(x[~bad[split:]][:, picks], axis=0), 1e-300)
    was, now = (part[:, picks] / size for part in (x, clean))
    helps = decibels_on_beats(was, now, peaks, info.sfreq)
    unit = 1e6 if info.units[0] == "V" else 1e15
    before, after = (float(np.abs(mean).max()) for mean in means)
    power = [float(np.mean(mean**2)) for mean in means]
    return {
        "locked_before": round(unit * before, 3),
        "locked_after": round(unit * after, 3),
        "random_locked_largest": round(float(unit * chance), 3),
        "locked_unit": "uV" if unit == 1e6 else "fT",
        **{name: None if db is None else round(db, 2) for name, db in helps.items()},
        "attenuation_db": round(float(10 * np.log10(power[0] / max(power[1], 1e-300))), 2),
        "preserved": round(
            _preserved(arguments, x, info, bad[split:], clean, n_beats, n_data, rng), 4
        ),
    }


def _chance(
    clean: np.ndarray, n_peaks: int, bad: np.ndarray, n_after: int, rng: np.random.Generator
) -> float:
    """Largest deflection of means after random moments."""
    most = max(len(clean) - n_after, 1)
    draws = (rng.integers(0, most, n_peaks) for _ in range(N_SURROGATES))
    return max(float(np.abs(locked_mean(clean, m, bad, n_after, 1)).max()) for m in draws)


def _preserved(
    arguments: dict[str, np.ndarray],
    x: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    clean: np.ndarray,
    n_beats: float,
    n_data: int,
    rng: np.random.Generator,
) -> float:
    """Measure the gain of a response injected at random moments, about one a second."""
    t = np.arange(round(0.6 * info.sfreq)) / info.sfreq
    wave = np.exp(-0.5 * ((t - 0.3) / 0.06) ** 2)
    size = np.std(x[~bad][:, :n_data], axis=0)
    topography = size * rng.standard_normal(n_data)
    added = np.zeros(len(x))
    for moment in np.cumsum(rng.uniform(0.8, 1.2, int(len(x) / info.sfreq))):
        at = round(moment * info.sfreq)
        if at + len(wave) <= len(x):
            added[at : at + len(wave)] += wave
    response = np.zeros_like(x)
    response[:, :n_data] = np.outer(added, topography)
    out = _run(HeartbeatTemplate(info, **arguments, n_beats=n_beats), x + response, bad) - clean
    out, response = (
        out / np.append(size, np.ones(x.shape[1] - n_data)),
        response / np.append(size, np.ones(x.shape[1] - n_data)),
    )
    return float(np.sum(out * response) / np.sum(response**2))


def _run(stage: HeartbeatTemplate, x: np.ndarray, bad: np.ndarray) -> np.ndarray:
    n = len(x)
    flags = np.where(bad, int(Reason.AMPLITUDE), 0).astype(FLAGS)
    chunk = Chunk(x, np.arange(n) / stage.info.sfreq, 0, flags, np.zeros(x.shape, FLAGS))
    return stage.process(chunk).data
