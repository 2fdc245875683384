"""Fit the posterior of continuous readouts, which come at every hop, whether a word is said or not.

`presence` fits it by maximum likelihood, with nothing as a hypothesis beside the items. Sharpness
and the length at which a prediction has its full weight are other ones than for events: most
windows near an event begin too early or late to be read, and predictions are short where nothing
is said. It is fitted on windows of the training part, those of events too, which the map has seen;
where the signal is weak, its probabilities are too high by that.

The threshold is the lowest at which answers while nothing is said are demonstrably rarer than asked.
It is found on windows that share no sample with an event's: they never trained the map, so that the
final map is tested on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.alarms import count_alarms, poisson_interval, score_hops
from calibration.design import Design
from calibration.events import LabelledRecording
from calibration.hold_out import split_again
from calibration.hops import Hops, cosines, read_hops, weigh
from calibration.presence import fit_presence
from rt_decoder.counted import counted
from rt_decoder.model import Model, PosteriorParameters

__all__ = ["continuous_line", "fit_continuous", "fit_threshold"]

NEVER = 2.0  # threshold that no probability reaches
RISK = 0.1  # that the true rate of false alarms is above the one asked for
_LEAST_HOPS = 50  # without a word, to know what they look like
_KEPT = 2000  # windows with an item, and as many without, that the posterior is fitted on
_CELLS = 2**22  # of them times items


def fit_threshold(
    probability: np.ndarray, onset: np.ndarray, *, apart: float, hours: float, asked: float
) -> tuple[float, int]:
    """Find the lowest threshold at which false alarms are demonstrably rarer than asked.

    Thresholds are tested from the highest down, each by the upper confidence bound of a Poisson
    count at `RISK`; the first that fails ends the search, so that no correction for many tests is
    needed.

    Parameters
    ----------
    probability : array of shape (n,)
        Of the best item, in windows in which nothing is said.
    onset : array of shape (n,)
        Of these windows in s, ascending.
    apart : float
        Length of the window in s; see `count_alarms`.
    hours : float
        Time that the windows stand for.
    asked : float
        False alarms an hour.

    Returns
    -------
    threshold : float
        Above 1 if the time is too short to show even that none is too many.
    n_alarms : int
        False alarms at this threshold.
    """
    most = -1
    while hours > 0 and poisson_interval(most + 1, hours, 1 - 2 * RISK)[1] <= asked:
        most += 1
    if most < 0:
        return NEVER, 0

    def alarms(threshold: float) -> int:
        return count_alarms(onset[probability >= threshold], apart)

    values = np.unique(probability)
    low, high = 0, len(values)  # the lowest that passes is among low..high; at `high` none answers
    while low < high:
        middle = (low + high) // 2
        if alarms(values[middle]) <= most:
            high = middle
        else:
            low = middle + 1
    if low == 0:
        return float(values[0]) if len(values) else NEVER, alarms(values[0]) if len(values) else 0
    # just above the highest value that fails: what lies between is not known to be safe or not
    threshold = float(np.nextafter(values[low - 1], 2.0))
    return (threshold, alarms(threshold)) if threshold <= 1 else (NEVER, 0)


def fit_continuous(
    model: Model,
    design: Design,
    sessions: Sequence[LabelledRecording],
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[float], None] | None = None,
) -> Model:
    """Fit the posterior of continuous readouts, and measure it on the locked block.

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
        With `continuous`, and a table of that name in the certificate. It never answers where
        that cannot be shown to be safe.
    """
    hops = read_hops(model, sessions, progress)
    train, locked = _parts(model, design, hops)
    posterior = _posterior(model, hops, train & hops.good)
    hops = weigh(hops, replace(model, continuous=posterior))
    quiet = train & hops.good & ~hops.near()
    hours, asked = float(quiet.sum() * hops.hop / 3600), model.recipe.readout.false_alarms
    n_alarms, why = 0, ""
    if asked == 0:
        why = "no false alarm is allowed (false_alarms = 0)"
    elif model.posterior.tau == 0:
        why = "no evidence was found in the held-out groups"
    elif quiet.sum() < _LEAST_HOPS:  # too few to know what they look like
        why = "there is no time without events to learn from"
    elif posterior.tau == 0:
        why = "no window of an event is good enough to learn from"
    else:
        threshold, n_alarms = fit_threshold(
            hops.probability(posterior.nothing)[quiet], hops.onset[quiet],
            apart=hops.span, hours=hours, asked=asked,
        )  # fmt: skip
        posterior = replace(posterior, threshold=max(threshold, model.posterior.threshold))
        if posterior.threshold > 1:
            why = _why_never(threshold, hours, asked)
    found: dict[str, Any] = {
        "asked": asked,
        "hours": hours,
        "n_alarms": n_alarms,
        "never": why,
    }
    model = replace(model, continuous=posterior)
    if locked.any():
        found["final"] = score_hops(hops, locked, model)
    say(continuous_line(found))
    return replace(model, certificate={**model.certificate, "continuous": found})


def _posterior(model: Model, hops: Hops, use: np.ndarray) -> PosteriorParameters:
    """Posterior over items and nothing, from hops to learn from (n,) bool; it never answers."""
    said = hops.said()
    spoken, silent = np.flatnonzero(use & (said >= 0)), np.flatnonzero(use & (said == -1))
    posterior = replace(
        model.posterior, tau=0.0, length=0.0, floor=0.0, threshold=NEVER, nothing=0.0
    )
    if not (len(spoken) and len(silent)):
        return posterior
    if model.posterior.tau == 0:
        return replace(posterior, nothing=math.log(len(silent) / len(spoken)))
    most = max(1, min(_KEPT, _CELLS // len(model.items)))
    steps = [-(-len(rows) // most) for rows in (spoken, silent)]
    kept = [rows[::step] for rows, step in zip((spoken, silent), steps, strict=True)]
    rows, weights = np.concatenate(kept), np.repeat(steps, [len(one) for one in kept])
    offset = model.log_prior + (model.item_bias if model.item_bias.size else 0)
    found = fit_presence(*cosines(hops.predicted[rows], model), said[rows], offset, weights)
    return replace(posterior, tau=found.tau, length=found.length, nothing=found.nothing)


def _parts(model: Model, design: Design, hops: Hops) -> tuple[np.ndarray, np.ndarray]:
    """Hops to train on and locked hops: those whose nearest event of the design is."""
    _, train, locked = split_again(design, model.recipe.fit, model.certificate["split"]["purge_s"])
    part = np.zeros(len(design.onsets), int)
    part[train], part[locked] = 1, 2
    order = np.argsort(design.onsets, kind="stable")
    onsets = design.onsets[order]
    after = np.clip(np.searchsorted(onsets, hops.onset), 1, max(1, len(onsets) - 1))
    is_before = hops.onset - onsets[after - 1] < onsets[after] - hops.onset
    nearest = part[order[np.where(is_before, after - 1, after)]]
    return nearest == 1, nearest == 2


def _why_never(threshold: float, hours: float, asked: float) -> str:
    if threshold <= 1:
        return "event readouts never answer"
    needed = poisson_interval(0, 1.0, 1 - 2 * RISK)[1] / asked if asked else math.inf
    if hours < needed:
        return (
            f"{60 * hours:.1f} min without events are too few to show that false alarms stay below "
            f"{asked:g} an hour; it takes {60 * needed:.0f} min, or a higher --false-alarms"
        )
    return f"no threshold keeps false alarms below {asked:g} an hour"


def continuous_line(found: dict[str, Any]) -> str:
    """Describe the posterior of continuous readouts in a line.

    Parameters
    ----------
    found : dict
        The table `continuous` of a certificate.

    Returns
    -------
    str
    """
    if found["never"]:
        return f"continuous readouts never answer: {found['never']}"
    line = (
        f"continuous readouts: {counted(found['n_alarms'], 'false alarm')} in {found['hours']:.2f} h without "
        f"events ({found['asked']:g} an hour asked)"
    )
    final = found.get("final")
    if final and final["hours"]:
        line += (
            f"; locked block: {final['n_alarms']} in {final['hours']:.2f} h ({final['low']:.1f} to "
            f"{final['high']:.1f} an hour), {final['hits']} of {counted(final['n_events'], 'event')} named"
        )
        if (error := final.get("likely_error")) is not None:
            line += f"; where an item was likely, its probability was off by {error:.2f}"
    return line
