"""The live loop: one thread that blocks on the stream, decodes and hands on.

Nothing here waits for a disk, a display or a consumer. What the operator must know (a stale or
lost stream, a marker that came too late, a wrong scale) is an event in the log and a count in the
footer. The loop ends when it is asked to, when the stream is lost and no way back was given, or
with an exception that says why.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rt_decoder.decoder import Decoder
from rt_decoder.markers import MarkerRules
from rt_decoder.model import Model
from rt_decoder.outlets import ReadoutOutlets
from rt_decoder.scale import ScaleCheck
from rt_decoder.signal import ModelMismatch, Readout, SignalInfo, StreamLost, match_channels
from rt_decoder.sinks import JsonlLog, Recorder, decision_details, event_line
from rt_decoder.sources import MarkerSource, SampleSource
from rt_decoder.sources.lsl import local_clock

__all__ = ["Session"]

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
    markers : MarkerSource or None
        The stream of markers.
    rules : MarkerRules
        How markers become items.
    continuous : bool
        Read out at every hop.
    log, recorder, outlets : or None
        Where readouts, raw samples and answers go.
    on_readout : callable or None
        Called with each readout in the loop's thread: keep it short.
    reopen : callable or None
        Called with the seconds to wait after a loss; gives a new source, or None if the stream has
        not come back. Without it a loss raises `StreamLost`.
    reopen_markers : callable or None
        The same for the marker stream, at once: decoding goes on meanwhile.
    until_lost : bool
        A lost stream is a normal end.
    """

    def __init__(
        self,
        model: Model,
        source: SampleSource,
        *,
        markers: MarkerSource | None = None,
        rules: MarkerRules = MarkerRules(),  # noqa: B008  (immutable)
        continuous: bool = False,
        log: JsonlLog | None = None,
        recorder: Recorder | None = None,
        outlets: ReadoutOutlets | None = None,
        on_readout: Callable[[Readout], None] | None = None,
        reopen: Callable[[float], SampleSource | None] | None = None,
        reopen_markers: Callable[[], MarkerSource | None] | None = None,
        until_lost: bool = False,
    ) -> None:
        self.model = model
        self.source = source
        self.marker_source = markers
        self.rules = rules
        self.decoder = Decoder(model, source.info, rules, continuous=continuous, clock=local_clock)
        self.log = log
        self.recorder = recorder
        self.outlets = outlets
        self.on_readout = on_readout
        self.reopen = reopen
        self.reopen_markers = reopen_markers
        self.until_lost = until_lost
        self._info = source.info  # decoder and record keep to it, whatever comes back after a loss
        self._reorder: tuple[np.ndarray, np.ndarray] | None = None
        self._ended = False
        self.counts: Counter[str] = Counter()
        self.n_samples = 0
        self._correction = 0.0
        self._check_at = 0.0
        self._last_arrival = 0.0
        self._interval = 0.0
        self._stale = False
        self._markers_gone = False
        self._scale = self._scale_check()

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Decode until `should_stop()`; gives the footer that also ends the log.

        Raises
        ------
        StreamLost
            If the stream is gone and there is no `reopen`.
        ModelMismatch
            If a stream carries another scale than calibration, or came back changed.
        """
        self.decoder.warm_up()
        gc.collect()
        gc.freeze()  # what was imported and built is never scanned again while decoding
        try:
            if self.marker_source is not None:
                self.marker_source.open()  # first: a sender may wait for the samples' reader only
            self.source.open()
            self._event("live", stream=self.source.name)
            if self.recorder is not None:
                self.recorder.decision(
                    local_clock(), 0, decision="start",
                    rules=self.rules._asdict(), continuous=self.decoder.pipeline.continuous,
                )  # fmt: skip
            self._last_arrival = local_clock()
            while not (self._ended or should_stop()):
                try:
                    self._step()
                except StreamLost as error:
                    self._lost(error, should_stop)
        finally:
            gc.unfreeze()
            footer = self.footer()
            if self.log is not None:
                self.log.write(footer)
        return footer

    def _step(self) -> None:
        data, stamps, arrival = self.source.pull(PULL_TIMEOUT)
        if self._reorder is not None:
            picks, gains = self._reorder
            data = data[:, picks] * gains
        self._take_markers()
        if len(stamps) == 0:
            self._watch()
            return
        if arrival >= self._check_at:
            self._correction = self.source.correction()
            self._check_at = arrival + REFRESH
        if self.recorder is not None:
            self.recorder.pulled(data, stamps, arrival, self._correction)
        readouts = self.decoder.push(data, stamps + self._correction, arrival)
        for readout in readouts:
            self._emit(readout)
        self._account(data, arrival)

    def _account(self, data: np.ndarray, arrival: float) -> None:
        """Everything that can wait until the readouts are out."""
        if self._stale:
            self._stale = False
            self._event("live_again", silent_s=round(arrival - self._last_arrival, 3))
        self._interval += (arrival - self._last_arrival - self._interval) / 16
        self._last_arrival = arrival
        self.n_samples += len(data)
        self._report_markers()
        self._report_decisions()
        if not self._scale.done:
            align = self.decoder.align
            ratio = self._scale.update(data[:, align.picks] * align.gains)
            if ratio is not None:
                self._judge_scale(ratio)

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
        if self._markers_gone and self.reopen_markers is not None:
            self.marker_source = self.reopen_markers()
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

    def _watch(self) -> None:
        limit = max(0.2, 3 * self.model.n_hop / self.model.info.sfreq, 3 * self._interval)
        silent = local_clock() - self._last_arrival
        if silent > limit and not self._stale:
            self._stale = True
            self.counts["stale"] += 1
            self._event("stale", silent_s=round(silent, 3))

    def _scale_check(self) -> ScaleCheck:
        return ScaleCheck(self.model.channel_scale, round(CHECK_SECONDS * self.source.info.sfreq))

    def _judge_scale(self, ratio: np.ndarray) -> None:
        names = self.model.info.ch_names
        off = [
            f"{name} x{factor:.3g}"
            for name, factor in zip(names, ratio, strict=True)
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
        self.counts["lost"] += 1
        self._event("lost", reason=str(error))
        if self.until_lost:
            self._ended = True
            return
        if self.reopen is None:
            raise error
        while not should_stop():
            source = self.reopen(1.0)
            if source is None:
                continue
            try:
                self._reorder = _same_layout(source.info, self._info)
            except ModelMismatch:
                source.close()
                raise
            try:
                source.open()
            except (StreamLost, TimeoutError):
                continue
            self.source = source
            self.decoder.restart()
            self._scale = self._scale_check()
            self._check_at = 0.0
            self._last_arrival = local_clock()
            self._stale = False
            self.counts["returned"] += 1
            self._event("restart", stream=source.name)
            return

    def _event(self, event: str, **details: Any) -> None:
        now = local_clock()
        if self.log is not None:
            self.log.write(event_line(event, now, {"index": self.n_samples} | details))
        if self.recorder is not None and event == "restart":
            self.recorder.decision(now, self.n_samples, decision=event, **details)

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
            "counts": dict(self.counts),
            "n_dropped": sum(sink.n_dropped for sink in self._sinks()),
            "errors": [str(sink.error) for sink in self._sinks() if sink.error is not None],
            "latency_ms": pipeline.latency.summary(1e6),
            "stages_us": pipeline.stopwatch.summary_us(),
        }

    def _sinks(self) -> Sequence[JsonlLog | Recorder]:
        return [sink for sink in (self.log, self.recorder) if sink is not None]


def _same_layout(have: SignalInfo, want: SignalInfo) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns and factors that take a stream that came back to what it was; None if it is.

    Raises
    ------
    ModelMismatch
        If its rate or a unit has changed, or a channel is missing.
    """
    if have.sfreq != want.sfreq:
        raise ModelMismatch(
            f"need the stream back at {want.sfreq:g} Hz, got {have.sfreq:g} Hz: start anew"
        )
    units = dict(zip(have.ch_names, have.units, strict=True))
    changed = [
        f"{name} in {units[name]} instead of {unit}"
        for name, unit in zip(want.ch_names, want.units, strict=True)
        if units.get(name, unit) != unit
    ]
    if changed:
        raise ModelMismatch(
            f"need the stream back in its units, got {', '.join(changed[:4])}"
            f"{' and more' if len(changed) > 4 else ''}: start anew"
        )
    if have.ch_names == want.ch_names:
        return None
    return match_channels(have, want)
