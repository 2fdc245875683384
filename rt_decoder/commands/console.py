"""Share between both programs: help in groups, errors in one sentence, text or JSON results."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

import rt_decoder

__all__ = [
    "add_commands",
    "app_of",
    "progress_bar",
    "run_app",
    "show_json",
    "show_lines",
    "stop_on_signals",
]

# typer carries its own copy of click in some versions and imports click in others
_ClickException: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)
_EXAMPLE = "\n\nExample: "


class _Command(TyperCommand):
    """A command with its options in groups, and the example of its docstring at the end."""

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
            show_lines(ctx.get_help())
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
    """Run a program: exit code 0 success, 1 the work failed, 2 the call is wrong."""
    warnings.showwarning = _warn
    try:
        code = app(standalone_mode=False)
    except _ClickException as error:
        _fail(error.format_message(), 2)  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; nothing was written", 1)
    except (KeyError, IndexError):
        raise  # a bug, not bad input: show the traceback
    except (ValueError, LookupError, OSError, ImportError, MemoryError) as error:
        _fail(str(error) or type(error).__name__, 1)
    sys.exit(code if isinstance(code, int) else 0)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write("warning: " + " ".join(str(message).split()) + "\n")


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write("error: " + " ".join(message.split()) + "\n")
    sys.exit(code)


def show_lines(*lines: str) -> None:
    """Write lines to standard output, at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def show_json(value: dict[str, Any]) -> None:
    """Write one JSON object as the last line of standard output."""
    show_lines(json.dumps(value, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that takes the share done, 0 to 1; draws on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def stop_on_signals(seconds: float = 0.0) -> Iterator[Callable[[], bool]]:
    """Yield a function: True after Ctrl-C or SIGTERM, or after `seconds` s (0 for never)."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    end = monotonic() + seconds if seconds else math.inf
    try:
        yield lambda: asked.is_set() or monotonic() >= end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
