"""A terminal as the screen: words in its middle, a square in a corner for a photodiode, keys."""

from __future__ import annotations

import os
import select
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import sleep
from typing import TextIO

from rt_decoder.present.schedule import Step
from rt_decoder.present.show import END
from rt_decoder.sinks.text import plain

__all__ = ["TerminalScreen", "check_terminal", "terminal_screen"]

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # another page, without a cursor
_CLEAR, _WHITE, _USUAL = "\x1b[2J", "\x1b[7m", "\x1b[0m"
_SQUARE = 6, 3  # columns and rows


class TerminalScreen:
    """Show steps on a terminal.

    The square in the upper left corner is white while a word is shown. When a terminal draws is its
    own affair: measure the delay with a photodiode (`rt-decoder check --photodiode`).

    Parameters
    ----------
    out : text stream
        The terminal.
    descriptor : int
        From which keys are read; each is there at once.
    clock : callable
        Returns the time in s on the LSL clock.
    stop : callable
        Tells whether the program was asked to end; then that is the key.

    Attributes
    ----------
    frames, error : None and 0
        A terminal knows nothing of frames.
    """

    frames, error = None, 0.0

    def __init__(
        self, out: TextIO, descriptor: int, clock: Callable[[], float], stop: Callable[[], bool]
    ) -> None:
        self._out, self._descriptor, self._clock, self._stop = out, descriptor, clock, stop

    def prepare(self, ahead: Sequence[tuple[Step, float]]) -> None:
        """Do nothing: a terminal draws at once."""

    def show(self, step: Step) -> float:
        """Show a step; return when it was written, in s on the LSL clock."""
        columns, rows = shutil.get_terminal_size()
        text = plain(step.text)
        at = f"\x1b[{rows // 2 + 1};{max(1, (columns - len(text)) // 2 + 1)}H"
        square = "".join(
            f"\x1b[{row + 1};1H{_WHITE}{' ' * _SQUARE[0]}{_USUAL}" for row in range(_SQUARE[1])
        )
        drawn = _CLEAR + (square if step.kind == "word" else "") + at + text
        self._out.write(drawn)
        self._out.flush()
        return self._clock()

    def key(self, wait: float) -> str:
        """Return a key that was pressed within `wait` s, "" if none was."""
        if self._stop():
            return END
        if os.name == "nt":
            return _windows_key(wait)
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, wait))
        return os.read(self._descriptor, 1).decode("latin-1") if ready else ""


def _windows_key(wait: float) -> str:
    import msvcrt

    if not msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
        sleep(max(0.0, wait))
    if not msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
        return ""
    return str(msvcrt.getwch())  # type: ignore[attr-defined,unused-ignore]


def check_terminal() -> None:
    """Raise OSError unless words can be shown here, and keys be heard."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise OSError("need a terminal to show words on, got a pipe or a file (or --browser)")


@contextmanager
def terminal_screen(
    clock: Callable[[], float], stop: Callable[[], bool]
) -> Iterator[TerminalScreen]:
    """Take over the terminal, and give it back as it was.

    Parameters
    ----------
    clock, stop : callable
        See `TerminalScreen`.

    Yields
    ------
    TerminalScreen

    Raises
    ------
    OSError
        If this is no terminal.
    """
    check_terminal()
    descriptor = sys.stdin.fileno()
    with _single_keys(descriptor):
        sys.stdout.write(_ENTER)
        try:
            yield TerminalScreen(sys.stdout, descriptor, clock, stop)
        finally:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()


@contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    """Let keys come at once, and unseen; signals still end the program."""
    if os.name == "nt":
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
