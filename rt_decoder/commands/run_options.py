"""Declare the options of a live session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rt_decoder.commands.options import DECODING, OUTPUT, STREAM, one_of, parsed_by

__all__ = [
    "Candidates",
    "CleanOutlet",
    "FieldTrip",
    "Log",
    "MaxBehind",
    "Outlet",
    "Predicate",
    "Quiet",
    "Record",
    "References",
    "SourceId",
    "StreamName",
    "StreamType",
    "Threshold",
    "Timeout",
    "Top",
    "UntilLost",
    "WhenBehind",
    "WholePosterior",
]

WRONG = "When something goes wrong"


def _reference(text: str) -> str:
    from rt_decoder.sources.streams import parse_reference

    parse_reference(text)
    return text


StreamName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Name of the LSL stream; default any.",
        show_default=False,
        rich_help_panel=STREAM,
    ),
]
StreamType = Annotated[
    str,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Type of the LSL stream, such as EEG; default any.",
        show_default=False,
        rich_help_panel=STREAM,
    ),
]
SourceId = Annotated[
    str,
    typer.Option(
        metavar="ID",
        help="source_id of the LSL stream; default any.",
        show_default=False,
        rich_help_panel=STREAM,
    ),
]
Predicate = Annotated[
    str,
    typer.Option(
        metavar="XPATH",
        help="LSL predicate that selects the stream; default none.",
        show_default=False,
        rich_help_panel=STREAM,
    ),
]
FieldTrip = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="FieldTrip buffer instead of LSL; --markers is then an event type, or all.",
        show_default=False,
        rich_help_panel=STREAM,
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        parser=parsed_by(_reference),
        metavar="NAME[=MS]",
        help="Auxiliary stream (ECG, belt) and its delay in ms; repeatable; default none.",
        rich_help_panel=STREAM,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(metavar="S", help="Longest search for streams.", min=0.0, rich_help_panel=STREAM),
]
Candidates = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ITEM",
        help="Item to answer among; repeatable; default all of the model.",
        rich_help_panel=DECODING,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Least probability of an answer, else abstain; default the model's.",
        min=0.0,
        rich_help_panel=DECODING,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Items in a readout; default as the model's recipe says.",
        min=1,
        rich_help_panel=DECODING,
    ),
]
WholePosterior = Annotated[
    bool,
    typer.Option(
        "--posterior",
        help="Readouts hold the probability of every item, and its prior.",
        rich_help_panel=DECODING,
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="JSONL",
        help="Log of readouts and events; if taken, the next number; default none.",
        rich_help_panel=OUTPUT,
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        metavar="XDF",
        help="Session record: raw samples, markers, decisions; numbered as --log; default none.",
        rich_help_panel=OUTPUT,
    ),
]
Outlet = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Stem of the outlets NAME-readout and NAME-scores; empty for none.",
        rich_help_panel=OUTPUT,
    ),
]
CleanOutlet = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Outlet for the cleaned signal, with quality and reasons; default none.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Print events, but no readouts.", rich_help_panel=OUTPUT),
]
UntilLost = Annotated[
    bool,
    typer.Option(
        "--until-lost",
        help="End when the stream is lost, instead of searching for it.",
        rich_help_panel=WRONG,
    ),
]
WhenBehind = Annotated[
    str,
    typer.Option(
        help="When behind: decode everything late, or skip to the newest hop.",
        rich_help_panel=WRONG,
        **one_of("catch-up", "skip"),
    ),
]
MaxBehind = Annotated[
    float,
    typer.Option(
        metavar="MS",
        help="Backlog above which `skip` drops samples.",
        min=10.0,
        rich_help_panel=WRONG,
    ),
]
