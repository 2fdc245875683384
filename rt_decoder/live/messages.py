"""What crosses between a session's process and its experiment: framed messages through a pipe.

A frame is its length and kind, then the message: JSON, or for readouts, which are many and urgent,
JSON for texts alone and floats as they are in memory: to the bit, and JSON spends its time on floats.
"""

from __future__ import annotations

import builtins
import json
import os
import select
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import IO, Any

from rt_decoder.files.model_file import ModelCorrupt
from rt_decoder.signal import ModelMismatch, Readout, StreamLost
from rt_decoder.sinks.worker import Worker

__all__ = ["Teller", "decoded", "encoded", "messages"]

_HEAD = struct.Struct("<IB")  # bytes that follow, kind
_JSON, _READOUT = 0, 1
_ATOMIC = getattr(select, "PIPE_BUF", 512)  # bytes that a pipe takes whole or not at all
_MAX_WAITING = 1 << 16  # readouts and events that a consumer which hangs has not taken
_ERRORS = {one.__name__: one for one in (ModelCorrupt, ModelMismatch, StreamLost)}
_COUNT = struct.Struct("<I")
# fields of a readout by how they are packed
_LISTS = ("scores", "probabilities", "corrected", "posterior", "before")
_FLOATS = ("onset", "time", "bits", "quality", "latency_ms")
_PLAIN = tuple(name for name in Readout._fields if name not in _LISTS + _FLOATS)
_TUPLES = ("words", "reasons", "plausible")


def encoded(message: tuple[Any, ...]) -> bytes:
    """Return a message as a line of JSON.

    Parameters
    ----------
    message : tuple
        Of its name and what it holds.

    Returns
    -------
    bytes
    """
    what, *rest = message
    if what == "failed":
        rest = [type(rest[0]).__name__, str(rest[0])]
    return json.dumps([what, *rest], default=_plain).encode() + b"\n"


def decoded(line: bytes) -> tuple[Any, ...]:
    """Return the message of a line of JSON; errors have their class again, where it is known."""
    what, *rest = json.loads(line)
    return (what, _error(*rest)) if what == "failed" else (what, *rest)


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else list(value)


def _error(kind: str, text: str) -> Exception:
    """Make an error of the session one of this process, of the same class where that is known."""
    found = _ERRORS.get(kind, getattr(builtins, kind, None))
    if isinstance(found, type) and issubclass(found, Exception):
        with suppress(TypeError):
            return found(text)
    return RuntimeError(f"{kind}: {text}")


def _framed(message: tuple[Any, ...]) -> bytes:
    is_readout = message[0] == "readout"
    block = _packed(message[1]) if is_readout else encoded(message)
    return _HEAD.pack(len(block), _READOUT if is_readout else _JSON) + block


def _packed(readout: Readout) -> bytes:
    """Texts and counts of a readout as JSON, after their length, then its floats as they are."""
    lists = [getattr(readout, name) for name in _LISTS]
    plain = {name: getattr(readout, name) for name in _PLAIN}
    plain["abstained"] = bool(readout.abstained)
    text = json.dumps([*plain.values(), *map(len, lists)], default=int).encode()
    floats = [*(getattr(readout, name) for name in _FLOATS), *chain.from_iterable(lists)]
    return _COUNT.pack(len(text)) + text + struct.pack(f"<{len(floats)}d", *floats)


def _unpacked(block: bytes) -> Readout:
    end = _COUNT.size + _COUNT.unpack_from(block)[0]
    values = json.loads(block[_COUNT.size : end])
    floats = iter(struct.unpack(f"<{(len(block) - end) // 8}d", block[end:]))
    given = dict(zip(_PLAIN, values, strict=False))
    given |= {name: tuple(given[name]) for name in _TUPLES if given[name] is not None}
    given |= {name: next(floats) for name in _FLOATS}
    for name, count in zip(_LISTS, values[len(_PLAIN) :], strict=True):
        given[name] = tuple(islice(floats, count))
    return Readout(**given)


def messages(pipe: IO[bytes]) -> Iterator[tuple[Any, ...]]:
    """Yield the messages of a `Teller` as they come, until the pipe is closed; a torn one is dropped.

    Parameters
    ----------
    pipe : binary file
        Its reading end.

    Yields
    ------
    tuple
    """
    while len(head := pipe.read(_HEAD.size)) == _HEAD.size:
        length, kind = _HEAD.unpack(head)
        if len(block := pipe.read(length)) < length:
            return
        if kind == _READOUT:
            yield "readout", _unpacked(block)
        else:
            yield decoded(block)


class Teller:
    """The writing end: it never waits for the reader.

    A readout is written by the thread that has it, if the pipe has room and nothing waits before
    it: no other thread has to wake. Everything else goes through a worker.

    Parameters
    ----------
    pipe : int
        Descriptor, which `close` closes.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe, self._lock = pipe, threading.Lock()
        self._worker = Worker("consumer", _MAX_WAITING)
        self._is_direct = False
        with suppress(OSError, AttributeError):  # Windows: all through the worker
            os.set_blocking(pipe, False)
            self._is_direct = True

    def tell(self, message: tuple[Any, ...]) -> None:
        """Send a message, in order."""
        if message[0] != "readout":
            self._worker.put(lambda: self._write(_framed(message)), 1)
            return
        frame = _framed(message)
        if not (self._is_direct and len(frame) <= _ATOMIC and self._write_now(frame)):
            self._worker.put(lambda: self._write(frame), len(frame))

    def _write_now(self, frame: bytes) -> bool:
        """Write a frame, if that is possible at once and it is its turn."""
        if not self._worker.is_idle or not self._lock.acquire(blocking=False):
            return False
        try:
            return os.write(self._pipe, frame) == len(frame)
        except OSError:  # no room, or nobody is there: the worker finds out
            return False
        finally:
            self._lock.release()

    def _write(self, frame: bytes) -> None:
        with self._lock:
            left = memoryview(frame)
            while left:
                if self._is_direct:
                    select.select([], [self._pipe], [])
                with suppress(BlockingIOError):
                    left = left[os.write(self._pipe, left) :]

    def close(self) -> None:
        """Send what waits, and close the pipe."""
        self._worker.close()
        os.close(self._pipe)
