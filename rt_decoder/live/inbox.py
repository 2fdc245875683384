"""What a session has told, until an experiment takes it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from rt_decoder.signal import Readout
from rt_decoder.sinks.advice import advised

if TYPE_CHECKING:
    import asyncio

    from rt_decoder.live.callback import Callback

__all__ = ["Inbox"]

MAX_READOUTS = 100_000  # that wait for a consumer; the oldest are dropped and counted
MAX_EVENTS = 1000
_WAIT_S = 0.2  # between looks at whether Ctrl-C was pressed (Windows hears it no sooner)
_STATES = {
    "live": "live",
    "live_again": "live",
    "stale": "stale",
    "lost": "lost",
    "returned": "live",
}  # event -> state
_UNANSWERED = ("marker_lost", "refused")  # events that tell of a marker without a readout


class Inbox:
    """Filled by the session's thread, read by any.

    Parameters
    ----------
    callback : Callback or None
        Takes the readouts; None keeps them for `next`.

    Attributes
    ----------
    about : dict
        ``stream``, ``files`` and ``items``, once the session is open.
    state : str
        As of `Live`; "opening" at first.
    paused : bool
        As of `Live`.
    events : deque of dict
        As of `Live`.
    score : dict
        As of `Live`.
    n_dropped : int
        As of `Live`.
    footer : dict
        Of the session, once it has ended.
    torn : list of str
        What it could not write.
    why : str
        Why it has ended.
    unanswered : dict of float to str
        Times of markers that have no readout, and why.
    error : BaseException or None
        What ended it, or went wrong in the callback.
    """

    def __init__(self, callback: Callback | None = None) -> None:
        self.about: dict[str, Any] = {"stream": "", "files": {}, "items": ()}
        self.state, self.paused, self.n_dropped = "opening", False, 0
        self.events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self.score: dict[str, Any] = {"n": 0, "verdict": "not above chance so far"}
        self._items: list[str] = []  # that have come so far
        self.footer: dict[str, Any] = {}
        self.torn: list[str] = []
        self.why = ""
        self.unanswered: dict[float, str] = {}
        self.error: BaseException | None = None
        self._callback = callback
        self._readouts: deque[Readout] = deque()
        self._changed = threading.Condition()
        self._wakers: list[Callable[[], object]] = []

    def take(self, message: tuple[Any, ...]) -> None:
        """Take a message of `SessionHost`, or ``("callback", exception)``."""
        what, *rest = message
        with self._changed:
            if what == "readout":
                self._take_readout(rest[0])
            elif what == "event":
                self._take_event(rest[0])
            elif what == "score":
                self.score = rest[0]
            elif what == "opened":
                self.about, self.state = rest[0] | {"items": tuple(rest[0]["items"])}, "live"
            elif what == "items":
                self._take_items(*rest)
            elif what == "ended":
                (self.footer, self.torn, self.why), self.state = rest, "ended"
            else:
                self.error = rest[0]
                self.state = "ended" if what == "failed" else self.state
            if what not in ("event", "score", "items"):
                self._wake()
            self._changed.notify_all()

    def _take_readout(self, readout: Readout) -> None:
        if self._callback is not None:
            self._callback.put(readout)
            return
        if len(self._readouts) >= MAX_READOUTS:
            self._readouts.popleft()
            self.n_dropped += 1
        self._readouts.append(readout)

    def _take_items(self, first: int, items: Sequence[str], n_items: int) -> None:
        """Take a piece of the items, which are there once the last one is."""
        self._items[first:] = items
        if len(self._items) == n_items:
            self.about = self.about | {"items": tuple(self._items)}

    def _take_event(self, line: dict[str, Any]) -> None:
        self.events.append(advised(line))
        event = line["event"]
        if event in _UNANSWERED and line.get("time") is not None:
            self.unanswered[line["time"]] = str(line["reason"])
            while len(self.unanswered) > MAX_EVENTS:
                del self.unanswered[next(iter(self.unanswered))]
        if self.state not in ("opening", "ended"):
            self.state = _STATES.get(event, self.state)
        if event in ("paused", "resumed"):
            self.paused = event == "paused"

    def _wake(self) -> None:
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            with suppress(RuntimeError):  # its loop is closed
                wake()

    def answer_to(self, times: Sequence[float], end: float) -> Readout | None:
        """Take readouts until that of an event comes, or it is told that it has none.

        Parameters
        ----------
        times : sequence of float
            Of the event in s: with the markers' offset, which its readout has, and without.
        end : float
            Of the wait, on the clock of `monotonic`.

        Returns
        -------
        Readout or None
            None if there is none, or none by `end`.

        Raises
        ------
        EOFError, Exception
            As `next`.
        """

        def is_known() -> bool:
            return self._is_due() or any(time in self.unanswered for time in times)

        while True:
            self.wait(is_known, None if end == math.inf else max(0.0, end - monotonic()))
            readout = self.next(0.0)
            if readout is None:
                return None
            if readout.kind == "event" and readout.onset in times:
                return readout

    def _is_due(self) -> bool:
        return bool(self._readouts) or self.state == "ended" or self.error is not None

    def wait(self, until: Callable[[], object], timeout: float | None) -> None:
        """Wait until a condition holds, which a message may change.

        Parameters
        ----------
        until : callable
            Returns whether it holds.
        timeout : float or None
            Longest wait in s; None for no limit.
        """
        end = None if timeout is None else monotonic() + timeout
        with self._changed:
            while not until():
                left = _WAIT_S if end is None else min(_WAIT_S, end - monotonic())
                if left <= 0:
                    return
                self._changed.wait(left)

    def next(self, timeout: float | None) -> Readout | None:
        """Return the oldest readout; see `Live.next`.

        Parameters
        ----------
        timeout : float or None
            Longest wait in s.

        Returns
        -------
        Readout or None

        Raises
        ------
        EOFError
            If the session has ended, and all its readouts were taken.
        """
        self.wait(self._is_due, timeout)
        with self._changed:
            if self._readouts:
                return self._readouts.popleft()
            if self.error is not None:
                raise self.error
            if self.state == "ended":
                raise EOFError(f"the session has ended: {self.why}")
        return None

    async def coming(self) -> Readout:
        """Return the oldest readout, and let other tasks run until there is one.

        Returns
        -------
        Readout

        Raises
        ------
        StopAsyncIteration
            If the session has ended, and all its readouts were taken.
        """
        from asyncio import get_running_loop

        loop = get_running_loop()
        while True:
            future: asyncio.Future[None] = loop.create_future()
            with self._changed:
                if not self._is_due():
                    self._wakers.append(partial(loop.call_soon_threadsafe, _done, future))
                else:
                    future.set_result(None)
            await future
            try:
                readout = self.next(0.0)
            except EOFError:
                raise StopAsyncIteration from None
            if readout is not None:
                return readout


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
