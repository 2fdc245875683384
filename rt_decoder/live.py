"""What the commands `run` and `decode` do: sources, sinks and a session, put together.

This is the only place that knows both the LSL sources and the files that readouts go to.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from rt_decoder.decoder import Decoder, decode_recording, recorded_start
from rt_decoder.describe import header_line
from rt_decoder.markers import MarkerRules
from rt_decoder.model import Model
from rt_decoder.signal import Marker, Readout
from rt_decoder.sinks import JsonlLog, Recorder, Writer

if TYPE_CHECKING:
    from rt_decoder.session import Session
    from rt_decoder.sources.lsl import LslMarkers, LslSource
    from rt_decoder.sources.recording import Recording

__all__ = ["LiveOptions", "decode_file", "readout_text", "run_live", "stop_on_signals"]


@dataclass(frozen=True)
class LiveOptions:
    """Options of a live session; times in s."""

    selection: dict[str, str | None] = field(default_factory=dict)  # name, type, source_id, ...
    markers: str = ""  # a stream's name, or channel:NAME
    mask: int | None = None
    marker_offset: float = 0.0
    marker_wait: float = 2.0
    continuous: bool | None = None  # None: where there are no markers
    log: Path | None = None
    record: Path | None = None
    outlet: str = ""  # stem of the outlets' names; none if empty
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    seconds: float = 0.0
    until_lost: bool = False


@contextmanager
def stop_on_signals(seconds: float = 0.0) -> Iterator[Callable[[], bool]]:
    """Give a function that is true once Ctrl-C or SIGTERM came, or `seconds` (if not 0) are over."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    end = monotonic() + seconds if seconds else math.inf
    try:
        yield lambda: asked.is_set() or monotonic() >= end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_live(
    model: Model, options: LiveOptions, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Decode a live stream; gives the footer.

    Parameters
    ----------
    model : Model
        With a map.
    options : LiveOptions
        Which stream, which markers, where to.
    say : callable or None
        Takes one line a readout.

    Raises
    ------
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model.
    """
    with ExitStack() as stack:
        should_stop = stack.enter_context(stop_on_signals(options.seconds))
        session = open_session(model, options, stack, say)
        return session.run(should_stop)


def open_session(
    model: Model,
    options: LiveOptions,
    stack: ExitStack,
    say: Callable[[str], None] | None = None,
    on_readout: Callable[[Readout], None] | None = None,
) -> Session:
    """Session with its sources and sinks, which `stack` closes.

    `say` takes a line a readout, from a thread of its own; without it `on_readout` takes each
    readout in the loop's thread.
    """
    from rt_decoder.outlets import ReadoutOutlets
    from rt_decoder.session import Session
    from rt_decoder.sources.lsl import LslMarkers, LslSource, resolve

    for path in (options.log, options.record):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"need a folder {path.parent.name} for {path.name}, got none")

    def source(timeout: float) -> LslSource:
        stream = resolve(**options.selection, timeout=timeout)
        return LslSource(stream, channels=options.channels, units=options.units)

    trigger = options.markers.removeprefix("channel:")
    if not options.markers.startswith("channel:"):
        trigger = ""
    rules = MarkerRules(
        trigger, model.recipe["target"]["names"], options.mask, options.marker_offset,
        options.marker_wait,
    )  # fmt: skip
    markers: LslMarkers | None = None
    if options.markers and not trigger:
        markers = LslMarkers(resolve(name=options.markers, timeout=options.timeout))
        stack.callback(markers.close)
    live = source(options.timeout)
    stack.callback(live.close)
    continuous = not options.markers if options.continuous is None else options.continuous
    if say is not None:
        on_readout = _terminal(say, stack)
    session = Session(
        model,
        live,
        markers=markers,
        rules=rules,
        continuous=continuous,
        on_readout=on_readout,
        reopen=None if options.until_lost else _patient(source),
        reopen_markers=_watcher(options.markers) if markers is not None else None,
        until_lost=options.until_lost,
    )
    # only now: what was refused leaves no file behind
    header = header_line(model, live.name)
    if options.outlet:
        meta = {"model": header["model"], "stream": live.name}
        outlets = ReadoutOutlets(options.outlet, f"{options.outlet}-{uuid4().hex[:12]}", meta)
        session.outlets = outlets
        stack.callback(outlets.close)
    if options.log is not None:
        session.log = JsonlLog(options.log)
        stack.callback(session.log.close)
        session.log.write(header)
    if options.record is not None:
        name = markers.name if markers else ""
        session.recorder = Recorder(options.record, live.info, live.name, name)
        stack.callback(session.recorder.close)
    return session


def _terminal(say: Callable[[str], None], stack: ExitStack) -> Callable[[Readout], None]:
    """Print readouts from another thread: a terminal that is held up holds nothing else up."""
    printer = Writer("terminal", max_jobs=256)
    stack.callback(printer.close)

    def tell(readout: Readout) -> None:
        if readout.kind == "event" or readout.seq % 50 == 0:
            printer.put(lambda: say(readout_text(readout)))

    return tell


def _patient(source: Callable[[float], LslSource]) -> Callable[[float], LslSource | None]:
    """`source`, with None where the stream has not come back yet."""

    def reopen(wait: float) -> LslSource | None:
        try:
            return source(wait)
        except (LookupError, TimeoutError, ConnectionError):
            return None

    return reopen


def _watcher(name: str) -> Callable[[], LslMarkers | None]:
    """Look for a marker stream in the background; gives it once it is back."""
    import pylsl

    from rt_decoder.sources.lsl import LslMarkers

    resolver: pylsl.ContinuousResolver | None = None

    def reopen() -> LslMarkers | None:
        nonlocal resolver
        if resolver is None:
            resolver = pylsl.ContinuousResolver("name", name, forget_after=2.0)
        found = resolver.results()
        if len(found) != 1:
            return None
        try:
            markers = LslMarkers(found[0])
            markers.open()
        except (TimeoutError, ConnectionError):
            return None
        resolver = None
        return markers

    return reopen


def readout_text(readout: Readout) -> str:
    """A readout as one line for the terminal."""
    if readout.abstained:
        answer = f"- ({', '.join(readout.reasons)})"
    else:
        pairs = zip(readout.words[:3], readout.probabilities[:3], strict=True)
        answer = "  ".join(f"{word} {p:.2f}" for word, p in pairs)
    truth = f"{readout.label:>16} -> " if readout.label else ""
    late = "  LATE" if readout.late else ""
    return f"{readout.seq:>5} {truth}{answer}  [{readout.latency_ms:.2f} ms]{late}"


def decode_file(
    model: Model,
    recording: Recording,
    markers: Sequence[Marker],
    jsonl: Path,
    *,
    trigger: str = "",
    mask: int | None = None,
    marker_offset: float = 0.0,
    continuous: bool | None = None,
    chunk: int = 64,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Decode a recording to a log; gives its footer.

    A session record is decoded as its live session was, markers and all; options that are given
    here come first.
    """
    names = model.recipe["target"]["names"]
    rules = MarkerRules(trigger, names, mask, marker_offset)
    start = recorded_start(recording)
    if start is not None and rules == MarkerRules(names=names):
        rules = MarkerRules(**start["rules"])
        continuous = start["continuous"] if continuous is None else continuous
    if continuous is None:
        continuous = not markers and not rules.trigger
    decoder = Decoder(model, recording.info, rules, continuous=continuous)
    n_samples, n_lost = len(recording.stamps), 0
    temporary = jsonl.with_name(f".{jsonl.name}.tmp")
    log = JsonlLog(temporary, drop=False)
    try:
        log.write(header_line(model, recording.name))
        for readout in decode_recording(model, recording, markers, chunk=chunk, decoder=decoder):
            found, lost = decoder.take_markers()
            _write_markers(log, found, lost)
            n_lost += len(lost)
            log.write(readout)
            progress(min(1.0, readout.index / n_samples))
        found, lost = decoder.take_markers()
        _write_markers(log, found, lost)
        n_lost += len(lost)
        footer = {
            "type": "footer",
            "n_samples": n_samples,
            "n_readouts": decoder.pipeline.n_readouts,
            "counts": {"markers_lost": n_lost, "markers_waiting": decoder.n_waiting},
            "stages_us": decoder.pipeline.stopwatch.summary_us(),
        }
        log.write(footer)
        log.close()
        if log.error is not None:
            raise log.error
        temporary.replace(jsonl)
    finally:
        log.close()
        temporary.unlink(missing_ok=True)
    return footer


def _write_markers(
    log: JsonlLog, found: Sequence[Marker], lost: Sequence[tuple[Marker, str]]
) -> None:
    for marker in found:
        log.write(marker)
    for marker, why in lost:
        event = {"type": "event", "event": "marker_lost", "label": marker.label}
        time = None if np.isnan(marker.time) else marker.time
        log.write(event | {"time": time, "reason": why})
