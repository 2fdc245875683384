"""Put together sources, sinks and a session: the command `run`."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from rt_decoder.commands.console import stop_on_signals
from rt_decoder.commands.describe import header_line
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.signal import Readout
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import ReadoutOutlets
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.worker import Worker
from rt_decoder.sources.streams import FieldTripStreams, LslStreams, ReferenceChoice

__all__ = ["RunOptions", "event_text", "open_session", "readout_text", "run_live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(LiveOptions):
    """What `run` adds to a session: which streams, where to, for how long; times in s."""

    selection: dict[str, str | None] = field(default_factory=dict)  # name, type, source_id, ...
    fieldtrip: str = ""  # HOST:PORT of a buffer, in place of LSL
    markers: str = ""  # name of a stream (FieldTrip: an event type, or all); see `rules`, too
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    references: tuple[ReferenceChoice, ...] = ()  # streams joined to the samples
    log: Path | None = None
    record: Path | None = None
    outlet: str = ""  # stem of the outlets' names; none if empty
    clean_outlet: str = ""  # name of a stream of the cleaned signal; none if empty
    seconds: float = 0.0


def run_live(
    model: Model, options: RunOptions, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Decode a live stream.

    Parameters
    ----------
    model : Model
        With a map.
    options : RunOptions
        Which stream, which markers, where to.
    say : callable or None
        Takes one line a readout.

    Returns
    -------
    dict
        The footer, which also ends the log.

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
    options: RunOptions,
    stack: ExitStack,
    say: Callable[[str], None] | None = None,
    on_readout: Callable[[Readout], None] | None = None,
) -> Session:
    """Session with its sources and sinks, which `stack` closes.

    Parameters
    ----------
    model : Model
        With a map; without one it only cleans, and has no outlets of readouts.
    options : RunOptions
        Which stream, which markers, where to.
    stack : ExitStack
        To be left after the session has run.
    say : callable or None
        Takes a line a readout or event, from a thread of its own.
    on_readout : callable or None
        Takes each readout in the loop's thread, where there is no `say`.

    Returns
    -------
    Session
        Ready to run.

    Raises
    ------
    FileNotFoundError
        If there is no folder for the log or the record.
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model; no file has been made then.
    """
    for path in (options.log, options.record):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"need a folder {path.parent.name} for {path.name}, got none")
    if not model.has_map:
        options = replace(options, outlet="")
    options = options.named(model.recipe.target.names)
    if options.continuous is None:
        are_marked = bool(options.markers or options.rules.trigger)
        options = replace(options, continuous=model.has_map and not are_marked)
    streams = _streams(options)
    markers = streams.markers()
    session = Session(model, streams.samples(), options, markers=markers, streams=streams)
    stack.callback(session.close)
    on_event = None
    if say is not None:
        on_readout, on_event = _terminal(say, stack)
    # only now: what was refused leaves no file behind
    sinks = _open_sinks(session, options, markers.name if markers else "", stack)
    session.attach(replace(sinks, on_readout=on_readout, on_event=on_event))
    return session


def _open_sinks(session: Session, options: RunOptions, markers: str, stack: ExitStack) -> Sinks:
    """Log, record (`markers` names its marker stream) and outlets, which `stack` closes."""
    model, source = session.model, session.source
    header = header_line(model, source.name)
    log = recorder = outlets = cleaned = None
    if options.outlet:
        meta = {"model": header["model"], "stream": source.name}
        outlets = ReadoutOutlets(options.outlet, f"{options.outlet}-{uuid4().hex[:12]}", meta)
        stack.callback(outlets.close)
    if options.clean_outlet:
        info = model.info.pick(range(model.n_picks))
        cleaned = CleanOutlet(options.clean_outlet, info, session.decoder.pipeline.delay)
        stack.callback(cleaned.close)
    if options.log is not None:
        log = JsonlLog(options.log)
        stack.callback(log.close)
        log.write(header)
    if options.record is not None:
        recorder = Recorder(options.record, source.info, source.name, markers)
        stack.callback(recorder.close)
    on_clean = None if cleaned is None else cleaned.push
    return Sinks(log=log, recorder=recorder, outlets=outlets, on_clean=on_clean)


def _streams(options: RunOptions) -> LslStreams | FieldTripStreams:
    if not options.fieldtrip:
        return LslStreams(
            options.selection, options.markers, options.channels, options.units, options.timeout,
            options.references,
        )  # fmt: skip
    if options.references:
        raise ValueError("need --reference with LSL streams, got it with --fieldtrip")
    if any(options.selection.values()):
        raise ValueError("need --fieldtrip or the name of an LSL stream, got both")
    kind = {"": None, "all": ""}.get(options.markers, options.markers)
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
    took = "latency unknown" if math.isnan(readout.latency_ms) else f"{readout.latency_ms:.2f} ms"
    return f"{readout.seq:>5} {truth}{answer}  [{took}]{late}"
