"""Put together sources, sinks and a session: the command `run`."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from rt_decoder.commands.describe import continuous_text, header_line
from rt_decoder.commands.interrupt import stop_on_signals
from rt_decoder.commands.session_text import ended_lines, search_text, waiting_text
from rt_decoder.files.atomic import named_error
from rt_decoder.files.outputs import reserve
from rt_decoder.files.proof import forced
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.signal import Readout
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import ReadoutOutlets
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.text import plain
from rt_decoder.sinks.worker import Worker
from rt_decoder.source import MarkerSource, SampleSource
from rt_decoder.sources.buffers import FieldTripStreams
from rt_decoder.sources.streams import LslStreams, ReferenceChoice

Sink = TypeVar("Sink", JsonlLog, Recorder)
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
    quiet: bool = False  # events are told all the same
    seconds: float = 0.0


def run_live(
    model: Model, options: RunOptions, say: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Decode a live stream.

    Parameters
    ----------
    model : Model
        With a map.
    options : RunOptions
        Which stream, which markers, where to.
    say : callable or None
        Takes one line a readout or event, what the session waits for, the names of the files, and
        how it went.

    Returns
    -------
    footer : dict
        Which also ends the log.
    torn : list of str
        Which file is not whole, and why; empty if all is written.

    Raises
    ------
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model.
    KeyboardInterrupt
        If a signal came before the first sample.
    """
    tell = say or (lambda _: None)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(options.seconds))
        others = {"FieldTrip buffer": options.fieldtrip, "markers": options.markers}
        others["references"] = ", ".join(choice.name for choice in options.references)
        tell(search_text(options.selection | others, options.timeout))
        session = open_session(model, options, stack, say)
        stop.only_ask()
        if session.decoder.pipeline.continuous and model.has_map:
            tell(f"every hop: {continuous_text(model)}")
        tell(waiting_text(session.source.name, session.source.info, options.markers))

        def should_stop() -> bool:
            if session.n_samples:
                stop.began()
            return stop()

        footer = session.run(should_stop)
    sinks = [sink for sink in (session.log, session.recorder) if sink is not None]
    if stop.came and session.n_samples == 0:
        for path in (Path(sink.path) for sink in sinks):
            if path.is_file():  # made for this session, and holds nothing
                path.unlink()
        raise KeyboardInterrupt("no sample had come")
    seconds = session.n_samples / session.source.info.sfreq
    for line in ended_lines(footer, seconds, *(Path(sink.path) for sink in sinks)):
        tell(line)
    return footer, [f"{sink.name}: {sink.reason}" for sink in sinks if sink.reason]


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
    OSError
        If the log or the record cannot be made; it is named.
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model; no file has been made then.
    """
    if not model.has_map:
        options = replace(options, outlet="")
    options = options.for_target(model.recipe.target)
    if options.continuous is None:
        are_marked = bool(options.markers or options.rules.trigger)
        options = replace(options, continuous=model.has_map and not are_marked)
    streams = _streams(options)
    samples, markers = _found(streams)
    session = Session(model, samples, options, markers=markers, streams=streams)
    stack.callback(session.close)
    on_event = None
    if say is not None:
        tell, on_event = _terminal(say, stack)
        on_readout = None if options.quiet else tell
    session.decoder.warm_up()  # kernels may have to be compiled
    # only now: what was refused or interrupted leaves no file behind
    log, record = reserve(options.log, options.record)
    if say is not None:
        for what, path in (("log", log), ("record", record)):
            if path is not None:
                say(f"{what:<6} {path}")
    options = replace(options, log=log, record=record)
    sinks = _open_sinks(session, options, markers.name if markers else "", stack)
    session.attach(replace(sinks, on_readout=on_readout, on_event=on_event))
    return session


def _open_sinks(session: Session, options: RunOptions, markers: str, stack: ExitStack) -> Sinks:
    """Log, record (`markers` names its marker stream) and outlets, which `stack` closes."""
    model, source = session.model, session.source
    decoder, force = session.decoder, options.force
    header = header_line(model, source.name, decoder.alignment, force=force, learn=decoder.learns)
    log = recorder = outlets = cleaned = None
    told = forced(model, force=options.force)
    if options.outlet:
        meta = {"model": header["model"], "stream": source.name}
        meta |= told
        outlets = ReadoutOutlets(options.outlet, f"{options.outlet}-{uuid4().hex[:12]}", meta)
        stack.callback(outlets.close)
    if options.clean_outlet:
        info = model.info.pick(range(model.n_picks))
        cleaned = CleanOutlet(options.clean_outlet, info, session.decoder.pipeline.delay, told)
        stack.callback(cleaned.close)
    if options.log is not None:
        log = _opened(options.log, JsonlLog)
        stack.callback(log.close)
        log.write(header)
    if options.record is not None:
        recorder = _opened(
            options.record, lambda path: Recorder(path, source.info, source.name, markers)
        )
        stack.callback(recorder.close)
    on_clean = None if cleaned is None else cleaned.push
    return Sinks(log=log, recorder=recorder, outlets=outlets, on_clean=on_clean)


def _opened(path: Path, make: Callable[[Path], Sink]) -> Sink:
    """Open a file; an error names it."""
    try:
        return make(path)
    except OSError as error:
        raise named_error(error, path) from None


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


def _found(
    streams: LslStreams | FieldTripStreams,
) -> tuple[SampleSource, MarkerSource | None]:
    """Samples and markers; where both are missing, both are named."""
    try:
        markers = streams.markers()
    except LookupError as error:
        try:
            streams.samples(1.0)  # it had the time of the markers, too
        except LookupError as another:
            raise LookupError(f"{error}; and {another}") from None
        raise
    return streams.samples(), markers


def _terminal(
    say: Callable[[str], None], stack: ExitStack
) -> tuple[Callable[[Readout], None], Callable[[dict[str, Any]], None]]:
    """Print readouts and events from another thread: a terminal that is held up holds nothing up."""
    printer = Worker("terminal", max_jobs=256)
    stack.callback(printer.close)

    def tell(readout: Readout) -> None:
        if readout.kind != "continuous" or readout.seq % 50 == 0:
            printer.put(lambda: say(readout_text(readout)))

    def warn(event: dict[str, Any]) -> None:
        printer.put(lambda: say(event_text(event)))

    return tell, warn


def event_text(event: dict[str, Any]) -> str:
    """An event as one line for the terminal."""
    details = (
        f"{name} {plain(', '.join(value) if isinstance(value, list) else value, 400)}"
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
    truth = f"{plain(readout.label, 60):>16} -> " if readout.label else ""
    late = "  LATE" if readout.late else ""
    took = "latency unknown" if math.isnan(readout.latency_ms) else f"{readout.latency_ms:.2f} ms"
    return f"{readout.seq:>5} {truth}{answer}  [{took}]{late}"
