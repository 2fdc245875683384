"""``rt-decoder run``: a live session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.options import (
    OUTPUT,
    STREAM,
    UNMARKED,
    AsJson,
    Channels,
    Continuous,
    MarkerOffset,
    Markers,
    MarkerWait,
    Mask,
    ModelFile,
    Network,
    Seconds,
    Units,
    Without,
    one_of,
)
from rt_decoder.commands.streams import keep_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rt_decoder.sources.streams import ReferenceChoice

__all__ = ["COMMANDS"]

WRONG = "When something goes wrong"


def run(
    model: ModelFile,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of the stream.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Of the stream, such as EEG.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    source_id: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Of the stream.", show_default=False, rich_help_panel=STREAM
        ),
    ] = "",
    predicate: Annotated[
        str,
        typer.Option(
            metavar="XPATH",
            help="Of LSL, that picks the stream.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    fieldtrip: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="FieldTrip buffer in place of LSL; --markers is a type of its events, or all.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=MS]",
            help="Another stream with ECG, belt, ..., and how late it comes; repeatable.",
            rich_help_panel=STREAM,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(metavar="S", help="For finding streams.", rich_help_panel=STREAM),
    ] = 10.0,
    channels: Channels = None,
    units: Units = None,
    markers: Markers = UNMARKED,
    mask: Mask = None,
    marker_offset: MarkerOffset = 0.0,
    marker_wait: MarkerWait = 2000.0,
    continuous: Continuous = None,
    without: Without = frozenset(),
    log: Annotated[
        Path | None,
        typer.Option(metavar="JSONL", help="File of readouts and events.", rich_help_panel=OUTPUT),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="XDF",
            help="Session record: raw samples, markers, decisions.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    outlet: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of the outlets NAME-readout and NAME-scores; none if empty.",
            rich_help_panel=OUTPUT,
        ),
    ] = "rt_decoder",
    clean_outlet: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of a stream of the cleaned signal, with quality and reasons; default none.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = "",
    network: Network = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print no readouts.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: AsJson = False,
    seconds: Seconds = 0.0,
    until_lost: Annotated[
        bool,
        typer.Option(
            "--until-lost",
            help="End when the stream ends, instead of looking for it.",
            rich_help_panel=WRONG,
        ),
    ] = False,
    when_behind: Annotated[
        str,
        typer.Option(
            help="Decode everything, late, or drop what is old.",
            rich_help_panel=WRONG,
            **one_of("catch-up", "skip"),
        ),
    ] = "catch-up",
    max_behind: Annotated[
        float,
        typer.Option(
            metavar="MS", help="What may wait before it is old.", min=10.0, rich_help_panel=WRONG
        ),
    ] = 500.0,
) -> None:
    """Decode a live stream; readouts go to LSL outlets, to the log and to the terminal.

    Example: rt-decoder run --model me.rtd.safetensors --name Amp --markers Stimuli --log s.jsonl
    """
    keep_here(network)
    from rt_decoder.commands.run import RunOptions, run_live
    from rt_decoder.files.model_file import load_model
    from rt_decoder.timing.markers import MarkerRules

    options = RunOptions(
        rules=MarkerRules(
            markers.trigger, None, mask, offset=marker_offset * 1e-3, wait=marker_wait * 1e-3
        ),
        continuous=continuous,
        without=without,
        until_lost=until_lost,
        skip=when_behind == "skip",
        max_behind=max_behind * 1e-3,
        selection={
            "name": name or None,
            "type": type_ or None,
            "source_id": source_id or None,
            "predicate": predicate or None,
        },
        fieldtrip=fieldtrip,
        markers=markers.stream,
        channels=channels,
        units=units,
        timeout=timeout,
        references=_references(reference or []),
        log=log,
        record=record,
        outlet=outlet,
        clean_outlet=clean_outlet,
        seconds=seconds,
    )
    fitted = load_model(model)
    if not fitted.has_map and not clean_outlet:
        raise ValueError(
            f"{model.name} has no map: it cleans, and names no words (--clean-outlet NAME)"
        )
    footer = run_live(fitted, options, None if quiet else show_lines)
    if as_json:
        show_json(footer)


def _references(texts: Sequence[str]) -> tuple[ReferenceChoice, ...]:
    from rt_decoder.sources.streams import parse_reference

    try:
        return tuple(parse_reference(text) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


COMMANDS = (run,)
