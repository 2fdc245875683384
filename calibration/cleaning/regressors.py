"""Fit of the regression on references: which of them explain the data, at which lags, how strongly.

For `rt_decoder.cleaning.regressors`. Works on samples that have passed every stage before it;
what those stages are is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.cleaning.reference_search import (
    HELD_OUT,
    RIDGE,
    lagged,
    moments,
    more_than_chance,
    probes,
    responses,
    search,
    smoothed,
    without_evoked,
)
from calibration.cleaning.seen import Seen, onsets
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, decibels
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.signal import DATA_TYPES, FLAGS, Chunk, Reason, SignalInfo

__all__ = ["fit", "fit_regressors", "line", "summary"]

_TYPES = ("ecg", "resp", "emg", "misc")  # regressed unless names say otherwise; never eog
_MARGIN = 3.0  # times what calibration saw in 999 of 1000 samples
_SHORTEST = 20.0  # s of good samples
_FLOOR_DB = 40.0  # an attenuation beyond cannot be told from nothing left


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on samples without eye artifacts, the answers to events set aside."""
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
    """Weights that take what references explain out of the data, where they explain anything.

    The response to events is taken out of data and references first, so that a reference that
    moves with the task does not learn the task. Of each reference a single tap and three taps at
    several spacings (of a belt smoothed ones too) are tried on the last third after a fit to the
    rest; the best three are taken where they explain at least 2 % more. A reference stays if it explains more of the last third than
    all of its circularly shifted copies do. Weights then come from all samples.

    Parameters
    ----------
    data : array of shape (n, n_channels)
        Filtered samples, eye artifacts removed, data channels first; in the units of `info`.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    evoked : (array of int, int) or None
        Onsets of events as rows of `data`, and the length of their response in samples.
    names : sequence of str or None
        References; None takes every channel of type ecg, resp, emg or misc.
    n_surrogates : int
        Shifted copies a reference must beat.
    seed : int
        Of the shifts.
    **settings
        Of `Regressors`, for what the report says about the live stage.

    Returns
    -------
    StageFit or LeftOut
        Left out where there is no reference, none explains anything, or less than 20 s are good.
        The report: for every reference (`references`) its lag, taps, share explained and
        attenuation; of all together (`injected_gain`) what they left of an injected response.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    n_data = sum(kind in DATA_TYPES for kind in info.ch_types)
    if data.shape != (len(bad), info.n_channels) or data.ndim != 2:
        raise ValueError(
            f"need data of shape ({len(bad)}, {info.n_channels}), got {np.shape(data)}"
        )
    if np.sum(~bad) < _SHORTEST * info.sfreq:
        return LeftOut(
            f"need {_SHORTEST:g} s of good samples to fit references, "
            f"got {np.sum(~bad) / info.sfreq:.1f} s"
        )
    if names is None:
        names = [n for n, t in zip(info.ch_names, info.ch_types, strict=True) if t in _TYPES]
    columns = [info.ch_names.index(name) for name in names]
    columns = [column for column in columns if np.ptp(data[~bad, column]) > 0]
    alive = np.flatnonzero(np.ptp(data[~bad, :n_data], axis=0) > 0)
    nothing = LeftOut("no reference explains anything of the data")
    if not columns or len(alive) == 0:
        return nothing
    free = data if evoked is None else without_evoked(data, bad, *evoked)
    rng = np.random.default_rng(seed)
    found = {
        info.ch_names[column]: search(
            free[:, alive],
            free[:, column],
            bad,
            info.sfreq,
            info.ch_types[column],
            rng,
            n_surrogates,
        )
        for column in columns
    }
    kept = {name: what for name, what in found.items() if what["kept"]}
    if not kept:
        return nothing
    n_train = round((1.0 - HELD_OUT) * len(data))
    trained = _arguments(free[:n_train], info, bad[:n_train], kept)
    live = Regressors(info, **(trained | settings))
    judged, preserved = _judge(live, free[n_train:], info, bad[n_train:], list(kept), rng)
    for name, attenuation in judged.items():
        found[name]["attenuation_db"] = attenuation
    report = {"references": found, "injected_gain": preserved}
    return StageFit(_arguments(free, info, bad, kept), report)


def _arguments(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    kept: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What `Regressors` takes, by ridge regression of the data on the taps of `kept`."""
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
    left = x[~bad] - z @ weights
    spread = 1.4826 * np.median(np.abs(left - np.median(left, 0)), 0)
    return {
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


def _judge(
    stage: Regressors,
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    kept: Sequence[str],
    rng: np.random.Generator,
) -> tuple[dict[str, float], float]:
    """Attenuation in dB of each reference by the live stage, and what it left of a response.

    The attenuation compares what each reference still explains of what comes out, in a fit of its
    own and at lags up to 0.6 s (breath: 2 s), with what it explains of what goes in.
    """
    n_data = sum(kind in DATA_TYPES for kind in info.ch_types)
    out = _run(stage, data, info, bad)[:, :n_data]
    scale = np.std(data[~bad, :n_data], axis=0)
    scale[scale == 0.0] = 1.0
    attenuation: dict[str, float] = {}
    for name in kept:
        column = info.ch_names.index(name)
        lags = probes(info.ch_types[column], info.sfreq)
        z = lagged(data[:, column] / np.sqrt(np.mean(data[~bad, column] ** 2)), lags)
        shifts = rng.integers(len(z) // 10, len(z) - len(z) // 10, 9)
        powers = [more_than_chance(z, x / scale, ~bad, shifts) for x in (data[:, :n_data], out)]
        least = powers[0] * 10 ** (-_FLOOR_DB / 10) + 1e-30
        attenuation[name] = float(10 * np.log10((powers[0] + 1e-30) / max(powers[1], least)))
    wave, span = responses(len(data), info.sfreq, rng)
    injected = wave[:, None] * scale * rng.choice([-1.0, 1.0], n_data)
    both = data.copy()
    both[:, :n_data] += injected
    stage.reset()
    passed = (_run(stage, both, info, bad)[:, :n_data] - out) / scale
    wanted = injected / scale
    use = span & ~bad
    return attenuation, float(np.sum(passed[use] * wanted[use]) / np.sum(wanted[use] ** 2))


def _run(stage: Regressors, data: np.ndarray, info: SignalInfo, bad: np.ndarray) -> np.ndarray:
    flags = np.where(bad, FLAGS(Reason.HELD), FLAGS(0))
    quiet = np.zeros(data.shape, FLAGS)
    chunk = Chunk(np.ascontiguousarray(data), np.arange(len(data)) / info.sfreq, 0, flags, quiet)
    return stage.process(chunk).data.copy()


def summary(report: dict[str, Any]) -> Summary:
    """What was found, taken out and kept."""
    kept = {name: one for name, one in report["references"].items() if one["kept"]}
    lags = [
        f"{name} at {one['lag_ms']:.0f} ms" if one.get("lag_ms") is not None else name
        for name, one in kept.items()
    ]
    useless = sorted(set(report["references"]) - set(kept))
    found = ", ".join(lags) + (f"; {', '.join(useless)} explain nothing" if useless else "")
    taken = ", ".join(f"{name} {decibels(one.get('attenuation_db'))}" for name, one in kept.items())
    return Summary(found, taken, f"{report['injected_gain']:.1%} of an injected response")


def line(report: dict[str, Any]) -> str:
    """Put what was found in a line."""
    parts = []
    for name, found in report["references"].items():
        if not found["kept"]:
            parts.append(f"{name} explains nothing")
            continue
        lag = f" at {found['lag_ms']:.0f} ms" if found.get("lag_ms") is not None else ""
        parts.append(f"{name}{lag} attenuated by {found['attenuation_db']:.1f} dB")
    return "; ".join(parts) + f"; injected response kept {report['injected_gain']:.3f}"
