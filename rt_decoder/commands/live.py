"""``rt-decoder run``: a live session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rt_decoder.commands.console import show_error, show_json, show_lines
from rt_decoder.commands.language import LanguageModel, LanguageText, LanguageWeight
from rt_decoder.commands.machine import Tune
from rt_decoder.commands.options import (
    DECODING,
    OUTPUT,
    STREAM,
    UNMARKED,
    Align,
    AsJson,
    Channels,
    Continuous,
    Force,
    Learn,
    MarkerOffset,
    Markers,
    MarkerWait,
    Mask,
    ModelFile,
    Network,
    Seconds,
    Units,
    WhenUnlike,
    Without,
    one_of,
)
from rt_decoder.commands.outputs import LOG, XDF, claim_outputs
from rt_decoder.commands.streams import keep_here

__all__ = ["COMMANDS"]

WRONG = "When something goes wrong"


def run(
    model: ModelFile,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of the LSL stream; default any.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Type of the LSL stream, such as EEG; default any.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    source_id: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="source_id of the LSL stream; default any.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    predicate: Annotated[
        str,
        typer.Option(
            metavar="XPATH",
            help="LSL predicate that selects the stream; default none.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    fieldtrip: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="FieldTrip buffer instead of LSL; --markers is then an event type, or all.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = "",
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=MS]",
            help="Auxiliary stream (ECG, belt) and its delay in ms; repeatable; default none.",
            rich_help_panel=STREAM,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="S", help="Longest search for streams.", min=0.0, rich_help_panel=STREAM
        ),
    ] = 10.0,
    channels: Channels = None,
    units: Units = None,
    markers: Markers = UNMARKED,
    mask: Mask = None,
    marker_offset: MarkerOffset = 0.0,
    marker_wait: MarkerWait = 2000.0,
    continuous: Continuous = None,
    without: Without = frozenset(),
    force: Force = False,
    align: Align = None,
    learn: Learn = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM",
            help="Item to answer among; repeatable; default all of the model.",
            rich_help_panel=DECODING,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Least probability of an answer, else abstain; default the model's.",
            min=0.0,
            rich_help_panel=DECODING,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Items in a readout; default as the model's recipe says.",
            min=1,
            rich_help_panel=DECODING,
        ),
    ] = None,
    posterior: Annotated[
        bool,
        typer.Option(
            "--posterior",
            help="Readouts hold the probability of every item, and its prior.",
            rich_help_panel=DECODING,
        ),
    ] = False,
    language_text: LanguageText = None,
    language_model: LanguageModel = "",
    language_weight: LanguageWeight = None,
    when_unlike: WhenUnlike = None,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="JSONL",
            help="Log of readouts and events; if taken, the next number; default none.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="XDF",
            help="Session record: raw samples, markers, decisions; numbered as --log; default none.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    outlet: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Stem of the outlets NAME-readout and NAME-scores; empty for none.",
            rich_help_panel=OUTPUT,
        ),
    ] = "rt_decoder",
    clean_outlet: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Outlet for the cleaned signal, with quality and reasons; default none.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = "",
    network: Network = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Print events, but no readouts.", rich_help_panel=OUTPUT),
    ] = False,
    as_json: AsJson = False,
    seconds: Seconds = 0.0,
    until_lost: Annotated[
        bool,
        typer.Option(
            "--until-lost",
            help="End when the stream is lost, instead of searching for it.",
            rich_help_panel=WRONG,
        ),
    ] = False,
    when_behind: Annotated[
        str,
        typer.Option(
            help="When behind: decode everything late, or skip to the newest hop.",
            rich_help_panel=WRONG,
            **one_of("catch-up", "skip"),
        ),
    ] = "catch-up",
    max_behind: Annotated[
        float,
        typer.Option(
            metavar="MS",
            help="Backlog above which `skip` drops samples.",
            min=10.0,
            rich_help_panel=WRONG,
        ),
    ] = 500.0,
    tune: Tune = None,
) -> None:
    """Decode a live stream; readouts go to LSL outlets, to the log and to the terminal.

    Log and record never replace a file: they take the next free number, session-002.jsonl. Exit
    code 3: decoded, but the log or the record is not whole.

    Example: rt-decoder run --model me.rtd.safetensors --name Amp --markers Stimuli --log s.jsonl
    """
    keep_here(network, offers=bool(outlet or clean_outlet))
    claim_outputs(
        [("--log", log, LOG), ("--record", record, XDF)], [model, channels, language_text], None
    )
    from rt_decoder.commands.run import run_live
    from rt_decoder.files.model_file import load_model
    from rt_decoder.files.tables import read_channel_table
    from rt_decoder.live.opening import check_model, run_options

    options = run_options(
        {
            "name": name,
            "type": type_,
            "source_id": source_id,
            "predicate": predicate,
            "fieldtrip": fieldtrip,
            "reference": _references(reference or []),
            "timeout": timeout,
            "channels": channels,
            "units": units,
            "markers": markers,
            "mask": mask,
            "marker_offset": marker_offset,
            "marker_wait": marker_wait,
            "continuous": continuous,
            "without": without,
            "force": force,
            "align": align,
            "learn": learn,
            "candidates": candidates or (),
            "threshold": threshold,
            "top": top,
            "posterior": posterior,
            "language_text": language_text,
            "language_model": language_model,
            "language_weight": language_weight,
            "when_unlike": when_unlike,
            "log": log,
            "record": record,
            "outlet": outlet,
            "clean_outlet": clean_outlet,
            "quiet": quiet,
            "seconds": seconds,
            "until_lost": until_lost,
            "when_behind": when_behind,
            "max_behind": max_behind,
            "tune": tune or (),
        }
    )
    read_channel_table(channels)  # a wrong one is refused before streams are looked for
    fitted = load_model(model)
    check_model(fitted, options, model.name)
    footer, torn = run_live(fitted, options, show_lines)
    if as_json:
        show_json(footer)
    if torn:
        show_error(f"decoded, but not all is written: {'; '.join(torn)}")
        raise typer.Exit(3)


def _references(texts: list[str]) -> list[str]:
    from rt_decoder.sources.streams import parse_reference

    try:
        for text in texts:
            parse_reference(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return texts


COMMANDS = (run,)
