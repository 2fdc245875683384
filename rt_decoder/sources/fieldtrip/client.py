"""mne-realtime's FieldTrip buffer client, made safe to depend on.

The original spins for ever when its server dies, waits for ever when it freezes, and takes any
size that a reply claims. Here every reply has a deadline and a bound, and whatever goes wrong ends
in a closed socket and `StreamLost`: after a timeout the conversation is out of step and of no use.

Importing this module imports MNE; import it where a buffer is opened, not before.
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

NEVER = 0xFFFFFFFF  # events do not wake a server that waits for samples
BATCH = 64  # events a request; the usual server keeps 100
HEADER_LIMIT = 16 << 20  # bytes; a CTF header is 1.5 MB
EVENTS_LIMIT = 1 << 18  # bytes; the base class copies the rest of a reply at every event

# What the base class raises on replies that are not what they should be.
_MALFORMED = (OSError, ValueError, TypeError, IndexError, OverflowError, struct.error)
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux


class BufferClient(Client):
    """A conversation with a FieldTrip buffer, for one thread.

    Parameters
    ----------
    host, port : str, int
        Where the buffer listens.
    timeout : float
        Seconds within which a connection, and then every reply, must be complete.

    Raises
    ------
    OSError
        If nothing listens there.

    Notes
    -----
    `header`, `wait_for`, `data` and `events` raise `StreamLost` when the server is gone, does not
    answer in time or answers nonsense; the connection is closed then.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        super().__init__()
        self.name = f"fieldtrip://{host}:{port}"
        self.timeout = timeout
        self._limit = 0
        self._status = 0
        self.connect(host, port)

    def header(self) -> Any | None:
        """Header of the measurement, or None while there is none."""
        return self._ask(HEADER_LIMIT, self.getHeader)

    def wait_for(self, n_samples: int, milliseconds: int) -> tuple[int, int]:
        """Wait for more than `n_samples`; gives how many samples and events there are by then."""
        return self._ask(8, self.wait, n_samples, NEVER, milliseconds)

    def data(self, first: int, stop: int, n_channels: int, dtype: int) -> np.ndarray | None:
        """Samples `first` to `stop` - 1 as (n, c), or None if the server has them no longer."""
        shape, kind = (stop - first, n_channels), np.dtype(numpyType[dtype])
        limit = 16 + shape[0] * shape[1] * kind.itemsize
        data = self._ask(limit, self.getData, [first, stop - 1])
        if data is not None and (data.shape != shape or data.dtype != kind):
            raise self.lost(f"need {shape} {kind}, got {data.shape} {data.dtype}")
        return data

    def events(self, first: int, stop: int) -> list[Any]:
        """Events `first` to `stop` - 1, or none if the server has them no longer."""
        return self._ask(EVENTS_LIMIT, self.getEvents, [first, stop - 1])

    def abort(self) -> None:
        """Let a request that another thread waits for fail at once."""
        sock = self.sock
        if self.isConnected:
            with suppress(OSError, AttributeError):  # the other thread may have closed it just now
                sock.shutdown(socket.SHUT_RDWR)

    def lost(self, why: str) -> StreamLost:
        """Close the connection; the error to raise."""
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

    # Of the base class, by its names: the only three methods that touch the socket.

    def connect(self, hostname: str, port: int = 1972) -> None:
        """Open the connection."""
        self.sock = socket.create_connection((hostname, port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.isConnected = True

    def sendRaw(self, request: bytes) -> None:
        """Send a whole request."""
        if not self.isConnected:
            raise ConnectionError("the connection was closed")
        self._status = 0
        self.sock.settimeout(self.timeout)
        self.sock.sendall(request)

    def receiveResponse(self, minBytes: int = 0) -> tuple[int, int, bytes | None]:  # noqa: ARG002
        """Status, size and payload of a reply."""
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
                # Linux forgets it; a delayed acknowledgement costs 40 ms (67 ms at 306 channels)
                self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            got = self.sock.recv_into(rest)
            if got == 0:
                raise ConnectionError("the server has closed the connection")
            rest = rest[got:]
        return bytes(buffer)
