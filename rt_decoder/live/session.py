"""The live loop: one thread that blocks on the stream, decodes and hands on.

Nothing here waits for a disk, a display or a consumer. What the operator must know (a stale or
lost stream, a marker that came too late, a wrong scale) is an event in the log and a count in the
footer. The loop ends when it is asked to, when the stream is lost and no way back was given, or
with an exception that says why.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from pylsl import local_clock

from rt_decoder.channels import same_layout
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.decoder import Decoder
from rt_decoder.latency import Histogram
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.reference_check import ReferenceCheck
from rt_decoder.live.scale import ScaleCheck
from rt_decoder.live.watchdog import State, Watchdog
from rt_decoder.model import Model
from rt_decoder.signal import ModelMismatch, Readout, StreamLost
from rt_decoder.sinks.log import JsonlLog, decision_details, event_line
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import MarkerSource, SampleSource, Streams

__all__ = ["Session"]

SWITCH = 5e-4  # s
REPLACED_AFTER = 2.0  # s of silence before another outlet is looked for
PULL_TIMEOUT = 0.05  # s; bounds how long a request to stop waits
REFRESH = 1.0  # s between looks at the clock correction
CHECK_SECONDS = 10.0


class Session:
    """Decode a live stream until told to stop.

    Parameters
    ----------
    model : Model
        What was fitted.
    source : SampleSource
        The stream of samples.
    options : LiveOptions
        How it is decoded, and what to do when it is lost or the decoder is behind.
    markers : MarkerSource or None
        The stream of markers.
    streams : Streams or None
        Finds streams again after a loss. Without it a loss raises `StreamLost`.
    sinks : Sinks
        Where readouts, events, samples go; see `attach`.

    Raises
    ------
    ModelMismatch
        If the stream does not fit the model's contract.
    """

    def __init__(
        self,
        model: Model,
        source: SampleSource,
        options: LiveOptions = LiveOptions(),  # noqa: B008  (immutable)
        *,
        markers: MarkerSource | None = None,
        streams: Streams | None = None,
        sinks: Sinks = Sinks(),  # noqa: B008  (immutable)
    ) -> None:
        self.model = model
        self.source = source
        self.marker_source = markers
        self.rules = options.rules
        self.decoder = Decoder(model, source.info, options, clock=local_clock)
        self.attach(sinks)
        self.streams = streams
        self.until_lost = options.until_lost
        self.skip = options.skip
        self._info = source.info  # decoder and record keep to it, whatever comes back after a loss
        self._n_behind = options.max_behind * source.info.sfreq
        self._picks: np.ndarray | None = None  # that put a stream that came back in order
        self._ended = False
        self.counts: Counter[str] = Counter()
        self.n_samples = 0
        self._correction = 0.0
        self._check_at = 0.0
        self.watchdog = Watchdog(model.n_hop / model.info.sfreq)
        self.backlog = Histogram()  # signal time that was waiting at each pull
        # a source that joins others tells what became of them
        self._take_source_events = getattr(source, "take_events", tuple)
        stage = self.decoder.pipeline.stages.get("regressors")
        self._reference_check = ReferenceCheck(stage if isinstance(stage, Regressors) else None)
        self._markers_gone = False
        self._scale = self._scale_check()

    def attach(self, sinks: Sinks) -> None:
        """Take other sinks, before `run`: so that none is made for a stream that is refused."""
        self.sinks = sinks
        self.log = sinks.log
        self.recorder = sinks.recorder
        self.outlets = sinks.outlets
        self.on_readout = sinks.on_readout
        self.on_event = sinks.on_event
        self.decoder.pipeline.tap(sinks.on_clean)

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Decode until `should_stop()`; gives the footer that also ends the log.

        Raises
        ------
        StreamLost
            If the stream is gone and there are no `streams` to find it again.
        ModelMismatch
            If a stream carries another scale than calibration, or came back changed.
        """
        self.decoder.warm_up()
        gc.collect()
        gc.freeze()  # what was imported and built is never scanned again while decoding
        switching = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)  # a writer's thread gives way within that
        try:
            if self.marker_source is not None:
                self.marker_source.open()  # first: a sender may wait for the samples' reader only
            self.source.open()
            self._event("live", stream=self.source.name)
            self._record_references()
            if self.recorder is not None:
                self.recorder.decision(
                    local_clock(), 0, decision="start",
                    rules=self.rules._asdict(), continuous=self.decoder.pipeline.continuous,
                    without=sorted(self.decoder.pipeline.without),
                    references=[one.describe() for one in self._references()],
                )  # fmt: skip
            self.watchdog.connected(local_clock())
            while not (self._ended or should_stop()):
                try:
                    self._step()
                    self._report_sinks()
                except StreamLost as error:
                    self._lost(error, should_stop)
        finally:
            gc.unfreeze()
            sys.setswitchinterval(switching)
            self._report_sinks()
            footer = self.footer()
            if self.log is not None:
                self.log.write(footer)
        return footer

    def _step(self) -> None:
        data, stamps, arrival = self._pull(PULL_TIMEOUT)
        self._take_markers()
        if len(stamps) == 0:
            self._silence()
        elif self.skip and len(stamps) > self._n_behind:
            self._overrun(data, stamps, arrival)
        else:
            self._decode(data, stamps, arrival)

    def _pull(self, timeout: float) -> tuple[np.ndarray, np.ndarray, float]:
        data, stamps, arrival = self.source.pull(timeout)
        if self._picks is not None:
            data = data[:, self._picks]
            data[:, self._picks < 0] = np.nan  # not in use, and gone
        if len(stamps) and arrival >= self._check_at:
            self._correction = self.source.correction()
            self._check_at = arrival + REFRESH
        return data, stamps, arrival

    def _decode(self, data: np.ndarray, stamps: np.ndarray, arrival: float) -> None:
        if self.recorder is not None:
            self.recorder.pulled(data, stamps, arrival, self._correction)
        for readout in self.decoder.push(data, stamps + self._correction, arrival):
            self._emit(readout)
        self._account(data, arrival)

    def _overrun(self, data: np.ndarray, stamps: np.ndarray, arrival: float) -> None:
        """Too much was waiting: drop all but the newest hop of it, as if it had been lost."""
        n_hop = self.model.n_hop * self.decoder.pipeline.factor
        n_skipped, newest = 0, (data[:0], stamps[:0], arrival)
        lost: StreamLost | None = None
        while len(stamps) > n_hop:  # liblsl may hold minutes of them
            old = len(stamps) - n_hop
            n_skipped += self._skip(*newest) + self._skip(data[:old], stamps[:old], arrival)
            newest = data[old:].copy(), stamps[old:].copy(), arrival
            try:
                data, stamps, arrival = self._pull(0.0)
            except StreamLost as error:
                data, stamps, lost = data[:0], stamps[:0], error
        self.counts["overruns"] += 1
        self.counts["skipped_samples"] += n_skipped
        self._event("overrun", n_skipped=n_skipped)
        self._decode(*newest)
        if len(stamps):
            self._decode(data, stamps, arrival)
        if lost is not None:
            raise lost

    def _skip(self, data: np.ndarray, stamps: np.ndarray, arrival: float) -> int:
        n = len(stamps)
        if n:
            if self.recorder is not None:
                self.recorder.pulled(data, stamps, arrival, self._correction)
                self.recorder.decision(arrival, self.n_samples, decision="skip", n=n)
            self.decoder.skip(data, stamps + self._correction, arrival)
            self._account(data, arrival)
        return n

    def _account(self, data: np.ndarray, arrival: float) -> None:
        """Everything that can wait until the readouts are out."""
        silent_s = self.watchdog.arrived(arrival)
        if silent_s is not None:
            self._event("live_again", silent_s=round(silent_s, 3))
            if self.streams is not None:
                self.streams.stop_looking()
        self.n_samples += len(data)
        self.backlog.add(int(len(data) / self._info.sfreq * 1e9))
        self._report_markers()
        self._report_decisions()
        happened = (*self._take_source_events(), *self._reference_check.look(arrival))
        for event, details in happened:
            self.counts[event] += 1
            self._event(event, **details)
        if not self._scale.done:
            align = self.decoder.align
            ratio = self._scale.update(data[:, align.picks] * align.gains)
            if ratio is not None:
                self._judge_scale(ratio)

    def _silence(self) -> None:
        """Nothing came: say when that makes the stream stale, and when another has its place."""
        now = local_clock()
        if self.watchdog.silent(now):
            self.counts["stale"] += 1
            self._event("stale", silent_s=round(now - self.watchdog.last, 3))
        if self.streams is None or now - self.watchdog.last <= REPLACED_AFTER:
            return
        if self.watchdog.state is State.STALE and self.streams.replacement() is not None:
            raise StreamLost(f"stream {self.source.name!r} is silent, and has been replaced")

    def _emit(self, readout: Readout) -> None:
        if self.outlets is not None:
            self.outlets.push(readout)
        if self.log is not None:
            self.log.write(readout)
        if self.on_readout is not None:
            self.on_readout(readout)
        self.counts["readouts"] += 1
        self.counts["abstained"] += readout.abstained

    def _take_markers(self) -> None:
        if self.marker_source is None:
            self._find_markers()
            return
        try:
            markers = self.marker_source.pull()
        except StreamLost as error:
            self.counts["markers_stream_lost"] += 1
            self._event("markers_stream_lost", reason=str(error))
            self.marker_source = None
            self._markers_gone = True
            return
        for marker in markers:
            self.counts["markers_received"] += 1
            if self.recorder is not None:
                self.recorder.marker(marker, local_clock(), self.n_samples)
            self.decoder.mark(marker)

    def _find_markers(self) -> None:
        """A stimulus program often restarts between blocks: take its stream up again."""
        if self._markers_gone and self.streams is not None:
            self.marker_source = self.streams.reopen_markers()
            if self.marker_source is not None:
                self._markers_gone = False
                self._event("markers_stream_returned", stream=self.marker_source.name)

    def _report_markers(self) -> None:
        found, lost = self.decoder.take_markers()
        for marker in found:
            self.counts["markers"] += 1
            if self.log is not None:
                self.log.write(marker)
        for marker, why in lost:
            self.counts["markers_lost"] += 1
            self._event("marker_lost", label=marker.label, time=marker.time, reason=why)

    def _report_decisions(self) -> None:
        for decision in self.decoder.take_decisions():
            self.counts[decision.kind] += 1
            self.counts["lost_samples"] += decision.n_lost
            self._event(decision.kind, **decision_details(decision))

    def _report_sinks(self) -> None:
        """A full disk ends a log or record, never the session."""
        for what, sink in (("log", self.log), ("record", self.recorder)):
            if sink is not None and (error := sink.take_error()) is not None:
                self.counts[f"{what}_ended"] += 1
                self._event(f"{what}_ended", reason=str(error))

    def _scale_check(self) -> ScaleCheck:
        return ScaleCheck(self.model.channel_scale, round(CHECK_SECONDS * self.source.info.sfreq))

    def _judge_scale(self, ratio: np.ndarray) -> None:
        n = self.model.n_picks  # a reference may be missing, or rest
        names = self.model.info.ch_names[:n]
        off = [
            f"{name} x{factor:.3g}"
            for name, factor in zip(names, ratio[:n], strict=True)
            if not 0.1 <= factor <= 10.0
        ]
        if not off:
            return
        # One loose electrode is an event; many at once are a wrong unit.
        if len(off) >= max(1, len(names) / 4):
            raise ModelMismatch(
                f"need the scale of calibration, got {', '.join(off[:4])}"
                f"{' and more' if len(off) > 4 else ''}: is the unit right? (--units UNIT)"
            )
        self._event("scale", channels=off)

    def _lost(self, error: StreamLost, should_stop: Callable[[], bool]) -> None:
        self.watchdog.lost()
        self.counts["lost"] += 1
        self._event("lost", reason=str(error))
        if self.until_lost:
            self._ended = True
            return
        if self.streams is None:
            raise error
        while not should_stop():
            source = self.streams.reopen(1.0)
            if source is None:
                continue
            try:
                self._picks = same_layout(source.info, self._info, self.decoder.needed)
            except ModelMismatch:
                source.close()
                raise
            try:
                source.open()
            except (StreamLost, TimeoutError):
                continue
            self.source = source
            self._take_source_events = getattr(source, "take_events", tuple)
            self.decoder.restart()
            self._scale = self._scale_check()
            self._check_at = 0.0
            self.watchdog.connected(local_clock())
            self.counts["returned"] += 1
            if self.recorder is not None:
                self.recorder.decision(local_clock(), self.n_samples, decision="restart")
            self._event("returned", stream=source.name)
            return

    def _event(self, event: str, **details: Any) -> None:
        line = event_line(event, local_clock(), {"index": self.n_samples} | details)
        if self.log is not None and not self.log.has_ended:
            self.log.write(line)
        elif event == "log_ended" and self.recorder is not None:
            self.recorder.decision(line["time"], self.n_samples, decision=event, **details)
        if self.on_event is not None:
            self.on_event(line)

    def close(self) -> None:
        """Leave the streams."""
        self.source.close()
        if self.marker_source is not None:
            self.marker_source.close()

    def footer(self) -> dict[str, Any]:
        """Counts and percentiles so far."""
        pipeline = self.decoder.pipeline
        return {
            "type": "footer",
            "n_samples": self.n_samples,
            "n_readouts": pipeline.n_readouts,
            "n_late": pipeline.n_late,
            "counts": dict(self.counts) | {"markers_waiting": self.decoder.n_waiting},
            "references": {
                one.name: {"n_missing": one.n_missing, "n_late": one.n_late}
                for one in self._references()
            },
            "n_dropped": sum(sink.n_dropped for sink in self._sinks()),
            "errors": [str(sink.error) for sink in self._sinks() if sink.error is not None],
            "latency_ms": pipeline.latency.summary(1e6),
            "backlog_ms": self.backlog.summary(1e6),
            "stages_us": pipeline.stopwatch.summary_us(),
        }

    def _record_references(self) -> None:
        """Keep the raw samples of what is joined beside the joined ones."""
        if self.recorder is None:
            return
        for one in self._references():
            self.recorder.add_reference(one.name, one.info)
            one.on_read = partial(self._keep_reference, self.recorder, one.name)

    def _keep_reference(
        self, recorder: Recorder, name: str,
        data: np.ndarray, stamps: np.ndarray, arrival: float, correction: float,
    ) -> None:  # fmt: skip
        recorder.pulled_reference(name, data, stamps, arrival, correction, self.n_samples)

    def _references(self) -> Sequence[Any]:
        """What is joined to the samples, if anything is."""
        return getattr(self.source, "references", ())

    def _sinks(self) -> Sequence[JsonlLog | Recorder]:
        return [sink for sink in (self.log, self.recorder) if sink is not None]
