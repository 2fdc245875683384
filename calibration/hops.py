"""Look at every hop of recordings, as continuous readouts do, and count their false alarms."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.design import RUN_GAP
from calibration.events import Event, LabelledRecording
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import features_of_recording
from rt_decoder.signal import Features
from rt_decoder.timing.items import CUE

__all__ = ["Hops", "count_alarms", "poisson_interval", "read_hops", "score_hops"]


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
    look = _Look(model)
    place = {item: i for i, item in enumerate(model.items)}
    window = Pipeline(model).window
    span = (window.last - min(window.first, 0)) / model.info.sfreq
    rows = array("d")  # five numbers a hop, of which a long recording has a million
    events: list[tuple[float, float, int]] = []
    base = 0.0
    for run, session in enumerate(sessions):
        recording = session.recording
        begin = base - recording.times[0]

        def report(share: float, run: int = run) -> None:
            if progress is not None:
                progress((run + share) / len(sessions))

        markers = [one for one in session.markers if not one.label.startswith(CUE)]
        known = session.by_marker(model.items)
        options = PipelineOptions(session.rules, continuous=True)
        for marker, features in features_of_recording(
            model, recording, markers, options, progress=report
        ):
            onset = begin + marker.time
            if marker.label:
                lasts = max(span, known.get((marker.label, marker.time), Event()).duration)
                events.append((onset, onset + lasts, place.get(marker.label, -1)))
            else:
                rows.extend((onset, *look(features)))
        base += recording.times[-1] - recording.times[0] + RUN_GAP
    hop = np.array(rows).reshape(-1, 5)
    event = np.array(sorted(events), float).reshape(-1, 3)
    return Hops(
        hop[:, 0], hop[:, 1], hop[:, 2], hop[:, 3].astype(int), hop[:, 4] > 0,
        event[:, 0], event[:, 1], event[:, 2].astype(int),
        span, model.n_hop / model.info.sfreq, window.last / model.info.sfreq,
    )  # fmt: skip


class _Look:
    """What a window says: log weights of the best item and of all, the best one, if it is good."""

    def __init__(self, model: Model) -> None:
        self.model, self.fitted = model, model.continuous or model.posterior
        self.map = LinearMap(model.weights, model.offset)
        self.vocabulary = Vocabulary(model.items, model.vectors, model.basis)

    def __call__(self, features: Features) -> tuple[float, float, int, bool]:
        scores = self.vocabulary.scores(self.map.process(features.values)).astype(float)
        tau, half, length = self.fitted.tau, self.fitted.length, self.vocabulary.length
        weights = (tau * (length / math.hypot(length, half)) if half else tau) * scores
        weights += self.model.log_prior
        if self.model.item_bias.size:
            weights += self.model.item_bias
        winner = int(weights.argmax())
        best = float(weights[winner])
        total = best + math.log(np.exp(weights - best).sum())
        return best, total, winner, features.good >= self.fitted.min_quality


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
