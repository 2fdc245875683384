"""A data outlet in a separate process that can be killed, stopped and started again.

`OutletProcess` is the handle; this module run as a program (``python -m``) is the process. It reads
its stream and the orders ``open`` and ``start`` from standard input, and reports its progress on
standard output. It ends when its input ends, so that it never outlives its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

import numpy as np
import pylsl

from rt_decoder.signal import SignalInfo
from rt_decoder.sinks.outlets import data_outlet

__all__ = ["OutletProcess"]

_POLL_S = 0.02  # between two looks at orders and consumers
_CLOSE_S = 2.0
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


class OutletProcess:
    """A stream that another process sends at given times.

    Parameters
    ----------
    name, source_id : str
        Of the stream.
    info : SignalInfo
        Channels and rate that the stream declares.
    data : array of shape (n, c)
        Values, sent as float64.
    due : array of shape (n,), float64
        Time of sending of each sample in s since the start; never falls.
    stamps : array of shape (n,), float64
        In s since the start.

    Attributes
    ----------
    n_sent : int
        Number of samples pushed, as known some 20 ms ago.
    opened : float
        LSL time at which the outlet was open; NaN before.
    done : bool
        Whether all samples have been pushed.
    consumers : bool
        Whether anyone reads the stream.
    """

    def __init__(
        self,
        name: str,
        source_id: str,
        info: SignalInfo,
        data: np.ndarray,
        due: np.ndarray,
        stamps: np.ndarray,
    ) -> None:
        self.name = name
        self.n_sent, self.opened, self.done, self.consumers = 0, np.nan, False, False
        header = {
            "name": name, "source_id": source_id, "n": len(due), "sfreq": info.sfreq,
            "ch_names": info.ch_names, "ch_types": info.ch_types, "units": info.units,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, source_id],  # the id shows in lists of processes
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only the parent, which then ends this process
        )
        self._tell((json.dumps(header) + "\n").encode())
        for array in (due, stamps, data):
            self._tell(np.ascontiguousarray(array, "<f8").data)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _tell(self, what: bytes | memoryview) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(what)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.check()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for told in map(json.loads, self.process.stdout):
            self.n_sent = told.get("n_sent", self.n_sent)
            self.opened = told.get("opened", self.opened)
            self.done = told.get("done", self.done)
            self.consumers = told.get("consumers", self.consumers)

    def open(self) -> None:
        """Open the outlet, so that consumers can find it."""
        self._tell(b'["open"]\n')

    def start(self, start: float, speed: float) -> None:
        """Send each sample at the LSL time ``start + due / speed``."""
        self._tell(f"{json.dumps(['start', start, speed])}\n".encode())

    def have_consumers(self) -> bool:
        """Whether anyone reads the stream."""
        self.check()
        return self.consumers

    def check(self) -> None:
        """Raise ChildProcessError if the process has ended unasked."""
        code = self.process.poll()
        if code is not None:
            raise ChildProcessError(f"the process of stream {self.name!r} ended with code {code}")

    def hang(self) -> None:
        """Stop the process (SIGSTOP); its connections stay."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Resume a stopped process."""
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process, stopped or not."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Let the process close its outlet and end; kill it if it does not end in time."""
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: PT018
        with contextlib.suppress(BrokenPipeError):  # what it has not read no longer matters
            self.process.stdin.close()
        try:
            self.process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self.process.stdout.close()


def main() -> None:
    """Run as the process: read the stream, then obey orders until the input ends."""
    if sys.platform == "linux":  # the end of its input does not end a process that is stopped
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    source = sys.stdin.buffer
    header = json.loads(source.readline())
    n, n_channels = header["n"], len(header["ch_names"])
    due, stamps = _array(source, n), _array(source, n)
    data = _array(source, n * n_channels).reshape(n, n_channels)
    orders: SimpleQueue[list[Any]] = SimpleQueue()
    threading.Thread(target=_read_orders, args=(source, orders), daemon=True).start()
    with contextlib.suppress(BrokenPipeError, _Ended):
        _serve(header, data, due, stamps, orders)


class _Ended(Exception):
    """The input has ended."""


def _array(source: BinaryIO, n: int) -> np.ndarray:
    return np.frombuffer(source.read(8 * n), "<f8")


def _read_orders(source: BinaryIO, orders: SimpleQueue[list[Any]]) -> None:
    for line in source:
        orders.put(json.loads(line))
    orders.put(["end"])


def _order(orders: SimpleQueue[list[Any]], timeout: float | None) -> list[Any]:
    """Return the next order; empty if none comes in time."""
    try:
        order = orders.get(timeout=timeout) if timeout != 0 else orders.get_nowait()
    except Empty:
        return []
    if order[0] == "end":
        raise _Ended
    return order


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _serve(
    header: dict[str, Any],
    data: np.ndarray,
    due: np.ndarray,
    stamps: np.ndarray,
    orders: SimpleQueue[list[Any]],
) -> None:
    _order(orders, None)
    names, types, units = (tuple(header[key]) for key in ("ch_names", "ch_types", "units"))
    info = SignalInfo(header["sfreq"], names, types, units)
    outlet = data_outlet(header["name"], info, header["source_id"])
    _say(opened=pylsl.local_clock())
    while not (order := _order(orders, _POLL_S)):
        _say(consumers=outlet.have_consumers())
    _, start, speed = order
    _send(outlet, data, due / speed + start, (stamps + start).tolist(), orders)
    _say(n_sent=len(due), done=True, consumers=outlet.have_consumers())
    while not _order(orders, _POLL_S):
        _say(consumers=outlet.have_consumers())


def _send(
    outlet: pylsl.StreamOutlet,
    data: np.ndarray,
    due: np.ndarray,
    stamps: list[float],
    orders: SimpleQueue[list[Any]],
) -> None:
    """Push samples when they are due, together with all others that are due."""
    first, told = 0, 0.0
    while first < len(due):
        now = pylsl.local_clock()
        stop = int(np.searchsorted(due, now, side="right"))
        if stop > first:
            outlet.push_chunk(data[first:stop], stamps[first:stop])
            first = stop
        else:
            time.sleep(min(due[first] - now, _POLL_S))
        if now - told > _POLL_S:
            told = now
            _order(orders, 0)
            _say(n_sent=first)


if __name__ == "__main__":
    main()
