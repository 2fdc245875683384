"""Put together sources, sinks and a session."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from rt_decoder.checks.unfitted import unfitted_model
from rt_decoder.decoding.language.process import LanguageProcess
from rt_decoder.files.atomic import named_error
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.outputs import reserve
from rt_decoder.files.proof import check_proven, forced
from rt_decoder.live.options import Sinks
from rt_decoder.live.run_options import RunOptions
from rt_decoder.live.session import Session
from rt_decoder.live.status import status_line
from rt_decoder.model import Model
from rt_decoder.signal import Choice, Readout
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sinks.header import header_line, model_facts
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.log_outlet import LogOutlet
from rt_decoder.sinks.outlets import ReadoutOutlets
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.text import json_text
from rt_decoder.source import MarkerSource, SampleSource
from rt_decoder.sources.buffers import FieldTripStreams
from rt_decoder.sources.streams import LslStreams

__all__ = ["check_model", "open_session"]

Sink = TypeVar("Sink", JsonlLog, Recorder)


def check_model(model: Model, options: RunOptions, name: str) -> None:
    """Refuse a model that a session cannot use, or should not.

    Parameters
    ----------
    model : Model
    options : RunOptions
    name : str
        Of the model's file.

    Raises
    ------
    ValueError
        If it has no map and nothing is to be cleaned, is not proven (`files.proof`), cannot
        learn, or has no windows to answer sooner by.
    """
    if not model.has_map and not options.clean_outlet:
        raise ValueError(
            f"{name} has no map: it cleans, and names no words (--clean-outlet NAME, "
            "clean_outlet=NAME)"
        )
    if model.has_map and not options.force:
        check_proven(model, name)
    options.check(model)


def open_session(
    model: Model | None,
    options: RunOptions,
    stack: ExitStack,
    on_readout: Callable[[Readout], object] | None = None,
    on_event: Callable[[dict[str, Any]], object] | None = None,
    on_score: Callable[[dict[str, Any]], object] | None = None,
) -> Session:
    """Session with its sources and sinks, which `stack` closes.

    Parameters
    ----------
    model : Model or None
        With a map; without one it only cleans, and has no outlets of readouts. None only records.
    options : RunOptions
        Which stream, which markers, where to.
    stack : ExitStack
        To be left after the session has run.
    on_readout, on_event, on_score : callable or None
        Take each readout, each event (a line of the log) and each new score in the loop's thread;
        they must be short.

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
    if model is not None:
        options = _with_language(model, _for_model(model, options), stack)
    streams = _streams(options)
    samples, markers = _found(streams)
    fitted = model or unfitted_model(samples.info)
    session = Session(fitted, samples, options, markers=markers, streams=streams)
    stack.callback(session.close)
    stack.callback(session.next_words.close)
    if options.choice != Choice():
        chosen = {one.name: getattr(options.choice, one.name) for one in fields(Choice)}
        session.steering.choose(**chosen)
    session.decoder.warm_up()  # kernels may have to be compiled
    # only now: what was refused or interrupted leaves no file behind
    log, record = reserve(options.log, options.record)
    stack.push(partial(_discard, session, (log, record)))
    options = replace(options, log=log, record=record)
    meta = {"stream": samples.name, "session": uuid4().hex[:12]}
    meta |= {} if model is None else {"model": model_hash(model)}
    sinks = _open_sinks(session, options, markers, meta, stack)
    if model is not None and (stem := options.outlet or options.clean_outlet):
        told = _open_log_outlet(stem, session, options, meta, stack)
        on_event = _both(told.tell, on_event)
    session.attach(replace(sinks, on_readout=on_readout, on_event=on_event, on_score=on_score))
    return session


def _discard(
    session: Session, paths: Sequence[Path | None], error: type[BaseException] | None, *_: object
) -> None:
    """Remove the files of a session that was interrupted before its first sample."""
    if error is KeyboardInterrupt and session.n_samples == 0:
        for path in paths:
            if path is not None and path.is_file():  # neither a FIFO nor a device
                path.unlink()


def _open_log_outlet(
    stem: str, session: Session, options: RunOptions, meta: dict[str, str], stack: ExitStack
) -> LogOutlet:
    """Outlet of events and of how the session stands, which `stack` closes."""
    about = meta | {
        "markers": options.markers, "clean": options.clean_outlet, "readout": options.outlet,
        "facts": json_text(model_facts(session.model)),
    }  # fmt: skip
    told = LogOutlet(stem, f"{stem}-{meta['session']}", about)
    told.watch(partial(status_line, session))
    stack.callback(told.close)
    return told


def _both(
    first: Callable[[dict[str, Any]], object], second: Callable[[dict[str, Any]], object] | None
) -> Callable[[dict[str, Any]], object]:
    if second is None:
        return first

    def tell(line: dict[str, Any]) -> None:
        first(line)
        second(line)

    return tell


def _for_model(model: Model, options: RunOptions) -> RunOptions:
    """The options where the model's recipe and what it can do leave no choice."""
    options = options.for_target(model.recipe.target)
    if not model.has_map:
        return replace(options, outlet="", continuous=bool(options.continuous))
    are_marked = bool(options.markers or options.rules.trigger)
    return (
        options if options.continuous is not None else replace(options, continuous=not are_marked)
    )


def _open_sinks(
    session: Session,
    options: RunOptions,
    markers: Sequence[MarkerSource],
    meta: dict[str, str],
    stack: ExitStack,
) -> Sinks:
    """Log, record and outlets, which `stack` closes."""
    model, source = session.model, session.source
    decoder, force = session.decoder, options.force
    header = header_line(
        model, source.name, decoder.alignment, force=force, learn=decoder.learns,
        anytime=decoder.pipeline.sooner.ends,
    )  # fmt: skip
    header |= {"language": options.language.told} if options.language else {}
    header |= {"set": options.level} if options.level else {}
    header |= {"config": options.config} if options.config else {}
    log = recorder = outlets = cleaned = None
    meta |= forced(model, force=force)
    if options.outlet:
        source_id = f"{options.outlet}-{meta['session']}"
        outlets = ReadoutOutlets(options.outlet, source_id, meta, model.items)
        stack.callback(outlets.close)
    if options.clean_outlet:
        info = model.info.pick(range(model.n_picks))
        cleaned = CleanOutlet(options.clean_outlet, info, session.decoder.pipeline.delay, meta)
        stack.callback(cleaned.close)
    if options.log is not None:
        log = _opened(options.log, JsonlLog)
        stack.callback(log.close)
        log.write(header)
    if options.config:
        meta = meta | {"config": json.dumps(options.config)}
    if options.record is not None:
        recorder = _recorder(options.record, source, markers, meta)
        stack.callback(recorder.close)
    on_clean = None if cleaned is None else cleaned.push
    return Sinks(log=log, recorder=recorder, outlets=outlets, on_clean=on_clean)


def _recorder(
    path: Path, source: SampleSource, markers: Sequence[MarkerSource], meta: dict[str, str]
) -> Recorder:
    """Session record; the first of the marker streams is the one whose markers are the stimuli."""
    named = [(one.name, getattr(one, "source_id", "")) for one in markers] or [("", "")]
    first, first_id = named[0]

    def make(path: Path) -> Recorder:
        return Recorder(path, source.info, source.name, first, meta=meta, markers_id=first_id)

    recorder = _opened(path, make)
    for one in named[1:]:
        recorder.add_markers(*one)
    return recorder


def _with_language(model: Model, options: RunOptions, stack: ExitStack) -> RunOptions:
    """Start the language that is named, which `stack` ends; it is ready before the session begins."""
    text, name, weight = options.language_text, options.language_model, options.language_weight
    if text is None and not name:
        if weight is not None:
            raise ValueError("need language_text or language_model for a weight, got neither")
        return options
    language = LanguageProcess(model, text, name, weight)
    stack.callback(language.close)
    if options.level and language.rules != model.language:
        raise ValueError(
            "need the weight of the language that was fitted for --set, got another: cutoffs of sets "
            "hold for that alone"
        )
    return replace(options, language=language)


def _opened(path: Path, make: Callable[[Path], Sink]) -> Sink:
    """Open a file; an error names it."""
    try:
        return make(path)
    except OSError as error:
        raise named_error(error, path) from None


def _streams(options: RunOptions) -> LslStreams | FieldTripStreams:
    if not options.fieldtrip:
        marked = (options.markers, *options.more_markers) if options.markers else ()
        return LslStreams(
            options.selection, marked, options.channels, options.units, options.timeout,
            options.references,
        )  # fmt: skip
    if options.more_markers:
        raise ValueError(
            "need one --markers with --fieldtrip, a type of events or all, got several"
        )
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
) -> tuple[SampleSource, Sequence[MarkerSource]]:
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
