"""Hear Ctrl-C, SIGTERM and a closed terminal, in every phase of a program.

The first signal ends work that can be left: `KeyboardInterrupt` is raised in the main thread, so
that files half written are removed. Once a session's loop runs, it is asked to end, in order. Later
signals change nothing: what closes is not disturbed. A signal is heard once it has raised, or once
the work has asked; where neither comes soon, another thread says that the signal is there.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

__all__ = ["SIGNALS", "Interruption", "interruptible", "raise_again", "stop_on_signals"]

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
HEARD = 0.15  # s after which a signal that nothing has heard yet is acknowledged
AGAIN = 0.01  # s after which an interrupt that was swallowed comes once more


class Interruption:
    """What signals do now, and whether one has come.

    Calling it tells whether the work shall end: a signal has come, or the time is up. From the first
    call on, a signal raises nothing; before, as while a stream is opened, nobody would ask.

    Parameters
    ----------
    seconds : float
        Time from `began` on, in s; 0 for no end.

    Attributes
    ----------
    came : bool
        Whether a signal has come.
    n_heard : int
        Signals that have ended work, or that it has asked for, of all interruptions of this process.
    swallowed : bool
        Whether Python has swallowed what the last signal raised, see `raise_again`.
    """

    n_heard = 0
    swallowed = False

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds, self._end = seconds or math.inf, math.inf
        self._only_asks = self.came = False
        self._n_unasked = 0

    def __call__(self) -> bool:
        """Tell whether the work shall end."""
        self.only_ask()
        if self._n_unasked:
            Interruption.n_heard, self._n_unasked = Interruption.n_heard + self._n_unasked, 0
        return self.came or monotonic() >= self._end

    def only_ask(self) -> None:
        """From now on, a signal raises nothing: whoever works asks, soon and often."""
        self._only_asks = True

    def began(self) -> None:
        """Count the time from here, once."""
        if self._end == math.inf:
            self._end = monotonic() + self._seconds

    def hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle a signal.

        Parameters
        ----------
        number : int
            Of the signal.
        frame : frame or None
            What it interrupted.

        Raises
        ------
        KeyboardInterrupt
            At the first signal, unless the work is asked.
        """
        first, self.came = Interruption.swallowed or not self.came, True
        Interruption.swallowed = False
        if first and self._only_asks:
            self._n_unasked += 1
            return
        Interruption.n_heard += 1
        if first:
            raise KeyboardInterrupt


def raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Let an interrupt come once more that came where Python lets nothing raise.

    That is in a finalizer or in the callback of a weak reference; imports have many.

    Parameters
    ----------
    unraisable : sys.UnraisableHookArgs
        What Python gives to `sys.unraisablehook`.
    """
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    Interruption.swallowed = True
    threading.Timer(AGAIN, signal.raise_signal, [signal.SIGINT]).start()


@contextmanager
def stop_on_signals(seconds: float = 0.0) -> Iterator[Interruption]:
    """Yield what hears the signals; the handlers of before are put back at the end.

    Parameters
    ----------
    seconds : float
        See `Interruption`.

    Yields
    ------
    Interruption
    """
    heard = Interruption(seconds)
    with _handled_by(heard.hear):
        yield heard


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Hear signals for a whole program, and say so at once where the main thread cannot.

    Yields
    ------
    Interruption
    """
    with stop_on_signals() as heard, _acknowledged():
        yield heard


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread handle signals
        return
    before = {}
    for number in SIGNALS:
        # a program started by nohup outlives its terminal
        if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN:
            continue
        before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def _acknowledge(read: int, ended: threading.Event) -> None:
    """Speak up for each signal that nothing has heard in time; ends with the pipe."""
    due = Interruption.n_heard
    while came := os.read(read, 64):
        due += sum(number in SIGNALS for number in came)
        if not ended.wait(HEARD) and Interruption.n_heard < due:
            os.write(2, b"interrupted: ending once the step under way is done\n")
            due = Interruption.n_heard


@contextmanager
def _acknowledged() -> Iterator[None]:
    """Say "interrupted" from another thread while a library, or a step of ours, holds the main one."""
    if threading.current_thread() is not threading.main_thread() or os.name == "nt":
        yield
        return
    try:
        read, write = os.pipe()
    except OSError:  # no descriptor left: signals are heard, if later
        yield
        return
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    ended = threading.Event()
    told = threading.Thread(target=_acknowledge, args=(read, ended), name="signals", daemon=True)
    told.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        os.close(write)
        told.join()
        os.close(read)
