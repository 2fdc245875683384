"""Answer one window: its features become a readout, by the map, the vocabulary and what answers now.

When a window is due, and what fills it, is the pipeline's; events are answered in order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rt_decoder.decoding.answering import Answering, decide, expect, make_answering, with_whole
from rt_decoder.decoding.anytime import KeptWords, SoonerMaps
from rt_decoder.decoding.evidence import EvidencePool
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.readout import Answer
from rt_decoder.decoding.scored import Scored
from rt_decoder.decoding.sets import named_set
from rt_decoder.decoding.succession import carried
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.decoding.watching import Watching
from rt_decoder.latency import Lateness, Stopwatch
from rt_decoder.model import Model
from rt_decoder.signal import Choice, Features, Marker, Readout, reason_names
from rt_decoder.timing.items import CUE

__all__ = ["Answerer"]

LANGUAGE = "language"  # in a readout, whose prior was told by a language
_UNUSABLE = frozenset(("quality", "nonfinite"))  # reasons of a window that tells nothing


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
        Takes each event, and how much more probable the brain made each item (V,), None for bad
        windows; returns the log prior (V,) of the next event, or None for the usual one.
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
        self._maps, self._kept = SoonerMaps(model), KeptWords()
        self._ratio: np.ndarray | None = None
        self.n_readouts, self._n_first = 0, len(model.items)  # the latter: what the monitor knows

    def follow(self, before: Answerer, *, same_map: bool) -> None:
        """Take over from another one; `same_map` if this one has its map and its items, and more."""
        self.n_readouts, self._kept = before.n_readouts, before._kept
        self.scored.follow(before.scored, same_items=same_map)
        if same_map:
            self.map, self._n_first = before.map, before._n_first

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
        self._kept.clear()
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
        readouts = [self._read(self.map, kind, marker, features, watcher)]
        if kind != "event":
            return readouts
        if self._maps and not marker.label.startswith(CUE):
            readouts.append(self._last(marker, readouts[0]))
        if self.foretell is not None:
            self._ask_next(marker)
        is_good = features.good >= self.answering.posterior.quality_floor
        if self.scores is not None and is_good:
            watcher.truth(marker.label, self.scores[: self._n_first])
        if self.pool is not None and marker.answering is None:
            readouts += self._pooled(self.pool, marker, features, watcher)
        return readouts

    def missed(self, marker: Marker) -> None:
        """Take note of an event whose window is lost."""
        self._kept.forget(marker)
        self._ratio = None
        self._ask_next(marker)
        if self.pool is not None:
            self.pool.begin() if marker.label.startswith(CUE) else self.pool.leave_out()

    def _read(
        self, linear: LinearMap, kind: str, marker: Marker, features: Features, watcher: Watching
    ) -> Readout:
        scores = self._scan(linear, features)
        by, prior = self._by(marker), ""
        if kind == "event" and not marker.label.startswith(CUE):
            if self._next is not None and marker.answering is None:
                by, prior = self._next, LANGUAGE
            self._next = None
        is_hop, length = kind == "continuous", self.vocabulary.length
        vocabulary = self.vocabulary
        answer = decide(by, scores, features.good, vocabulary, is_hop=is_hop, force=self.force)
        readout = self._said(by, kind, marker, features, answer, watcher)
        if kind == "event" and len(answer.idx):
            self.scored.add(readout, scores, length, by)
        if kind == "event" and (self._cutoffs or self.foretell is not None):
            is_bad = not _UNUSABLE.isdisjoint(answer.reasons)
            self._ratio = None if is_bad else by.posterior.ratio(scores, length)
            if self._cutoffs:
                is_other = bool(by.choice.candidates or by.choice.prior)
                p = None if is_bad or is_other else by.posterior.probabilities(scores, length)
                found = named_set(p, self._cutoffs[bool(prior)], self.model.items)
                readout = readout._replace(plausible=found)
        return readout._replace(prior=prior) if prior else readout

    def _scan(self, linear: LinearMap, features: Features) -> np.ndarray:
        """Cosines (V,) of what a map predicts."""
        self.scored.keep()  # those of the newest event are overwritten
        z = linear.process(features.values)
        self._stopwatch.lap("map")
        scores = self.scores = self.vocabulary.scores(z)
        self._stopwatch.lap("vocabulary")
        return scores

    def _by(self, marker: Marker) -> Answering:
        """What answers an event: a choice of its own holds for the vocabulary that is there now."""
        own = marker.answering
        if own is None or getattr(own, "vocabulary", None) is self.model.items:
            return self.answering if own is None else own
        return self.make(carried(own if isinstance(own, Choice) else own.choice, self.model))

    def _read_sooner(self, marker: Marker, features: Features, watcher: Watching) -> Readout:
        """Answer by a window that ends earlier."""
        place, linear, end = self._maps.of(features)
        scores = self._scan(linear, features)
        by, prior = self._by(marker), ""
        if self._next is not None and marker.answering is None and self._kept.is_next(marker):
            by, prior = self._next, LANGUAGE
        by = by._replace(posterior=by.windows[place])
        exactly = self.vocabulary.length, self.vocabulary.exact
        answer = by.posterior.decide(scores, by.n_top, features.good, *exactly)
        readout = self._said(by, "anytime", marker, features, answer, watcher)
        return self._kept.add(marker, readout._replace(until=end, prior=prior))

    def _last(self, marker: Marker, whole_window: Readout) -> Readout:
        """End the sooner readouts of an event: they have come to the whole window's."""
        self.n_readouts += 1
        last = whole_window._replace(seq=self.n_readouts - 1, until=self.model.recipe.features.tmax)
        return self._kept.end(marker, last)

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
        is_good = features.good >= by.posterior.quality_floor
        pool.take(self.scores if is_good else None, self.vocabulary.length, features.good)
        if pool.n_seen < 2 or (answer := pool.answer(by.n_top)) is None:
            return []
        readout = self._said(by, "pooled", marker, features, answer, watcher)
        return [readout._replace(quality=pool.quality, n_repeats=pool.n_repeats)]

    def _said(
        self, by: Answering, kind: str, marker: Marker, features: Features, answer: Answer,
        watcher: Watching,
    ) -> Readout:  # fmt: skip
        """Make a readout of an answer, now."""
        doubts, items, found = watcher.doubts, self.model.items, answer.idx.tolist()
        why = answer.reasons + (() if kind == "pooled" else reason_names(features.reasons))
        now, latency_ms, late = self._lateness.measure(features.time)
        readout = Readout(
            seq=self.n_readouts,
            kind=kind,
            label=marker.label,
            index=marker.index,
            onset=marker.time,
            time=now,
            words=tuple([items[i] for i in found]),
            scores=tuple(answer.cos.tolist()),
            probabilities=tuple(answer.prob.tolist()),
            abstained=answer.abstained or bool(doubts),
            bits=answer.bits - by.told,
            quality=features.good,
            reasons=why + doubts,
            latency_ms=latency_ms,
            late=late,
            corrected=features.corrected,
            item=found[0] if found else -1,
            fit=watcher.state.value,
        )
        if by.choice.posterior and len(answer.idx) and self.scores is not None:
            readout = with_whole(readout, by, self.scores, self.vocabulary.length)
        self._stopwatch.lap("readout")
        self.n_readouts += 1
        return readout

    def warm_up(self, kind: str, marker: Marker, features: Features, watcher: Watching) -> None:
        """Run every kernel once on a window; what is counted and scored stays until `reset`."""
        if kind == "anytime":
            self._read_sooner(marker, features, watcher)
        elif self.map is not None:
            self._read(self.map, "event", marker, features, watcher)
        if self.pool is not None:
            self.pool.take(self.scores, self.vocabulary.length, 1.0)
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
