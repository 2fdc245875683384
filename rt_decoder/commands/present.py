"""``rt-decoder present``: words on a screen, with markers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.options import AsJson, Network
from rt_decoder.commands.outputs import TSV, claim_outputs
from rt_decoder.commands.streams import keep_here

if TYPE_CHECKING:
    from rt_decoder.present.schedule import Step
    from rt_decoder.present.show import Shown

__all__ = ["COMMANDS"]

SCHEDULE = "Schedule"


def present(
    words: Annotated[
        Path,
        typer.Argument(metavar="WORDS", help="Table with a column word, or a word a line."),
    ],
    markers: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the marker stream.")
    ] = "Stimuli",
    events: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="TSV", help="Events table of what was shown; if taken, the next number."
        ),
    ] = None,
    shown: Annotated[
        float, typer.Option(metavar="S", help="Time a word stays.", rich_help_panel=SCHEDULE)
    ] = 0.5,
    gap: Annotated[
        float, typer.Option(metavar="S", help="Time between words.", rich_help_panel=SCHEDULE)
    ] = 0.7,
    jitter: Annotated[
        float,
        typer.Option(metavar="S", help="Range of the gap.", min=0.0, rich_help_panel=SCHEDULE),
    ] = 0.2,
    repeats: Annotated[
        int,
        typer.Option(
            "--times", metavar="N", help="Times each word is shown.", rich_help_panel=SCHEDULE
        ),
    ] = 1,
    block: Annotated[
        int,
        typer.Option(metavar="N", help="Words until a rest.", min=1, rich_help_panel=SCHEDULE),
    ] = 40,
    catch: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of words after which is asked what it was.",
            rich_help_panel=SCHEDULE,
        ),
    ] = 0.05,
    cues: Annotated[
        bool,
        typer.Option(
            "--cues/--no-cues", help="Begin with cued blinks, gaze shifts and rest.",
            rich_help_panel=SCHEDULE,
        ),
    ] = True,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Random seed of the order.", min=0, rich_help_panel=SCHEDULE),
    ] = 0,
    wait: Annotated[
        float, typer.Option(metavar="S", help="Longest wait for a reader of the markers.", min=0.0)
    ] = 60.0,
    network: Network = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show words on this terminal, one after the other, and mark each.

    Space pauses, q or Esc ends; what was shown so far is kept. The corner of the terminal is white
    while a word is there: a photodiode measures the delay (check --photodiode).

    Example: rt-decoder present words.tsv --markers Stimuli --save run1.tsv
    """
    keep_here(network)
    claim_outputs([("--save", events, TSV)], [words], None)
    from rt_decoder.present.schedule import Plan, make_schedule
    from rt_decoder.present.table import lines, summary
    from rt_decoder.present.words import read_words

    try:
        plan = Plan(
            shown=shown, gap=gap, jitter=jitter, repeats=repeats, block=block, catch=catch,
            cues=cues, seed=seed,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    steps = make_schedule(read_words(words), plan)
    seen = _on_terminal(steps, markers, wait)
    if events is not None:
        show_lines(f"events in {_saved(seen, events).name}")
    figures = summary(seen)
    show_lines(*lines(figures))
    if as_json:
        show_json(figures)


def _on_terminal(steps: tuple[Step, ...], markers: str, wait: float) -> list[Shown]:
    """Show steps until they end, or somebody ends them."""
    from uuid import uuid4

    from pylsl import local_clock

    from rt_decoder.commands.interrupt import stop_on_signals
    from rt_decoder.present.show import show
    from rt_decoder.present.terminal import terminal_screen
    from rt_decoder.sinks.outlets import marker_outlet

    seen: list[Shown] = []
    with stop_on_signals() as stop:
        outlet = marker_outlet(markers, f"{markers}-{uuid4().hex[:12]}")
        show_lines(f"markers {markers!r}; waiting for a reader, {wait:g} s at most")
        outlet.wait_for_consumers(wait)
        with terminal_screen(local_clock) as screen:
            stop.only_ask()
            for one in show(steps, screen, lambda label, at: outlet.push_sample([label], at),
                            local_clock):  # fmt: skip
                seen.append(one)
                if stop():
                    break
    return seen


def _saved(seen: list[Shown], path: Path) -> Path:
    from rt_decoder.files.atomic import write_whole
    from rt_decoder.files.outputs import reserve
    from rt_decoder.present.table import events_table

    path = reserve(path)[0] or path
    write_whole(path, events_table(seen).encode(), overwrite=True)
    return path


COMMANDS = (present,)
