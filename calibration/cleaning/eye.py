"""Fit the eye stage: when the eyes move, and the sources that are active then.

`calibration.cleaning.eye_events` finds the times, `calibration.cleaning.eye_sources` the sources.
The fit uses the first two thirds of the recording (with cues, of each kind of cue). The last third
runs through the live stage, for `held_out` in the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.cleaning.eye_drift import Drift, fit_drift
from calibration.cleaning.eye_events import EyeEvents, EyeSpan, find_eye_events
from calibration.cleaning.eye_sources import (
    LEAST_RATIO,
    LEAST_REST,
    MAX_RANK,
    NO_ONSETS,
    Sources,
    fit_sources,
)
from calibration.cleaning.seen import Seen, cues, onsets
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels, share_text
from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.counted import counted
from rt_decoder.signal import DATA_TYPES, FLAGS, Chunk, SignalInfo

__all__ = ["fit", "fit_eye", "summary"]

_LEAST_EVENTS = 8
_LEAST_ASKED = 10.0  # s of cued eye activity, if too few single movements are found
_TRAIN = 2 / 3
_NONE = "no source stands out: the largest ratio"
_EPOCH = (-0.1, 0.6)  # s around a blink


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on re-referenced samples, and on cues and events if the recording has any."""
    cued = cues(seen) or None
    samples = seen.samples
    return fit_eye(samples.data, seen.model.info, samples.bad, cued=cued, onsets=onsets(seen))


def fit_eye(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    *,
    cued: Sequence[EyeSpan] | None = None,
    onsets: np.ndarray = NO_ONSETS,
    threshold: float = 4.0,
    release_s: float = 0.4,
    rank: int | None = None,
) -> StageFit | LeftOut:
    """Find the eye sources of a calibration recording.

    The rank is the number of sources whose variance during eye activity exceeds 2.5 times that at
    rest and the largest ratio of rest to rest; at most 5. For a ratio of rest to rest, the times of
    eye activity are shifted in a circle, and the rest that they then cover is compared with all
    other rest. (With all samples compared, eye activity would be on both sides of the ratio.)

    Parameters
    ----------
    data : array of shape (n_samples, n_channels), float64
        Output of the causal stages that run before the eye stage live.
    info : SignalInfo
    bad : array of shape (n_samples,), bool
        Samples to leave out.
    cued : sequence of EyeSpan or None
        Stretches in which the participant was told to blink, to look around or to rest.
    onsets : array of shape (n_events,), int
        Samples at which events begin, whose answers are to be kept; see `fit_sources`.
    threshold, release_s : float
        Of the gates, see `EyeCorrection`.
    rank : int or None
        Overrules the rule. Sources beyond the rank by rule get twice their scale at rest, so that
        their gates open with strong activity of other sources and hardly by themselves.

    Returns
    -------
    StageFit or LeftOut
        Left out if too few blinks and saccades are found (8), too little rest or eye activity
        (2 s), or no source stands out. The report::

            way, source                  how events were found, in which channels
            eog_left_out                 EOG channels that show no eyes, and why; absent if none
            n_blinks, n_saccades         events found
            eye_s, rest_s                seconds of eye activity and of rest
            rank, rank_by_rule, rule     sources taken; by the rule; the rule
            ratios, null                 ratios of variances; largest of rest to rest
            drift_power                  variance of the drift source, of that at rest, where the
                                         first source is as large as at rest; 0 without one, as in MEG
            held_out                     for each rank tried, how well it cleans the last third

    Raises
    ------
    ValueError
        If `data` has another shape or no data channels.
    """
    picks = np.flatnonzero([kind in DATA_TYPES for kind in info.ch_types])
    bad = np.asarray(bad, bool)
    if data.shape != (len(bad), info.n_channels) or len(picks) == 0:
        raise ValueError(
            f"need data of shape ({len(bad)}, {info.n_channels}), some of them data channels, "
            f"got {data.shape} with {len(picks)} data channels"
        )
    events = find_eye_events(data, info, bad, cued)
    train = _train_part(events.phase)
    if reason := _too_little(events, train, info.sfreq):
        return _left_out(events, reason)
    x, scales = _scaled(data[:, picks], np.array(info.ch_types)[picks], events.rest & train)
    most = min(max(MAX_RANK, rank or 0), len(picks))
    onsets = (np.cumsum(train) - 1)[onsets[train[onsets]]]
    x = x[train]  # as little as possible stays in memory: a recording may be of any length
    sources = fit_sources(x, events.eye[train], events.rest[train], info.sfreq, most, onsets)
    rank = sources.rank if rank is None else min(rank, most)
    if rank == 0:
        return _left_out(events, f"{_NONE} is {sources.ratios[0]:.2f}")
    report = _describe(events, info.sfreq) | {
        "rank": rank,
        "rank_by_rule": sources.rank,
        "rule": f"ratio > max({LEAST_RATIO}, null), at most {MAX_RANK}",
        "ratios": np.round(sources.ratios[: MAX_RANK + 1], 2).tolist(),
        "null": round(sources.null, 2),
    }
    drifts = _drifts(x, info, train, bad, sources)
    del x
    gates = {"threshold": threshold, "release_s": release_s}
    of_rank = [_of_rank(sources, r, one, scales) | gates for r, one in enumerate(drifts, 1)]
    report["drift_power"] = round(float(of_rank[rank - 1].get("drift_power", 0.0)), 5)
    test = data, info, events, ~train, scales
    report["held_out"] = [_held_out(arguments, *test) for arguments in of_rank]
    return StageFit(of_rank[rank - 1], report)


def _drifts(
    x: np.ndarray, info: SignalInfo, train: np.ndarray, bad: np.ndarray, sources: Sources
) -> list[Drift | None]:
    """Fit the drift source beside one eye source, two, ...; of MEG too little is known to use it."""
    time, good = np.flatnonzero(train) / len(train), ~bad[train]
    ranks = range(1, len(sources.rest_scale) + 1)
    if any(kind in DATA_TYPES and kind != "eeg" for kind in info.ch_types):
        return [None for _ in ranks]
    return [fit_drift(x, time, good, sources, rank, info.sfreq) for rank in ranks]


def _of_rank(
    sources: Sources, rank: int, drift: Drift | None, scales: np.ndarray
) -> dict[str, Any]:
    """Scale sources and drift back to the units of the channels, for `EyeCorrection`."""
    arguments: dict[str, Any] = {
        "mixing": scales[:, None] * sources.mixing[:, :rank],
        "unmixing": sources.unmixing[:, :rank] / scales[:, None],
        "rest_scale": sources.rest_scale[:rank],
    }
    if drift is not None:
        arguments["drift"] = np.stack([scales * drift.mixing, drift.unmixing / scales])
        arguments["drift_power"] = drift.power
    return arguments


def _describe(events: EyeEvents, sfreq: float) -> dict[str, Any]:
    """Report how the events were found, and how much there is of each."""
    return {
        "way": events.way,
        "source": list(events.source),
        "n_blinks": len(events.blinks),
        "n_saccades": len(events.saccades),
        "eye_s": round(float(events.eye.sum() / sfreq), 2),
        "rest_s": round(float(events.rest.sum() / sfreq), 2),
        **({"eog_left_out": events.left_out} if events.left_out else {}),
    }


def _train_part(phase: np.ndarray) -> np.ndarray:
    """Select the first two thirds of each phase, (n,) bool."""
    train = np.zeros(len(phase), bool)
    for kind in np.unique(phase):
        at = np.flatnonzero(phase == kind)
        train[at[: round(_TRAIN * len(at))]] = True
    return train


def _too_little(events: EyeEvents, train: np.ndarray, sfreq: float) -> str:
    """Return why there is too little to fit and to test, or an empty string."""
    n_events = len(events.blinks) + len(events.saccades)
    asked = np.sum(events.eye & np.isin(events.phase, (1, 2))) / sfreq
    if n_events < _LEAST_EVENTS and asked < _LEAST_ASKED:
        return f"need {_LEAST_EVENTS} blinks and saccades, found {n_events}"
    for name, part, least in (("fit", train, LEAST_REST), ("test", ~train, LEAST_REST / 4)):
        for what, where in (("rest", events.rest), ("eye activity", events.eye)):
            seconds = np.sum(where & part) / sfreq
            if seconds < least:
                return f"need {least:g} s of {what} to {name}, found {seconds:.1f} s"
    return ""


def _scaled(x: np.ndarray, kinds: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide channels, in place, by the RMS at rest of their type; return them and scales (c,)."""
    scales = np.empty(x.shape[1])
    for kind in np.unique(kinds):
        scales[kinds == kind] = max(np.sqrt(np.mean(x[rest][:, kinds == kind] ** 2)), 1e-300)
    x /= scales
    return x, scales


def _held_out(
    arguments: dict[str, Any],
    data: np.ndarray,
    info: SignalInfo,
    events: EyeEvents,
    test: np.ndarray,
    scales: np.ndarray,
) -> dict[str, Any]:
    """Run the recording through the live stage, and measure the part that was not fitted."""
    picks = [k for k, kind in enumerate(info.ch_types) if kind in DATA_TYPES]
    n = len(data)
    flags = np.zeros(n, FLAGS), np.zeros(data.shape, FLAGS)
    stage = EyeCorrection(info, **arguments)
    out = stage.process(Chunk(data, np.arange(n) / info.sfreq, 0, *flags))
    opened = out.flags > 0
    y = out.data[:, picks]
    del out, stage, flags
    x = data[:, picks]
    x /= scales
    y /= scales
    eye, rest = events.eye & test, events.rest & test
    row: dict[str, Any] = {"rank": len(arguments["rest_scale"])}
    gain = np.sum(y[rest] * x[rest], axis=0) / np.sum(x[rest] ** 2, axis=0)
    blinks = events.blinks[test[events.blinks]]
    floor = np.mean(x[rest] ** 2)
    for name in ("", "ungated_"):
        z, y = y, np.empty(0)
        if name:  # by the fixed projection
            sources = x @ (scales[:, None] * arguments["unmixing"])
            z = x - sources @ (arguments["mixing"] / scales[:, None]).T
        row[name + "blink_db"] = _locked_db(x, z, blinks, info.sfreq)
        excess = max(float(np.mean(z[eye] ** 2) - floor), 1e-3 * floor)
        row[name + "eye_db"] = _db(max(float(np.mean(x[eye] ** 2) - floor), 0.0) / excess)
        row[name + "rest_distortion"] = round(float(_rms(z[rest] - x[rest]) / _rms(x[rest])), 4)
    row["rest_gain"] = [round(float(v), 4) for v in (gain.min(), np.median(gain), gain.max())]
    row["rest_open"] = round(float(np.mean(opened[rest])), 4)
    row["open"] = round(float(np.mean(opened[test])), 4)
    return row


def _locked_db(x: np.ndarray, z: np.ndarray, at: np.ndarray, sfreq: float) -> float | None:
    """Attenuation in dB of what is locked to `at`, at most 40; None with fewer than 6 events.

    The power of the average is the product of the averages of two halves, in which activity that
    is not locked cancels instead of setting a floor.
    """
    window = np.arange(round(_EPOCH[0] * sfreq), round(_EPOCH[1] * sfreq))
    at = at[(at + window[0] >= 0) & (at + window[-1] < len(x))]
    if len(at) < 6:
        return None
    powers = []
    for v in (x, z):
        halves = [v[part[:, None] + window].mean(axis=0) for part in (at[::2], at[1::2])]
        powers.append(float(np.mean(halves[0] * halves[1])))
    return _db(powers[0] / max(powers[1], 1e-4 * powers[0], 1e-300))


def _db(ratio: float) -> float:
    return round(10 * float(np.log10(max(ratio, 1e-6))), 2)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


_WAYS = {"cued": "cues", "eog": "EOG channels", "frontal": "frontal channels"}


def _left_out(events: EyeEvents, reason: str) -> LeftOut:
    return LeftOut(reason + _without(events.left_out))


def _without(left_out: dict[str, str]) -> str:
    """Say which EOG channels are left out, or nothing."""
    return "".join(f"; {name} left out: {reason}" for name, reason in left_out.items())


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, taken out and kept."""
    held_out = report["held_out"][report["rank"] - 1]
    found = (
        f"{counted(report['rank'], 'pattern')} over channels, from {counted(report['n_blinks'], 'blink')} "
        f"and {counted(report['n_saccades'], 'gaze shift')}, found by {_WAYS.get(report['way'], report['way'])}"
        f"{_without(report.get('eog_left_out', {}))}"
    )
    blinks, activity = decibels(held_out["blink_db"]), decibels(held_out["eye_db"])
    kept = f"all but {share_text(held_out['rest_distortion'])} of the amplitude at rest"
    return Summary(found, f"blinks {blinks}, eye activity {activity}", kept)
