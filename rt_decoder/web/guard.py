"""Who may see the page: this machine alone, or who has the token; and what the page may load."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["POLICY", "Guarded"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",  # with the next one: a finer performance.now()
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_COOKIE = "rt_decoder_token"
_HERE = ("127.0.0.1", "localhost", "[::1]", "::1")


class Guarded:
    """Let in who may see decoded words, and tell browsers to load nothing from elsewhere.

    Without a token, the request must be addressed to this machine by a loopback name: a page of
    another site, whose name was pointed here, is refused. A WebSocket must come from our own page.

    Parameters
    ----------
    app : ASGI application
    token : str
        That others need; empty where only this machine can connect.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refused := self._refused(scope, headers):
            await _refuse(scope, receive, send, refused)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if self._token and "token" in _query(scope):  # out of the address, into a cookie
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
            await answer(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _refused(self, scope: Scope, headers: Headers) -> str:
        host = headers.get("host", "")
        if self._token:
            given = (*_query(scope).get("token", ()), _cookie(headers))
            if not any(hmac.compare_digest(one.encode(), self._token.encode()) for one in given):
                return (
                    "need the address with its token, as rt-decoder dashboard --network printed it"
                )
        elif _name(host) not in _HERE:
            return "need a loopback address, as rt-decoder dashboard printed it"
        if scope["type"] == "websocket" and urlsplit(headers.get("origin", "")).netloc != host:
            return "need a connection from our own page"
        return ""


def _name(host: str) -> str:
    """A host without its port."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _query(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1"))


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        closed: dict[str, Any] = {"type": "websocket.close", "code": 1008, "reason": why}
        await receive()
        await send(closed)
        return
    answer: Response = PlainTextResponse(f"{why}\n", 403, headers=_HEADERS)
    await answer(scope, receive, send)
