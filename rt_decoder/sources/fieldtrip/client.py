"""mne-realtime's FieldTrip buffer client, with deadlines and limits.

The original loops for ever when its server dies, waits for ever when it freezes, and accepts any
size that a reply claims. Here every reply has a deadline and a size limit, and every error closes
the socket and raises `StreamLost`: after a timeout, requests and replies would no longer match.

Importing this module imports MNE: import it only where a buffer is opened.
"""

from __future__ import annotations

import socket
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import numpy as np

from rt_decoder.signal import StreamLost

with warnings.catch_warnings():
    # It advises LSL, which sites with a FieldTrip buffer do not have.
    warnings.filterwarnings("ignore", "MNE-realtime is discontinued", FutureWarning)
    try:
        from mne_realtime.externals.FieldTrip import VERSION, WAIT_ERR, Client, numpyType
    except ImportError as error:
        raise ImportError(
            "need mne-realtime to read a FieldTrip buffer: pip install 'rt-decoder[fieldtrip]'"
        ) from error

__all__ = ["BATCH", "BufferClient"]

NEVER = 0xFFFFFFFF  # number of events to wait for: none wakes a server that waits for samples
BATCH = 64  # events a request; the usual server keeps 100
HEADER_LIMIT = 16 << 20  # bytes; a CTF header is 1.5 MB
EVENTS_LIMIT = 1 << 18  # bytes; the base class copies the rest of a reply at every event

# Errors of the base class on malformed replies.
_MALFORMED = (OSError, ValueError, TypeError, IndexError, OverflowError, struct.error)
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux


class BufferClient(Client):
    """A connection to a FieldTrip buffer, for one thread.

    Parameters
    ----------
    host, port : str, int
        Where the buffer listens.
    timeout : float
        Longest time in s for connecting, and for each complete reply.

    Raises
    ------
    OSError
        If nothing listens there.

    Notes
    -----
    `header`, `wait_for`, `data` and `events` close the connection and raise `StreamLost` when the
    server is gone, does not answer in time, or sends a malformed reply.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        super().__init__()
        self.name = f"fieldtrip://{host}:{port}"
        self.timeout = timeout
        self._limit = 0
        self._status = 0
        self.connect(host, port)

    def header(self) -> Any | None:
        """Return the header of the measurement, or None before one begins."""
        return self._ask(HEADER_LIMIT, self.getHeader)

    def wait_for(self, n_samples: int, milliseconds: int) -> tuple[int, int]:
        """Wait for more than `n_samples`; returns the numbers of samples and events by then."""
        return self._ask(8, self.wait, n_samples, NEVER, milliseconds)

    def data(self, first: int, stop: int, n_channels: int, dtype: int) -> np.ndarray | None:
        """Fetch samples.

        Parameters
        ----------
        first, stop : int
            Samples `first` to `stop` - 1.
        n_channels : int
            Number of channels in the header.
        dtype : int
            Number of the data type in the header.

        Returns
        -------
        array of shape (stop - first, n_channels), or None
            In the buffer's data type; None if the server no longer has them.
        """
        shape, kind = (stop - first, n_channels), np.dtype(numpyType[dtype])
        limit = 16 + shape[0] * shape[1] * kind.itemsize
        data = self._ask(limit, self.getData, [first, stop - 1])
        if data is not None and (data.shape != shape or data.dtype != kind):
            raise self.lost(f"need {shape} {kind}, got {data.shape} {data.dtype}")
        return data

    def events(self, first: int, stop: int) -> list[Any]:
        """Fetch events `first` to `stop` - 1; empty if the server no longer has them."""
        return self._ask(EVENTS_LIMIT, self.getEvents, [first, stop - 1])

    def abort(self) -> None:
        """Make a request that another thread waits for fail at once."""
        sock = self.sock
        if self.isConnected:
            with suppress(OSError, AttributeError):  # the other thread may have closed it just now
                sock.shutdown(socket.SHUT_RDWR)

    def lost(self, why: str) -> StreamLost:
        """Close the connection; returns the error to raise."""
        self.disconnect()
        return StreamLost(f"{self.name}: {why}")

    def _ask(self, limit: int, request: Callable[..., Any], *args: Any) -> Any:
        self._limit = limit
        try:
            return request(*args)
        except TimeoutError:
            raise self.lost(f"no answer within {self.timeout:g} s") from None
        except _MALFORMED as error:
            if self._status == WAIT_ERR:
                raise self.lost("new measurement: the old one was flushed") from None
            raise self.lost(str(error)) from error

    # The only methods of the base class that touch the socket, under its names.

    def connect(self, hostname: str, port: int = 1972) -> None:
        """Open the connection."""
        self.sock = socket.create_connection((hostname, port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.isConnected = True

    def sendRaw(self, request: bytes) -> None:
        """Send a whole request; ConnectionError if the connection was closed."""
        if not self.isConnected:
            raise ConnectionError("the connection was closed")
        self._status = 0
        self.sock.settimeout(self.timeout)
        self.sock.sendall(request)

    def receiveResponse(self, minBytes: int = 0) -> tuple[int, int, bytes | None]:  # noqa: ARG002
        """Read a reply: status, size, payload; ConnectionError if it is malformed."""
        deadline = monotonic() + self.timeout
        version, status, size = struct.unpack("HHI", self._receive(8, deadline))
        if version != VERSION:
            raise ConnectionError(f"need protocol version {VERSION}, got {version}")
        if size > self._limit:
            raise ConnectionError(f"need a reply of at most {self._limit} bytes, got {size}")
        self._status = status
        return status, size, self._receive(size, deadline) if size else None

    def _receive(self, n: int, deadline: float) -> bytes:
        buffer = bytearray(n)
        rest = memoryview(buffer)
        while len(rest):
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError
            self.sock.settimeout(left)
            if _QUICKACK is not None:
                # Linux resets this option; a delayed ACK costs 40 ms (67 ms at 306 channels)
                self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            got = self.sock.recv_into(rest)
            if got == 0:
                raise ConnectionError("the server has closed the connection")
            rest = rest[got:]
        return bytes(buffer)
