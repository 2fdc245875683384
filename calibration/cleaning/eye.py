"""Fit the eye stage: the spatial sources that are active when the eyes are, and little at rest.

A generalized eigendecomposition of the covariance during eye activity against that at rest. When
the eyes moved is found by `calibration.cleaning.eye_events`. The first two thirds of the recording (of each
kind of cue, where there are cues) are fitted; `held_out` in the report is of the rest, through the
live stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from calibration.cleaning.eye_events import EyeEvents, EyeSpan, find_eye_events, mean_around
from calibration.cleaning.seen import Seen, cues
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels
from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.signal import DATA_TYPES, FLAGS, Chunk, SignalInfo

__all__ = ["EyeSpan", "fit", "fit_eye", "line", "summary"]

_MAX_RANK = 5
_LEAST_EVENTS = 8
_LEAST_REST = 2.0  # s, the same for eye activity
_LEAST_ASKED = 10.0  # s of eye activity on request, where no single movements are found
_TRAIN = 2 / 3
_SHRINKAGE = 1e-3  # towards a multiple of the identity, at least
_LEAST_RATIO = 2.5  # of variances: below it the gate of a source would hardly ever open
_N_NULL = 20
_WINDOW = 0.3  # s, over which the size of a source is measured to find its size at rest
_QUANTILE = 0.05
_CALM, _MARGIN = 3.0, 0.15  # scales at rest, s
_STRONG = 0.5  # of what a source seldom exceeds
_EPOCH = (-0.1, 0.6)  # s around a blink


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on referenced samples, and on cues where there are some."""
    cued = cues(seen) or None
    return fit_eye(seen.samples.data, seen.model.info, seen.samples.bad, cued=cued)


def fit_eye(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    *,
    cued: Sequence[EyeSpan] | None = None,
    threshold: float = 4.0,
    release_s: float = 0.4,
    rank: int | None = None,
) -> StageFit | LeftOut:
    """Find the eye sources of a calibration recording.

    The rank is the number of sources whose variance during eye activity is more than 2.5 times that
    at rest, and more than the largest ratio between rest and rest: the pattern of eye
    activity is shifted in a circle over the recording, and what it then covers of the rest is
    compared with the rest of the rest (a shift over everything would find eye activity on both
    sides and prove nothing). At most 5.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels)
        Through the same causal stages that come before the eye stage live.
    info : SignalInfo
    bad : array of shape (n_samples,), bool
        Samples to leave out.
    cued : sequence of EyeSpan or None
        When the person was told to blink, to look around or to rest.
    threshold, release_s : float
        Of the gates, see `EyeCorrection`.
    rank : int or None
        Overrules the rule. Sources that it does not vouch for get twice their scale at rest: they
        open with the strong activity of others and hardly by themselves.

    Returns
    -------
    StageFit or LeftOut
        Left out if there are fewer than 8 blinks and saccades, less than 2 s of rest, or no source
        stands out. The report: `way`, `source`, `n_blinks`, `n_saccades`, `eye_s`, `rest_s`,
        `rank`, `rule`, `ratios`, `null`, and `held_out`: one entry a rank tried.
    """
    picks = np.flatnonzero([kind in DATA_TYPES for kind in info.ch_types])
    bad = np.asarray(bad, bool)
    if data.shape != (len(bad), info.n_channels) or len(picks) == 0:
        raise ValueError(
            f"need data of shape ({len(bad)}, {info.n_channels}) with data channels, "
            f"got {data.shape} and {len(picks)}"
        )
    events = find_eye_events(data, info, bad, cued)
    report: dict[str, Any] = {
        "way": events.way,
        "source": list(events.source),
        "n_blinks": len(events.blinks),
        "n_saccades": len(events.saccades),
        "eye_s": round(float(events.eye.sum() / info.sfreq), 2),
        "rest_s": round(float(events.rest.sum() / info.sfreq), 2),
    }
    train = _train_part(events.phase)
    if reason := _too_little(events, train, info.sfreq):
        return LeftOut(reason)
    x, scales = _scaled(data[:, picks], np.array(info.ch_types)[picks], events.rest & train)
    most = min(max(_MAX_RANK, rank or 0), len(picks))
    sources = _fit_sources(x[train], events.eye[train], events.rest[train], info.sfreq, most)
    rank = sources.rank if rank is None else min(rank, most)
    if rank == 0:
        return LeftOut(f"no source stands out: the largest ratio is {sources.ratios[0]:.2f}")
    report |= {
        "rank": rank,
        "rank_by_rule": sources.rank,
        "rule": f"ratio > max({_LEAST_RATIO}, null), at most {_MAX_RANK}",
        "ratios": np.round(sources.ratios[: _MAX_RANK + 1], 2).tolist(),
        "null": round(sources.null, 2),
    }
    of_rank = [
        {
            "mixing": scales[:, None] * sources.mixing[:, :r],
            "unmixing": sources.unmixing[:, :r] / scales[:, None],
            "rest_scale": sources.rest_scale[:r],
            "threshold": threshold,
            "release_s": release_s,
        }
        for r in range(1, len(sources.rest_scale) + 1)
    ]
    report["held_out"] = [
        _held_out(arguments, data, info, events, ~train, scales) for arguments in of_rank
    ]
    return StageFit(of_rank[rank - 1], report)


def _train_part(phase: np.ndarray) -> np.ndarray:
    """First two thirds of each phase, (n,) bool."""
    train = np.zeros(len(phase), bool)
    for kind in np.unique(phase):
        at = np.flatnonzero(phase == kind)
        train[at[: round(_TRAIN * len(at))]] = True
    return train


def _too_little(events: EyeEvents, train: np.ndarray, sfreq: float) -> str:
    """Why there is not enough to fit and to test, or an empty string."""
    n_events = len(events.blinks) + len(events.saccades)
    asked = np.sum(events.eye & np.isin(events.phase, (1, 2))) / sfreq
    if n_events < _LEAST_EVENTS and asked < _LEAST_ASKED:
        return f"need {_LEAST_EVENTS} blinks and saccades, found {n_events}"
    for name, part, least in (("fit", train, _LEAST_REST), ("test", ~train, _LEAST_REST / 4)):
        for what, where in (("rest", events.rest), ("eye activity", events.eye)):
            seconds = np.sum(where & part) / sfreq
            if seconds < least:
                return f"need {least:g} s of {what} to {name}, found {seconds:.1f} s"
    return ""


def _scaled(x: np.ndarray, kinds: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels in units of the typical size at rest of their type, and those units (c,)."""
    scales = np.empty(x.shape[1])
    for kind in np.unique(kinds):
        scales[kinds == kind] = max(np.sqrt(np.mean(x[rest][:, kinds == kind] ** 2)), 1e-300)
    return x / scales, scales


@dataclass(frozen=True, slots=True, eq=False)
class _Sources:
    mixing: np.ndarray  # (c, k)
    unmixing: np.ndarray  # (c, k)
    rest_scale: np.ndarray  # (k,)
    ratios: np.ndarray  # (c,) largest first
    null: float
    rank: int


def _fit_sources(
    x: np.ndarray, eye: np.ndarray, rest: np.ndarray, sfreq: float, most: int
) -> _Sources:
    """The first `most` sources of scaled channels `x` (n, c), fitted twice.

    The sources see the eyes better than any channel does. So the second fit knows better where the
    eyes rest, and takes the strongest moments of each source alike: a blink is brief, gaze is not.
    """
    groups = [eye]
    for again in (True, False):
        ratios, w, a = _gevd(x, groups, rest, sfreq)
        null = _null_ratio(x, np.any(groups, axis=0), rest, sfreq)
        rank = min(int(np.sum(ratios > max(_LEAST_RATIO, null))), _MAX_RANK)
        scale = _rest_scale(x @ w, rest, sfreq, max(rank, 1))
        if again and rank:
            sizes = np.abs(x @ w[:, :rank] / scale[:rank])
            margin = 2 * round(_MARGIN * sfreq) + 1
            calm = mean_around((sizes.max(axis=1) > _CALM).astype(float), margin) < 0.5 / margin
            calm &= ~eye
            if calm.sum() >= _LEAST_REST * sfreq:
                rest = calm
                strong = np.maximum(_STRONG * np.quantile(sizes, 0.98, axis=0), 2 * _CALM)
                strongest = [eye & group for group in (sizes > strong).T]
                groups = [group for group in strongest if group.any()] or [eye]
    scale[rank:] *= 2
    return _Sources(a[:, :most], w[:, :most], scale[:most], ratios, null, rank)


def _gevd(
    x: np.ndarray, groups: Sequence[np.ndarray], rest: np.ndarray, sfreq: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance ratios (c,), unmixing and mixing (c, c), largest ratio first.

    The variance is the mean over the groups of samples, against that at rest.
    """
    c = x.shape[1]
    at_rest = _power(x, rest)
    n_free = rest.sum() * min(1.0, 80.0 / sfreq)  # what a band of 40 Hz leaves independent
    shrinkage = min(max(_SHRINKAGE, 0.05 * c / n_free), 0.5)
    at_rest = (1 - shrinkage) * at_rest + shrinkage * np.trace(at_rest) / c * np.eye(c)
    active = np.mean([_power(x, group) for group in groups], axis=0)
    ratios, w = eigh(active, at_rest)
    return ratios[::-1], w[:, ::-1], at_rest @ w[:, ::-1]


def _power(x: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean outer product (c, c) of the samples of `x` at `where`."""
    part = x[where]
    return part.T @ part / len(part)


def _null_ratio(x: np.ndarray, eye: np.ndarray, rest: np.ndarray, sfreq: float) -> float:
    """Largest ratio between rest and rest, over circular shifts of the eye activity."""
    found = [0.0]
    least = 0.1 * min(eye.sum(), rest.sum())
    for shift in np.linspace(0, len(x), _N_NULL + 2)[1:-1].astype(int):
        covered = np.roll(eye, shift)
        inside, outside = rest & covered, rest & ~covered
        if min(inside.sum(), outside.sum()) >= least:
            found.append(float(_gevd(x, [inside], outside, sfreq)[0][0]))
    return max(found)


def _rest_scale(sources: np.ndarray, rest: np.ndarray, sfreq: float, rank: int) -> np.ndarray:
    """Standard deviation of each source without the eyes.

    Gaze is seldom quite still, and rest holds some of it. The size of a source in its quietest
    windows does not, and the sources that have nothing to do with the eyes tell how much smaller
    the quietest windows of brain activity are than its standard deviation.
    """
    at_rest = sources[rest].std(axis=0)
    length = max(round(_WINDOW * sfreq), 2)
    n = len(sources) // length * length
    windows = sources[:n].reshape(-1, length, sources.shape[1])
    quiet = np.quantile(np.sqrt(np.mean(windows**2, axis=1)), _QUANTILE, axis=0)
    others = slice(rank, None)
    alive = at_rest[others] > 1e-6 * at_rest.max()
    if alive.sum() < 4:
        return np.maximum(at_rest, 1e-300)
    ratio = np.median(quiet[others][alive] / sources[:, others][:, alive].std(axis=0))
    return np.maximum(np.minimum(quiet / max(ratio, 1e-3), 1.2 * at_rest), 1e-300)


def _held_out(
    arguments: dict[str, Any],
    data: np.ndarray,
    info: SignalInfo,
    events: EyeEvents,
    test: np.ndarray,
    scales: np.ndarray,
) -> dict[str, Any]:
    """What the sources do to the part that was not fitted, through the live stage."""
    picks = [k for k, kind in enumerate(info.ch_types) if kind in DATA_TYPES]
    n = len(data)
    flags = np.zeros(n, FLAGS), np.zeros(data.shape, FLAGS)
    stage = EyeCorrection(info, **arguments)
    out = stage.process(Chunk(data, np.arange(n) / info.sfreq, 0, *flags))
    x, y = data[:, picks] / scales, out.data[:, picks] / scales
    sources = x @ (scales[:, None] * arguments["unmixing"])
    fixed = x - sources @ (arguments["mixing"] / scales[:, None]).T
    eye, rest = events.eye & test, events.rest & test
    row: dict[str, Any] = {"rank": len(arguments["rest_scale"])}
    gain = np.sum(y[rest] * x[rest], axis=0) / np.sum(x[rest] ** 2, axis=0)
    blinks = events.blinks[test[events.blinks]]
    floor = np.mean(x[rest] ** 2)
    for name, z in (("", y), ("ungated_", fixed)):
        row[name + "blink_db"] = _locked_db(x, z, blinks, info.sfreq)
        excess = max(float(np.mean(z[eye] ** 2) - floor), 1e-3 * floor)
        row[name + "eye_db"] = _db(max(float(np.mean(x[eye] ** 2) - floor), 0.0) / excess)
        row[name + "rest_distortion"] = round(float(_rms(z[rest] - x[rest]) / _rms(x[rest])), 4)
    row["rest_gain"] = [round(float(v), 4) for v in (gain.min(), np.median(gain), gain.max())]
    row["rest_open"] = round(float(np.mean(out.flags[rest] > 0)), 4)
    row["open"] = round(float(np.mean(out.flags[test] > 0)), 4)
    return row


def _locked_db(x: np.ndarray, z: np.ndarray, at: np.ndarray, sfreq: float) -> float | None:
    """Attenuation of what is locked to `at`; None where there are fewer than 6.

    The power of the average is that of two halves' averages multiplied: what is not locked cancels
    instead of setting a floor. At most 40 dB.
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


def summary(report: dict[str, Any]) -> Summary:
    """What was found, taken out and kept."""
    held_out = report["held_out"][report["rank"] - 1]
    found = (
        f"rank {report['rank']} ({report['rule']}); {report['n_blinks']} blinks and "
        f"{report['n_saccades']} saccades by {report['way']}"
    )
    blinks, activity = decibels(held_out["blink_db"]), decibels(held_out["eye_db"])
    kept = f"changed at rest: {held_out['rest_distortion']:.1%} of the amplitude"
    return Summary(found, f"blinks {blinks}, eye activity {activity}", kept)


def line(report: dict[str, Any]) -> str:
    """Put what was found in a line."""
    held_out = report["held_out"][report["rank"] - 1]
    return (
        f"rank {report['rank']} ({report['rule']}; ratios {report['ratios']}, null "
        f"{report['null']}), {report['n_blinks']} blinks and {report['n_saccades']} saccades by "
        f"{report['way']}; " + ", ".join(f"{k} {v}" for k, v in held_out.items() if k != "rank")
    )
