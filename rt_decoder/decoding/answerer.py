"""Answer one window: its features become a readout, by the map, the vocabulary and what answers now.

What it knows of time is whether a window belongs to an event, which are answered in order. When a
window is due, and what fills it, is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import numpy as np

from rt_decoder.decoding.answering import Answering, expect, make_answering, whole
from rt_decoder.decoding.anytime import Commitment
from rt_decoder.decoding.evidence import EvidencePool
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.readout import Answer
from rt_decoder.decoding.scored import Scored
from rt_decoder.decoding.sets import plausible
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.latency import Lateness, Stopwatch
from rt_decoder.model import Model
from rt_decoder.signal import Choice, Features, Marker, Readout, reason_names
from rt_decoder.timing.items import CUE

__all__ = ["NOT_FITTED", "Answerer", "Watching"]

LANGUAGE = "language"  # in a readout, whose prior was told by a language
NOT_FITTED = "not fitted"  # why a model without a posterior for it abstains at every hop
_UNUSABLE = frozenset(("quality", "nonfinite"))  # reasons of a window that tells nothing


class Watching(Protocol):
    """What knows whether the signal is that of calibration: a `monitor.watcher.Watcher`."""

    @property
    def state(self) -> Enum:
        """What is known of the signal so far; its value is text."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to abstain; empty for none."""

    def truth(self, label: str, scores: np.ndarray) -> None:
        """Take the cosines (V,) of an event whose marker has this label, after its readout."""


class Answerer:
    """Answer events and hops with a model.

    Parameters
    ----------
    model : Model
        Without a map it answers nothing. By its `windows` events are answered sooner, too.
    lateness : Lateness
        Measures each readout.
    stopwatch : Stopwatch
        Gets the laps "map", "vocabulary" and "readout".
    cutoffs : (float, float) or None
        Of sets, without and with a language's prior (`decoding.sets`); None makes no sets.
    force : bool
        Read out every hop with a posterior that is fitted on events alone, too.

    Attributes
    ----------
    map : LinearMap or None
        None without a map.
    pool : EvidencePool or None
        Pools repeats of an item, where the recipe asks for it.
    answering : Answering
        What answers now; only with a map.
    scored : Scored
        The running score of events whose item is known.
    scores : array of shape (n_items,) or None
        Cosines of the newest readout.
    n_readouts : int
        Readouts so far.
    foretell : callable or None
        Takes each event, and how much more probable the brain made each item (V,), or None if it
        told nothing; returns the log prior (V,) of the next event, or None for the usual one.
    """

    def __init__(
        self, model: Model, lateness: Lateness, stopwatch: Stopwatch, *,
        cutoffs: tuple[float, float] | None = None, force: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.force = model, force
        self._lateness, self._stopwatch, self._cutoffs = lateness, stopwatch, cutoffs
        self.map: LinearMap | None = None
        self.pool: EvidencePool | None = None
        if model.has_map:
            self.map = LinearMap(model.weights, model.offset)
            self.vocabulary = Vocabulary(model.items, model.vectors, model.basis)
            self.answer_by(make_answering(model))
        self.scored = Scored(model.items if model.has_map else ())
        self.foretell: Callable[[Marker, np.ndarray | None], np.ndarray | None] | None = None
        self.scores: np.ndarray | None = None
        self._next: Answering | None = None  # of the next event alone
        self._sooner = tuple(LinearMap(one.weights, one.offset) for one in model.windows)
        self._places = {len(one.weights): k for k, one in enumerate(model.windows)}
        # Of the events that were answered sooner, by onset and label, oldest first.
        self._commitments: dict[tuple[int, str], Commitment] = {}
        self._ratio: np.ndarray | None = None
        self.n_readouts = 0

    def answer_by(self, answering: Answering) -> None:
        """Answer otherwise from the next readout on, such as among other candidates."""
        self.answering, self.pool = answering, answering.pool
        self._next = None

    def make(self, choice: Choice) -> Answering:
        """Make what answers as is chosen, for `answer_by` or `Marker.answering`; see `make_answering`."""
        return make_answering(self.model, choice)

    def expect(self, log_prior: np.ndarray | None) -> Answering | None:
        """Make what answers an event with a prior of its own, (n_items,); None for the usual one."""
        return None if log_prior is None else expect(self.model, self.answering, log_prior)

    def prepare(self, answering: Answering | None) -> None:
        """Answer the next event alone by this; None for as usual."""
        self._next = answering

    def begin(self) -> None:
        """Begin a trial of repeats, if they are pooled; open events commit to nothing."""
        self._commitments.clear()
        if self.pool is not None:
            self.pool.begin()

    def answer(
        self, kind: str, marker: Marker, features: Features, watcher: Watching
    ) -> list[Readout]:
        """Answer a window, and tell what learns from it.

        Parameters
        ----------
        kind : {"event", "continuous", "anytime"}
        marker : Marker
            Of the event.
        features : Features
            Of the window; which one "anytime" has, their number tells.
        watcher : Watching
            Knows whether the signal is that of calibration.

        Returns
        -------
        list of Readout
            One; of an event as many as are asked for: its own, that which ends its sooner ones, and
            the pooled one. None by a model without a map.
        """
        if self.map is None:
            return []
        if kind == "anytime":
            return [self._read_sooner(marker, features, watcher)]
        readouts = [self._read_out(self.map, kind, marker, features, watcher)]
        if kind != "event":
            return readouts
        if self._sooner and not marker.label.startswith(CUE):
            readouts.append(self._last(marker, readouts[0]))
        if self.foretell is not None:
            self._ask_next(marker)
        is_good = features.good >= self.answering.posterior.quality_floor
        if self.scores is not None and is_good:
            watcher.truth(marker.label, self.scores)
        if self.pool is not None and marker.answering is None:
            readouts += self._pooled(self.pool, marker, features, watcher)
        return readouts

    def missed(self, marker: Marker) -> None:
        """Take note of an event whose window is lost."""
        self._commitments.pop((marker.index, marker.label), None)
        self._ratio = None
        self._ask_next(marker)
        if self.pool is not None:
            self.pool.begin() if marker.label.startswith(CUE) else self.pool.leave_out()

    def _read_out(
        self, map_: LinearMap, kind: str, marker: Marker, features: Features, watcher: Watching
    ) -> Readout:
        scores = self._scan(map_, features)
        by, prior = marker.answering or self.answering, ""
        if kind == "event" and not marker.label.startswith(CUE):
            if self._next is not None and marker.answering is None:
                by, prior = self._next, LANGUAGE
            self._next = None
        answer = self._decide(by, kind, scores, features.good)
        why = answer.reasons + reason_names(features.reasons)
        readout = self._said(by, kind, marker, features, answer._replace(reasons=why), watcher)
        if kind == "event" and len(answer.idx):
            self.scored.add(readout, scores, self.vocabulary.length, by)
        if kind == "event" and (self._cutoffs or self.foretell is not None):
            is_bad, length = not _UNUSABLE.isdisjoint(answer.reasons), self.vocabulary.length
            self._ratio = None if is_bad else by.posterior.ratio(scores, length)
            if self._cutoffs:
                is_other = bool(by.choice.candidates or by.choice.prior)
                p = None if is_bad or is_other else by.posterior.probabilities(scores, length)
                readout = readout._replace(plausible=self._set(p, self._cutoffs[bool(prior)]))
        return readout._replace(prior=prior) if prior else readout

    def _scan(self, linear: LinearMap, features: Features) -> np.ndarray:
        """Cosines (V,) of what a map predicts."""
        z = linear.process(features.values)
        self._stopwatch.lap("map")
        scores = self.scores = self.vocabulary.scores(z)
        self._stopwatch.lap("vocabulary")
        return scores

    def _read_sooner(self, marker: Marker, features: Features, watcher: Watching) -> Readout:
        """Answer by a window that ends earlier."""
        place, event = self._places[len(features.values)], (marker.index, marker.label)
        scores = self._scan(self._sooner[place], features)
        commitment = self._commitments.setdefault(event, Commitment())
        by, prior = marker.answering or self.answering, ""
        is_next = next(iter(self._commitments)) == event  # no earlier event is open
        if self._next is not None and marker.answering is None and is_next:
            by, prior = self._next, LANGUAGE
        by = by._replace(posterior=by.windows[place])
        answer = by.posterior.decide(scores, by.n_top, features.good, self.vocabulary.length)
        why = answer.reasons + reason_names(features.reasons)
        answer = answer._replace(reasons=why)
        readout = self._said(by, "anytime", marker, features, answer, watcher)
        readout = readout._replace(until=self.model.windows[place].end, prior=prior)
        return readout._replace(committed=commitment.add(readout))

    def _last(self, marker: Marker, whole_window: Readout) -> Readout:
        """End the sooner readouts of an event: they have come to the whole window's."""
        commitment = self._commitments.pop((marker.index, marker.label), Commitment())
        self.n_readouts += 1
        return whole_window._replace(
            seq=self.n_readouts - 1,
            kind="anytime",
            until=self.model.recipe.features.tmax,
            committed=commitment.end(whole_window),
        )

    def _set(self, p: np.ndarray | None, cutoff: float) -> tuple[str, ...]:
        """Name the items of the set by probabilities (V,); none stands for all.

        So it is where the window is bad, or among other candidates: calibration had neither.
        """
        chosen = np.zeros(0, int) if p is None else plausible(p, cutoff)
        is_all = p is None or len(chosen) == np.count_nonzero(p)
        return () if is_all else tuple(self.model.items[i] for i in chosen)

    def _ask_next(self, marker: Marker) -> None:
        """Prepare for the event after this one."""
        told = None if self.foretell is None else self.foretell(marker, self._ratio)
        self.prepare(self.expect(told))

    def _pooled(
        self, pool: EvidencePool, marker: Marker, features: Features, watcher: Watching
    ) -> list[Readout]:
        """Pool an event with those before it in its trial; a cue begins a trial."""
        if marker.label.startswith(CUE):
            pool.begin()
            return []
        by = self.answering
        if self.scores is not None and features.good >= by.posterior.quality_floor:
            pool.add(self.scores, self.vocabulary.length, features.good)
        else:
            pool.leave_out()
        if pool.n_seen < 2 or (answer := pool.answer(by.n_top)) is None:
            return []
        readout = self._said(by, "pooled", marker, features, answer, watcher)
        return [readout._replace(quality=pool.quality, n_repeats=pool.n_repeats)]

    def _said(
        self, by: Answering, kind: str, marker: Marker, features: Features, answer: Answer,
        watcher: Watching,
    ) -> Readout:  # fmt: skip
        """Make a readout of an answer, now."""
        doubts = watcher.doubts
        now, latency_ms, late = self._lateness.measure(features.time)
        readout = Readout(
            seq=self.n_readouts,
            kind=kind,
            label=marker.label,
            index=marker.index,
            onset=marker.time,
            time=now,
            words=tuple(self.model.items[i] for i in answer.idx),
            scores=tuple(float(x) for x in answer.cos),
            probabilities=tuple(float(x) for x in answer.prob),
            abstained=answer.abstained or bool(doubts),
            bits=answer.bits - by.told,
            quality=features.good,
            reasons=answer.reasons + doubts,
            latency_ms=latency_ms,
            late=late,
            corrected=features.corrected,
            item=int(answer.idx[0]) if len(answer.idx) else -1,
            fit=watcher.state.value,
        )
        if by.choice.posterior and len(answer.idx) and self.scores is not None:
            both = whole(by, kind, self.scores, self.vocabulary.length)
            posterior, before = (tuple(one.tolist()) for one in both)
            readout = readout._replace(posterior=posterior, before=before)
        self._stopwatch.lap("readout")
        self.n_readouts += 1
        return readout

    def _decide(self, by: Answering, kind: str, scores: np.ndarray, good: float) -> Answer:
        exactly = self.vocabulary.length, self.vocabulary.exact
        if kind == "continuous" and by.continuous is not None:
            return by.continuous.decide(scores, by.n_top, good, *exactly)
        answer = by.posterior.decide(scores, by.n_top, good, *exactly)
        if kind == "event" or self.force:
            return answer
        return answer._replace(abstained=True, reasons=(*answer.reasons, NOT_FITTED))

    def warm_up(self, kind: str, marker: Marker, features: Features, watcher: Watching) -> None:
        """Run every kernel once on a window; what is counted and scored stays until `reset`."""
        if self.map is None:
            return
        if kind == "anytime":
            self._read_sooner(marker, features, watcher)
            return
        self._read_out(self.map, "event", marker, features, watcher)
        if self.pool is not None and self.scores is not None:
            self.pool.add(self.scores, self.vocabulary.length)
            self.pool.answer(self.answering.n_top)

    def restart(self) -> None:
        """Begin a new time line: nothing is known of the next event, and a trial begins."""
        self.prepare(None)
        self.begin()

    def reset(self) -> None:
        """Return to the state before the first window; what answers stays."""
        self.restart()
        self.scored.reset()
        self.n_readouts = 0
