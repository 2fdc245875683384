"""What the command `run` does: sources, sinks and a session, put together."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rt_decoder.commands.describe import header_line
from rt_decoder.model import Model
from rt_decoder.signal import Readout
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.worker import Worker
from rt_decoder.timing.markers import MarkerRules

if TYPE_CHECKING:
    from rt_decoder.live.session import Session
    from rt_decoder.sources.streams import FieldTripStreams, LslStreams, ReferenceChoice

__all__ = [
    "LiveOptions",
    "event_text",
    "open_session",
    "readout_text",
    "run_live",
    "stop_on_signals",
]


@dataclass(frozen=True)
class LiveOptions:
    """Options of a live session; times in s."""

    selection: dict[str, str | None] = field(default_factory=dict)  # name, type, source_id, ...
    fieldtrip: str = ""  # HOST:PORT of a buffer, in place of LSL
    markers: str = ""  # a stream's name (FieldTrip: an event type, or all), or channel:NAME
    mask: int | None = None
    marker_offset: float = 0.0
    marker_wait: float = 2.0
    continuous: bool | None = None  # None: where there are no markers
    log: Path | None = None
    record: Path | None = None
    outlet: str = ""  # stem of the outlets' names; none if empty
    clean_outlet: str = ""  # name of a stream of the cleaned signal; none if empty
    without: tuple[str, ...] = ()  # cleaning stages to leave out
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    references: tuple[ReferenceChoice, ...] = ()  # streams joined to the samples
    skip: bool = False  # when behind, drop to the newest hop instead of catching up
    max_behind: float = 0.5
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
    from rt_decoder.live.session import Session
    from rt_decoder.sinks.outlets import ReadoutOutlets

    for path in (options.log, options.record):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"need a folder {path.parent.name} for {path.name}, got none")
    trigger = ""
    if options.markers.startswith("channel:"):
        trigger = options.markers.removeprefix("channel:")
    rules = MarkerRules(
        trigger, dict(model.recipe.target.names), options.mask, options.marker_offset,
        options.marker_wait,
    )  # fmt: skip
    streams = _streams(options, "" if trigger else options.markers)
    markers = streams.markers()
    live = streams.samples()
    continuous = (
        (model.has_map and not options.markers)
        if options.continuous is None
        else options.continuous
    )
    on_event = None
    if say is not None:
        on_readout, on_event = _terminal(say, stack)
    session = Session(
        model,
        live,
        markers=markers,
        rules=rules,
        continuous=continuous,
        on_readout=on_readout,
        on_event=on_event,
        streams=streams,
        until_lost=options.until_lost,
        skip=options.skip,
        without=options.without,
        max_behind=options.max_behind,
    )
    stack.callback(session.close)
    # only now: what was refused leaves no file behind
    header = header_line(model, live.name)
    if options.outlet:
        meta = {"model": header["model"], "stream": live.name}
        outlets = ReadoutOutlets(options.outlet, f"{options.outlet}-{uuid4().hex[:12]}", meta)
        session.outlets = outlets
        stack.callback(outlets.close)
    if options.clean_outlet:
        from rt_decoder.sinks.clean_outlet import CleanOutlet

        pipeline = session.decoder.pipeline
        cleaned = CleanOutlet(
            options.clean_outlet, model.info.pick(range(model.n_picks)), pipeline.delay
        )
        stack.callback(cleaned.close)
        pipeline.on_clean = cleaned.push
    if options.log is not None:
        session.log = JsonlLog(options.log)
        stack.callback(session.log.close)
        session.log.write(header)
    if options.record is not None:
        name = markers.name if markers else ""
        session.recorder = Recorder(options.record, live.info, live.name, name)
        stack.callback(session.recorder.close)
    return session


def _streams(options: LiveOptions, markers: str) -> LslStreams | FieldTripStreams:
    from rt_decoder.sources.streams import FieldTripStreams, LslStreams

    if not options.fieldtrip:
        return LslStreams(
            options.selection, markers, options.channels, options.units, options.timeout,
            options.references,
        )  # fmt: skip
    if options.references:
        raise ValueError("need --reference with LSL streams, got it with --fieldtrip")
    if any(options.selection.values()):
        raise ValueError("need --fieldtrip or the name of an LSL stream, got both")
    kind = None if not markers else "" if markers == "all" else markers
    return FieldTripStreams(
        options.fieldtrip, kind, options.channels, options.units, options.timeout
    )


def _terminal(
    say: Callable[[str], None], stack: ExitStack
) -> tuple[Callable[[Readout], None], Callable[[dict[str, Any]], None]]:
    """Print readouts and events from another thread: a terminal that is held up holds nothing up."""
    printer = Worker("terminal", max_jobs=256)
    stack.callback(printer.close)

    def tell(readout: Readout) -> None:
        if readout.kind == "event" or readout.seq % 50 == 0:
            printer.put(lambda: say(readout_text(readout)))

    def warn(event: dict[str, Any]) -> None:
        printer.put(lambda: say(event_text(event)))

    return tell, warn


def event_text(event: dict[str, Any]) -> str:
    """An event as one line for the terminal."""
    details = (
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in event.items()
        if name not in ("type", "event", "time", "index")
    )
    return f"{event['event'].upper()} at sample {event['index']}  {'  '.join(details)}".rstrip()


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
