"""``rt-decoder run``: a live session."""

from __future__ import annotations

import os
import sys

import typer

from rt_decoder.commands.answer_options import Anytime, SetLevel, WhenUnlike
from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import show_error, show_json, show_lines
from rt_decoder.commands.language import LanguageModel, LanguageText, LanguageWeight
from rt_decoder.commands.machine import Tune
from rt_decoder.commands.options import (
    Align,
    AsJson,
    Continuous,
    Force,
    Learn,
    MarkerOffset,
    MarkerWait,
    Mask,
    ModelFile,
    Network,
    Seconds,
    Without,
)
from rt_decoder.commands.outputs import LOG, XDF, claim_outputs
from rt_decoder.commands.run_options import (
    Candidates,
    CleanOutlet,
    Log,
    MaxBehind,
    Outlet,
    Quiet,
    Record,
    Threshold,
    Top,
    UntilLost,
    WhenBehind,
    WholePosterior,
)
from rt_decoder.commands.stream_options import StreamOptions
from rt_decoder.commands.streams import keep_here

__all__ = ["COMMANDS"]

_NOT_ASKED = ("model", "options", "network", "as_json")  # of a session


def run(
    model: ModelFile,
    options: StreamOptions,
    mask: Mask = None,
    marker_offset: MarkerOffset = 0.0,
    marker_wait: MarkerWait = 2000.0,
    continuous: Continuous = None,
    without: Without = frozenset(),
    force: Force = False,
    align: Align = None,
    learn: Learn = None,
    candidates: Candidates = None,
    threshold: Threshold = None,
    top: Top = None,
    posterior: WholePosterior = False,
    language_text: LanguageText = None,
    language_model: LanguageModel = "",
    language_weight: LanguageWeight = None,
    level: SetLevel = 0.0,
    when_unlike: WhenUnlike = None,
    anytime: Anytime = None,
    log: Log = None,
    record: Record = None,
    outlet: Outlet = "rt_decoder",
    clean_outlet: CleanOutlet = "",
    network: Network = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    seconds: Seconds = 0.0,
    until_lost: UntilLost = False,
    when_behind: WhenBehind = "catch-up",
    max_behind: MaxBehind = 500.0,
    tune: Tune = None,
) -> None:
    """Decode a live stream; readouts go to LSL outlets, to the log and to the terminal.

    A terminal shows the essentials in a few lines; a pipe gets a line for each readout and event.
    Log and record never replace a file: they take the next free number, session-002.jsonl. Exit
    code 3: decoded, but the log or the record is not whole.

    Example: rt-decoder run --model me.rtd.safetensors --name Amp --markers Stimuli --log s.jsonl
    """
    given = {option: value for option, value in locals().items() if option not in _NOT_ASKED}
    keep_here(network, offers=bool(outlet or clean_outlet))
    claim_outputs(
        [("--log", log, LOG), ("--record", record, XDF)],
        [model, language_text, *options.read_files],
        None,
    )
    from rt_decoder.commands.run import run_live
    from rt_decoder.files.model_file import load_model
    from rt_decoder.files.tables import read_channel_table
    from rt_decoder.live.opening import check_model

    given |= {"set": given.pop("level"), "tune": tune or ()}
    asked = options.session(given)
    options.say(show_lines)
    read_channel_table(options.channels)  # a wrong one is refused before streams are looked for
    fitted = load_model(model)
    check_model(fitted, asked, model.name)
    view = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    footer, torn = run_live(fitted, asked, show_lines, view=view)
    if as_json:
        show_json(footer)
    if torn:
        show_error(f"decoded, but not all is written: {'; '.join(torn)}")
        raise typer.Exit(3)


COMMANDS = (bundled(run),)
