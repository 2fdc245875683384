"""A port for a page: on this machine alone, or open to the network."""

from __future__ import annotations

import errno
import socket

__all__ = ["open_port"]


def open_port(port: int, network: bool = False) -> socket.socket:
    """Open a port: on loopback, or to the network where that is asked for.

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
