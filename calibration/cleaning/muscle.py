"""Fit `rt_decoder.cleaning.muscle`: how loud each channel usually is, and how far it strays.

Works on what the gate will see: guarded samples that are not filtered yet. Up to about a third of
the recording may contain bursts and movements, because a low quantile defines what is usual.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, share_text
from rt_decoder.cleaning.muscle import MuscleGate, muscle_band
from rt_decoder.signal import DATA_TYPES, FLAGS, Chunk, Reason, SignalInfo

__all__ = ["accelerometer_axes", "fit", "fit_muscle", "summary"]

_ROWS_A_SECOND = 20.0  # values of the gate per second that enter the quantiles
_SKIP_S = 3.0  # until the slow mean has settled
_QUIET = 0.4  # this quantile stays clean with 30 % muscle: it is then near the median of the rest
_LOW = 0.05  # lower quantile, which lies below `_QUIET` by
_QUIET_TO_LOW = 1.392  # standard deviations of a normal distribution
_ON, _OFF = (4.5, 1.7), (2.5, 1.3)  # standard deviations of the log score, and least ratio
_DEAD = 0.02  # times the median scale of its type; the gate ignores a channel below it
# limit of slow excursions: `_FAR_SEEN` times the largest seen, kept within these two multiples of
# their standard deviation
_FAR_LEAST, _FAR_MOST, _FAR_SEEN = 8.0, 25.0, 1.5
_LARGEST = 0.998  # quantile that stands for the largest seen
_ACC_NOISE, _ACC_SHARE = 8.0, 0.03  # standard deviations, and share of the median (1 g at rest)
_CHUNK = 4096


def accelerometer_axes(info: SignalInfo) -> tuple[str, ...]:
    """Find misc channels that are axes of an accelerometer, by their names.

    >>> info = SignalInfo(100.0, ("Cz", "ACC_X", "acc y"), ("eeg", "misc", "misc"), ("V", "g", "g"))
    >>> accelerometer_axes(info)
    ('ACC_X', 'acc y')
    """
    named = zip(info.ch_names, info.ch_types, strict=True)
    return tuple(name for name, kind in named if kind == "misc" and re.match("acc", name, re.I))


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on guarded samples that are not filtered yet."""
    samples, model = seen.samples, seen.model
    line_freq = model.recipe.stream.line_freq or None  # 0 means that there are no mains
    return fit_muscle(samples.data, model.info, samples.bad, line_freq)


def fit_muscle(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, line_freq: float | None = None
) -> StageFit | LeftOut:
    """Fit the gate of muscle and movement.

    Parameters
    ----------
    data : array of shape (n, c), float64
        Guarded, not filtered, in SI units.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    line_freq : float or None
        Mains frequency in Hz.

    Returns
    -------
    StageFit or LeftOut
        Left out if no data channel has a signal, or fewer than 10 s are good. The report::

            band_hz, silent            band in which muscle is seen; why there is none
            on, off, line_freq         as `MuscleGate` takes them
            left                       data channels that the gate ignores
            eeg, mag, ...              of each channel type: unit, median scale and far
            accelerometer, acc_limit   axes and limit, if there are any
            held_out                   of the last third, with a gate fitted on the first two:
                                       good seconds, shares of them flagged muscle and movement,
                                       bursts a minute

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    data, bad = np.ascontiguousarray(data, np.float64), np.asarray(bad, bool)
    n = len(data)
    if data.shape != (n, info.n_channels) or bad.shape != (n,):
        raise ValueError(
            f"need data of shape (n, {info.n_channels}) and bad of shape (n,), "
            f"got {data.shape} and {bad.shape}"
        )
    if np.sum(~bad) < 10.0 * info.sfreq:
        return LeftOut(
            f"need 10 s of good samples to learn what is usual, got {np.sum(~bad) / info.sfreq:.1f}"
        )
    arguments = _arguments(data, info, bad, line_freq)
    if isinstance(arguments, LeftOut):
        return arguments
    report = _describe(arguments, info)
    split = 2 * n // 3
    if np.sum(~bad[:split]) >= 6.0 * info.sfreq:
        first = _arguments(data[:split], info, bad[:split], line_freq)
        if not isinstance(first, LeftOut):
            report["held_out"] = _held_out(MuscleGate(info, **first), data[split:], bad[split:])
    return StageFit(arguments, report)


def _arguments(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, line_freq: float | None
) -> dict[str, Any] | LeftOut:
    nothing = LeftOut("too little signal above 20 Hz")
    is_data = np.array([kind in DATA_TYPES for kind in info.ch_types])
    # a first scale for the gate, which computes in single precision: steps between samples
    first = np.where(is_data, np.median(np.abs(np.diff(data, axis=0)), axis=0), 0.0)
    if not first.any():
        return nothing
    gate = MuscleGate(info, first, np.zeros(len(first)), line_freq=line_freq)
    stride = max(1, int(info.sfreq / gate.every / _ROWS_A_SECOND))
    step = gate.every * stride
    good = ~bad[::step]
    good[: int(_SKIP_S * info.sfreq / step)] = False
    _, power, away = gate.trace(data, stride, cap=np.inf)
    scale = first * np.sqrt(np.quantile(power[good], _QUIET, axis=0))
    for kind in set(info.ch_types):
        same = np.array([name == kind for name in info.ch_types]) & (scale > 0)
        if same.any():
            scale[same & (scale < _DEAD * np.median(scale[same]))] = 0.0
    if not (scale > 0).any():
        return nothing
    far = _far(np.abs(away[good]) * first, scale > 0)
    scores, _, _ = MuscleGate(info, scale, far, line_freq=line_freq).trace(data, stride)
    log = np.log(np.maximum(scores[good], 1e-6))
    low, quiet = np.quantile(log, [_LOW, _QUIET])
    sigma = (quiet - low) / _QUIET_TO_LOW
    on, off = (float(np.exp(quiet + max(z * sigma, np.log(r)))) for z, r in (_ON, _OFF))
    axes = accelerometer_axes(info)
    return {
        "scale": scale,
        "far": far,
        "on": on,
        "off": off,
        "line_freq": line_freq,
        "accelerometer": list(axes),
        "acc_limit": _acc_limit(data, info, bad, axes),
    }


def _far(distance: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Compute the limit of slow excursions (c,): beyond the largest seen, within bounds."""
    sigma = np.median(distance, axis=0) / 0.6745
    largest = _FAR_SEEN * np.quantile(distance, _LARGEST, axis=0)
    far = np.clip(largest, _FAR_LEAST * sigma, _FAR_MOST * sigma)
    return np.where(used, far, 0.0)


def _acc_limit(data: np.ndarray, info: SignalInfo, bad: np.ndarray, axes: tuple[str, ...]) -> float:
    if not axes:
        return 0.0
    size = np.linalg.norm(data[:, [info.ch_names.index(name) for name in axes]], axis=1)[~bad]
    middle = float(np.median(size))
    sigma = float(np.median(np.abs(size - middle))) / 0.6745
    return max(_ACC_NOISE * sigma, _ACC_SHARE * middle)


def _describe(arguments: dict[str, Any], info: SignalInfo) -> dict[str, Any]:
    band, scale, far = muscle_band(info.sfreq), arguments["scale"], arguments["far"]
    report: dict[str, Any] = {"band_hz": list(band) if band else None}
    if band is None:
        report["silent"] = f"muscle needs a rate of 73 Hz or more to be seen, got {info.sfreq:g}"
    report |= {name: round(arguments[name], 2) for name in ("on", "off")}
    report["line_freq"] = arguments["line_freq"]
    is_data = [kind in DATA_TYPES for kind in info.ch_types]
    report["left"] = [
        name for name, here, x in zip(info.ch_names, is_data, scale, strict=True) if here and not x
    ]
    factor, units = {"V": 1e6, "T": 1e15, "T/m": 1e13}, {"V": "uV", "T": "fT", "T/m": "fT/cm"}
    for kind in dict.fromkeys(k for k, here in zip(info.ch_types, is_data, strict=True) if here):
        picks = [i for i, name in enumerate(info.ch_types) if name == kind and scale[i] > 0]
        if picks:
            unit = info.units[picks[0]]
            report[kind] = {
                "unit": units.get(unit, unit),
                "scale": float(f"{np.median(scale[picks]) * factor.get(unit, 1.0):.3g}"),
                "far": float(f"{np.median(far[picks]) * factor.get(unit, 1.0):.3g}"),
            }
    if arguments["accelerometer"]:
        report["accelerometer"] = list(arguments["accelerometer"])
        report["acc_limit"] = float(f"{arguments['acc_limit']:.3g}")
    return report


def _held_out(gate: MuscleGate, data: np.ndarray, bad: np.ndarray) -> dict[str, float]:
    """Measure the shares of good time that are flagged, and bursts a minute."""
    flags = np.empty(len(data), FLAGS)
    nothing = np.zeros(_CHUNK, FLAGS)
    for start in range(0, len(data), _CHUNK):
        part = data[start : start + _CHUNK]
        n = len(part)
        chunk = Chunk(part, np.zeros(n), start, nothing[:n], np.zeros((0, 0), FLAGS))
        flags[start : start + n] = gate.process(chunk).flags
    seconds = max(np.sum(~bad) / gate.info.sfreq, 1e-9)
    muscle = (flags & Reason.MUSCLE) > 0
    starts = int(np.sum(muscle[1:] & ~muscle[:-1]))
    return {
        "seconds": round(float(seconds), 1),
        "muscle": round(float(np.mean(muscle[~bad])), 4) if seconds > 1e-6 else 0.0,
        "movement": round(float(np.mean((flags[~bad] & Reason.MOVEMENT) > 0)), 4),
        "bursts": round(float(60.0 * starts / seconds), 1),
    }


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, flagged and kept."""
    held_out = report.get("held_out", {})
    flagged = [
        f"{name} in {share_text(held_out[name])} of samples"
        for name in ("muscle", "movement")
        if name in held_out
    ]
    band = report.get("band_hz")
    found = f"{band[0]:g} to {band[1]:g} Hz" if band else str(report.get("silent", ""))
    return Summary(
        found, f"nothing, flagged: {', '.join(flagged)}" if flagged else "", "everything"
    )
