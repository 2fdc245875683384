r"""Fit the posterior of continuous readouts, which come at every hop, whether a word is said or not.

The evidence of a window is :math:`Z = \sum_w p(w) \exp(\tau \cos(y, v_w))`, the likelihood ratio of
some word against none, up to a constant. The weight of nothing is that constant, the mean of Z over
windows that are of no event (a likelihood ratio has mean 1 there), times the odds of such a window.
The evidence of a window grows in proportion to the length of its prediction (:math:`\tau` and the
length of the posterior are both large), since predictions are short where nothing is said.

The threshold is the lowest at which answers while nothing is said are demonstrably rarer than asked.
It is found on windows that share no sample with an event's: they never trained the map, so that the
final map is tested on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration.design import RUN_GAP, Design
from calibration.events import Event, LabelledRecording
from calibration.splits import split_events
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import features_of_recording

__all__ = [
    "Hops",
    "continuous_line",
    "count_alarms",
    "fit_continuous",
    "fit_threshold",
    "poisson_interval",
    "read_hops",
    "score_hops",
]

NEVER = 2.0  # threshold that no probability reaches
RISK = 0.1  # that the true rate of false alarms is above the one asked for
_LONG = 10.0  # times a length that no prediction reaches: evidence grows in proportion
_NEARBY = 1 / 8
_LEAST_HOPS = 50  # without a word, to know what they look like


@dataclass(frozen=True, slots=True, eq=False)
class Hops:
    """What a decoder sees at every hop of some recordings. n hops, m events."""

    onset: np.ndarray  # (n,) s, where the window's event would be, on one axis over recordings
    best: np.ndarray  # (n,) log weight of the best item
    total: np.ndarray  # (n,) log weight of all items
    winner: np.ndarray  # (n,) int, the best item
    good: np.ndarray  # (n,) bool, enough of the window's samples are good
    event_onset: np.ndarray  # (m,) s
    event_end: np.ndarray  # (m,) s, until which a window may answer to it
    event_item: np.ndarray  # (m,) int, -1 outside the vocabulary
    span: float  # s, of a window
    hop: float  # s
    delay: float  # s from a window's onset to its last sample

    def near(self) -> np.ndarray:
        """Whether each window shares samples with an event's, or lies within the event, (n,) bool."""
        near = np.zeros(len(self.onset), bool)
        if len(self.event_onset):
            ends = np.maximum.accumulate(self.event_end)
            last = np.searchsorted(self.event_onset, self.onset, "right") - 1
            near |= (last >= 0) & (self.onset < ends[last])
            after = np.minimum(last + 1, len(ends) - 1)
            ahead = self.event_onset[after] - self.onset
            near |= (ahead >= 0) & (ahead < self.span)
        return near

    def probability(self, nothing: float) -> np.ndarray:
        """Probability of the best item (n,), as the live readout has it."""
        return np.exp(self.best - np.logaddexp(self.total, nothing))


def read_hops(
    model: Model,
    sessions: Sequence[LabelledRecording],
    progress: Callable[[float], None] | None = None,
) -> Hops:
    """Run the live stages over recordings and look at every hop.

    Parameters
    ----------
    model : Model
        With map and posterior.
    sessions : sequence of LabelledRecording
        With the events in which something is said; all else is nothing.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Hops
    """
    mapping = LinearMap(model.weights, model.offset)
    vocabulary = Vocabulary(model.items, model.vectors, model.basis)
    place = {item: i for i, item in enumerate(model.items)}
    window = Pipeline(model).window
    span = (window.last - min(window.first, 0)) / model.info.sfreq
    rows: list[tuple[float, ...]] = []
    events: list[tuple[float, float, int]] = []
    base = 0.0
    for run, session in enumerate(sessions):
        recording = session.recording
        origin = recording.times[0]

        def report(share: float, run: int = run) -> None:
            if progress is not None:
                progress((run + share) / len(sessions))

        markers = [one for one in session.markers if not one.label.startswith("cue/")]
        known = session.by_marker(model.items)
        options = PipelineOptions(session.rules, continuous=True)
        for marker, features in features_of_recording(
            model, recording, markers, options, progress=report
        ):
            onset = base + marker.time - origin
            if marker.label:
                duration = known.get((marker.label, marker.time), Event()).duration
                end = onset + max(span, duration)
                events.append((onset, end, place.get(marker.label, -1)))
                continue
            z = mapping.process(features.values)
            weights = _log_weights(model, vocabulary.scores(z), float(np.linalg.norm(z)))
            winner = int(weights.argmax())
            best = float(weights[winner])
            total = best + math.log(np.exp(weights - best).sum())
            good = features.good >= model.posterior.min_quality
            rows.append((onset, best, total, winner, good))
        base += recording.times[-1] - origin + RUN_GAP
    events.sort()
    table = np.array(rows, float).reshape(-1, 5)
    event = np.array(events, float).reshape(-1, 3)
    return Hops(
        table[:, 0], table[:, 1], table[:, 2], table[:, 3].astype(int), table[:, 4] > 0,
        event[:, 0], event[:, 1], event[:, 2].astype(int),
        span, model.n_hop / model.info.sfreq, window.last / model.info.sfreq,
    )  # fmt: skip


def _log_weights(model: Model, scores: np.ndarray, length: float) -> np.ndarray:
    """Log weight of each item (V,), as the posterior of `model` has it before it is normalised."""
    fitted = model.continuous or model.posterior
    half = fitted.length
    tau = fitted.tau * (length / math.hypot(length, half) if half else 1.0)
    weights = tau * scores.astype(float) + model.log_prior
    return weights + model.item_bias if model.item_bias.size else weights


def count_alarms(onset: np.ndarray, apart: float) -> int:
    """Count answers that lie a window or more apart: the most of them that share no sample.

    Parameters
    ----------
    onset : array of shape (n,)
        Onsets in s of the hops that were answered, ascending.
    apart : float
        Length of the window in s: answers less than that after an alarm belong to it.

    Returns
    -------
    int
        Never less for more answers: it is the largest set of answers `apart` from each other.
    """
    n, at = 0, 0
    while at < len(onset):
        n += 1
        at = max(at + 1, int(np.searchsorted(onset, onset[at] + apart - 1e-9)))
    return n


def poisson_interval(n: int, hours: float, level: float = 0.95) -> tuple[float, float]:
    """Exact confidence interval of a rate.

    Parameters
    ----------
    n : int
        Events counted.
    hours : float
        Time in which they were counted; above 0.
    level : float
        Confidence, both sides together.

    Returns
    -------
    low, high : float
        Events an hour.

    References
    ----------
    Garwood 1936, doi:10.1093/biomet/28.3-4.437
    """
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * n) / 2 if n else 0.0
    return float(low / hours), float(chi2.isf(tail, 2 * (n + 1)) / 2 / hours)


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


def score_hops(hops: Hops, use: np.ndarray, model: Model) -> dict[str, Any]:
    """Score continuous readouts.

    Parameters
    ----------
    hops : Hops
        As `read_hops` returns them.
    use : array of shape (n,), bool
        Hops to score.
    model : Model
        With a posterior for continuous readouts.

    Returns
    -------
    dict
        ================  =============================================================
        hours             in which nothing was said and the signal was good
        n_alarms          answers in it; those less than a window apart are one
        alarms_per_hour   their rate, and `low`, `high`: its 95 % interval; None without time
        n_events, hits    events, and those that an answer to a window on them named
        precision         share of the answers near events that named one of them
        latency_s         from the onset of a hit to the last sample of its window, median
        ================  =============================================================

    Raises
    ------
    ValueError
        If the model has none.
    """
    fitted = model.continuous
    if fitted is None:
        raise ValueError("need a model with a posterior for continuous readouts, got one without")
    answered = use & hops.good & (hops.probability(fitted.nothing) >= fitted.threshold)
    near = hops.near()
    hours = float(np.sum(use & hops.good & ~near) * hops.hop / 3600)
    n_alarms = count_alarms(hops.onset[answered & ~near], hops.span)
    low, high = poisson_interval(n_alarms, hours) if hours else (None, None)
    right = np.zeros(len(hops.onset), bool)
    delays, n_events = [], 0
    for onset, end, item in zip(hops.event_onset, hops.event_end, hops.event_item, strict=True):
        first, last = np.searchsorted(hops.onset, [onset - hops.span + 1e-9, end])
        if not use[first:last].any():
            continue
        n_events += 1
        named = np.flatnonzero(answered[first:last] & (hops.winner[first:last] == item)) + first
        right[named] = True
        if len(named):
            delays.append(hops.onset[named[0]] + hops.delay - onset)
    n_near = int(np.sum(answered & near))
    return {
        "hours": hours,
        "n_alarms": n_alarms,
        "alarms_per_hour": n_alarms / hours if hours else None,
        "low": low,
        "high": high,
        "n_events": n_events,
        "hits": len(delays),
        "precision": float(right.sum() / n_near) if n_near else None,
        "latency_s": float(np.median(delays)) if delays else None,
    }


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
    posterior = _start(model)
    hops = read_hops(replace(model, continuous=posterior), sessions, progress)
    train, locked = _parts(model, design, hops)
    near = hops.near()
    quiet = train & hops.good & ~near
    hours, asked = float(quiet.sum() * hops.hop / 3600), model.recipe.readout.false_alarms
    n_alarms, why = 0, ""
    if asked == 0:
        why = "no false alarm is allowed (false_alarms = 0)"
    elif posterior.tau == 0:
        why = "no evidence was found in the held-out groups"
    elif quiet.sum() >= _LEAST_HOPS:
        posterior = replace(posterior, nothing=_weight_of_nothing(hops, train & hops.good))
        threshold, n_alarms = fit_threshold(
            hops.probability(posterior.nothing)[quiet], hops.onset[quiet],
            apart=hops.span, hours=hours, asked=asked,
        )  # fmt: skip
        posterior = replace(posterior, threshold=max(threshold, model.posterior.threshold))
        if posterior.threshold > 1:
            why = _why_never(threshold, hours, asked)
    else:
        why = "there is no time without events to learn from"
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


def _start(model: Model) -> PosteriorParameters:
    """Posterior of `model` with the length of a prediction as evidence, which cosines ignore.

    Where a window holds nothing, predictions are short; nothing else tells it from an event.
    """
    inner = model.certificate["out_of_fold"]
    posterior = replace(model.posterior, floor=0.0, threshold=NEVER, nothing=0.0)
    clamp, n_features = model.recipe.features.clamp or 20.0, len(model.weights)
    longest = clamp * math.sqrt(n_features) * float(np.linalg.norm(model.weights))
    longest = _LONG * (longest + float(np.linalg.norm(model.offset)))
    return replace(posterior, tau=(inner.get("slope") or 0.0) * longest, length=longest)


def _parts(model: Model, design: Design, hops: Hops) -> tuple[np.ndarray, np.ndarray]:
    """Hops to train on and locked hops: those whose nearest event of the design is."""
    rules = replace(model.recipe.fit, purge=model.certificate["split"]["purge_s"])
    _, train, locked = split_events(design.groups, design.run, design.onsets, rules)
    part = np.zeros(len(design.onsets), int)
    part[train], part[locked] = 1, 2
    order = np.argsort(design.onsets, kind="stable")
    onsets = design.onsets[order]
    after = np.clip(np.searchsorted(onsets, hops.onset), 1, max(1, len(onsets) - 1))
    is_before = hops.onset - onsets[after - 1] < onsets[after] - hops.onset
    nearest = part[order[np.where(is_before, after - 1, after)]]
    return nearest == 1, nearest == 2


def _weight_of_nothing(hops: Hops, use: np.ndarray) -> float:
    """Log weight of nothing beside that of all items, from hops to learn from (n,) bool."""
    # a window is of an event if it begins within an eighth of a window from it, or lies within it
    nearby = _NEARBY * hops.span
    ends = np.maximum(hops.event_onset + nearby, hops.event_end - hops.span)
    of_event = replace(hops, event_end=ends, span=nearby).near()
    evidence = hops.total[use & ~of_event]
    peak = evidence.max()
    mean = peak + math.log(np.exp(evidence - peak).mean())
    share = float(np.clip(of_event[use].mean(), 1e-6, 1 - 1e-6))
    return float(mean + math.log((1 - share) / share))


def _why_never(threshold: float, hours: float, asked: float) -> str:
    if threshold <= 1:
        return "event readouts never answer"
    needed = poisson_interval(0, 1.0, 1 - 2 * RISK)[1] / asked if asked else math.inf
    if hours < needed:
        return (
            f"{60 * hours:.1f} min without events are too few to show that false alarms are below "
            f"{asked:g} an hour: need {60 * needed:.0f} min, or more false_alarms"
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
        f"continuous readouts: {found['n_alarms']} false alarms in {found['hours']:.2f} h without "
        f"events ({found['asked']:g} an hour asked)"
    )
    final = found.get("final")
    if final and final["hours"]:
        line += (
            f"; locked block: {final['n_alarms']} in {final['hours']:.2f} h ({final['low']:.1f} to "
            f"{final['high']:.1f} an hour), {final['hits']} of {final['n_events']} events named"
        )
    return line
