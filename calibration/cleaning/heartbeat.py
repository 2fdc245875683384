"""Fit the heartbeat template: where beats are seen, and what follows them in the data channels.

`rt_decoder.cleaning.heartbeat` subtracts it live. `calibration.cleaning.heartbeat_source` finds the
beats. Held-out values of the report come from the last third of the recording, cleaned by the live
stage with a template fitted on the first two thirds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.cleaning.heartbeat_components import find_components
from calibration.cleaning.heartbeat_judged import (
    LENGTH,
    SEEN,
    judge_template,
)
from calibration.cleaning.heartbeat_source import Source, find_source
from calibration.cleaning.heartbeat_upstroke import find_upstroke
from calibration.cleaning.reference_effect import SHORTEST_S, watch_time
from calibration.cleaning.seen import Seen, onsets
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels, share_text
from rt_decoder.cleaning.qrs import N_LEVELS
from rt_decoder.counted import counted
from rt_decoder.signal import SignalInfo

__all__ = ["fit", "fit_heartbeat", "summary"]

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

    `calibration.cleaning.heartbeat_components` finds the components. Where beats show an upstroke,
    the template begins with it, if that leaves less of the QRS complex of held-out beats.

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
        How many beats the calibrated template counts as live, for the held-out values.
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
            beats_db, qrs_db               held out: power that is locked to beats, after over before
            upstroke                       how long before the R peak it is told, or why it is not
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
    upstroke, report["upstroke"] = find_upstroke(data, info, bad, source)
    judged = _judged(data, info, bad, source, split, n_beats, seed, None)
    if upstroke is not None and judged:
        earlier = _judged(data, info, bad, source, split, n_beats, seed, upstroke)
        if _better(earlier, judged):
            judged = earlier
        else:
            upstroke, report["upstroke"] = None, "does not help on held-out beats"
    report |= judged
    helps = report.get("beats_db")
    if helps is not None and helps > _HELPS_DB:
        return LeftOut(f"does not help on held-out beats of {source.name} ({helps:+.1f} dB)")
    arguments = _arguments(data, info, bad, source, np.random.default_rng(seed), upstroke)
    report["rank"] = len(arguments["maps"])
    if report["rank"] == 0:
        return LeftOut("nothing follows the beats that does not follow random moments as well")
    arguments["watched"] = _watch(arguments, data, info, bad, source)
    return StageFit(arguments, report)


def _judged(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    source: Source,
    split: int,
    n_beats: float,
    seed: int,
    upstroke: np.ndarray | None,
) -> dict[str, Any]:
    """Fit before `split` and judge after it; empty if nothing follows the beats."""
    rng = np.random.default_rng(seed)
    first = _arguments(data[:split], info, bad[:split], source, rng, upstroke)
    if not len(first["maps"]):
        return {}
    return judge_template(first, data, info, bad, source.beats.peaks, split, n_beats, rng)


def _better(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether it helps to begin before beats are decided: in the QRS, and not less in all."""
    pairs = [(earlier.get(key), later.get(key)) for key in ("qrs_db", "beats_db")]
    return all(a is not None and b is not None and a <= b for a, b in pairs)


def _watch(
    arguments: dict[str, np.ndarray],
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    source: Source,
) -> np.ndarray:
    """Find the mean square of the template, and how long it must be watched to be sure of it."""
    courses, n, before = arguments["courses"], len(data), _before(arguments["levels"], info)
    said = np.zeros((n, courses.shape[1]))
    n_seen = round(SEEN * info.sfreq) + before
    for peak in (source.beats.peaks[source.beats.peaks >= before] - before).tolist():
        stop = min(peak + len(courses), n)
        if peak + n_seen < stop:
            said[peak + n_seen : stop] += courses[n_seen : stop - peak]
    x = data[:, : arguments["maps"].shape[1]]
    there = (x - x[~bad].mean(axis=0)) @ arguments["filters"].T
    return np.maximum(watch_time(said[~bad], there[~bad], info.sfreq), (0.0, SHORTEST_S))


def _arguments(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    source: Source,
    rng: np.random.Generator,
    upstroke: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Fit the arguments of `HeartbeatTemplate`; of rank 0 if nothing follows the beats."""
    levels = source.levels if upstroke is None else np.append(source.levels, upstroke)
    before = _before(levels, info)
    n = round(LENGTH * info.sfreq) + before
    starts = source.beats.peaks[source.beats.peaks < len(data)] - before
    found = find_components(data, info, bad, starts, n, rng)
    return {"source": source.weights, "levels": levels} | found


def _before(levels: np.ndarray, info: SignalInfo) -> int:
    """Count the samples of the template before the R peak."""
    return 0 if len(levels) == N_LEVELS else max(round(levels[-1] * info.sfreq), 0)


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, taken out and kept."""
    found = f"{counted(report['beats'], 'beat')} in {report['source']}, {report['rate']:g} a minute"
    if report.get("upstroke", "").endswith("R peak"):
        found += f", told {report['upstroke']}"
    preserved = report.get("preserved")
    kept = (
        "not measured" if preserved is None else f"{share_text(preserved)} of an injected response"
    )
    return Summary(found, decibels(report.get("attenuation_db")), kept)
