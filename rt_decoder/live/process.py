"""A session in a process of its own: it shares no interpreter with the experiment.

Two pipes join the processes, the standard input and output of the session's (`messages`). The session ends, with whole files, when it is asked to or when the experiment's end of the
pipe closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from rt_decoder.live.host import SessionHost
from rt_decoder.live.messages import Teller, decoded, encoded, messages

__all__ = ["SessionProcess", "main"]

_CODE = "from rt_decoder.live.process import main; main()"


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
            into.write(encoded((what, *arguments)))
            into.flush()

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        last = ""
        for message in messages(out):
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
    teller = Teller(os.dup(1))
    os.dup2(2, 1)  # whatever a library prints must not come between the messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = sys.stdin.buffer
    _, given = decoded(asked.readline())
    host = SessionHost(teller.tell)
    signal.signal(signal.SIGTERM, lambda *_: host.stop())
    listener = threading.Thread(target=_listen, args=(asked, host), name="asked")
    listener.start()
    host.run(given)
    teller.close()
    listener.join()  # until the experiment has heard of the end, or has ended itself


def _listen(asked: BinaryIO, host: SessionHost) -> None:
    for line in asked:
        what, *arguments = decoded(line)
        host.ask(what, *arguments)
    host.stop()
