"""Fit the heartbeat template: where beats are seen, and what follows them in the data channels.

`rt_decoder.cleaning.heartbeat` subtracts it live. `calibration.cleaning.heartbeat_source` finds the
beats. Held-out values of the report come from the last third of the recording, cleaned by the live
stage with a template fitted on the first two thirds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.cleaning.heartbeat_source import Source, find_source
from calibration.cleaning.seen import Seen, onsets
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels, plain_values
from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.signal import DATA_TYPES, FLAGS, Chunk, Reason, SignalInfo

__all__ = ["fit", "fit_heartbeat", "line", "locked_mean", "summary"]

_LENGTH = 0.8  # s
_SEEN = 0.04  # s after the R peak until the beat is detected; nothing earlier can be subtracted
_N_SURROGATES, _MOST = 20, 4
_N_PASSES = 4  # rounds in which beats nearer than the length of the template are told apart
_SHRINK = 0.01


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on the output of the stage before it, usually the regressors."""
    return fit_heartbeat(seen.samples.data, seen.model.info, seen.samples.bad, onsets(seen))


def fit_heartbeat(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    onsets: np.ndarray | None = None,
    *,
    n_beats: float = 50.0,
    seed: int = 0,
) -> StageFit | LeftOut:
    """Find the source of beats and the components of the template.

    The components are the directions in which the mean after R peaks is largest relative to all
    other activity. Those larger than every mean after random moments are taken, at most four.

    Parameters
    ----------
    data : array of shape (n, n_channels), float64
        A recording that went through the stages before this one.
    info : SignalInfo
        Data channels first.
    bad : array of shape (n,), bool
        Samples to leave out.
    onsets : array of shape (n_events,) or None
        Sample indices of stimuli, so that answers to them are not taken for heartbeats.
    n_beats : float
        Time constant of the live stage in beats, for the held-out values of the report.
    seed : int
        Seeds the random moments.

    Returns
    -------
    StageFit or LeftOut
        Left out if no regular beats are found, or nothing follows them. The report::

            source, beats, rate            where beats are seen, their number, beats a minute
            regularity                     share of intervals that are regular
            locked_before, locked_after    held out: largest R-locked mean before and after cleaning
            random_locked_largest          held out: the same after random moments, cleaned
            locked_unit                    unit of these three
            attenuation_db                 held out: of the power of the R-locked mean
            preserved                      held out: gain of an injected response
            rank                           number of components
    """
    source, reason = find_source(data, info, bad, onsets)
    if source is None:
        return LeftOut(reason)
    report: dict[str, Any] = {
        "source": source.name,
        "beats": len(source.beats.peaks),
        "rate": round(float(source.rate), 1),
        "regularity": round(source.regularity, 3),
    }
    split = 2 * len(data) // 3
    rng = np.random.default_rng(seed)
    first = _arguments(data[:split], info, bad[:split], source, rng)
    if len(first["maps"]):
        report |= _held_out(first, data, info, bad, source, split, n_beats, rng)
    arguments = _arguments(data, info, bad, source, rng)
    report["rank"] = len(arguments["maps"])
    if report["rank"] == 0:
        return LeftOut("nothing follows the beats that does not follow random moments as well")
    return StageFit(arguments, report)


def _arguments(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    source: Source,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Fit the arguments of `HeartbeatTemplate`; of rank 0 if no component stands out."""
    kinds = np.array([kind for kind in info.ch_types if kind in DATA_TYPES])
    scale = np.ones(len(kinds))
    x = data[:, : len(kinds)]
    for kind in set(kinds.tolist()):  # each type has its own unit
        scale[kinds == kind] = max(
            np.sqrt(np.mean(np.var(x[~bad][:, kinds == kind], axis=0))), 1e-300
        )
    x = (x - x[~bad].mean(axis=0)) / scale
    covariance = x[~bad].T @ x[~bad] / np.sum(~bad)
    covariance += _SHRINK * np.trace(covariance) / len(kinds) * np.eye(len(kinds))
    powers, axes = np.linalg.eigh(covariance)
    white = axes / np.sqrt(powers) @ axes.T
    n_template, n_seen = round(_LENGTH * info.sfreq), round(_SEEN * info.sfreq)
    x = x @ white
    peaks = source.beats.peaks
    mean = locked_mean(x, peaks[peaks < len(x)], bad, n_template)
    _, sizes, directions = np.linalg.svd(mean[n_seen:], full_matrices=False)
    chance = 0.0
    for _ in range(_N_SURROGATES):
        moments = rng.integers(0, len(x), int(np.sum(peaks < len(x))))
        random = locked_mean(x, moments, bad, n_template, n_passes=1)
        chance = max(chance, float(np.linalg.norm(random[n_seen:], 2)))
    rank = min(int(np.sum(sizes > chance)), _MOST)
    directions = directions[:rank]
    return {
        "source": source.weights,
        "levels": source.levels,
        "maps": directions @ (axes * np.sqrt(powers) @ axes.T) * scale,
        "filters": directions @ white / scale,
        "courses": mean @ directions.T,
    }


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


def _held_out(
    arguments: dict[str, np.ndarray],
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    source: Source,
    split: int,
    n_beats: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Clean the last third by the live stage, fitted on the first two, and measure the result."""
    x, n_data = data[split:], arguments["maps"].shape[1]
    kind = info.ch_types[0]
    picks = np.flatnonzero([name == kind for name in info.ch_types])
    n_after, n_seen = round(_LENGTH * info.sfreq), round(_SEEN * info.sfreq)
    peaks = source.beats.peaks[source.beats.peaks >= split] - split
    clean = _run(HeartbeatTemplate(info, **arguments, n_beats=n_beats), x, bad[split:])
    means = [
        locked_mean(part[:, picks], peaks, bad[split:], n_after, 1)[n_seen:] for part in (x, clean)
    ]
    chance = max(
        np.abs(
            locked_mean(
                clean[:, picks],
                rng.integers(0, max(len(x) - n_after, 1), len(peaks)),
                bad[split:],
                n_after,
                1,
            )
        ).max()
        for _ in range(_N_SURROGATES)
    )
    unit = 1e6 if info.units[0] == "V" else 1e15
    before, after = (float(np.abs(mean).max()) for mean in means)
    power = [float(np.mean(mean**2)) for mean in means]
    return {
        "locked_before": round(unit * before, 3),
        "locked_after": round(unit * after, 3),
        "random_locked_largest": round(float(unit * chance), 3),
        "locked_unit": "uV" if unit == 1e6 else "fT",
        "attenuation_db": round(float(10 * np.log10(power[0] / max(power[1], 1e-300))), 2),
        "preserved": round(
            _preserved(arguments, x, info, bad[split:], clean, n_beats, n_data, rng), 4
        ),
    }


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


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, taken out and kept."""
    found = f"{report['beats']} beats in {report['source']}, {report['rate']:g} a minute"
    preserved = report.get("preserved")
    kept = "not measured" if preserved is None else f"{preserved:.1%} of an injected response"
    return Summary(found, decibels(report.get("attenuation_db")), kept)


def line(report: dict[str, Any]) -> str:
    """Format the report as one line for the terminal."""
    return plain_values(report)
