"""Show that work goes on whose end nobody can tell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from rt_decoder.commands.console import PROGRESS_EVERY, show_progress

__all__ = ["busy"]


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show what is being done and for how long, while the work of the caller lasts.

    On a terminal it draws one line that is gone at the end; in a pipe or a log it writes a plain
    line to standard error every `PROGRESS_EVERY` seconds, and none for short work.

    Parameters
    ----------
    what : str
        What is being done, such as "fitting the map".

    Yields
    ------
    None
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        # lines for a file or a pipe must not end on the terminal
        with Progress(
            *columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()
        ) as shown:
            shown.add_task(what, total=None)
            yield
        return
    ended, start = Event(), monotonic()

    def tell() -> None:
        while not ended.wait(PROGRESS_EVERY):
            show_progress(f"{what}: {monotonic() - start:.0f} s so far")

    teller = Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
