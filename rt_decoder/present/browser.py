"""A page in a browser as the screen, which tells in which frame a step was seen."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from time import sleep
from typing import NamedTuple

from rt_decoder.present.schedule import Step
from rt_decoder.present.server import PageServer, Said
from rt_decoder.present.show import END, STOPS, Frames

__all__ = ["BrowserScreen", "open_page"]

_POLL = 0.05  # s after which is asked whether to end


class _Sent(NamedTuple):
    n: int
    step: Step
    dropped: bool  # by the page, at a key that pauses or ends


class BrowserScreen:
    """Show steps on a page.

    The page is told the next steps before their time. It draws it in the frame that is nearest, and says
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
        self._sent: deque[_Sent] = deque()  # what the page has, and has not shown yet
        self._on: Step | None = None  # what is shown
        self._here = self._was_here = False
        self.frames, self.error = Frames(), 0.0

    def prepare(self, ahead: Sequence[tuple[Step, float]]) -> None:
        """Send the next steps, each with its time in s on the LSL clock; those sent before are there."""
        for step, due in ahead[len(self._sent) :]:
            self._send(step, due)

    def show(self, step: Step) -> float | None:
        """Show a step; return when it was seen, in s on the LSL clock; None if it was not."""
        self._on = None
        if not self._sent or self._sent[0].step is not step:
            self._send_now(step)
        while not self._stop():
            if step.seconds and not self._here:
                break
            said = self._next(_POLL)
            if said is None:
                continue
            if (said.kind == "gone" and step.seconds) or (
                said.key in STOPS and self._sent[0].dropped
            ):
                break
            self._heard.popleft()
            if said.kind in ("here", "gone"):
                self._turn(said, step)
            elif said.kind == "shown" and said.n == self._sent[0].n:
                self._sent.popleft()
                self._on = step
                self._count(said)
                return said.at
        self._sent.clear()
        return None

    def key(self, wait: float) -> str:
        """Return a key that was pressed within `wait` s, "" if none was."""
        if self._stop():
            return END
        said = self._next(wait)
        if said is None:
            return ""
        if said.kind == "shown" and self._sent and said.n == self._sent[0].n:
            if self._sent[0].step is not self._on:
                sleep(max(0.0, wait))  # the next, shown a little before its time: `show` takes it
                return ""
            self._sent.popleft()  # what waits for a key, shown again
        self._heard.popleft()
        timed = self._on is None or self._on.seconds > 0
        if said.kind == "key":
            if said.key in STOPS and timed:
                self._sent.clear()  # the page has dropped them
            return said.key
        if said.kind in ("here", "gone"):
            self._turn(said, None if timed else self._on)
            return " " if said.kind == "gone" and timed else ""
        return ""

    def _turn(self, said: Said, again: Step | None) -> None:
        """Note that the page is here or gone; a step that waits for a key is shown again."""
        self._here = said.kind == "here"
        self._sent.clear()
        if again is not None:
            self._send_now(again)
        if not self._here:
            self._tell(f"the page was closed or hidden; open {self._page.url} to go on")
        elif self._was_here:
            self._tell("the page is back")
        self._was_here = True

    def _send_now(self, step: Step) -> None:
        self._sent.clear()
        self._send(step, None)

    def _send(self, step: Step, due: float | None) -> None:
        self._n += 1
        self._sent.append(_Sent(self._n, step, step.seconds > 0 or due is not None))
        if self._here:  # else it is sent once somebody is
            self._page.show(self._n, step.text, step.kind, step.seconds > 0, due)

    def _count(self, said: Said) -> None:
        before, now = self.frames, said.frames
        self.frames = Frames(
            before.n + now.n, before.dropped + now.dropped,
            max(before.longest_ms, now.longest_ms), now.interval_ms,
        )  # fmt: skip
        self.error = max(self.error, said.error)

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
