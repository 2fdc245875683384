"""The page's server: files of the page, and a WebSocket for what is new."""

from __future__ import annotations

import asyncio
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
from rt_decoder.dashboard.watcher import Watcher
from rt_decoder.web.guard import Guarded

__all__ = ["make_app", "serve"]

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


def serve(app: ASGIApp, listener: socket.socket, should_stop: Callable[[], bool]) -> None:
    """Serve until told to stop.

    Parameters
    ----------
    app : ASGI application
        From `make_app`.
    listener : socket
        From `rt_decoder.web.port.open_port`.
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
