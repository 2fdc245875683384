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
from rt_decoder.decoding.evidence import EvidencePool
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.readout import Answer
from rt_decoder.decoding.scored import Scored
from rt_decoder.decoding.sets import plausible
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.latency import Lateness, Stopwatch
from rt_decoder.model import Model
from rt_decoder.signal import Features, Marker, Readout, reason_names
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
        Without a map it answers nothing, and `answer` must not be called.
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
        self._ratio: np.ndarray | None = None
        self.n_readouts = 0

    def answer_by(self, answering: Answering) -> None:
        """Answer otherwise from the next readout on, such as among other candidates."""
        self.answering, self.pool = answering, answering.pool
        self._next = None

    def expect(self, log_prior: np.ndarray | None) -> Answering | None:
        """Make what answers an event with a prior of its own, (n_items,); None for the usual one."""
        return None if log_prior is None else expect(self.model, self.answering, log_prior)

    def prepare(self, answering: Answering | None) -> None:
        """Answer the next event alone by this; None for as usual."""
        self._next = answering

    def begin(self) -> None:
        """Begin a trial of repeats, if they are pooled."""
        if self.pool is not None:
            self.pool.begin()

    def answer(
        self, kind: str, marker: Marker, features: Features, watcher: Watching
    ) -> list[Readout]:
        """Answer a window, and tell what learns from it.

        Parameters
        ----------
        kind : {"event", "continuous"}
        marker : Marker
            Of the event.
        features : Features
            Of the window.
        watcher : Watching
            Knows whether the signal is that of calibration.

        Returns
        -------
        list of Readout
            One, or with the pooled one two.

        Raises
        ------
        ValueError
            If the model has no map.
        """
        readouts = [self._read_out(kind, marker, features, watcher)]
        if kind != "event":
            return readouts
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
        self._ratio = None
        self._ask_next(marker)
        if self.pool is not None:
            self.pool.begin() if marker.label.startswith(CUE) else self.pool.leave_out()

    def _read_out(
        self, kind: str, marker: Marker, features: Features, watcher: Watching
    ) -> Readout:
        if self.map is None:
            raise ValueError("need a model with a map to name words, got one that only cleans")
        z = self.map.process(features.values)
        self._stopwatch.lap("map")
        scores = self.scores = self.vocabulary.scores(z)
        self._stopwatch.lap("vocabulary")
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

    def warm_up(self, marker: Marker, features: Features, watcher: Watching) -> None:
        """Run every kernel once on a window; what is counted and scored stays until `reset`."""
        if self.map is None:
            return
        self._read_out("event", marker, features, watcher)
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
