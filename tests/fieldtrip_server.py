"""A small FieldTrip buffer that speaks the protocol, with the faults of real ones.

It keeps the manners of the usual server: counts that start again with a new header, a ring that
forgets, errors of size 0, and events that do not wake a client that waits for samples. Listens on
loopback only, on a port that the system chooses.

    python -m tests.fieldtrip_server --channels 306 --sfreq 1000 --block 28

puts the time at which each block was put into channel 0.
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

PUT_HDR, PUT_DAT, PUT_EVT, PUT_OK, PUT_ERR = 0x101, 0x102, 0x103, 0x104, 0x105
GET_HDR, GET_DAT, GET_EVT, GET_OK, GET_ERR = 0x201, 0x202, 0x203, 0x204, 0x205
FLUSH_HDR, FLUSH_DAT, FLUSH_EVT, FLUSH_OK, FLUSH_ERR = 0x301, 0x302, 0x303, 0x304, 0x305
WAIT_DAT, WAIT_OK, WAIT_ERR = 0x402, 0x404, 0x405
DTYPES = (
    "int8", "uint8", "uint16", "uint32", "uint64",
    "int8", "int16", "int32", "int64", "float32", "float64",
)  # fmt: skip


def chunk(kind: int, payload: bytes) -> bytes:
    return struct.pack("II", kind, len(payload)) + payload


def names_chunk(names: Any) -> bytes:
    return chunk(1, b"".join(name.encode() + b"\0" for name in names))


def event_bytes(kind: Any, value: Any, sample: int) -> bytes:
    """An event; type and value are text (bytes or str) or arrays."""
    parts = []
    for item in (kind, value):
        if isinstance(item, str | bytes):
            raw = item.encode() if isinstance(item, str) else item
            parts.append((0, len(raw), raw))
        else:
            array = np.atleast_1d(item)
            parts.append((DTYPES.index(array.dtype.name, 1), array.size, array.tobytes()))
    (t, nt, raw_t), (v, nv, raw_v) = parts
    head = struct.pack("4I3iI", t, nt, v, nv, sample, 0, 0, len(raw_t) + len(raw_v))
    return head + raw_t + raw_v


class FieldTripServer:
    """A buffer for as long as the ``with`` block lasts.

    Parameters
    ----------
    ring : int
        How many samples are kept.
    n_events : int
        How many events are kept.
    """

    def __init__(self, ring: int = 600_000, n_events: int = 100) -> None:
        self.ring, self.n_events_kept = ring, n_events
        self.thawed = threading.Event()
        self.thawed.set()
        self._changed = threading.Condition(threading.RLock())
        self._header: tuple[int, float, int, bytes] | None = None
        self._first, self._n, self._n_events = 0, 0, 0
        self._data = np.zeros((0, 0))
        self._events: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closing = False

    def __enter__(self) -> FieldTripServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self.thawed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_clients()
        for thread in self._threads:
            thread.join(5.0)
            assert not thread.is_alive()

    # what an acquisition program does

    def put_header(
        self, sfreq: float, n_channels: int, dtype: str = "float32", chunks: bytes = b""
    ) -> None:
        """Begin a measurement: the counts start again."""
        with self._changed:
            self._header = (n_channels, sfreq, DTYPES.index(dtype, 1), chunks)
            self._data = np.zeros((self.ring, n_channels), dtype)
            self._events = []
            self._first = self._n = self._n_events = 0
            self._changed.notify_all()

    def put_data(self, data: np.ndarray) -> int:
        """Append samples (n, c); gives how many there are by now."""
        with self._changed:
            rows = np.arange(self._n, self._n + len(data)) % self.ring
            self._data[rows] = data
            self._n += len(data)
            self._changed.notify_all()
            return self._n

    def put_event(self, kind: Any, value: Any, sample: int = -1) -> None:
        with self._changed:  # and nobody is woken
            self._store_event(event_bytes(kind, value, sample))

    def flush(self, command: int = FLUSH_HDR) -> None:
        with self._changed:
            self._flush(command)

    # faults

    def freeze(self) -> None:
        """Keep the connections and answer nothing more, as a stopped process does."""
        self.thawed.clear()

    def drop_clients(self) -> None:
        """Close every connection, as a killed process does."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._sockets = []

    # the server

    def _start(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, struct.error), sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                version, command, size = struct.unpack("HHI", _read(sock, 8))
                payload = _read(sock, size)
                self.thawed.wait()
                if version != 1 or self._closing:
                    return
                status, reply = self._answer(command, payload)
                sock.sendall(struct.pack("HHI", 1, status, len(reply)) + reply)

    def _answer(self, command: int, payload: bytes) -> tuple[int, bytes]:
        if command == WAIT_DAT:
            return self._wait(*struct.unpack("3I", payload))
        with self._changed:
            if command == GET_HDR:
                return self._get_header()
            if command == GET_DAT:
                return self._get_data(payload)
            if command == GET_EVT:
                return self._get_events(payload)
            if command in (FLUSH_HDR, FLUSH_DAT, FLUSH_EVT):
                return self._flush(command)
            return self._put(command, payload)

    def _get_header(self) -> tuple[int, bytes]:
        if self._header is None:
            return GET_ERR, b""
        n_channels, sfreq, dtype, chunks = self._header
        head = (n_channels, self._n, self._n_events, sfreq, dtype, len(chunks))
        return GET_OK, struct.pack("3If2I", *head) + chunks

    def _range(self, payload: bytes, n: int, kept: int) -> range | None:
        begin, end = struct.unpack("2I", payload) if payload else (max(0, n - kept), n - 1)
        inside = max(0, n - kept) <= begin <= end < n
        return range(begin, end + 1) if inside else None

    def _get_data(self, payload: bytes) -> tuple[int, bytes]:
        wanted = self._range(payload, self._n, self.ring)
        if self._header is None or wanted is None:
            return GET_ERR, b""
        raw = self._data[np.arange(wanted.start, wanted.stop) % self.ring].tobytes()
        head = struct.pack("4I", self._header[0], len(wanted), self._header[2], len(raw))
        return GET_OK, head + raw

    def _get_events(self, payload: bytes) -> tuple[int, bytes]:
        wanted = self._range(payload, self._n_events, self.n_events_kept)
        if self._header is None or wanted is None:
            return GET_ERR, b""
        back = self._n_events - len(self._events)
        return GET_OK, b"".join(self._events[i - back] for i in wanted)

    def _store_event(self, raw: bytes) -> None:
        if struct.unpack_from("i", raw, 16)[0] == -1:  # now
            raw = raw[:16] + struct.pack("i", self._n) + raw[20:]
        self._events = [*self._events, raw][-self.n_events_kept :]
        self._n_events += 1

    def _put(self, command: int, payload: bytes) -> tuple[int, bytes]:
        if command == PUT_HDR:
            n_channels, _, _, sfreq, dtype, size = struct.unpack_from("3If2I", payload)
            self.put_header(sfreq, n_channels, DTYPES[dtype], payload[24 : 24 + size])
        elif self._header is None:
            return PUT_ERR, b""
        elif command == PUT_DAT:
            n_channels, n, dtype, _ = struct.unpack_from("4I", payload)
            if (n_channels, dtype) != (self._header[0], self._header[2]):
                return PUT_ERR, b""
            data = np.frombuffer(payload[16:], DTYPES[dtype]).reshape(n, n_channels)
            self.put_data(data)
        elif command == PUT_EVT:
            at = 0
            while at < len(payload):
                stop = at + 32 + struct.unpack_from("I", payload, at + 28)[0]
                self._store_event(payload[at:stop])
                at = stop
        return PUT_OK, b""

    def _flush(self, command: int) -> tuple[int, bytes]:
        if self._header is None:
            return FLUSH_ERR, b""
        if command == FLUSH_HDR:
            self._header = None
        if command != FLUSH_EVT:
            self._n = 0
        if command != FLUSH_DAT:
            self._events, self._n_events = [], 0
        return FLUSH_OK, b""

    def _wait(self, n_samples: int, n_events: int, milliseconds: int) -> tuple[int, bytes]:
        end = time.monotonic() + milliseconds / 1000
        with self._changed:
            while True:
                if self._header is None:
                    return WAIT_ERR, b""
                left = end - time.monotonic()
                if self._n > n_samples or self._n_events > n_events or left <= 0 or self._closing:
                    return WAIT_OK, struct.pack("2I", self._n, self._n_events)
                self._changed.wait(left)


def _read(sock: socket.socket, n: int) -> bytes:
    got = b""
    while len(got) < n:
        part = sock.recv(n - len(got))
        if not part:
            raise ConnectionError
        got += part
    return got


def main() -> None:
    """Serve noise until killed; the address is the first line on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--channels", type=int, default=306)
    parser.add_argument("--sfreq", type=float, default=1000.0)
    parser.add_argument("--block", type=int, default=28)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--ring", type=int, default=60_000)
    args = parser.parse_args()
    from pylsl import local_clock

    with FieldTripServer(ring=args.ring) as server:
        names = [f"MEG{i:04d}" for i in range(args.channels)]
        server.put_header(args.sfreq, args.channels, args.dtype, names_chunk(names))
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()
        noise = np.random.default_rng(0).standard_normal((args.block, args.channels))
        begin, n = time.monotonic(), 0
        while True:
            n += args.block
            time.sleep(max(0.0, begin + n / args.sfreq - time.monotonic()))
            noise[:, 0] = local_clock()
            server.put_data(noise)


if __name__ == "__main__":
    main()
