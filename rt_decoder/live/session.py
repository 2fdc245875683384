"""The live loop: one thread that blocks on the stream, decodes and hands on.

Nothing here waits for a disk, a display or a consumer. What the operator must know is an event in
the log and a count in the footer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pylsl import local_clock

from rt_decoder.cleaning.scale import channels_off, scale_check
from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import LogEnded, Restart, Skip
from rt_decoder.live.backlog import Backlog
from rt_decoder.live.descriptors import DescriptorCheck
from rt_decoder.live.footer import footer_line
from rt_decoder.live.labels import LabelCheck
from rt_decoder.live.loss import has_replacement, wait_for_return
from rt_decoder.live.map_updates import MapUpdates
from rt_decoder.live.marker_reader import MarkerReaders
from rt_decoder.live.monitoring import pass_on
from rt_decoder.live.next_words import NextWords
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.overrun import skip_to_newest
from rt_decoder.live.receiver import Receiver
from rt_decoder.live.record_start import begin_record
from rt_decoder.live.reference_check import ReferenceCheck
from rt_decoder.live.report import (
    end_sinks,
    report_channels,
    report_decisions,
    report_markers,
    report_sinks,
)
from rt_decoder.live.stamp_clock import StampClock
from rt_decoder.live.steering import Steering
from rt_decoder.live.undisturbed import undisturbed
from rt_decoder.live.watchdog import Watchdog
from rt_decoder.model import Model
from rt_decoder.signal import Readout, StreamLost
from rt_decoder.sinks.log import event_line
from rt_decoder.source import MarkerSource, Received, SampleSource, Streams

__all__ = ["Session"]

PULL_TIMEOUT = 0.05  # s; bounds how long a request to stop waits


class Session:
    """Decode a live stream until told to stop.

    Parameters
    ----------
    model : Model
    source : SampleSource
    options : LiveOptions
        How to decode, and what to do when the stream is lost or the decoder is behind.
    markers : sequence of MarkerSource
        The streams of markers; a model with a map decodes by the first.
    streams : Streams or None
        Finds streams again after a loss. Without it a loss raises `StreamLost`.
    sinks : Sinks
        Where readouts, events and samples go; see `attach`.

    Raises
    ------
    ModelMismatch
        If the stream does not match the model's contract.
    """

    def __init__(
        self,
        model: Model,
        source: SampleSource,
        options: LiveOptions = LiveOptions(),  # noqa: B008  (immutable)
        *,
        markers: Sequence[MarkerSource] = (),
        streams: Streams | None = None,
        sinks: Sinks = Sinks(),  # noqa: B008  (immutable)
    ) -> None:
        self.model, self.source, self._tune = model, source, options.tune
        self._info = source.info  # a stream that returns is put in this order
        self.decoder = Decoder(model, source.info, options, clock=local_clock)
        self._updates, self.steering = MapUpdates(self.decoder), Steering(self.decoder)
        self.next_words = NextWords(self.decoder, options.language)
        self.attach(sinks)
        self.streams, self.until_lost, self.skip = streams, options.until_lost, options.skip
        self._n_behind = options.max_behind * source.info.sfreq
        self._n_hop = model.n_hop * self.decoder.pipeline.factor
        self._receiver, self._stamp_clock, self._ended = Receiver(), StampClock(), False
        self.n_samples, self.counts, self._descriptors = 0, Counter[str](), DescriptorCheck()
        self.watchdog = Watchdog(model.n_hop / model.info.sfreq)
        self.backlog = Backlog(source.info.sfreq, options.max_behind)
        self._reference_check = ReferenceCheck(*self.decoder.pipeline.stages.values())
        self.markers = MarkerReaders(markers, self.counts, self._event)
        self.mark = self.markers.add  # from any thread, as `steering`
        self._scale, self.labels = scale_check(model, source.info.sfreq), LabelCheck(model.items)

    def attach(self, sinks: Sinks) -> None:
        """Replace the sinks, before `run`: a stream that is refused then leaves no files."""
        self.sinks = sinks
        self.log, self.recorder, self.outlets = sinks.log, sinks.recorder, sinks.outlets
        self.on_event, self._after = sinks.on_event, sinks.after_scores
        self.steering.on_score = sinks.on_score
        self.decoder.pipeline.tap(sinks.on_clean)

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Decode until `should_stop()` is true.

        Parameters
        ----------
        should_stop : callable
            Takes nothing; returns True to end the session.

        Returns
        -------
        dict
            The footer, which is also the log's last line.

        Raises
        ------
        StreamLost
            If the stream is lost and the session has no `streams` to find it again.
        ModelMismatch
            If the stream's scale differs from calibration's, or it came back with another layout.
        """
        self.decoder.warm_up()
        try:
            with undisturbed(self._tune, self._event):
                self._open()
                while not (self._ended or should_stop()):
                    try:
                        self._step()
                    except StreamLost as error:
                        self._lost(error, should_stop)
        finally:
            self._updates.close()
            self.decoder.end()
            self._happened(self.steering.apply(local_clock(), self.n_samples, self.recorder))
            report_markers(self.decoder, self.counts, self.log, self._event, self.labels)
            footer = end_sinks(self.log, self.recorder, self.counts, self._event, self.footer)
        return footer

    def _open(self) -> None:
        self.markers.open()  # first: a sender may start as soon as the samples have a reader
        self.source.open()
        self._event("live", stream=self.source.name)
        report_channels(self.source, self.decoder, self.counts, self._event)
        if self.recorder is not None:
            begin_record(self.recorder, self.decoder, self._references(), lambda: self.n_samples)
        self.watchdog.connected(local_clock())

    def _step(self) -> None:
        report_sinks(self.log, self.recorder, self.counts, self._event, self.outlets)
        received = self._receiver.pull(self.source, PULL_TIMEOUT, n := self.decoder.n_wanted)
        self._take_markers()
        if len(received.stamps) == 0:
            self._silence()
            return
        n_waiting = len(received.stamps) + self.source.waiting()
        self._happened(self.backlog.look(max(1, n_waiting - n + 1), received.arrival))
        if self.skip and n_waiting > self._n_behind and len(received.stamps) > self._n_hop:
            self._overrun(received)
        else:
            self._decode(received)

    def _decode(self, received: Received) -> None:
        for changes in (self._updates.swap, self.steering.apply, self.next_words.apply):
            self._happened(changes(received.arrival, self.n_samples, self.recorder))
        if self.recorder is not None:
            self.recorder.pulled(received)
        for readout in self.decoder.push(*self._receiver.timed(received)):
            self._emit(readout)
        self._account(received)

    def _overrun(self, received: Received) -> None:
        """Skip a backlog down to its newest hop, and decode from there."""
        pull = partial(self._receiver.pull, self.source)
        newest = skip_to_newest(received, self._n_hop, pull, self._skip)
        self.counts.update(overruns=1, skipped_samples=newest.n_skipped)
        self._event("overrun", n_skipped=newest.n_skipped)
        self._decode(newest.hop)
        if len(newest.after.stamps):
            self._decode(newest.after)
        if newest.lost is not None:
            raise newest.lost

    def _skip(self, received: Received) -> int:
        if n := len(received.stamps):
            if self.recorder is not None:
                self.recorder.pulled(received)
                self.recorder.decision(received.arrival, Skip(self.n_samples, n))
            self.decoder.skip(received.data, received.times, received.arrival)
            self._account(received)
        return n

    def _account(self, received: Received) -> None:
        """Do everything that can wait until the readouts are out."""
        self.steering.score()
        self.decoder.pipeline.stopwatch.count()
        if (silent_s := self.watchdog.arrived(received.arrival)) is not None:
            self._event("live_again", silent_s=round(silent_s, 3))
            if self.streams is not None:
                self.streams.stop_looking()
        self.n_samples += len(received.data)
        report_markers(self.decoder, self.counts, self.log, self._event, self.labels)
        report_decisions(self.decoder, self.counts, self._event)
        take = getattr(self.source, "take_events", tuple)  # what became of its auxiliary streams
        self._happened((*take(), *self._reference_check.look(received.arrival)))
        self._happened(self._stamp_clock.look(self.decoder.pipeline))
        if not self._scale.done:
            align = self.decoder.align
            ratio = self._scale.update(received.data[:, align.picks] * align.gains)
            if ratio is not None and (off := channels_off(self.model, ratio)):
                self._event("scale", channels=off)

    def _silence(self) -> None:
        """Report a stream that has become stale; raise `StreamLost` if another has replaced it."""
        now = local_clock()
        if self.watchdog.silent(now):
            self.counts["stale"] += 1
            self._event("stale", silent_s=round(now - self.watchdog.last, 3))
        if self.streams is not None and has_replacement(self.streams, self.watchdog, now):
            raise StreamLost(f"stream {self.source.name!r} is silent, and has been replaced")

    def _emit(self, readout: Readout) -> None:
        if self.outlets is not None:
            self.outlets.push_scores(readout)
        readout = self.decoder.pipeline.lateness.left(readout)  # the others hear its whole latency
        for hear in self._after:
            hear(readout)
        self.counts["readouts"] += 1
        self.counts["abstained"] += readout.abstained

    def _take_markers(self) -> None:
        for number, marker in self.markers.pull(self.streams):
            if self.recorder is not None:
                self.recorder.marker(marker, local_clock(), self.n_samples, number)
            if number == 0 or not self.model.has_map:  # others are recorded and counted
                self.decoder.mark(marker)

    def _lost(self, error: StreamLost, should_stop: Callable[[], bool]) -> None:
        self.watchdog.lost()
        self.counts["lost"] += 1
        self._event("lost", reason=str(error))
        if self.until_lost:
            self._ended = True
            return
        if self.streams is None:
            raise error
        wanted = self._info, self.decoder.needed
        if (back := wait_for_return(self.streams, *wanted, should_stop, self._event)) is None:
            return
        self.source, picks = back
        self._receiver.restart(picks)
        self.decoder.restart()
        self._scale = scale_check(self.model, self.source.info.sfreq)
        self.watchdog.connected(local_clock())
        self.counts["returned"] += 1
        if self.recorder is not None:
            self.recorder.decision(local_clock(), Restart(self.n_samples))
        self._event("returned", stream=self.source.name)

    def _happened(self, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        for event, details in events:
            self.counts[event] += 1
            self._event(event, **details)

    def _event(self, event: str, **details: Any) -> None:
        line = event_line(event, local_clock(), {"index": self.n_samples} | details)
        if self.log is not None and not self.log.has_ended:
            self.log.write(line)
        elif event == "log_ended" and self.recorder is not None and not self.recorder.has_ended:
            self.recorder.decision(line["time"], LogEnded(self.n_samples, details["reason"]))
        if self.on_event is not None:
            self.on_event(line)
        pass_on(line, self.n_samples, self.sinks, self.decoder.pipeline.when_unlike)
        for many in self._descriptors.look(event):
            self._event("descriptors", **many)

    def close(self) -> None:
        """Close the streams."""
        self.source.close()
        self.markers.close()

    def footer(self) -> dict[str, Any]:
        """Return counts and percentiles so far."""
        return footer_line(
            self.decoder, self.n_samples, self.counts, self.backlog.histogram, self._references(),
            {"log": self.log, "record": self.recorder},
        ) | self.markers.several()  # fmt: skip

    def _references(self) -> Sequence[Any]:  # auxiliary streams joined to the samples
        return getattr(self.source, "references", ())
