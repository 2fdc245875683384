"""The page's server: files of the page, and a WebSocket for what is new."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from rt_decoder.dashboard.client import Client
from rt_decoder.dashboard.guard import Guarded
from rt_decoder.dashboard.watcher import Watcher

__all__ = ["bound", "make_app", "serve"]

PAGE = Path(__file__).with_name("page")
MOST_PAGES = 16  # that may be open at once


def make_app(watcher: Watcher, token: str = "") -> ASGIApp:
    """Make the application.

    Parameters
    ----------
    watcher : Watcher
        The decoders.
    token : str
        That others need; empty where only this machine can connect.

    Returns
    -------
    ASGI application
    """
    open_pages = set[Client]()

    async def index(_: Request) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    async def live(opened: WebSocket) -> None:
        await opened.accept()
        if len(open_pages) >= MOST_PAGES:
            await opened.close(1013, f"need at most {MOST_PAGES} open pages")
            return
        client = Client(opened, watcher)
        open_pages.add(client)
        try:
            await client.serve()
        finally:
            open_pages.discard(client)

    routes = [
        Route("/", index),
        WebSocketRoute("/live", live),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Guarded(Starlette(routes=routes), token)


def bound(port: int, network: bool) -> socket.socket:
    """Open the port: on loopback, or to the network where that is asked for.

    Parameters
    ----------
    port : int
        0 for any that is free.
    network : bool
        Whether other machines may connect.

    Returns
    -------
    socket

    Raises
    ------
    OSError
        If the port is taken, or may not be used.
    """
    try:
        return socket.create_server(("" if network else "127.0.0.1", port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = (
                f"need a free port, got {port}, which another program has (is a page open already?)"
            )
        elif error.errno == errno.EACCES:
            why = f"need a port that you may open, got {port}"
        else:
            raise
        raise OSError(f"{why}; --port 0 takes a free one") from None


def serve(app: ASGIApp, listener: socket.socket, should_stop: Callable[[], bool]) -> None:
    """Serve until told to stop.

    Parameters
    ----------
    app : ASGI application
        From `make_app`.
    listener : socket
        From `bound`.
    should_stop : callable
        Takes nothing; returns True to end.
    """
    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", ws="websockets-sansio",
        ws_max_size=1 << 16, timeout_graceful_shutdown=1, server_header=False,
    )  # fmt: skip
    server = _Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not should_stop() and not serving.done():
            await asyncio.wait((serving,), timeout=0.1)
        server.should_exit = True
        await serving

    asyncio.run(run())


class _Server(uvicorn.Server):
    """A server that leaves signals to the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
