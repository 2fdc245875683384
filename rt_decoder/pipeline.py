"""Run samples through the stages; live decoding, `decode` and calibration all use this.

Chunks of any length are cut into hops of fixed length on the grid of the absolute sample index, and
each hop passes the stages. A readout follows as soon as a marker's window is full (event-locked),
for which a hop is cut in two where the window ends inside it, or at every hop (continuous).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.cleaning.stages import CLEANING, make_stages
from rt_decoder.decoding.adaptation import Adaptation
from rt_decoder.decoding.answering import Answering, expect, make_answering, whole
from rt_decoder.decoding.evidence import EvidencePool
from rt_decoder.decoding.features import make_window
from rt_decoder.decoding.language.next_word import NextWord
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.readout import Answer
from rt_decoder.decoding.ring import Ring
from rt_decoder.decoding.scored import Scored
from rt_decoder.decoding.sets import cutoff_of, plausible
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.files.decisions import Start
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.window import join_channels
from rt_decoder.latency import Histogram, Stopwatch, is_latency
from rt_decoder.model import Model
from rt_decoder.monitor.monitor import make_monitor
from rt_decoder.monitor.verdict import UNLIKE_REASON, WHEN_UNLIKE
from rt_decoder.monitor.watcher import Watcher
from rt_decoder.recipe import Target
from rt_decoder.signal import (
    FLAGS,
    Chunk,
    Features,
    Marker,
    Readout,
    Reason,
    reason_names,
)
from rt_decoder.timing.framing import Framer
from rt_decoder.timing.items import CUE
from rt_decoder.timing.markers import MarkerRules

__all__ = ["Pipeline", "PipelineOptions"]


_SETTLING = FLAGS(Reason.SETTLING)
PAUSED = "the session was paused"  # why a marker has no readout
LANGUAGE = "language"  # in a readout, whose prior was told by a language
_UNUSABLE = frozenset(("quality", "nonfinite"))  # reasons of a window that tells nothing
NOT_FITTED = "not fitted"  # why a model without a posterior for it abstains at every hop


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How to decode a stream, live or recorded.

    Parameters
    ----------
    rules : MarkerRules
        How markers become items.
    continuous : bool or None
        Also read out at every hop. The pipeline takes None as false; the commands replace it by
        true if no markers are expected.
    without : collection of str
        Cleaning stages to leave out, among `CLEANING`.
    force : bool
        Decode with a model that is not proven, too (see `files.proof`), and read out every hop with
        one whose posterior is fitted on events alone, which is no probability then.
    align : bool or None
        Whether a model that can is kept aligned with the person. None stands for true, but a
        session record is decoded as its session was.
    learn : bool or None
        Whether labels that name an item of the model are true, and join its map once their event
        is answered. None stands for false, but a session record is decoded as its session was.
    next_word : NextWord or None
        A language, which tells each event's prior; it comes before one that a record holds.
    level : float
        Share of events whose set is to hold the true item (`decoding.sets`); 0 makes no sets.
    when_unlike : str or None
        What to do while the signal is not that of calibration: "abstain", "warn" or "stop" (which
        abstains as well, and ends a session). None stands for "abstain", but a session record is
        decoded as its session was.
    """

    rules: MarkerRules = MarkerRules()  # noqa: RUF009  (immutable)
    continuous: bool | None = None
    without: Collection[str] = ()
    force: bool = False
    align: bool | None = None
    learn: bool | None = None
    next_word: NextWord | None = None
    level: float = 0.0
    when_unlike: str | None = None

    def for_target(self, target: Target) -> Self:
        """Return the options with the marker rules of a recipe, unless they have names already."""
        return replace(self, rules=self.rules.for_target(target))

    def check_learning(self, model: Model) -> None:
        """Raise ValueError if labels are to join a map that cannot take them."""
        if self.learn and self.align is False:
            raise ValueError("need a map that is kept aligned with --learn, got --no-align")
        if self.learn and not model.learns:
            raise ValueError(
                "need a group's model for --learn, got one that labels cannot join; rt-calibrate "
                "pool makes one"
            )

    def as_recorded(self, start: Start | None, model: Model) -> Self:
        """Return the options of a recorded session, where these do not say so already."""
        options, learn = self, False
        if start is not None:
            learn = start.learn and model.learns and self.align is not False
            options = replace(self, when_unlike=self.when_unlike or start.when_unlike)
        return options if self.learn is not None else replace(options, learn=learn)


def _cutoffs(model: Model, options: PipelineOptions) -> tuple[float, float] | None:
    """Cutoffs of sets, without and with a language's prior; None if no sets are asked for."""
    if not options.level:
        return None
    language = options.next_word
    is_fitted = language is None or language.rules == model.language
    spoken = cutoff_of(model, options.level, spoken=True) if is_fitted else 1.0
    return cutoff_of(model, options.level), spoken


class Pipeline:
    """Decode a stream with a model.

    Parameters
    ----------
    model : Model
        The fitted model. Without a map the pipeline yields features only.
    options : PipelineOptions
        How to decode; of its `rules` only `wait` is used.
    factor : int
        The stream's rate over the model's; above 1 the stream is decimated first.
    clock : callable or None
        Returns the time in s on the clock of `Chunk.times`. With None (offline) latencies are NaN.

    Raises
    ------
    ValueError
        If `options.without` names an unknown stage, labels are to join a map that cannot learn, or
        `options.when_unlike` is none of what can be done.
    """

    def __init__(
        self,
        model: Model,
        options: PipelineOptions = PipelineOptions(),
        *,
        factor: int = 1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        options.check_learning(model)
        info = model.info
        self.model = model
        self._cutoffs = _cutoffs(model, options)
        self.continuous, self.force = bool(options.continuous), options.force
        self.align = options.align
        self.when_unlike = options.when_unlike or WHEN_UNLIKE[0]
        if self.when_unlike not in WHEN_UNLIKE:
            raise ValueError(
                f"need when_unlike among {', '.join(WHEN_UNLIKE)}, got {self.when_unlike!r}"
            )
        self.without = frozenset(options.without)
        if unknown := self.without - set(CLEANING):
            raise ValueError(f"need stages among {', '.join(CLEANING)}, got {', '.join(unknown)}")
        self.budget_ms = model.recipe.readout.budget_ms
        self._clock = clock

        fast = replace(info, sfreq=info.sfreq * factor)
        self.factor = factor
        self.framer = Framer(fast, model.n_hop * factor, n_step=factor)
        self.stages = make_stages(model, fast, factor, self.without)
        out = list(self.stages.values())[-1].info
        self.n_picks = model.n_picks
        if "bank" not in self.stages:
            out = info.pick(range(self.n_picks))
        self._flags = Rows((), FLAGS)
        self.window = make_window(model, out)
        span = self.window.last - min(self.window.first, 0)
        # A window that ends before its onset waits for the onset: the result must not depend on
        # when the marker arrived.
        self._due_after = max(self.window.last, 2)
        capacity = span + model.n_hop + math.ceil(options.rules.wait * info.sfreq)
        self.ring = Ring(capacity, out.n_channels)
        self.map: LinearMap | None = None
        self.pool: EvidencePool | None = None
        if model.has_map:
            self.map = LinearMap(model.weights, model.offset)
            self.vocabulary = Vocabulary(model.items, model.vectors, model.basis)
            self.answer_by(make_answering(model))
        self.adaptation: Adaptation | None = None
        if self.map is not None and model.alignment is not None and options.align is not False:
            learn = bool(options.learn)
            self.adaptation = Adaptation(model, self.window, self.map, learn=learn)
        self.monitor: Watcher = make_monitor(model, options.rules.wait) or Watcher()
        self.stopwatch = Stopwatch(
            [*self.stages, "ring", "features", "map", "vocabulary", "readout", "monitor"]
        )
        self.latency = Histogram()
        self.clock_offset = 0.0  # s from the stream's times to `clock`; NaN if unknown
        self.n_late = self.n_early = self.n_readouts = 0
        self.earliest_ms = 0.0  # by which the first of `n_early` readouts came before its time
        self._pending: list[Marker] = []
        self._hop_time = math.nan
        self._settled = 0  # index from which samples are settled after a gap
        self._skipped = self._gap = (
            0,
            0,
        )  # indices of the last samples skipped, and of the last gap
        self._missed: list[tuple[Marker, str]] = []
        self._on_clean: Callable[[Chunk], None] | None = None
        self.scored = Scored(model.items if model.has_map else ())
        self.paused = False  # whether no readout is made
        # Takes each event, and how much more probable the brain made each item (V,), or None if it
        # told nothing; returns the log prior (V,) of the next event, or None for the usual one.
        self.foretell: Callable[[Marker, np.ndarray | None], np.ndarray | None] | None = None
        self._ratio: np.ndarray | None = None
        if options.next_word is not None:
            self.foretell = options.next_word.foretell
        self.scores: np.ndarray | None = None  # (V,) cosines of the newest readout

    def answer_by(self, answering: Answering) -> None:
        """Answer otherwise from the next readout on, such as among other candidates."""
        self.answering, self.pool = answering, answering.pool
        self._next: Answering | None = None  # of the next event alone

    def pause(self, on: bool) -> None:
        """Make no readouts until this is called with False; markers meanwhile are missed."""
        self.paused = on
        if self.pool is not None:
            self.pool.begin()

    def expect(self, log_prior: np.ndarray | None) -> Answering | None:
        """Make what answers an event with a prior of its own, (n_items,); None for the usual one."""
        return None if log_prior is None else expect(self.model, self.answering, log_prior)

    def prepare(self, answering: Answering | None) -> None:
        """Answer the next event alone by this; None for as usual."""
        self._next = answering

    @property
    def delay(self) -> float:
        """Algorithmic delay of the stages in s, without the features' window."""
        return sum(stage.delay for stage in self.stages.values())

    @property
    def settling(self) -> float:
        """Time in s for which samples after a gap are flagged."""
        return sum(stage.settling for stage in self.stages.values())

    def tap(self, take: Callable[[Chunk], None] | None) -> None:
        """Call `take` with each cleaned hop; its arrays are valid until the next one."""
        self._on_clean = take

    @property
    def n_pending(self) -> int:
        """Markers whose window is not full yet."""
        return len(self._pending)

    def mark(self, marker: Marker) -> None:
        """Ask for a readout at `marker`, whose index counts the stream's samples."""
        if self.factor > 1:  # the onset is delayed as the decimation delays the samples
            late = self.stages["decimate"].delay * self.model.info.sfreq
            marker = marker._replace(index=round(marker.index / self.factor + late))
        insort(self._pending, marker, key=lambda waiting: waiting.index)
        if not marker.label.startswith(CUE):
            self.monitor.mark(marker.index)

    def take_missed(self) -> list[tuple[Marker, str]]:
        """Take the markers without a readout since the last call, with reasons."""
        taken, self._missed = self._missed, []
        return taken

    def push(self, chunk: Chunk) -> list[Readout]:
        """Return the readouts of the windows that these samples complete, in order."""
        readouts = []
        for kind, marker, features in self.push_features(chunk):
            readouts.append(self._read_out(kind, marker, features))
            if self.foretell is not None and kind == "event":
                self._ask_next(marker)
            is_good = features.good >= self.answering.posterior.quality_floor
            if self.scores is not None and kind == "event" and is_good:
                self.monitor.truth(marker.label, self.scores)
            if self.pool is not None and kind == "event" and marker.answering is None:
                readouts += self._pooled(self.pool, marker, features)
            if self.adaptation is not None and kind == "event":
                n_open = 0 if self.pool is None else self.pool.n_open
                good = features.good
                self.adaptation.add(self.window.unscaled, good, marker.label, n_open=n_open)
        return readouts

    def push_features(self, chunk: Chunk) -> Iterator[tuple[str, Marker, Features]]:
        """Yield the features of the windows that these samples complete.

        Parameters
        ----------
        chunk : Chunk
            Of any length, in the model's channels.

        Yields
        ------
        kind : {"event", "continuous"}
        marker : Marker
        features : Features
            Its `values` are valid until the next one: copy them to keep them.
        """
        for hop in self._hops(chunk, self._cut):
            if self.adaptation is not None and self._on_grid:
                self.adaptation.hop()
            self._hop_time = hop.times[-1]
            cleaned = hop
            for name, stage in self.stages.items():
                hop = stage.process(hop)
                if name == "filter":
                    self.monitor.raw(hop)
                if name != "bank":
                    cleaned = hop
                self.stopwatch.lap(name)
            flags = self._flags.take(len(hop.flags))
            join_channels(hop.flags, hop.channel_flags, self.n_picks, flags)
            if hop.index < self._settled:
                flags[: self._settled - hop.index] |= _SETTLING
            self.ring.write(hop.data[:, : self.ring.n_channels], flags)
            self.stopwatch.lap("ring")
            power = None if hop is cleaned else hop.data
            self.monitor.write(cleaned.data, flags, hop.index, power)
            self.stopwatch.lap("monitor")
            yield from self._due()
            self.monitor.advance(self.ring.next)
            self.stopwatch.lap("monitor")
            if self._on_clean is not None:
                self._on_clean(cleaned._replace(flags=flags))

    def run_until(self, name: str, chunk: Chunk) -> Iterator[Chunk]:
        """Yield hops as they leave a stage; calibration fits the next stage on them.

        Parameters
        ----------
        name : str
            Name of the stage, among `stages`.
        chunk : Chunk
            Of any length, in the model's channels.

        Yields
        ------
        Chunk
            Its arrays are valid until the next one.

        Raises
        ------
        ValueError
            If there is no such stage.
        """
        if name not in self.stages:
            raise ValueError(f"need a stage among {', '.join(self.stages)}, got {name!r}")
        for hop in self._hops(chunk):
            for stage_name, stage in self.stages.items():
                hop = stage.process(hop)
                if stage_name == name:
                    break
            yield hop

    def _hops(self, chunk: Chunk, cut: Callable[[int], int] | None = None) -> Iterator[Chunk]:
        self.framer.push(chunk)
        for hop in self.framer.hops(cut):
            if self.framer.jumped:
                self._bridge(hop.index // self.factor)
            self.stopwatch.start()
            yield hop

    @property
    def _on_grid(self) -> bool:
        """Whether a hop begins at the ring's next sample."""
        return self.ring.next % self.model.n_hop == 0

    def _cut(self, start: int) -> int:
        """Where the next event's window ends: its readout does not wait for the hop's end."""
        for marker in self._pending:
            if (due := (marker.index + self._due_after) * self.factor) > start:
                return due
        return 0

    def _bridge(self, index: int) -> None:
        """Reset the stages after a gap too long to hold, and flag samples until they have settled.

        Lost samples are written to the ring as flagged zeros, so that a readout over them abstains
        with the reason.
        """
        for stage in self.stages.values():
            (stage.bridge if isinstance(stage, ChannelRepair) else stage.reset)()
        self._settled = index + math.ceil(self.settling * self.model.info.sfreq)
        self._gap = self.ring.next, index
        n_lost = min(index - self.ring.next, self.ring.capacity - self.model.n_hop)
        if n_lost < index - self.ring.next:
            self.ring.restart(index - n_lost)
        shape = (n_lost, self.ring.n_channels)
        self.ring.write(np.zeros(shape), np.full(n_lost, Reason.GAP, FLAGS))

    def _due(self) -> Iterator[tuple[str, Marker, Features]]:
        while self._pending and self._pending[0].index + self._due_after <= self.ring.next:
            marker = self._pending.pop(0)
            self.monitor.advance(marker.index + self._due_after)
            if self.paused:
                self._missed.append((marker, PAUSED))
                continue
            try:
                yield "event", marker, self._features(marker.index)
            except LookupError:
                self._missed.append((marker, self._why_missed(marker.index)))
                self._ratio = None
                self._ask_next(marker)
                if self.pool is not None:
                    self.pool.begin() if marker.label.startswith(CUE) else self.pool.leave_out()
        onset = self.ring.next - self.window.last
        every = self.continuous and not self.paused and self._on_grid
        if every and onset + self.window.first >= self.ring.first:
            self.monitor.advance(self.ring.next)
            time = self._time_of(onset)
            yield "continuous", Marker("", time, onset), self._features(onset)

    def _why_missed(self, index: int) -> str:
        """Say why the window of a marker is no longer in the ring."""
        start, stop = index + self.window.first, index + self.window.last
        for what, (first, end) in (("skipped", self._skipped), ("lost", self._gap)):
            if start < end and first < stop:
                behind = ": the decoder was behind" if what == "skipped" else ""
                return f"samples of its window were {what}{behind}"
        if start < 0:
            return "its window begins before the first sample"
        seconds = self.ring.capacity / self.model.info.sfreq
        return f"it came after its window had left the {seconds:.1f} s kept: raise --marker-wait"

    def skip(self, chunk: Chunk) -> None:
        """Note samples that are not decoded since the decoder is behind; they will be a gap."""
        first, end = (at // self.factor for at in (chunk.index, chunk.index + len(chunk.data)))
        if first > self._skipped[1] + 1:
            self._skipped = first, end
        else:
            self._skipped = self._skipped[0], end

    def _features(self, onset: int) -> Features:
        start, stop = onset + self.window.first, onset + self.window.last
        data, flags = self.ring.window(start, stop)
        features = self.window.process(data, flags, self._time_of(stop - 1))
        self.stopwatch.lap("features")
        return features

    def _time_of(self, index: int) -> float:
        return float(self._hop_time - (self.ring.next - 1 - index) / self.model.info.sfreq)

    def _read_out(self, kind: str, marker: Marker, features: Features) -> Readout:
        if self.map is None:
            raise ValueError("need a model with a map to name words, got one that only cleans")
        z = self.map.process(features.values)
        self.stopwatch.lap("map")
        scores = self.scores = self.vocabulary.scores(z)
        self.stopwatch.lap("vocabulary")
        by, prior = marker.answering or self.answering, ""
        if kind == "event" and not marker.label.startswith(CUE):
            if self._next is not None and marker.answering is None:
                by, prior = self._next, LANGUAGE
            self._next = None
        answer = self._answer(by, kind, scores, features.good)
        reasons = answer.reasons + reason_names(features.reasons)
        readout = self._said(by, kind, marker, features, answer, reasons)
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

    def _pooled(self, pool: EvidencePool, marker: Marker, features: Features) -> list[Readout]:
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
        readout = self._said(by, "pooled", marker, features, answer, answer.reasons)
        return [readout._replace(quality=pool.quality, n_repeats=pool.n_repeats)]

    def _said(
        self, by: Answering, kind: str, marker: Marker, features: Features, answer: Answer,
        reasons: tuple[str, ...],
    ) -> Readout:  # fmt: skip
        """Make a readout of an answer, now."""
        abstained = answer.abstained
        if self.monitor.unlike and self.when_unlike != "warn":
            abstained, reasons = True, (*reasons, UNLIKE_REASON)
        now = features.time if self._clock is None else self._clock()
        latency_ms, late = self._latency(features.time, now)
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
            abstained=abstained,
            bits=answer.bits - by.told,
            quality=features.good,
            reasons=reasons,
            latency_ms=latency_ms,
            late=late,
            corrected=features.corrected,
            item=int(answer.idx[0]) if len(answer.idx) else -1,
            fit=self.monitor.state.value,
        )
        if by.choice.posterior and len(answer.idx) and self.scores is not None:
            both = whole(by, kind, self.scores, self.vocabulary.length)
            posterior, before = (tuple(one.tolist()) for one in both)
            readout = readout._replace(posterior=posterior, before=before)
        self.stopwatch.lap("readout")
        self.n_readouts += 1
        return readout

    def _answer(self, by: Answering, kind: str, scores: np.ndarray, good: float) -> Answer:
        length = self.vocabulary.length
        if kind == "continuous" and by.continuous is not None:
            return by.continuous.decide(scores, by.n_top, good, length)
        answer = by.posterior.decide(scores, by.n_top, good, length)
        if kind == "event" or self.force:
            return answer
        return answer._replace(abstained=True, reasons=(*answer.reasons, NOT_FITTED))

    def _latency(self, taken: float, now: float) -> tuple[float, bool | None]:
        """Return latency in ms and whether it is over the budget; NaN and None where unknown."""
        if self._clock is None:
            return math.nan, False
        latency_ms = (now - taken - self.clock_offset) * 1e3
        if not is_latency(1e-3 * latency_ms):
            return math.nan, None
        late = latency_ms > self.budget_ms
        if latency_ms >= 0:
            self.latency.add(int(latency_ms * 1e6))
            self.n_late += late
        else:  # no duration: the stamps run ahead
            self.earliest_ms = self.earliest_ms or -latency_ms
            self.n_early += 1
        return latency_ms, late

    def warm_up(self) -> None:
        """Run every kernel once on noise, so that it is compiled, then reset."""
        info, n = self.model.info, self.model.n_hop
        factor = self.factor
        length = (self.ring.capacity // n + 2) * n * factor
        flags = np.zeros(length, FLAGS)
        channel_flags = np.zeros((length, info.n_channels), FLAGS)
        times = np.arange(length) / (info.sfreq * factor)
        noise = 1e-6 * np.random.default_rng(0).standard_normal((length, info.n_channels))
        on_clean, self._on_clean = self._on_clean, None  # keep the noise from the tap
        self.mark(Marker("", 0.0, -self.window.first * factor))
        for _, marker, features in self.push_features(Chunk(noise, times, 0, flags, channel_flags)):
            if self.map is not None:
                self._read_out("event", marker, features)
                if self.pool is not None and self.scores is not None:
                    self.pool.add(self.scores, self.vocabulary.length)
                    self.pool.answer(self.answering.n_top)
                if self.adaptation is not None:
                    self.adaptation.add(self.window.unscaled, features.good)
        self._on_clean = on_clean
        self.monitor.warm_up()
        self.reset()

    def restart(self) -> None:
        """Begin a new time line at index 0; waiting markers are missed."""
        self.framer.reset()
        for stage in self.stages.values():
            stage.reset()
        self.ring.reset()
        self.prepare(None)
        self.monitor.restart()
        if self.pool is not None:
            self.pool.begin()
        self._missed.extend((marker, "the stream was lost") for marker in self._pending)
        self._pending.clear()
        self._hop_time = math.nan
        self._settled = 0
        self._skipped = self._gap = (0, 0)

    def reset(self) -> None:
        """Return to the state before the first sample; reset statistics as well."""
        self.restart()
        if self.adaptation is not None:
            self.adaptation.reset()
        self.scored.reset()
        self.monitor.reset()
        self._missed.clear()
        self.stopwatch.reset()
        self.latency.reset()
        self.n_late = self.n_early = self.n_readouts = 0
        self.clock_offset = self.earliest_ms = 0.0
