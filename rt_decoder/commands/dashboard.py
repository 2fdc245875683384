"""``rt-decoder dashboard``: the operator's page."""

from __future__ import annotations

from typing import Annotated

import typer

from rt_decoder.commands.console import show_lines
from rt_decoder.commands.interrupt import stop_on_signals
from rt_decoder.commands.options import Port
from rt_decoder.commands.session_file import Config
from rt_decoder.commands.streams import keep_here

__all__ = ["COMMANDS"]


def dashboard(
    port: Port = 8765,
    network: Annotated[
        bool,
        typer.Option("--network", help="Let other machines open the page, with a token."),
    ] = False,
    token: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Token that other machines need; else a random one."),
    ] = "",
    show: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser of this machine.")
    ] = False,
    config: Config = None,
) -> None:
    """Show in a browser what every decoder does: signal, words, score, latency, events.

    It reads the decoders' LSL outlets, started before or after it; they do not know of it. It lowers
    its own priority, so that decoders go first, and that of a browser that --open starts. With
    --network the page is sent as plain text (HTTP): use it on a network that you trust.

    Example: rt-decoder dashboard --open
    """
    from rt_decoder.files.packages import need_packages

    need_packages("starlette", "uvicorn", "websockets", what="for the page")
    keep_here(network, offers=False)
    import secrets
    import socket
    import webbrowser

    from rt_decoder.dashboard.priority import step_back
    from rt_decoder.dashboard.server import make_app, serve
    from rt_decoder.dashboard.watcher import Watcher
    from rt_decoder.web.port import open_port

    if token and not network:
        raise typer.BadParameter("need --network with --token: this machine alone needs none")
    if config is not None:
        show_lines(config.line())
    step_back()
    token = (token or secrets.token_urlsafe(16)) if network else ""
    with stop_on_signals() as stop, open_port(port, network) as listener:
        stop.only_ask()
        port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}/" + (f"?token={token}" if token else "")
        show_lines(f"page at {address}, Ctrl-C ends")
        if network:
            show_lines(f"from elsewhere: http://{socket.gethostname()}:{port}/?token={token}")
        watcher = Watcher()
        if show:
            webbrowser.open(address)
        try:
            serve(make_app(watcher, token), listener, stop)
        finally:
            watcher.close()
    show_lines("page closed")


COMMANDS = (dashboard,)
