"""Declare, once, the options that say which live streams a command reads."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rt_decoder.commands.options import STREAM, parsed_by

__all__ = [
    "Fieldtrip",
    "Predicate",
    "Reference",
    "SourceId",
    "StreamName",
    "StreamType",
    "Timeout",
    "UntilLost",
]

WRONG = "When something goes wrong"


def _reference(text: str) -> str:
    from rt_decoder.sources.streams import parse_reference

    parse_reference(text)
    return text


def _property(metavar: str, text: str, *names: str) -> Any:
    return typer.Option(
        *names, metavar=metavar, help=text, show_default=False, rich_help_panel=STREAM
    )


StreamName = Annotated[str, _property("NAME", "Name of the LSL stream; default any.", "--name")]
StreamType = Annotated[
    str, _property("TYPE", "Type of the LSL stream, such as EEG; default any.", "--type")
]
SourceId = Annotated[
    str, _property("ID", "source_id of the LSL stream; default any.", "--source-id")
]
Predicate = Annotated[
    str,
    _property("XPATH", "LSL predicate that selects the stream; default none.", "--predicate"),
]
Fieldtrip = Annotated[
    str,
    _property(
        "HOST:PORT",
        "FieldTrip buffer instead of LSL; --markers is then an event type, or all.",
        "--fieldtrip",
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        parser=parsed_by(_reference),
        metavar="NAME[=MS]",
        help="Auxiliary stream (ECG, belt) and its delay in ms; repeatable; default none.",
        rich_help_panel=STREAM,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="S",
        help="Longest search for streams.",
        min=0.0,
        rich_help_panel=STREAM,
    ),
]
UntilLost = Annotated[
    bool,
    typer.Option(
        "--until-lost",
        help="End when the stream is lost, instead of searching for it.",
        rich_help_panel=WRONG,
    ),
]
