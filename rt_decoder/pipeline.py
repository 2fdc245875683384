"""Run samples through the stages; live decoding, `decode` and calibration all use this.

Chunks of any length are cut into hops of fixed length on the grid of the absolute sample index, and
each hop passes the stages. A readout follows as soon as a marker's window is full (event-locked),
for which a hop is cut in two where the window ends inside it, or at every hop (continuous).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rt_decoder.cleaning.chain import chains_of
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.cleaning.stages import CLEANING, Stage, make_stages
from rt_decoder.decoding.adaptation import Adaptation
from rt_decoder.decoding.answerer import Answerer
from rt_decoder.decoding.anytime import SoonerWindows
from rt_decoder.decoding.features import FeatureWindow, make_window
from rt_decoder.decoding.ring import Ring
from rt_decoder.decoding.succession import carried, check_follows
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.window import join_channels
from rt_decoder.latency import Lateness, Stopwatch
from rt_decoder.model import Model
from rt_decoder.monitor.monitor import make_monitor
from rt_decoder.monitor.verdict import WHEN_UNLIKE
from rt_decoder.monitor.watcher import Watcher
from rt_decoder.pipeline_options import PipelineOptions
from rt_decoder.signal import (
    FLAGS,
    Choice,
    Chunk,
    Features,
    Marker,
    Readout,
    Reason,
)
from rt_decoder.timing.framing import Framer
from rt_decoder.timing.items import CUE

__all__ = ["Pipeline", "PipelineOptions", "Successor"]


_SETTLING = FLAGS(Reason.SETTLING)
_MOST_CUTS = 32  # samples of a hop, all of whose parts are warmed up
PAUSED = "the session was paused"  # why a marker has no readout


class Successor(NamedTuple):
    """What goes on in place of what decodes now; see `Pipeline.ready`."""

    model: Model
    answerer: Answerer
    sooner: SoonerWindows
    monitor: Watcher | None  # None for the one that is there
    item: Callable[[str], str | None]  # maps a label to its item
    grown: bool


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
        options: PipelineOptions = PipelineOptions(),  # noqa: B008  (immutable)
        *,
        factor: int = 1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        options.check(model)
        self._options, info = options, model.info
        self.model = model
        self.continuous, self.force = bool(options.continuous), options.force
        self.align, self.level = options.align, options.level
        self.when_unlike = options.when_unlike or WHEN_UNLIKE[0]
        if self.when_unlike not in WHEN_UNLIKE:
            raise ValueError(
                f"need when_unlike among {', '.join(WHEN_UNLIKE)}, got {self.when_unlike!r}"
            )
        self.without, self.then = frozenset(options.without), options.then
        if unknown := self.without - set(CLEANING):
            raise ValueError(f"need stages among {', '.join(CLEANING)}, got {', '.join(unknown)}")

        fast = replace(info, sfreq=info.sfreq * factor)
        self.factor = factor
        self.framer = Framer(fast, model.n_hop * factor, n_step=factor)
        stages = make_stages(model, fast, factor, self.without)
        out = list(stages.values())[-1].info
        self.n_picks = model.n_picks
        if "bank" not in stages:
            out = info.pick(range(self.n_picks))
        self._flags = Rows((), FLAGS)
        self.window = make_window(model, out)
        span = self.window.last - min(self.window.first, 0)
        # A window that ends before its onset waits for the onset: the result must not depend on
        # when the marker arrived.
        self._due_after = max(self.window.last, 2)
        capacity = span + model.n_hop + math.ceil(options.rules.wait * info.sfreq)
        self.ring = Ring(capacity, out.n_channels)
        self.stopwatch = Stopwatch(
            [*stages, "ring", "features", "map", "vocabulary", "readout", "monitor"]
        )
        self.stages = stages
        self.lateness = Lateness(clock, model.recipe.readout.budget_ms)
        model = replace(model, windows=options.windows(model))
        self.sooner = SoonerWindows(model, out)
        self.answerer = Answerer(
            model, self.lateness, self.stopwatch,
            cutoffs=options.cutoffs(model), force=self.force,
        )  # fmt: skip
        if options.next_word is not None:
            self.answerer.foretell = options.next_word.foretell
        self.adaptation: Adaptation | None = None
        linear = self.answerer.map
        if linear is not None and model.alignment is not None and options.align is not False:
            self.adaptation = Adaptation(model, self.window, linear, learn=bool(options.learn))
        self.monitor: Watcher = make_monitor(model, options.rules.wait) or Watcher()
        self.monitor.silences = self.when_unlike != "warn"
        self._pending: list[Marker] = []
        self._hop_time = math.nan
        self._settled = 0  # index from which samples are settled after a gap
        self._skipped = self._gap = (0, 0)  # indices of the last samples skipped, and lost
        self._missed: list[tuple[Marker, str]] = []
        self._on_clean: Callable[[Chunk], None] | None = None
        self.paused = False  # whether no readout is made

    def ready(self, model: Model, choice: Choice, *, grown: bool = False) -> Successor:
        """Make ready to go on with another model; takes time, in any thread.

        Parameters
        ----------
        model : Model
        choice : Choice
            How to answer then; without what the model does not know.
        grown : bool
            Whether it is the model that runs, with more items.

        Returns
        -------
        Successor

        Raises
        ------
        ValueError
            If it cannot follow in mid-session, and why.
        """
        if self.answerer.foretell is not None:
            raise ValueError("need a session without a language for other items, got one with it")
        options = self._options
        if not grown:
            check_follows(model, self.model)
            options.check(model)
        part = replace(model, windows=options.windows(model))
        level = options.level if model.set_cutoffs.size else 0.0
        cutoffs = replace(options, level=level).cutoffs(model)
        if options.level and cutoffs is None:
            cutoffs = 1.0, 1.0  # every item is in the set
        answerer = Answerer(part, self.lateness, self.stopwatch, cutoffs=cutoffs, force=self.force)
        answerer.answer_by(answerer.make(carried(choice, model)))
        sooner = SoonerWindows(part, self.window.info)
        watcher = None if grown else make_monitor(model, options.rules.wait) or Watcher()
        if watcher is not None:
            watcher.silences = self.monitor.silences
        item = options.rules.item_rule(model.items).item
        return Successor(model, answerer, sooner, watcher, item, grown)

    def swap(self, next_one: Successor) -> None:
        """Go on with another model from the next sample on, at once and whole."""
        model, sooner = next_one.model, next_one.sooner
        next_one.answerer.follow(self.answerer, same_map=next_one.grown)
        for marker in self._pending:
            sooner.mark(marker)
        sooner.drop(self.ring.next)
        self.model, self.answerer = model, next_one.answerer
        self.sooner, self.monitor = sooner, next_one.monitor or self.monitor
        if not next_one.grown:
            self.window.rescale(model.center, model.scale)

    def truth(self, seq: int, label: str) -> None:
        """Score an event by the item that it had, and learn from it where labels join the map.

        Parameters
        ----------
        seq : int
            Number of its readout.
        label : str
            The item.

        Raises
        ------
        ValueError
            As by `Scored.truth`.
        """
        self.answerer.scored.truth(seq, label)
        if self.adaptation is not None:
            self.adaptation.truth(seq, label)

    def pause(self, on: bool) -> None:
        """Make no readouts until this is called with False; markers meanwhile are missed."""
        self.paused = on
        self.answerer.begin()

    @property
    def stages(self) -> Mapping[str, Stage]:
        """The stages before the ring, in the order of the flow."""
        return self._stages

    @stages.setter
    def stages(self, stages: Mapping[str, Stage]) -> None:
        """Run these stages from now on."""
        self._stages = stages
        self._chains = chains_of(stages, self.stopwatch, behind="filter")

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
        self.sooner.mark(marker)
        if not marker.label.startswith(CUE):
            self.monitor.mark(marker.index)

    def take_missed(self) -> list[tuple[Marker, str]]:
        """Take the markers without a readout since the last call, with reasons."""
        taken, self._missed = self._missed, []
        return taken

    def push(self, chunk: Chunk) -> list[Readout]:
        """Return the readouts of the windows that these samples complete, in order."""
        readouts: list[Readout] = []
        for kind, marker, features in self.push_features(chunk):
            found = self.answerer.answer(kind, marker, features, self.monitor)
            readouts += found
            if self.adaptation is not None and kind == "event":
                pool, good = self.answerer.pool, features.good
                n_open = 0 if pool is None else pool.n_open
                self.adaptation.add(
                    self.window.unscaled, good, marker.label, n_open=n_open, seq=found[0].seq
                )
        return readouts

    def push_features(self, chunk: Chunk) -> Iterator[tuple[str, Marker, Features]]:
        """Yield the features of the windows that these samples complete.

        Parameters
        ----------
        chunk : Chunk
            Of any length, in the model's channels.

        Yields
        ------
        kind : {"event", "continuous", "anytime"}
        marker : Marker
        features : Features
            Its `values` are valid until the next one: copy them to keep them.
        """
        for hop in self._hops(chunk, self._cut):
            if self.adaptation is not None and self._on_grid:
                self.adaptation.hop()
            self._hop_time = hop.times[-1]
            cleaned = hop
            for chain in self._chains:
                hop = chain.process(hop)
                if chain.seen is not None:
                    self.monitor.raw(chain.seen)
                if chain.names != ("bank",):
                    cleaned = hop
            flags = self._flags.take(len(hop.flags))
            join_channels(hop.flags, hop.channel_flags, self.n_picks, flags)
            if hop.index < self._settled:
                flags[: self._settled - hop.index] |= _SETTLING
            self.ring.write(hop.data, flags)
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
        sooner = self.sooner.after(start // self.factor) * self.factor
        for marker in self._pending:
            if (due := (marker.index + self._due_after) * self.factor) > start:
                return min(due, sooner or due)
        return sooner

    @property
    def n_wanted(self) -> int:
        """Samples of the stream that complete the next window or hop, at least 1."""
        if self._due_after < self.model.n_hop:  # an event may be due before its marker has come
            return 1
        return self.framer.n_missing(self._cut)

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
            first = self._pending[0].index
            yield from self._due_sooner(first + self._due_after, first)
            marker = self._pending.pop(0)
            self.monitor.advance(marker.index + self._due_after)
            if self.paused:
                self._missed.append((marker, PAUSED))
                continue
            try:
                yield "event", marker, self._features(self.window, marker.index)
            except LookupError:
                self._missed.append((marker, self._why_missed(marker.index)))
                self.answerer.missed(marker)
        yield from self._due_sooner(self.ring.next, self.ring.next)
        onset = self.ring.next - self.window.last
        every = self.continuous and not self.paused and self._on_grid
        if every and onset + self.window.first >= self.ring.first:
            self.monitor.advance(self.ring.next)
            time = self._time_of(onset)
            features = self._features(self.window, onset, is_next=True)
            yield "continuous", Marker("", time, onset), features

    def _due_sooner(self, at: int, index: int) -> Iterator[tuple[str, Marker, Features]]:
        """Windows that end earlier, up to where an event's own is full; one that is lost is left out.

        What is lost of it is lost of the event's own window, too, which tells.
        """
        while (due := self.sooner.take(at, index)) is not None:
            self.monitor.advance(due.at)
            if not self.paused:
                with suppress(LookupError):
                    yield "anytime", due.marker, self._features(due.window, due.index)

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

    def _features(self, window: FeatureWindow, onset: int, *, is_next: bool = False) -> Features:
        start, stop = onset + window.first, onset + window.last
        data, flags = self.ring.window(start, stop)
        index = start if is_next else None
        features = window.process(data, flags, self._time_of(stop - 1), index)
        self.stopwatch.lap("features")
        return features

    def _time_of(self, index: int) -> float:
        return float(self._hop_time - (self.ring.next - 1 - index) / self.model.info.sfreq)

    def warm_up(self) -> None:
        """Run every kernel on noise, so that it is compiled, and at each length of a hop; then reset."""
        info, n = self.model.info, self.model.n_hop
        factor = self.factor
        n_cuts = n if n <= _MOST_CUTS else 1
        length = (self.ring.capacity // n + n_cuts + 3) * n * factor
        flags = np.zeros(length, FLAGS)
        channel_flags = np.zeros((length, info.n_channels), FLAGS)
        times = np.arange(length) / (info.sfreq * factor)
        noise = 1e-6 * np.random.default_rng(0).standard_normal((length, info.n_channels))
        on_clean, self._on_clean = self._on_clean, None  # keep the noise from the tap
        for k in range(n_cuts):  # each cuts another hop, at another place
            self.mark(Marker("", 0.0, (k * (n + 1) - self.window.first) * factor))
        for k_window, (kind, marker, features) in enumerate(
            self.push_features(Chunk(noise, times, 0, flags, channel_flags))
        ):
            self.answerer.warm_up(kind, marker, features, self.monitor)
            if self.adaptation is not None and not k_window:  # one: many would begin an update
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
        self.window.reset()
        self.answerer.restart()
        self.monitor.restart()
        self._missed.extend((marker, "the stream was lost") for marker in self._pending)
        self._pending.clear()
        self.sooner.clear()
        self._hop_time = math.nan
        self._settled = 0
        self._skipped = self._gap = (0, 0)

    def reset(self) -> None:
        """Return to the state before the first sample; reset statistics as well."""
        self.restart()
        if self.adaptation is not None:
            self.adaptation.reset()
        self.answerer.reset()
        self.lateness.reset()
        self.monitor.reset()
        self._missed.clear()
        self.stopwatch.reset()
