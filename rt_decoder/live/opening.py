"""Put together sources, sinks and a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from rt_decoder.checks.unfitted import unfitted_model
from rt_decoder.decoding.language.process import LanguageProcess
from rt_decoder.files.atomic import named_error
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.outputs import reserve
from rt_decoder.files.proof import check_proven, forced
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.live.tuning import check_tune
from rt_decoder.model import Model
from rt_decoder.signal import Choice, Readout
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sinks.header import header_line
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import ReadoutOutlets
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import MarkerSource, SampleSource
from rt_decoder.sources.buffers import FieldTripStreams
from rt_decoder.sources.streams import LslStreams, ReferenceChoice, parse_reference
from rt_decoder.timing.marker_choice import parse_markers
from rt_decoder.timing.markers import MarkerRules

__all__ = ["RunOptions", "check_model", "open_session", "run_options"]

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
    language_text: Path | None = None  # what tells the prior of the next word: a text,
    language_model: str = ""  # or a causal language model
    language_weight: float | None = None  # its share; None as fitted
    quiet: bool = False  # events are told all the same
    seconds: float = 0.0
    choice: Choice = Choice()  # noqa: RUF009  (immutable)


_CHOICE = tuple(one.name for one in fields(Choice))
_SELECTION = ("name", "type", "source_id", "predicate")
_MADE = {  # fields that no option sets alone
    "selection", "rules", "skip", "references", "choice", "next_word", "level", "language", "then",
}  # fmt: skip
_OTHERS = ("mask", "markers", "reference", "when_behind", "set")
_IN_MS = ("marker_offset", "marker_wait", "max_behind")
_WHEN_BEHIND = ("catch-up", "skip")


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """Make the options of a session from those of `rt-decoder run`.

    Parameters
    ----------
    given : mapping
        Values by the names that the command line has, without dashes: ``name``, ``marker_offset``
        in ms, ``when_behind``, ``set``; ``reference`` is a list.

    Returns
    -------
    RunOptions

    Raises
    ------
    TypeError
        If a name is unknown.
    ValueError
        If a value is.
    """
    rest = {name: value for name, value in given.items() if value is not None}
    selection = {name: rest.pop(name, "") or None for name in _SELECTION}
    marked = parse_markers(rest.pop("markers", ""))
    times = {name: float(rest.pop(name)) * 1e-3 for name in _IN_MS if name in rest}
    rules = MarkerRules(marked.trigger, None, rest.pop("mask", None))
    rules = rules._replace(
        offset=times.get("marker_offset", rules.offset), wait=times.get("marker_wait", rules.wait)
    )
    if (behind := rest.pop("when_behind", _WHEN_BEHIND[0])) not in _WHEN_BEHIND:
        raise ValueError(f"need when_behind among {', '.join(_WHEN_BEHIND)}, got {behind!r}")
    level = float(rest.pop("set", 0.0))
    check_tune(rest.get("tune", ()))
    references = tuple(parse_reference(text) for text in rest.pop("reference", ()))
    choice = Choice(**{name: rest.pop(name) for name in _CHOICE if name in rest})
    for name in ("log", "record", "channels", "language_text"):
        if name in rest:
            rest[name] = Path(rest[name])
    known = {one.name for one in fields(RunOptions)} - _MADE
    for name in rest.keys() - known:
        near = get_close_matches(name, [*known, *_SELECTION, *_IN_MS, *_CHOICE, *_OTHERS], 1)
        raise TypeError(f"need an option of a session, got {name!r}; did you mean {near or known}?")
    return RunOptions(
        selection=selection,
        markers=marked.stream,
        choice=choice,
        rules=rules,
        references=references,
        level=level,
        skip=behind == "skip",
        max_behind=times.get("max_behind", 0.5),
        **rest,
    )


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
        session.steering.choose(**{name: getattr(options.choice, name) for name in _CHOICE})
    session.decoder.warm_up()  # kernels may have to be compiled
    # only now: what was refused or interrupted leaves no file behind
    log, record = reserve(options.log, options.record)
    options = replace(options, log=log, record=record)
    meta = {"stream": samples.name} | ({} if model is None else {"model": model_hash(model)})
    sinks = _open_sinks(session, options, markers.name if markers else "", meta, stack)
    session.attach(replace(sinks, on_readout=on_readout, on_event=on_event, on_score=on_score))
    return session


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
    session: Session, options: RunOptions, markers: str, meta: dict[str, str], stack: ExitStack
) -> Sinks:
    """Log, record (`markers` names its marker stream) and outlets, which `stack` closes."""
    model, source = session.model, session.source
    decoder, force = session.decoder, options.force
    header = header_line(
        model, source.name, decoder.alignment, force=force, learn=decoder.learns,
        anytime=decoder.pipeline.sooner.ends,
    )  # fmt: skip
    header |= {"language": options.language.told} if options.language else {}
    header |= {"set": options.level} if options.level else {}
    log = recorder = outlets = cleaned = None
    meta |= forced(model, force=force)
    if options.outlet:
        source_id = f"{options.outlet}-{uuid4().hex[:12]}"
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
    if options.record is not None:
        recorder = _opened(
            options.record,
            lambda path: Recorder(path, source.info, source.name, markers, meta=meta),
        )
        stack.callback(recorder.close)
    on_clean = None if cleaned is None else cleaned.push
    return Sinks(log=log, recorder=recorder, outlets=outlets, on_clean=on_clean)


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
