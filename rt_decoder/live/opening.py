"""Put together sources, sinks and a session."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from rt_decoder.files.atomic import named_error
from rt_decoder.files.outputs import reserve
from rt_decoder.files.proof import forced
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.signal import Readout
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sinks.header import header_line
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import ReadoutOutlets
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import MarkerSource, SampleSource
from rt_decoder.sources.buffers import FieldTripStreams
from rt_decoder.sources.streams import LslStreams, ReferenceChoice

__all__ = ["RunOptions", "open_session"]

Sink = TypeVar("Sink", JsonlLog, Recorder)


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


def open_session(
    model: Model,
    options: RunOptions,
    stack: ExitStack,
    on_readout: Callable[[Readout], None] | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
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
    on_readout, on_event : callable or None
        Take each readout and each event (a line of the log) in the loop's thread; they must be short.

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
    session.decoder.warm_up()  # kernels may have to be compiled
    # only now: what was refused or interrupted leaves no file behind
    log, record = reserve(options.log, options.record)
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
