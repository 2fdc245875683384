"""The options of a session, by the names that `rt-decoder run` and `open_live` give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rt_decoder.live.options import LiveOptions
from rt_decoder.live.tuning import check_tune
from rt_decoder.signal import Choice
from rt_decoder.sources.streams import ReferenceChoice, parse_reference
from rt_decoder.timing.marker_choice import MarkerChoice, parse_markers
from rt_decoder.timing.markers import MarkerRules

__all__ = ["RunOptions", "run_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(LiveOptions):
    """What `run` adds to a session: which streams, where to, for how long; times in s."""

    selection: dict[str, str | None] = field(default_factory=dict)  # name, type, source_id, ...
    fieldtrip: str = ""  # HOST:PORT of a buffer, in place of LSL
    markers: str = ""  # name of a stream (FieldTrip: an event type, or all); see `rules`, too
    more_markers: tuple[str, ...] = ()  # further streams: recorded and counted, not decoded by
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
    config: dict[str, Any] = field(default_factory=dict)  # what a file of options said, for the log
    choice: Choice = Choice()  # noqa: RUF009  (immutable)


_CHOICE = tuple(one.name for one in fields(Choice))
_SELECTION = ("name", "type", "source_id", "predicate")
_MADE = {  # fields that no option sets alone
    "selection", "rules", "skip", "references", "choice", "next_word", "level", "language", "then", "config",
    "more_markers",
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
        in ms, ``when_behind``, ``set``; ``reference`` is a list, ``markers`` may be.

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
    marked, more_markers = _marked(rest.pop("markers", ""))
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
        more_markers=more_markers,
        choice=choice,
        rules=rules,
        references=references,
        level=level,
        skip=behind == "skip",
        max_behind=times.get("max_behind", 0.5),
        **rest,
    )


def _marked(given: Any) -> tuple[MarkerChoice, tuple[str, ...]]:
    """Split ``markers``: the first stream or the trigger channel, and further streams."""
    given = given if isinstance(given, (list, tuple)) else (given,)
    choices = [parse_markers(one) for one in given]
    streams = [one.stream for one in choices if one.stream]
    triggers = [one.trigger for one in choices if one.trigger]
    if len(set(streams)) < len(streams):
        raise ValueError(f"need each marker stream once, got {', '.join(streams)}")
    if triggers and len(choices) > 1:
        raise ValueError(
            f"need marker streams or one trigger channel, got channel:{triggers[0]} and others: a "
            "trigger channel is recorded with the samples, and --markers of a fit reads it"
        )
    return MarkerChoice("".join(streams[:1]), "".join(triggers)), tuple(streams[1:])
