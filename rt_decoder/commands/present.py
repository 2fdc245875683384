"""``rt-decoder present``: words on a screen, with markers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.options import AsJson, Network, Port
from rt_decoder.commands.outputs import TSV, claim_outputs
from rt_decoder.commands.session_file import Config
from rt_decoder.commands.streams import keep_here
from rt_decoder.counted import counted

if TYPE_CHECKING:
    from rt_decoder.present.browser import BrowserScreen
    from rt_decoder.present.schedule import Step
    from rt_decoder.present.server import PageServer
    from rt_decoder.present.show import Shown
    from rt_decoder.present.terminal import TerminalScreen

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
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--terminal",
            help="Show words on a page of this computer's browser, full-screen and marked to the frame.",
        ),
    ] = False,
    port: Port = 8410,
    config: Config = None,
    network: Network = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show words on this terminal or in a browser, one after the other, and mark each.

    Space pauses, q or Esc ends; what was shown so far is kept. The upper left corner is white while a
    word is there: a photodiode measures the delay (check --photodiode).

    Example: rt-decoder present words.tsv --browser --markers Stimuli --save run1.tsv
    """
    if browser:
        from rt_decoder.files.packages import need_packages

        need_packages("starlette", "uvicorn", "websockets", what="for present --browser")
    if markers.startswith("channel:"):
        raise typer.BadParameter(f"need the name of a stream for --markers, got {markers!r}")
    keep_here(network)
    claim_outputs([("--save", events, TSV)], [words, None if config is None else config.path], None)
    if config is not None:
        show_lines(config.line())
    from rt_decoder.present.schedule import Plan, make_schedule
    from rt_decoder.present.table import lines, summary
    from rt_decoder.present.terminal import check_terminal
    from rt_decoder.present.words import read_words

    try:
        plan = Plan(
            shown=shown, gap=gap, jitter=jitter, repeats=repeats, block=block, catch=catch,
            cues=cues, seed=seed,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    listed = read_words(words)
    if not browser:
        check_terminal()
    steps = make_schedule(listed, plan)
    seen: list[Shown] = []
    try:
        screen = _present(steps, markers, wait, seen, port if browser else None)
    finally:  # whatever ended it, what was shown is kept
        if events is not None and any(one.step.label for one in seen):
            show_lines(f"events in {_saved(seen, events).name}")
        elif events is not None:
            show_lines("no events table: it ended before anything was shown that has a marker")
    figures = summary(seen, screen.frames, screen.error)
    show_lines(*lines(figures))
    if as_json:
        show_json(figures)


def _present(
    steps: tuple[Step, ...], markers: str, wait: float, seen: list[Shown], port: int | None
) -> BrowserScreen | TerminalScreen:
    """Show steps until they end, or somebody ends them; without a port on this terminal."""
    from uuid import uuid4

    from pylsl import local_clock

    from rt_decoder.commands.interrupt import stop_on_signals
    from rt_decoder.present.show import show
    from rt_decoder.sinks.outlets import marker_outlet

    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        page = None if port is None else stack.enter_context(_page(port, local_clock))
        outlet = marker_outlet(markers, f"{markers}-{uuid4().hex[:12]}")
        show_lines(f"markers {markers!r}; waiting for a reader, {wait:g} s at most")
        begin = steps[0].text if page else f"{steps[0].text}; space pauses, q ends"
        if unread := not outlet.wait_for_consumers(wait):
            begin = f"NOBODY READS THE MARKERS. {begin}"
        steps = (steps[0]._replace(text=begin), *steps[1:])
        screen = _browser(page, stop) if page else _terminal(local_clock, stop, stack)
        stop.only_ask()
        for one in show(steps, screen, lambda label, at: outlet.push_sample([label], at),
                        local_clock):  # fmt: skip
            seen.append(one)
            if page and one.step.kind == "rest":
                n = sum(before.step.kind == "word" for before in seen)
                show_lines(
                    f"{n} of {counted(sum(step.kind == 'word' for step in steps), 'word')} shown"
                )
    if unread:
        show_lines(f"warning: nobody read the markers {markers!r} when the words began")
    return screen


def _terminal(
    clock: Callable[[], float], stop: Callable[[], bool], stack: ExitStack
) -> TerminalScreen:
    from rt_decoder.present.terminal import terminal_screen

    return stack.enter_context(terminal_screen(clock, stop))


def _page(port: int, clock: Callable[[], float]) -> AbstractContextManager[PageServer]:
    from rt_decoder.present.server import serve_page

    return serve_page(port, clock)


def _browser(page: PageServer, stop: Callable[[], bool]) -> BrowserScreen:
    """Open the page where there is a browser, and say where it is."""
    from rt_decoder.present.browser import BrowserScreen, open_page

    opened = open_page(page.url)
    show_lines(f"page {page.url}{'' if opened else ': open it in a browser of this computer'}")
    return BrowserScreen(page, stop, show_lines)


def _saved(seen: list[Shown], path: Path) -> Path:
    from rt_decoder.files.atomic import write_whole
    from rt_decoder.files.outputs import reserve
    from rt_decoder.present.table import events_table

    path = reserve(path)[0] or path
    write_whole(path, events_table(seen).encode(), overwrite=True)
    return path


COMMANDS = (present,)
