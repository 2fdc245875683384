"""Fit the heartbeat template: where beats are seen, and what follows them in the data channels.

`rt_decoder.cleaning.heartbeat` subtracts it live. `calibration.cleaning.heartbeat_source` finds the
beats. Held-out values of the report come from the last third of the recording, cleaned by the live
stage with a template fitted on the first two thirds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.cleaning.heartbeat_judged import (
    LENGTH,
    N_SURROGATES,
    SEEN,
    judge_template,
    locked_mean,
)
from calibration.cleaning.heartbeat_source import Source, find_source
from calibration.cleaning.reference_effect import watch_time
from calibration.cleaning.seen import Seen, onsets
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels, share_text
from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["fit", "fit_heartbeat", "summary"]

_MOST = 4
_SHRINK = 0.01
_HELPS_DB = -0.5  # more than this is no help


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
    other activity, and of what they leave, those in which it is largest in the channels' units.
    Of each kind, those larger than every mean after random moments are taken, at most four.

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
        Left out if no regular beats are found, nothing follows them, or the template does not help
        on held-out beats. If an ECG gives none of these, the data channels are searched. The
        report::

            source, beats, rate            where beats are seen, their number, beats a minute
            regularity, clarity            share of intervals that are regular; size of beats over noise
            locked_before, locked_after    held out: largest R-locked mean before and after cleaning
            random_locked_largest          held out: the same after random moments, cleaned
            locked_unit                    unit of these three
            attenuation_db                 held out: of the power of the R-locked mean
            beats_db                       held out: power that is locked to beats, after over before
            preserved                      held out: gain of an injected response
            rank                           number of components
    """
    has_ecg = "ecg" in info.ch_types
    first = _fit(data, info, bad, onsets, n_beats, seed, use_ecg=True)
    if isinstance(first, StageFit) or not has_ecg:
        return first
    # the ECG is another person's, or dead: the data channels may show the beats
    second = _fit(data, info, bad, onsets, n_beats, seed, use_ecg=False)
    return second if isinstance(second, StageFit) else first


def _fit(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    onsets: np.ndarray | None,
    n_beats: float,
    seed: int,
    *,
    use_ecg: bool,
) -> StageFit | LeftOut:
    """Fit on the best source, which may or may not be an ECG channel."""
    source, reason = find_source(data, info, bad, onsets, use_ecg=use_ecg)
    if source is None:
        return LeftOut(reason)
    report: dict[str, Any] = {
        "source": source.name,
        "beats": len(source.beats.peaks),
        "rate": round(float(source.rate), 1),
        "regularity": round(source.regularity, 3),
        "clarity": round(source.clarity, 2),
    }
    split = 2 * len(data) // 3
    rng = np.random.default_rng(seed)
    first = _arguments(data[:split], info, bad[:split], source, rng)
    if len(first["maps"]):
        report |= judge_template(first, data, info, bad, source.beats.peaks, split, n_beats, rng)
        helps = report["beats_db"]
        if helps is not None and helps > _HELPS_DB:
            return LeftOut(f"does not help on held-out beats of {source.name} ({helps:+.1f} dB)")
    arguments = _arguments(data, info, bad, source, rng)
    report["rank"] = len(arguments["maps"])
    if report["rank"] == 0:
        return LeftOut("nothing follows the beats that does not follow random moments as well")
    arguments["watched"] = _watch(arguments, data, info, bad, source)
    return StageFit(arguments, report)


def _watch(
    arguments: dict[str, np.ndarray],
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    source: Source,
) -> np.ndarray:
    """Find the mean square of the template, and how long it must be watched to be sure of it."""
    courses, n = arguments["courses"], len(data)
    said = np.zeros((n, courses.shape[1]))
    n_seen = round(SEEN * info.sfreq)
    for peak in source.beats.peaks.tolist():
        stop = min(peak + len(courses), n)
        if peak + n_seen < stop:
            said[peak + n_seen : stop] += courses[n_seen : stop - peak]
    x = data[:, : arguments["maps"].shape[1]]
    there = (x - x[~bad].mean(axis=0)) @ arguments["filters"].T
    return watch_time(said[~bad], there[~bad], info.sfreq)


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
    peaks = source.beats.peaks[source.beats.peaks < len(x)]
    means = _means(x, peaks, bad, round(LENGTH * info.sfreq), rng)
    maps = _components(means, covariance, round(SEEN * info.sfreq))
    filters = _measuring(maps, covariance)
    return {
        "source": source.weights,
        "levels": source.levels,
        "maps": maps * scale,
        "filters": filters / scale,
        "courses": means[0] @ filters.T,
    }


def _means(
    x: np.ndarray, peaks: np.ndarray, bad: np.ndarray, n: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Compute the mean after the beats, and means after as many random moments, (n, c) each."""
    draws = (rng.integers(0, len(x), len(peaks)) for _ in range(N_SURROGATES))
    random = (locked_mean(x, moments, bad, n, n_passes=1) for moments in draws)
    return [locked_mean(x, peaks, bad, n), *random]


def _components(means: list[np.ndarray], covariance: np.ndarray, n_seen: int) -> np.ndarray:
    """Find how the components show in the channels, (rank, c), at unit size of their noise.

    First those that stand out most of all other activity; then, of what these leave, those that are
    largest in the channels themselves: where the brain is loud, a large artifact hardly stands out.
    """
    powers, axes = np.linalg.eigh(covariance)
    white = axes / np.sqrt(powers) @ axes.T
    maps = _above_chance([mean[n_seen:] @ white for mean in means])
    maps = maps @ (axes * np.sqrt(powers) @ axes.T)
    filters = _measuring(maps, covariance)
    more = _above_chance([mean[n_seen:] - mean[n_seen:] @ filters.T @ maps for mean in means])
    maps = np.vstack([maps, more])
    filters = _measuring(maps, covariance)
    return maps * np.sqrt(np.sum(filters @ covariance * filters, axis=1))[:, None]


def _above_chance(means: list[np.ndarray]) -> np.ndarray:
    """Find directions (rank, c) in which the first mean is larger than all others, at most four."""
    _, sizes, directions = np.linalg.svd(means[0], full_matrices=False)
    chance = max(float(np.linalg.norm(mean, 2)) for mean in means[1:])
    return directions[: min(int(np.sum(sizes > chance)), _MOST)]


def _measuring(maps: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Find the filters (rank, c) that measure the components with least of all else."""
    inverse = np.linalg.inv(covariance)
    return np.linalg.solve(maps @ inverse @ maps.T, maps @ inverse)


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, taken out and kept."""
    found = f"{report['beats']} beats in {report['source']}, {report['rate']:g} a minute"
    preserved = report.get("preserved")
    kept = (
        "not measured" if preserved is None else f"{share_text(preserved)} of an injected response"
    )
    return Summary(found, decibels(report.get("attenuation_db")), kept)
