"""Fit what a session needs to notice another brain, cap, timing or polarity.

The response is fitted on the training events, and tried on the locked ones, as they are and with
faults. Where features are band powers, it is that of the signal or of its envelopes, whichever is
stronger. Where it is too weak to be told from nothing, the certificate says so, and a session does
not check it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from calibration.design import Design
from calibration.events import LabelledRecording
from calibration.hold_out import split_again
from calibration.monitor_collect import Collected, collect
from calibration.monitor_montage import fit_montage, known_orders
from calibration.monitor_ranks import fit_ranks
from calibration.monitor_response import Response, fit_response, score_epochs
from rt_decoder.files.monitor_text import monitor_lines
from rt_decoder.model import Model
from rt_decoder.monitor.response import LAGS, response_span
from rt_decoder.monitor.sequence import ResponseTest, events_to_notice, n_to_name

__all__ = ["fit_monitor"]

_LEAST_D, _LEAST_SURE = 0.25, 6.0  # d, and d times the root of the number of events
_SHIFT = 0.1  # s, of the fault that is tried


def fit_monitor(
    model: Model,
    design: Design,
    sessions: Sequence[LabelledRecording],
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[float], None] | None = None,
) -> Model:
    """Fit the monitor, and measure on the locked block what it notices.

    Parameters
    ----------
    model : Model
        As `fit.fit_model` returns it.
    design : Design
        That it was fitted on.
    sessions : sequence of LabelledRecording
        That the design was built from.
    say : callable
        Receives lines of progress.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Model
        With `monitor`, and a table of that name in the certificate.
    """
    found = collect(model, design, sessions, progress)
    fitted: dict[str, dict[str, Any]] = {}
    told, response, epochs = _stronger(model, found)
    if response is not None and not told["weak"]:
        fitted["events"] = _stored(response, response.projection / epochs.scale[:, None])
        fitted["events"]["of"] = told["of"]
        sides = _sides(model.info.sfreq, epochs, response)
        told["d_sides"] = 1 / sides["spread"] if sides else 0.0
        if sides:
            fitted["sides"] = sides
        if sides:
            told["notices"] |= {"left and right": events_to_notice(told["d_sides"])["mirrored"]}
        if told["of"] == "envelopes":  # they have no polarity
            del told["notices"]["inverted"]
    channels, told_channels = fit_montage(model, found.picks, found.seconds)
    if channels:
        fitted["channels"] = channels
    _, _, locked = split_again(design, model.recipe.fit, model.certificate["split"]["purge_s"])
    ranks, told_ranks = fit_ranks(model, design, locked)
    if ranks:
        fitted["ranks"] = ranks
    table = {"events": told, "channels": told_channels, "ranks": told_ranks}
    certificate = {**model.certificate, "monitor": table}
    model = replace(model, monitor=fitted, certificate=certificate)
    for line in monitor_lines(model):
        say(line)
    return model


class _Epochs(NamedTuple):
    """Bins around n events, of the signal or of envelopes."""

    values: np.ndarray  # (n, n_bins, c) relative to `scale`
    scale: np.ndarray  # (c,) SI units
    order: np.ndarray  # (c,) int: what stands in each place where left and right are exchanged
    is_train: np.ndarray  # (n,) bool
    is_locked: np.ndarray  # (n,) bool


def _stronger(model: Model, found: Collected) -> tuple[dict[str, Any], Response | None, _Epochs]:
    """Fit the response of the signal, and where features are band powers that of envelopes."""
    c, positions = model.n_picks, model.info.positions
    places = None if positions is None else np.array(positions)[:c]
    order = known_orders(model.info.ch_names[:c], places).get("left and right", np.arange(c))
    parts = found.is_train, found.is_locked
    of = {"signal": _Epochs(found.epochs, found.scale, order, *parts)}
    if n_bands := found.envelopes.shape[-1] // c:
        orders = np.concatenate([order + band * c for band in range(n_bands)])
        scale = np.tile(found.scale, n_bands)
        of["envelopes"] = _Epochs(found.envelopes, scale, orders, *parts)
    results = []
    for name, epochs in of.items():
        response, told = _response(model.info.sfreq, epochs)
        results.append((told | {"of": name}, response, epochs))
    return max(results, key=lambda one: one[0]["d"])


def _stored(response: Response, projection: np.ndarray) -> dict[str, Any]:
    """What a session needs of a response whose projection (c, r) takes samples in SI units."""
    stored = response._asdict() | {"projection": projection}
    del stored["n"]
    return stored


def _is_sure(response: Response, n: int) -> bool:
    d = 1 / response.spread
    return d > _LEAST_D and d * math.sqrt(n) > _LEAST_SURE


def _sides(sfreq: float, found: _Epochs, whole: Response) -> dict[str, Any]:
    """Fit what differs between left and right; empty where that is too weak to be told.

    Differences of every two channels that mirror each other become their opposite where left and
    right are exchanged.
    """
    c, order = len(found.order), found.order
    left = np.flatnonzero(order > np.arange(c))
    pairs = np.zeros((c, len(left)))
    pairs[left, np.arange(len(left))], pairs[order[left], np.arange(len(left))] = 1.0, -1.0
    if not len(left):
        return {}
    epochs = found.values[found.is_train].astype(float) * found.scale
    response = fit_response(epochs @ pairs, sfreq)
    if response is None or not _is_sure(response, len(epochs)):
        return {}
    exchanged = score_epochs(epochs[..., order] / found.scale, sfreq, whole)
    sides = _stored(response, pairs @ response.projection)
    return sides | {"alike": float(exchanged[:, LAGS].mean())}


def _response(sfreq: float, found: _Epochs) -> tuple[Response | None, dict[str, Any]]:
    """Fit the response, and tell how strong it is."""
    response = fit_response(found.values[found.is_train].astype(float), sfreq)
    n = int(found.is_train.sum())
    if response is None:
        return None, {"n": n, "d": 0.0, "weak": True}
    d = 1 / response.spread
    told: dict[str, Any] = {
        "n": n,
        "d": d,
        "weak": not _is_sure(response, n),
        "n_to_name": n_to_name(d),
        "notices": {k: n for k, n in events_to_notice(d).items() if k != "mirrored"},
    }
    lag = response_span(sfreq).width / sfreq
    shift = ResponseTest(response.profile, response.spread, response.spreads, lag).least_shift
    if math.isfinite(shift):
        told["least_shift"] = shift
    else:
        del told["notices"]["shifted"]
    if not told["weak"] and found.is_locked.any():
        scores = score_epochs(found.values[found.is_locked].astype(float), sfreq, response)
        told["locked"] = _tried(response, scores, lag)
    return response, told


def _tried(response: Response, scores: np.ndarray, lag: float) -> dict[str, Any]:
    """Watch held-out scores (n, n_lags) as they are, and with faults: at which event each is seen."""

    def seen(rows: np.ndarray) -> int | None:
        test = ResponseTest(response.profile, response.spread, response.spreads, lag)
        for number, row in enumerate(rows, 1):
            if test.add(row) and test.alarm:
                return number
        return None

    signs = np.random.default_rng(0).choice((-1.0, 1.0), len(scores))
    return {
        "n": len(scores),
        "level": float(scores[:, LAGS].mean()),
        "d": float(1 / scores[:, LAGS].std(ddof=1)) if len(scores) > 2 else None,
        "as_it_is": seen(scores),
        "inverted": seen(-scores),
        "shifted": seen(np.roll(scores, round(_SHIFT / lag), axis=1)),
        "absent": seen(scores * signs[:, None]),
    }
