"""Fit the regressors: which references explain the data, at which lags, how strongly.

For `rt_decoder.cleaning.regressors`. Works on the output of the stages before it, and knows nothing
of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.cleaning.attenuation import measure, run
from calibration.cleaning.reference_effect import LONGEST_S, decibels_on_beats, watch
from calibration.cleaning.reference_kind import shown
from calibration.cleaning.reference_search import (
    HELD_OUT,
    RIDGE,
    lagged,
    moments,
    search,
    smoothed,
    without_evoked,
)
from calibration.cleaning.seen import Seen, onsets
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels, share_text
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["fit", "fit_regressors", "line", "summary"]

_TYPES = ("ecg", "resp", "emg", "misc")  # references by default; eog is left to the eye stage
_MARGIN = 3.0  # limits, as a multiple of the 99.9th percentile in calibration
_SHORTEST = 20.0  # s of good samples
_HELPS_DB = -0.5  # of the whole beat and of the QRS: more than this is no help
_SHOWS = {"ecg": "regular beats", "resp": "breath"}  # what a type must show


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on the output of the eye stage, with the responses to events taken out."""
    samples, model, rows = seen.samples, seen.model, onsets(seen)
    length = round(max(model.recipe.features.tmax, 0.1) * model.info.sfreq)
    evoked = (rows, length) if len(rows) else None
    return fit_regressors(samples.data, model.info, samples.bad, evoked=evoked)


def fit_regressors(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    *,
    evoked: tuple[np.ndarray, int] | None = None,
    names: Sequence[str] | None = None,
    n_surrogates: int = 19,
    seed: int = 0,
    **settings: float,
) -> StageFit | LeftOut:
    """Fit the weights that take what references explain out of the data.

    The response to events is first taken out of data and references, so that a reference that moves
    with the task does not learn the task. For each reference, a single tap and three taps at
    several spacings (for a belt, also smoothed) are fitted on the first two thirds and tested on
    the last third. Three taps are taken if they explain at least 2 % more than one. A reference is
    kept if it explains more of the last third than each of its circularly shifted copies, at a lag
    within the bounds of the search, and strongly enough to be watched live. An ECG must show
    regular beats and a belt breaths, and an ECG must leave less that is locked to the beats of the
    last third. The weights are then fitted on all samples.

    Parameters
    ----------
    data : array of shape (n, n_channels), float64
        Filtered samples without eye artifacts, data channels first; in the units of `info`.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    evoked : tuple or None
        Onsets of events as rows of `data`, an array of shape (n_events,), and the length of their
        response in samples.
    names : sequence of str or None
        References; None takes every channel of type ecg, resp, emg or misc.
    n_surrogates : int
        Shifted copies that a reference must beat.
    seed : int
        Seeds the shifts.
    **settings : float
        Of `Regressors`, for the held-out values of the report.

    Returns
    -------
    StageFit or LeftOut
        Left out if there is no reference, none explains anything, or less than 20 s are good. The
        report: `references`, for every reference what it `shows` and the size of that `effect`,
        what `search` returns, its `reason` if it is left out and, if it is kept, its
        `attenuation_db`; and `injected_gain`, what all of them together leave of an injected
        response.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    if data.shape != (len(bad), info.n_channels) or data.ndim != 2:
        raise ValueError(
            f"need data of shape ({len(bad)}, {info.n_channels}), got {np.shape(data)}"
        )
    if np.sum(~bad) < _SHORTEST * info.sfreq:
        return LeftOut(
            f"need {_SHORTEST:g} s of good samples to fit references, "
            f"got {np.sum(~bad) / info.sfreq:.1f} s"
        )
    columns, alive = _not_constant(data, info, bad, names)
    nothing = LeftOut("no reference explains anything of the data")
    if not columns or len(alive) == 0:
        return nothing if columns else LeftOut("no reference channel was recorded, or none varies")
    free = data if evoked is None else without_evoked(data, bad, *evoked)
    x, rng, found = free[:, alive], np.random.default_rng(seed), {}
    for column in columns:
        name = info.ch_names[column]
        found[name] = _look(x, free, info, bad, column, rng, n_surrogates)
    del x
    _keep_what_helps(found, free, info, bad, settings)
    kept = {name: what for name, what in found.items() if what["kept"]}
    if not kept:
        said = "; ".join(f"{name}: {what['reason']}" for name, what in found.items())
        return LeftOut(f"{nothing.reason} ({said})")
    n_train = round((1.0 - HELD_OUT) * len(data))
    trained = _arguments(free[:n_train], info, bad[:n_train], kept)
    live = Regressors(info, **(trained | settings))
    judged, preserved = measure(live, free[n_train:], info, bad[n_train:], list(kept), rng)
    for name, attenuation in judged.items():
        found[name]["attenuation_db"] = attenuation
    report = {"references": found, "injected_gain": preserved}
    return StageFit(_arguments(free, info, bad, kept), report)


def _look(
    x: np.ndarray,
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    column: int,
    rng: np.random.Generator,
    n_surrogates: int,
) -> dict[str, Any]:
    """Look at one reference by itself: is it what its type says, and does it explain anything."""
    kind = info.ch_types[column]
    seen = shown(data, info, bad, column)
    what: dict[str, Any] = {"kept": False}
    if seen.what:
        what |= {"shows": seen.what, "effect": round(seen.size, 2)}
    if not seen.is_kind:
        return what | {"reason": f"no {_SHOWS[kind]} ({seen.what})"}
    what |= search(x, data[:, column], bad, info.sfreq, kind, rng, n_surrogates)
    if not what["kept"]:
        return what | {"reason": "explains nothing"}
    if what["at_bound"]:
        reason = f"its lag is at the bound of the search, {what['lag_ms']:.0f} ms"
        return what | {"kept": False, "reason": reason}
    return what


def _keep_what_helps(
    found: dict[str, dict[str, Any]],
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    settings: dict[str, float],
) -> None:
    """Leave out references that cannot be watched, or whose regression does not help on beats.

    Both are judged by the last third, cleaned by the live stage as fitted on the first two.
    """
    n_data = sum(kind in DATA_TYPES for kind in info.ch_types)
    n_train = round((1.0 - HELD_OUT) * len(data))
    for name, what in found.items():
        if not what["kept"]:
            continue
        arguments = _arguments(data[:n_train], info, bad[:n_train], {name: what})
        watched_s = float(arguments["watched"][0, -2])
        what["watched_s"] = round(watched_s, 1)
        if watched_s > LONGEST_S:
            reason = f"its effect is too weak to be watched: that takes {watched_s:.0f} s"
            what |= {"kept": False, "reason": reason}
            continue
        peaks = shown(data, info, bad, info.ch_names.index(name)).peaks
        peaks = peaks[peaks >= n_train] - n_train
        if info.ch_types[info.ch_names.index(name)] != "ecg":
            continue
        clean = run(Regressors(info, **(arguments | settings)), data[n_train:], info, bad[n_train:])
        size = np.maximum(np.std(data[~bad, :n_data], axis=0), 1e-300)
        before, after = (part[:, :n_data] / size for part in (data[n_train:], clean))
        found_db = decibels_on_beats(before, after, peaks, info.sfreq)
        what |= found_db
        if any(db is None or db > _HELPS_DB for db in found_db.values()):
            said = ", ".join(
                f"{key} {'not measurable' if db is None else f'{db:+.1f}'}"
                for key, db in found_db.items()
            )
            what |= {"kept": False, "reason": f"does not help on held-out beats ({said})"}


def _not_constant(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, names: Sequence[str] | None
) -> tuple[list[int], np.ndarray]:
    """Find the columns of references (`names`, or all) and of data channels that have a signal."""
    if names is None:
        names = [n for n, t in zip(info.ch_names, info.ch_types, strict=True) if t in _TYPES]
    columns = [info.ch_names.index(name) for name in names]
    columns = [column for column in columns if np.ptp(data[~bad, column]) > 0]
    n_data = sum(kind in DATA_TYPES for kind in info.ch_types)
    return columns, np.flatnonzero(np.ptp(data[~bad, :n_data], axis=0) > 0)


def _arguments(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    kept: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Fit the arguments of `Regressors`, by ridge regression of the data on the taps of `kept`."""
    n_data = sum(kind in DATA_TYPES for kind in info.ch_types)
    columns = [info.ch_names.index(name) for name in kept]
    references, x = data[:, columns], data[:, :n_data]
    smoothing = np.array([what["smoothing_hz"] for what in kept.values()])
    slow = np.stack(
        [smoothed(r, hz, info.sfreq) for r, hz in zip(references.T, smoothing, strict=True)], 1
    )
    scale = np.sqrt(np.mean(slow[~bad] ** 2, 0))
    lags = [what["taps"] for what in kept.values()]
    z = np.hstack([lagged(slow[:, r] / scale[r], own) for r, own in enumerate(lags)])
    taps = np.array([(r, lag) for r, own in enumerate(lags) for lag in own])
    products = moments(z, x, ~bad)
    weights = products.weights()
    inverse = np.linalg.inv(products.zz + RIDGE * np.eye(len(z.T)))
    inverse = (inverse + inverse.T) / 2
    z = z[~bad]
    of = taps[:, 0, None] == np.arange(len(kept))
    reach = _MARGIN * np.quantile((z * (z @ inverse)) @ of, 0.999, axis=0)
    left = x[~bad]
    left -= z @ weights
    spread = np.array([1.4826 * np.median(np.abs(one - np.median(one))) for one in left.T])
    found = {
        "names": list(kept),
        "taps": taps,
        "weights": weights,
        "inverse": inverse,
        "scale": scale,
        "limit": _MARGIN * np.quantile(np.abs(references[~bad]), 0.999, axis=0),
        "spread": np.maximum(spread, 1e-3 * float(spread.max()) + 1e-30),
        "reach": np.maximum(reach, 1e-30),
        "smoothing": smoothing,
    }
    watched = watch(found | {"columns": columns}, data, bad, info.sfreq, n_data)
    return found | {"watched": watched}


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, taken out and kept."""
    kept = {name: one for name, one in report["references"].items() if one["kept"]}
    lags = [
        f"{name} (lag {one['lag_ms']:.0f} ms)" if one.get("lag_ms") is not None else name
        for name, one in kept.items()
    ]
    useless = [
        f"{name} left out: {one.get('reason', 'explains nothing')}"
        for name, one in report["references"].items()
        if not one["kept"]
    ]
    found = "; ".join([", ".join(lags), *useless])
    taken = ", ".join(f"{name} {decibels(one.get('attenuation_db'))}" for name, one in kept.items())
    return Summary(found, taken, f"{share_text(report['injected_gain'])} of an injected response")


def line(report: dict[str, Any]) -> str:
    """Format the report as one line for the terminal."""
    parts = []
    for name, found in report["references"].items():
        if not found["kept"]:
            parts.append(f"{name} left out, {found.get('reason', 'explains nothing')}")
            continue
        lag = f" (lag {found['lag_ms']:.0f} ms)" if found.get("lag_ms") is not None else ""
        parts.append(f"{name}{lag} attenuated by {found['attenuation_db']:.1f} dB")
    return "; ".join(parts) + f"; gain of an injected response {report['injected_gain']:.3f}"
