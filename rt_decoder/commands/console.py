"""Share between both programs: help in groups, errors in one sentence, text or JSON results."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand

import rt_decoder
from rt_decoder.commands.interrupt import interruptible
from rt_decoder.files.damage import in_one_sentence
from rt_decoder.sinks.text import json_text, plain

__all__ = [
    "PROGRAMS",
    "add_commands",
    "app_of",
    "progress_bar",
    "run_app",
    "show_error",
    "show_json",
    "show_lines",
    "show_progress",
]

INTERRUPTED = 130  # exit code, as of a shell
NOTHING = "nothing was written"
PROGRESS_EVERY = 10.0  # s between lines of progress where no bar can be drawn

# typer carries its own copy of click in some versions and imports click in others
_ClickException: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)
_EXAMPLE = "\n\nExample: "


LARGEST = 1e9  # of a number that an option takes; more is a slip
PROGRAMS = {
    "rt-decoder": (
        "demo", "simulate", "streams", "replay", "present", "check", "record", "run", "dashboard", "decode",
        "clean", "convert", "inspect", "info", "warm", "certify",
    ),
    "rt-calibrate": (
        "fit", "cleaning", "evaluate", "encode", "refit", "realign", "pool", "embed",
    ),
}  # fmt: skip
_RENAMED = {"line": "mains"}  # options of before, and what they are called now


class _Interrupted(Exception):
    """A signal ended a command; says what was kept."""


class _Command(TyperCommand):
    """A command with its options in groups, and the example of its docstring at the end."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        known = {name for param in self.params for name in param.opts}
        for arg in args:
            name = arg.partition("=")[0]
            now = _RENAMED.get(name.removeprefix("--"))
            if name.startswith("--") and name not in known and f"--{now}" in known:
                raise typer.BadParameter(f"need --{now}, as {name} is called now, got {name}")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        for param in self.params:
            value = ctx.params.get(param.name or "")
            if isinstance(value, float) and not abs(value) <= LARGEST:
                raise typer.BadParameter(
                    f"need a number up to {LARGEST:g} for {param.opts[0]}, got {value:g}"
                )
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # typer would end without a word
            raise _Interrupted(str(error) or NOTHING) from None

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002
        return " ".join((self.help or "").partition("\n\n")[0].split())

    def format_help_text(self, _: Any, formatter: Any) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text((self.help or "").partition(_EXAMPLE)[0])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record, group = param.get_help_record(ctx), getattr(param, "rich_help_panel", None)
            if record is not None and param.param_type_name == "argument":
                groups["Arguments"].append((param.metavar or record[0], record[1]))
            elif record is not None:
                groups.setdefault(group or "Options", []).append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, _: Any, formatter: Any) -> None:
        example = (self.help or "").partition(_EXAMPLE)[2]
        if example:
            with formatter.section("Example"):
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def app_of(program: str, about: str) -> typer.Typer:
    """Make an empty program; plain text, so that logs and pipes stay readable.

    Parameters
    ----------
    program : str
        Its name.
    about : str
        One sentence, for the help.

    Returns
    -------
    typer.Typer
        With ``-h``, ``--version`` and the completion of shells.

    Raises
    ------
    typer.Exit
        By the program: with 2 where no command is given, the help is printed then.
    """
    app = typer.Typer(
        help=about,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    def show_version(asked: bool) -> None:
        if asked:
            show_lines(f"{program} {rt_decoder.__version__}")
            raise typer.Exit

    @app.callback(invoke_without_command=True)
    def start(
        ctx: typer.Context,
        version: bool = typer.Option(  # noqa: ARG001
            False, "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        if ctx.invoked_subcommand is None:
            show_lines(*ctx.get_help().splitlines())
            raise typer.Exit(2)

    return app


def add_commands(app: typer.Typer, *functions: Callable[..., None]) -> None:
    """Add commands, each named as its function and explained by its docstring.

    Parameters
    ----------
    app : typer.Typer
        From `app_of`.
    functions : callable
        Each docstring ends with a paragraph ``Example: rt-decoder ...``, in one line.
    """
    for function in functions:
        app.command(function.__name__, cls=_Command)(function)


def run_app(app: typer.Typer) -> NoReturn:
    """Run a program: exit code 0 success, 1 the work failed, 2 the call is wrong, 130 interrupted."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal shows what it can, and goes on
            stream.reconfigure(errors="backslashreplace")
    with interruptible() as heard:
        try:
            code = app(standalone_mode=False)
        except _ClickException as error:
            _fail(_wrong_call(error), 2)
        except _Interrupted as error:
            _fail(f"interrupted; {error}", INTERRUPTED)
        except (KeyboardInterrupt, typer.Abort):
            _fail(f"interrupted; {NOTHING}", INTERRUPTED)
        except (KeyError, IndexError):
            raise  # a bug, not bad input: show the traceback
        except (ValueError, LookupError, OSError, ImportError, MemoryError) as error:
            _fail(in_one_sentence(error), 1)
        finally:
            heard.only_ask()  # what ends is not disturbed
        if code == INTERRUPTED and heard.came:
            _fail(f"interrupted; {NOTHING}", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _wrong_call(error: Any) -> str:
    """Say what is wrong with a call: where a command of the other program is, or an example."""
    text = str(error.format_message()).removeprefix("Invalid value: ")
    if found := re.match(r"No such command '(\w+)'", text):
        for program, names in PROGRAMS.items():
            if found[1] in names:
                return f"{text.rstrip('.')}; {program} {found[1]} is one"
    command = getattr(getattr(error, "ctx", None), "command", None)
    example = (getattr(command, "help", None) or "").partition(_EXAMPLE)[2]
    if "'--model'" in text and getattr(command, "name", "") == "run":
        return f"{text.rstrip('.')}; rt-decoder record needs none"
    if text.startswith("Missing ") and example:
        return f"{text.rstrip('.')}; example: {example}"
    return text


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    _write(sys.stderr, "warning: " + plain(" ".join(str(message).split())))


def show_error(message: str) -> None:
    """Write one sentence to standard error; lines of a list in it, which are indented, stay lines."""
    parts = (plain(" ".join(part.split())) for part in message.split("\n  "))
    _write(sys.stderr, "error: " + "\n  ".join(parts))


def _fail(message: str, code: int) -> NoReturn:
    show_error(message)
    sys.exit(code)


def _write(stream: TextIO, text: str) -> None:
    """Write a line at once; a reader that has gone, or a terminal that was closed, ends no work."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        with suppress(OSError, ValueError):  # else Python tries again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_lines(*lines: str) -> None:
    """Write lines to standard output, at once; control characters are shown, not obeyed."""
    _write(sys.stdout, "\n".join(plain(line) for line in lines))


def show_json(value: dict[str, Any]) -> None:
    """Write one JSON object as the last line of standard output."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    _write(sys.stdout, json_text(value, ascii_only=not encoding.startswith("utf")))


def show_progress(text: str) -> None:
    """Write a line to standard error, at once; for work whose output may be read by a program."""
    _write(sys.stderr, plain(text))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """Yield a function that takes the share done, 0 to 1, and a text for it where it has one.

    On a terminal it draws a bar that is gone at the end; in a pipe or a log it writes a plain line
    to standard error, at most every `PROGRESS_EVERY` seconds, and none for short work.

    Parameters
    ----------
    what : str
        What is being done, such as "decoding".

    Yields
    ------
    callable
        Takes the share and maybe a text in place of `what`, and shows it.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _progress_lines(what)
        return
    # lines for a file or a pipe must not end on the terminal
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share, text=what: bar.update(task, completed=share, description=text)


def _progress_lines(what: str) -> Callable[..., None]:
    last = monotonic()

    def tell(share: float, text: str = "") -> None:
        nonlocal last
        if (now := monotonic()) - last >= PROGRESS_EVERY:
            last = now
            show_progress(text or f"{what}: {100 * share:.0f} %")

    return tell
