"""A page in a browser as the screen, which tells in which frame a step was seen."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections import deque
from collections.abc import Callable
from queue import Empty
from time import sleep

from rt_decoder.present.schedule import Step
from rt_decoder.present.server import PageServer, Said
from rt_decoder.present.show import END, STOPS, Frames

__all__ = ["BrowserScreen", "open_page"]

_POLL = 0.05  # s after which is asked whether to end


class BrowserScreen:
    """Show steps on a page.

    The page is told each step before its time. It draws it in the frame that is nearest, and says
    when the frame after began: what was drawn is then on its way to the screen. A page that is
    closed or hidden is a pause; the step goes on once it is back.

    Parameters
    ----------
    page : PageServer
    stop : callable
        Tells whether the program was asked to end; then that is the key.
    tell : callable
        Takes a line when the page is gone or back.

    Attributes
    ----------
    frames : Frames
        So far.
    error : float
        Most by which a time can be wrong in the relation of the clocks, in s.
    """

    def __init__(
        self, page: PageServer, stop: Callable[[], bool], tell: Callable[[str], object]
    ) -> None:
        self._page, self._stop, self._tell = page, stop, tell
        self._heard: deque[Said] = deque()
        self._n = 0  # of the step that was sent last
        self._sent: Step | None = None  # the same, as long as the page still has it
        self._on: Step | None = None  # what is shown
        self._here = self._was_here = False
        self.frames, self.error = Frames(), 0.0

    def prepare(self, step: Step, due: float) -> None:
        """Send the next step, with its time in s on the LSL clock."""
        self._send(step, due)

    def show(self, step: Step) -> float | None:
        """Show a step; return when it was seen, in s on the LSL clock; None if it was not."""
        self._on = None
        if step is not self._sent:
            self._send(step, None)
        while not self._stop():
            if step.seconds and not self._here:
                return None
            said = self._next(_POLL)
            if said is None:
                continue
            if step.seconds and (said.kind == "gone" or said.key in STOPS):
                self._sent = None
                return None
            self._heard.popleft()
            if said.kind in ("here", "gone"):
                self._turn(said, step)
            elif said.kind == "shown" and said.n == self._n:
                self._on = step
                before, now = self.frames, said.frames
                self.frames = Frames(
                    before.n + now.n, before.dropped + now.dropped,
                    max(before.longest_ms, now.longest_ms), now.interval_ms,
                )  # fmt: skip
                self.error = max(self.error, said.error)
                return said.at
        return None

    def key(self, wait: float) -> str:
        """Return a key that was pressed within `wait` s, "" if none was."""
        if self._stop():
            return END
        said = self._next(wait)
        if said is None:
            return ""
        if said.kind == "shown" and said.n == self._n and said.n and self._sent is not self._on:
            sleep(max(0.0, wait))  # the next step, shown a little before its time: `show` takes it
            return ""
        self._heard.popleft()
        timed = self._on is None or self._on.seconds > 0
        if said.kind == "key":
            if said.key in STOPS and timed:
                self._sent = None  # the page has dropped it
            return said.key
        if said.kind in ("here", "gone"):
            self._turn(said, None if timed else self._on)
            return " " if said.kind == "gone" and timed else ""
        return ""

    def _turn(self, said: Said, again: Step | None) -> None:
        """Note that the page is here or gone; a step that waits for a key is shown again."""
        self._here = said.kind == "here"
        if not self._here:
            self._sent = None
            self._tell(f"the page was closed or hidden; open {self._page.url} to go on")
            return
        if self._was_here:
            self._tell("the page is back")
        self._was_here = True
        if again is not None:
            self._send(again, None)

    def _send(self, step: Step, due: float | None) -> None:
        self._n += 1
        self._sent = step
        if self._here:  # else it is sent once somebody is
            self._page.show(self._n, step.text, step.kind, step.seconds > 0, due)

    def _next(self, wait: float) -> Said | None:
        """What was said first of what is not yet dealt with, within `wait` s."""
        if not self._heard:
            try:
                self._heard.append(self._page.heard.get(timeout=max(0.0, wait)))
            except Empty:
                return None
        return self._heard[0]


def open_page(url: str) -> bool:
    """Open a page in the browser of this computer.

    Parameters
    ----------
    url : str
        Of the page.

    Returns
    -------
    bool
        Whether there is one, and a screen for it.
    """
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform == "linux" and not any(os.environ.get(one) for one in screens):
        return False
    return webbrowser.open(url)
