"""Declare, once, every option that several commands of both programs share.

Help names what an option sets, and its default where typer shows none; the metavar names the unit.
``--help`` imports this module, so parsers import what they need when a value is given.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rt_decoder.timing.marker_choice import MarkerChoice, parse_markers

__all__ = [
    "UNMARKED",
    "Align",
    "AsJson",
    "Channels",
    "Continuous",
    "Events",
    "Force",
    "Label",
    "Learn",
    "MarkerOffset",
    "MarkerWait",
    "Markers",
    "Mask",
    "ModelFile",
    "Network",
    "Port",
    "RecordingFile",
    "Seconds",
    "SentName",
    "Stream",
    "Units",
    "Without",
    "one_of",
    "parsed_by",
]

MARKERS, READING, DECODING, STREAM, OUTPUT = "Markers", "Reading", "Decoding", "Stream", "Output"
UNMARKED = MarkerChoice()


def parsed_by(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Return a parser for an option, which reports the error of `parse` and passes defaults through.

    Typer's own message would name the value only.

    Parameters
    ----------
    parse : callable
        Takes the text that was given; raises ValueError, in one sentence.

    Returns
    -------
    callable
        For `typer.Option`.

    Raises
    ------
    typer.BadParameter
        By the parser, where `parse` raises ValueError.
    """

    def parser(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parser


def one_of(*names: str) -> dict[str, Any]:
    """Arguments of `typer.Option` for a text that is one of a few.

    Parameters
    ----------
    names : str
        The texts that are taken.

    Returns
    -------
    dict
        A parser, what stands for the value in the help, and what a shell completes.

    Raises
    ------
    ValueError
        By the parser, for another text; typer makes a sentence with the option's name of it.
    """

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"need {' or '.join(names)}, got {text!r}")
        return text

    return {
        "parser": parsed_by(parse),
        "metavar": "|".join(names),
        "autocompletion": lambda: list(names),
    }


def _stages(text: str) -> frozenset[str]:
    """Stages by name; a wrong one is refused."""
    from rt_decoder.cleaning.stages import CLEANING

    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if names == {"all"}:
        return frozenset(CLEANING)
    if unknown := names - set(CLEANING):
        renamed = "; line is called mains now" if "line" in unknown else ""
        raise ValueError(
            f"need all or stages among {', '.join(CLEANING)}, got {', '.join(sorted(unknown))}"
            f"{renamed}"
        )
    return names


def _bits(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"need a whole number such as 255 or 0xFF, got {text!r}") from None


RecordingFile = Annotated[
    Path,
    typer.Argument(metavar="REC", help="Recording: what MNE reads, XDF, CSV or a session record."),
]
ModelFile = Annotated[
    Path, typer.Option("--model", metavar="FILE", help="Model file of rt-calibrate.")
]
Port = Annotated[
    int, typer.Option(metavar="N", help="Port of the page; 0 takes a free one.", min=0, max=65535)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Seconds = Annotated[
    float,
    typer.Option("--seconds", metavar="S", min=0.0, help="Stop after this time; 0 for never."),
]
SentName = Annotated[
    str,
    typer.Option("--name", metavar="NAME", help="Name of the stream; markers go to NAME-markers."),
]
Network = Annotated[
    bool,
    typer.Option(
        "--network", help="Let other machines find and read our streams.", rich_help_panel=STREAM
    ),
]

Channels = Annotated[
    Path | None,
    typer.Option(
        "--channels",
        metavar="TSV",
        help="Table with columns stream_name, model_name, type, unit, or name, type, units, "
        "status as in BIDS; default as declared, types also by BIDS beside the file or by name.",
        rich_help_panel=READING,
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        "--units",
        metavar="UNIT",
        help="Unit of the samples, such as uV, where none is declared.",
        rich_help_panel=READING,
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(
        "--stream",
        metavar="NAME",
        help="Data stream of an XDF file, by name, type or source_id; default the only one.",
        rich_help_panel=READING,
    ),
]

Events = Annotated[
    Path | None,
    typer.Option(
        "--events",
        metavar="TSV",
        help="BIDS events table, one for each recording; default its own markers.",
        rich_help_panel=MARKERS,
    ),
]
Label = Annotated[
    str,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="Events column with the item; by default word, else trial_type.",
        show_default=False,
        rich_help_panel=MARKERS,
    ),
]
Markers = Annotated[
    MarkerChoice,
    typer.Option(
        "--markers",
        parser=parsed_by(parse_markers),
        metavar="NAME|channel:NAME",
        help="Marker stream by name, or a trigger channel among the samples.",
        show_default=False,
        rich_help_panel=MARKERS,
    ),
]
Mask = Annotated[
    int | None,
    typer.Option(
        "--mask",
        parser=parsed_by(_bits),
        metavar="BITS",
        help="Bits of the trigger channel that count, such as 0xFF; default all.",
        rich_help_panel=MARKERS,
    ),
]
MarkerOffset = Annotated[
    float,
    typer.Option(
        "--marker-offset",
        metavar="MS",
        help="Time to add to every marker, such as the delay that a photodiode measured.",
        rich_help_panel=MARKERS,
    ),
]
MarkerWait = Annotated[
    float,
    typer.Option(
        "--marker-wait",
        metavar="MS",
        min=0.0,
        help="How late a marker may arrive after its window is full.",
        rich_help_panel=MARKERS,
    ),
]

Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Decode with a model that is not above its nulls, too; log and outlets say so.",
        rich_help_panel=DECODING,
    ),
]
Continuous = Annotated[
    bool | None,
    typer.Option(
        "--continuous/--no-continuous",
        help="Also read out at every hop; default only without markers.",
        rich_help_panel=DECODING,
    ),
]
Align = Annotated[
    bool | None,
    typer.Option(
        "--align/--no-align",
        help="Align a group's map with this person, without labels; default if the model can.",
        rich_help_panel=DECODING,
    ),
]
Learn = Annotated[
    bool | None,
    typer.Option(
        "--learn/--no-learn",
        help="Take each marker that names a word of the model as true: once its event is read out, "
        "it joins the group's map. Default no, or as a session record says.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
Without = Annotated[
    frozenset[str],
    typer.Option(
        "--without",
        parser=parsed_by(_stages),
        metavar="STAGE,...|all",
        help="Cleaning stages to leave out; default none.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
