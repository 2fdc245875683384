"""Serve the page that shows words, on this machine only, and talk with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from rt_decoder.present.page_clock import PageClock
from rt_decoder.present.show import Frames
from rt_decoder.web.guard import Guarded
from rt_decoder.web.port import open_port

__all__ = ["PageServer", "Said", "serve_page"]

_PAGE = {"": ("index.html", "text/html"), "page.js": ("page.js", "text/javascript"),
         "page.css": ("page.css", "text/css")}  # fmt: skip
_FIRST = 5  # answers of the clock before a page is taken for ready
_EVERY, _SILENT = 1.0, 5.0  # s between questions; without an answer the page is gone
_ENDED = "The session has ended. You can close this page."
_ELSEWHERE = "Another window shows the words now. You can close this one."


class Said(NamedTuple):
    """What a page said."""

    kind: str  # "here", "gone", "key" or "shown"
    key: str = ""
    n: int = 0  # of what was shown
    at: float = 0.0  # when, in s on the LSL clock
    error: float = 0.0  # most by which that can be wrong, in s
    frames: Frames = Frames()  # since it last said so


class PageServer:
    """The page's other end.

    Parameters
    ----------
    clock : callable
        Returns the time in s on the LSL clock.
    url : str
        Where the page is.

    Attributes
    ----------
    heard : SimpleQueue of Said
        What the page said, in order.
    """

    def __init__(self, clock: Callable[[], float], url: str) -> None:
        self.clock, self.url = clock, url
        self.heard: SimpleQueue[Said] = SimpleQueue()
        self._page: _Page | None = None

    def show(self, n: int, text: str, kind: str, timed: bool, due: float | None) -> None:
        """Ask the page to show something; if there is none, nothing happens.

        Parameters
        ----------
        n : int
            By which it is told that it was shown.
        text, kind : str
            What.
        timed : bool
            Whether a key that pauses or ends comes before it.
        due : float or None
            When, in s on the LSL clock; None for now.
        """
        if page := self._page:
            page.loop.call_soon_threadsafe(
                page.send, {"show": n, "text": text, "kind": kind, "timed": timed}, due
            )

    def end(self) -> None:
        """Tell the page that all is over."""
        if page := self._page:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(page.end(_ENDED), page.loop).result(2.0)

    async def connect(self, websocket: WebSocket) -> None:
        """Talk with a page until it is gone; of several, the last one shows the words."""
        await websocket.accept()
        before, self._page = self._page, _Page(self, websocket)
        page = self._page
        if before:
            before.gone()
            await before.end(_ELSEWHERE)
        await page.talk()
        page.gone()
        if self._page is page:
            self._page = None


class _Page:
    """A page that is connected."""

    def __init__(self, server: PageServer, websocket: WebSocket) -> None:
        self.loop = asyncio.get_running_loop()
        self._server, self._websocket, self._clock = server, websocket, PageClock()
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answered = asyncio.Event()
        self._asked = 0.0
        self._n_asked = 0
        self._visible = self._told_here = self._left = False

    def send(self, what: dict[str, Any], due: float | None) -> None:
        at = None if due is None else 1e3 * self._clock.theirs(due)
        self._out.put_nowait(what | {"at": at})

    async def end(self, text: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # closed by now
            await self._websocket.send_text(json.dumps({"end": text}))
            await self._websocket.close()

    def gone(self) -> None:
        """Say once that nothing is seen here any more."""
        self._see(False)
        self._left = True

    async def talk(self) -> None:
        sending = [asyncio.create_task(self._send()), asyncio.create_task(self._ask())]
        try:
            async for text in self._websocket.iter_text():
                self._hear(text, self._server.clock())
        except (ValueError, TypeError, LookupError):  # it is no page of ours
            await self._websocket.close(1003)
        finally:
            for task in sending:
                task.cancel()

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._websocket.send_text(json.dumps(await self._out.get()))

    async def _ask(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                self._answered.clear()
                self._n_asked += 1
                self._asked = self._server.clock()
                await self._websocket.send_text(json.dumps({"ping": self._n_asked}))
                try:
                    await asyncio.wait_for(self._answered.wait(), _SILENT)
                except TimeoutError:
                    await self._websocket.close(1001)
                    return
                if len(self._clock) >= _FIRST:
                    await asyncio.sleep(_EVERY)

    def _hear(self, text: str, now: float) -> None:
        said = json.loads(text)
        if "pong" in said:
            if said["pong"] == self._n_asked and not self._answered.is_set():
                self._clock.add(self._asked, 1e-3 * float(said["at"]), now)
                self._answered.set()
                self._see(self._visible)
        elif "here" in said:
            self._visible = bool(said["here"])
            self._see(self._visible)
        elif "key" in said:
            self._put(Said("key", key=str(said["key"])[:16]))
        elif "shown" in said:
            n, dropped, longest, interval = said["frames"]
            frames = Frames(int(n), int(dropped), float(longest), float(interval))
            at = self._clock.ours(1e-3 * float(said["at"]))
            self._put(Said("shown", n=int(said["shown"]), at=at, error=self._clock.error,
                           frames=frames))  # fmt: skip

    def _see(self, visible: bool) -> None:
        """Tell changes of whether somebody can see the page and we know its clock."""
        here = visible and len(self._clock) >= _FIRST
        if here != self._told_here:
            self._put(Said("here" if here else "gone"))
            self._told_here = here

    def _put(self, said: Said) -> None:
        if not self._left:
            self._server.heard.put(said)


@contextmanager
def serve_page(port: int, clock: Callable[[], float]) -> Iterator[PageServer]:
    """Serve the page until the block is left.

    Parameters
    ----------
    port : int
        Of 127.0.0.1; 0 for any that is free.
    clock : callable
        Returns the time in s on the LSL clock.

    Yields
    ------
    PageServer

    Raises
    ------
    OSError
        If the port is taken.
    """
    with open_port(port) as listening:
        page = PageServer(clock, "http://{}:{}".format(*listening.getsockname()))
        config = uvicorn.Config(
            _app(page), log_config=None, access_log=False, lifespan="off", ws_max_size=4096,
            timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="page", daemon=True
        )
        thread.start()
        try:
            yield page
        finally:
            page.end()
            server.should_exit = True
            thread.join()


def _app(page: PageServer) -> ASGIApp:
    """The page's files, and its socket."""

    def file(name: str, kind: str) -> Callable[[Request], Response]:
        text = (files("rt_decoder.present") / "page" / name).read_text(encoding="utf-8")
        return lambda _: Response(text, media_type=kind)

    routes = [Route(f"/{path}", file(*one)) for path, one in _PAGE.items()]
    return Guarded(Starlette(routes=[*routes, WebSocketRoute("/socket", page.connect)]))
