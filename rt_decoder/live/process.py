"""A session in a process of its own: it shares no interpreter with the experiment.

Two pipes join the processes, the standard input and output of the session's; each message is a line
of JSON. The session ends, with whole files, when it is asked to or when the experiment's end of the
pipe closes.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from rt_decoder.files.model_file import ModelCorrupt
from rt_decoder.live.host import SessionHost
from rt_decoder.signal import ModelMismatch, Readout, StreamLost
from rt_decoder.sinks.worker import Worker

__all__ = ["SessionProcess", "main"]

_CODE = "from rt_decoder.live.process import main; main()"
_MAX_WAITING = 1 << 16  # readouts and events that a consumer which hangs has not taken
_ERRORS = {one.__name__: one for one in (ModelCorrupt, ModelMismatch, StreamLost)}


class SessionProcess:
    """The experiment's end.

    Parameters
    ----------
    take : callable
        Takes what the session tells (see `SessionHost`), in a thread of its own.
    given : mapping
        As `SessionHost.run` takes it.

    Attributes
    ----------
    pid : int
        Of the session's process.
    """

    def __init__(self, take: Callable[[tuple[Any, ...]], object], given: Mapping[str, Any]) -> None:
        self._take, self._lock = take, threading.Lock()
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE],  # -P: no file of the experiment is a library's
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the experiment's, which ends the session in order
        )
        self.pid = self._process.pid
        self.ask("run", given)
        self._reader = threading.Thread(target=self._read, name="session", daemon=True)
        self._reader.start()

    def ask(self, what: str, *arguments: Any) -> None:
        """Ask something of the session, among `host.ASKED`."""
        into = self._process.stdin
        assert into is not None
        with self._lock, suppress(OSError, ValueError):  # it has ended, and has told why
            into.write(_encoded((what, *arguments)))
            into.flush()

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        last = ""
        for line in out:
            message = _decoded(line)
            last = message[0]
            self._take(message)
        if last not in ("ended", "failed"):
            code = self._process.wait()
            error = RuntimeError(f"the session's process has died (exit code {code})")
            self._take(("failed", error))

    def close(self, timeout: float) -> None:
        """Wait for the process to end; after `timeout` s it is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock, suppress(OSError):  # nobody may be there to hear it
            self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()


def main() -> None:
    """Run the session's end: read what to run from standard input, tell on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = sys.stdin.buffer
    _, given = _decoded(asked.readline())
    worker = Worker("consumer", _MAX_WAITING)
    host = SessionHost(lambda message: worker.put(lambda: _write(out, message)))
    signal.signal(signal.SIGTERM, lambda *_: host.stop())
    listener = threading.Thread(target=_listen, args=(asked, host), name="asked")
    listener.start()
    host.run(given)
    worker.close()
    out.close()
    listener.join()  # until the experiment has heard of the end, or has ended itself


def _write(out: BinaryIO, message: tuple[Any, ...]) -> None:
    out.write(_encoded(message))
    out.flush()


def _listen(asked: BinaryIO, host: SessionHost) -> None:
    for line in asked:
        what, *arguments = _decoded(line)
        host.ask(what, *arguments)
    host.stop()


def _encoded(message: tuple[Any, ...]) -> bytes:
    what, *rest = message
    if what == "failed":
        rest = [type(rest[0]).__name__, str(rest[0])]
    elif what == "readout":
        rest = rest[0]
    return json.dumps([what, *rest], default=_plain).encode() + b"\n"


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else list(value)


def _decoded(line: bytes) -> tuple[Any, ...]:
    what, *rest = json.loads(line)
    if what == "readout":
        values: list[Any] = [tuple(one) if isinstance(one, list) else one for one in rest]
        return what, Readout(*values)
    if what == "failed":
        return what, _error(*rest)
    return what, *rest


def _error(kind: str, text: str) -> Exception:
    """Make an error of the session one of this process, of the same class where that is known."""
    found = _ERRORS.get(kind, getattr(builtins, kind, None))
    if isinstance(found, type) and issubclass(found, Exception):
        with suppress(TypeError):
            return found(text)
    return RuntimeError(f"{kind}: {text}")
