"""One page that is open: what it is sent, and what it asks for."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from time import monotonic
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from rt_decoder.dashboard.traces import CLEAN, QUALITY, RAW, Trace, frame
from rt_decoder.dashboard.view import View
from rt_decoder.dashboard.watched import Watched
from rt_decoder.dashboard.watcher import Watcher
from rt_decoder.sinks.advice import FITS, REASONS, STATES

__all__ = ["Client"]

TICK_S, VIEW_S = 0.1, 1.0  # s between looks, and at most between two views
MAX_CHANNELS = 32


class Client:
    """A page behind a WebSocket.

    A page that is slow is sent less often: everything is read from what is kept, nothing waits for
    it. A page that nobody sees is sent no signal, and its view once a second.

    Parameters
    ----------
    socket : WebSocket
        Accepted.
    watcher : Watcher
        The decoders.
    """

    def __init__(self, socket: WebSocket, watcher: Watcher) -> None:
        self._socket, self._watcher = socket, watcher
        self._wanted = ""
        self._names: list[str] = []
        self._choice, self._n = 0, 0
        self._seen = True
        self._upto: dict[int, tuple[int, Trace]] = {}
        self._told: dict[str, Any] = {}
        self._view_at = 0.0

    async def serve(self) -> None:
        """Talk to the page until it is closed."""
        listening = asyncio.create_task(self._listen())
        try:
            with suppress(WebSocketDisconnect, RuntimeError):  # closed while we were sending
                await self._tell({"type": "advice", "advice": _advice()})
                while not listening.done():
                    await self._tick()
                    await asyncio.wait((listening,), timeout=TICK_S)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                self._asked(await self._socket.receive_text())

    def _asked(self, text: str) -> None:
        with suppress(ValueError, TypeError, AttributeError):  # of no page of ours
            asked = json.loads(text)
            if isinstance(uid := asked.get("watch"), str):
                self._wanted = uid[:200]
            self._seen = bool(asked.get("seen", self._seen))
            names = asked.get("channels")
            if isinstance(names, list) and isinstance(choice := asked.get("choice"), int):
                self._names = [str(name)[:100] for name in names[:MAX_CHANNELS]]
                self._choice = choice & 0xFFFFFFFF
                self._upto.clear()

    async def _tick(self) -> None:
        await self._news("decoders", [one.summary() for one in self._listed()])
        if (one := self._watched()) is None:
            await self._alive()
            return
        if self._told.get("watching") != one.id:
            self._told["watching"] = one.id
            self._n = 0
            self._upto.clear()
            await self._tell({"type": "watching", "id": one.id})
        if self._seen:
            one.look()
        await self._news("channels", one.channels())
        await self._view(one.view)
        if self._seen:
            await self._send(CLEAN, one.clean, [*self._names, QUALITY])
            await self._send(RAW, one.raw, self._names)

    async def _view(self, view: View) -> None:
        """Tell what the page shows: once a second, and when more than the latencies has changed."""
        due = monotonic() >= self._view_at
        if not (due or self._seen):
            return
        shown = view.shown(self._n)
        standing = {key: value for key, value in shown.items() if key != "bins"}
        if due or standing != self._told.get("view"):
            self._view_at = monotonic() + VIEW_S
            self._n = shown["n"]
            self._told["view"] = standing | {"words": [], "events": []}
            await self._tell(shown)

    async def _alive(self) -> None:
        """Say once a second that we are here: a page that hears nothing says that its server is gone."""
        if monotonic() >= self._view_at:
            self._view_at = monotonic() + VIEW_S
            await self._tell({"type": "alive"})

    def _listed(self) -> list[Watched]:
        """Decoders, without those that have ended and were started again by the same name."""
        decoders = self._watcher.decoders
        alive = {one.name for one in decoders if one.view.state != "ended"}
        return [one for one in decoders if one.view.state != "ended" or one.name not in alive]

    def _watched(self) -> Watched | None:
        """The decoder that was asked for; if it has ended, the newest of the same name, or of any.

        Of any, one that gets samples comes first.
        """
        decoders = self._watcher.decoders
        one = self._watcher.get(self._wanted)
        alive = [other for other in reversed(decoders) if other.view.state != "ended"]
        if one is not None and one in alive:
            return one
        name = "" if one is None else one.name
        for other in sorted(alive, key=lambda each: each.view.state != "live"):
            if one is None or other.name == name:
                self._wanted = other.id
                return other
        if one is None and decoders:
            one = decoders[-1]
        return one

    async def _send(self, kind: int, trace: Trace | None, names: list[str]) -> None:
        if trace is None or not self._names:
            return
        upto, of = self._upto.get(kind, (0, trace))
        taken = trace.take(upto if of is trace else 0, names)
        self._upto[kind] = taken.upto, trace
        if len(taken.times):
            await self._socket.send_bytes(frame(kind, self._choice, taken))

    async def _news(self, name: str, value: Any) -> None:
        """Tell what has changed."""
        if self._told.get(name) != value:
            self._told[name] = value
            await self._tell({"type": name, name: value})

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message, ensure_ascii=False))


def _advice() -> dict[str, Any]:
    tables = {"fits": FITS, "states": STATES, "reasons": REASONS}
    return {
        table: {name: list(advice) for name, advice in of.items()} for table, of in tables.items()
    }
