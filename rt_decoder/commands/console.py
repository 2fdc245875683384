"""What both programs share: errors in one sentence, results as a table or as JSON."""

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

__all__ = ["app_of", "progress_bar", "run_app", "show_json", "show_lines", "stop_on_signals"]

# typer carries its own copy of click in some versions and imports click in others
_ClickException: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)


def app_of(about: str) -> typer.Typer:
    """Make an empty program; plain text, so that logs and pipes stay readable."""
    return typer.Typer(
        help=about,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


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
        raise  # never an answer to bad input: a fault of ours, with its traceback
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
    """Give a function that takes the share done; draws on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def stop_on_signals(seconds: float = 0.0) -> Iterator[Callable[[], bool]]:
    """Give a function that is true once Ctrl-C or SIGTERM came, or `seconds` (if not 0) are over."""
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
