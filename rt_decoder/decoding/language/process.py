"""The language in a process of its own: it shares no interpreter with the session's loop.

Two pipes join the processes. Each message is a line of JSON; numbers of items travel as float64 in
base64. The first line says which language, over which items; the answer is its identity. The second
says the rules; from then on each event is answered by the prior of the next one, in order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from rt_decoder.decoding.language.next_word import NextWord, rules_of, told
from rt_decoder.decoding.language.opening import words_of
from rt_decoder.model import Language, Model
from rt_decoder.signal import Marker

__all__ = ["LanguageProcess", "main"]

_CODE = "from rt_decoder.decoding.language.process import main; main()"
_ERRORS = (OSError, ValueError, LookupError, TypeError, RuntimeError, ImportError, MemoryError)


class LanguageProcess:
    """The session's end.

    Parameters
    ----------
    model : Model
        With a map.
    text : Path or None
        Of ``--language-text``.
    name : str
        Of ``--language-model``.
    weight : float or None
        Share of the language; None for the fitted one.

    Attributes
    ----------
    rules : Language
        By which the prior is made.

    Raises
    ------
    OSError
        If the language cannot be read.
    ValueError
        If it does not fit the model.
    """

    def __init__(
        self, model: Model, text: Path | None, name: str, weight: float | None = None
    ) -> None:
        paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the session's, which ends this in order
        )
        self._reader: threading.Thread | None = None
        with ExitStack() as undo:
            undo.callback(self.close, 0.0)
            place = None if text is None else str(text)
            self._send({"text": place, "name": name, "items": model.items,
                        "own": _packed(model.log_prior)})  # fmt: skip
            answer = self._receive()
            if "error" in answer and answer["is_file"]:
                raise OSError(answer["error"])
            if "error" in answer:
                raise ValueError(answer["error"])
            self.rules = rules_of(model, answer["identity"], weight)
            self._send({"rules": asdict(self.rules)})
            undo.pop_all()

    @property
    def told(self) -> dict[str, Any]:
        """What a log's header says of the language."""
        return told(self.rules)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it has ended: the reader tells
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            return {"error": f"the language's process has died (exit code {code})", "is_file": True}
        found: dict[str, Any] = json.loads(line)
        return found

    def begin(self, take: Callable[[int, np.ndarray], None], ended: Callable[[str], None]) -> None:
        """Call `take` with each event's number and the log prior (n_items,) of the next one.

        Parameters
        ----------
        take : callable
            Called in a thread of its own.
        ended : callable
            Takes why the language has ended, once, if it does before `close`.
        """

        def read() -> None:
            while "error" not in (answer := self._receive()):
                take(answer["n"], _unpacked(answer["log_prior"]))
            ended(answer["error"])

        self._reader = threading.Thread(target=read, name="language", daemon=True)
        self._reader.start()

    def ask(self, n: int, marker: Marker, ratio: np.ndarray | None) -> None:
        """Tell an event, see `NextWord.foretell`; not in the loop's thread: it may wait.

        Parameters
        ----------
        n : int
            Number of the event.
        marker : Marker
        ratio : array of shape (n_items,) or None
        """
        packed = None if ratio is None else _packed(ratio)
        self._send({"n": n, "label": marker.label, "ratio": packed})

    def close(self, timeout: float = 5.0) -> None:
        """End the process; after `timeout` s it is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # nobody may be there to hear it
            self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join()
        self._process.stdout.close()


def main() -> None:
    """Run the language's end: read events from standard input, answer on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the messages
    asked, head = sys.stdin.buffer, json.loads(sys.stdin.buffer.readline())
    text = None if head["text"] is None else Path(head["text"])
    try:
        open_words = words_of(text, head["name"])
        assert open_words is not None
        words = open_words(tuple(head["items"]))
    except _ERRORS as error:
        is_file = isinstance(error, OSError)
        _tell(out, {"error": str(error) or type(error).__name__, "is_file": is_file})
        return
    _tell(out, {"identity": words.identity})
    rules = asked.readline()
    if not rules:  # they were refused
        return
    given = Language(**json.loads(rules)["rules"])
    follow = NextWord(tuple(head["items"]), _unpacked(head["own"]), words, given)
    for line in asked:
        event = json.loads(line)
        ratio = None if event["ratio"] is None else _unpacked(event["ratio"])
        log_prior = follow.foretell(Marker(event["label"], 0.0), ratio)
        _tell(out, {"n": event["n"], "log_prior": _packed(log_prior)})


def _tell(out: IO[bytes], message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def _packed(values: np.ndarray) -> str:
    return b64encode(np.asarray(values, "<f8").tobytes()).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), "<f8").astype(np.float64)
