"""Run a session for an experiment: tell what happens, take what it asks for."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

from rt_decoder.files.decisions import Added
from rt_decoder.files.model_file import load_model
from rt_decoder.files.outputs import Output, claim
from rt_decoder.files.tables import read_channel_table
from rt_decoder.live.new_vectors import vectors_of
from rt_decoder.live.opening import check_model, open_session
from rt_decoder.live.run_options import RunOptions, run_options
from rt_decoder.live.session import Session
from rt_decoder.live.warm import warm
from rt_decoder.live.watchdog import State
from rt_decoder.signal import ONSET
from rt_decoder.sinks.log import event_line
from rt_decoder.sinks.loopback import keep_quiet, stay_local

__all__ = ["ASKED", "SessionHost", "SessionThread"]

_EXPECTED = (OSError, ValueError, TypeError, LookupError, RuntimeError, ImportError)
ASKED = (
    "mark",
    "choose",
    "pause",
    "truth",
    "swap",
    "add",
    "stop",
)  # what an experiment may ask of a session
_FIRST_S = 0.1  # s of samples, beside those before an onset, until a session counts as open
_PIECE = 2000  # items in a message
_LATEST_S = 3.0  # s after which it does without samples


class SessionHost:
    """One session, run for a consumer that may be in another process.

    Parameters
    ----------
    tell : callable
        Takes what happens, in order, from the session's thread: ``("opened", facts)``,
        ``("readout", Readout)``, ``("event", line of the log)``, ``("score", Score.summary())``, and
        at last ``("ended", footer, what is not whole)`` or ``("failed", exception)``. It must be
        short.
    """

    def __init__(self, tell: Callable[[tuple[Any, ...]], object]) -> None:
        self._tell = tell
        self._stopped = threading.Event()
        self._session: Session | None = None
        self._opened = False
        self._options: RunOptions | None = None
        self._one = threading.Lock()

    def run(self, given: Mapping[str, Any]) -> None:
        """Run the session to its end; errors are told, too.

        Parameters
        ----------
        given : mapping
            Options as `opening.run_options` takes them, ``model``, the path of the model's file,
            and ``network``, whether other machines may find and read the outlets.
        """
        try:
            rest = dict(given)
            path, network = Path(rest.pop("model")), rest.pop("network")
            options = run_options(rest)
            if network:
                keep_quiet()
            else:
                stay_local(offers=bool(options.outlet or options.clean_outlet))
            self._run(path, options)
        except _EXPECTED as error:
            self._tell(("failed", error))
        finally:  # an error that nobody foresaw: its traceback goes to stderr, too
            if (unforeseen := sys.exception()) is not None:
                self._tell(("failed", unforeseen))

    def _run(self, path: Path, options: RunOptions) -> None:
        outputs = [
            Output("log", options.log, (".jsonl",), in_place=True),
            Output("record", options.record, (".xdf",), in_place=True),
        ]
        claim(outputs, [path, options.channels], overwrite=None)
        read_channel_table(options.channels)
        model = load_model(path)
        check_model(model, options, path.name)
        warm(self._go_on)
        with ExitStack() as stack:
            session = open_session(
                model,
                options,
                stack,
                lambda readout: self._tell(("readout", readout)),
                self._tell_event,
                lambda score: self._tell(("score", score)),
            )
            files = {"log": session.log, "record": session.recorder}
            told = {name: str(sink.path) for name, sink in files.items() if sink is not None}
            about: dict[str, Any] = {
                "stream": session.source.name,
                "files": told,
                "items": model.items,
            }
            fitted = 0.0 if model.pooling is None else model.pooling.correlation
            about["correlation"] = model.certificate.get("pooled", {}).get("correlation", fitted)
            self._session, self._options = session, options
            footer = session.run(self._until(session, options.seconds, about))
            self._open(about)
        torn = [f"{s.name}: {s.reason}" for s in files.values() if s is not None and s.reason]
        self._tell(("ended", footer, torn, self._why(session)))

    def _tell_event(self, line: dict[str, Any]) -> None:
        if line["event"] in ("swapped", "added") and self._session is not None:
            items = self._session.decoder.pipeline.model.items
            for first in range(0, len(items), _PIECE):  # a long message would hold the loop up
                self._tell(("items", first, items[first : first + _PIECE], len(items)))
        self._tell(("event", line))

    def _go_on(self, *_: int) -> None:
        if self._stopped.is_set():
            raise InterruptedError("the session was asked to stop before it was open")

    def _until(self, session: Session, seconds: float, about: dict[str, Any]) -> Callable[[], bool]:
        """Whether the session is to end: it was asked to, or has decoded for so many s.

        It is open once an event that comes now has its whole window.
        """
        sfreq, pipeline = session.source.info.sfreq, session.decoder.pipeline
        n_most = seconds * sfreq if seconds else math.inf
        before = max(0, -pipeline.window.first) / session.model.info.sfreq
        n_first, latest = (before + _FIRST_S) * sfreq, monotonic() + before + _LATEST_S

        def should_stop() -> bool:
            if session.n_samples >= n_first or monotonic() > latest:
                self._open(about)
            return self._stopped.is_set() or session.n_samples >= n_most

        return should_stop

    def _why(self, session: Session) -> str:
        """Say why a session has ended."""
        if self._stopped.is_set():
            return "it was asked to stop"
        if session.watchdog.state is State.LOST:
            return "its stream was lost, and until_lost was set"
        return (
            f"it has decoded for the {session.n_samples / session.source.info.sfreq:g} s asked for"
        )

    def _open(self, about: dict[str, Any]) -> None:
        if not self._opened:
            self._opened = True
            self._tell(("opened", about))

    def ask(self, what: str, *arguments: Any) -> None:
        """Do what the consumer asks for, among `ASKED`; what cannot be done is told, as an event."""
        if what not in ASKED:
            return
        try:
            getattr(self, what)(*arguments)
        except (ValueError, OSError) as error:
            self._refuse(what, error, arguments[1] if what == "mark" else None)

    def _refuse(self, what: str, error: Exception, at: float | None = None) -> None:
        self._tell(("event", event_line("refused", at, {"asked": what, "reason": str(error)})))

    def mark(self, label: str, time: float, changes: Mapping[str, Any]) -> None:
        """Add a marker to the session.

        Parameters
        ----------
        label : str
            Empty where the session is to find out.
        time : float
            In s on the LSL clock.
        changes : mapping
            Those of a `Choice`, for its event alone.
        """
        if self._session is not None:
            self._session.mark(self._session.steering.marker(label or ONSET, time, changes))

    def choose(self, changes: Mapping[str, Any]) -> None:
        """Answer otherwise; `changes` are those of a `Choice`."""
        if self._session is not None:
            self._session.steering.choose(**changes)

    def swap(self, path: str) -> None:
        """Go on with the model in a file; it is read in a thread of its own."""
        session, options = self._session, self._options

        def read() -> None:
            if session is not None and options is not None:
                model = load_model(path)
                check_model(model, options, Path(path).name)
                session.steering.swap(model)

        self._beside("swap", read)

    def add(self, items: list[str], vectors: str | None) -> None:
        """Add items with their vectors, as in `Added`; None computes them. In a thread of its own."""
        session = self._session

        def compute() -> None:
            if session is not None:
                target = session.decoder.pipeline.model.recipe.target
                given = (
                    vectors_of(target, items)
                    if vectors is None
                    else Added(0, tuple(items), vectors).values
                )
                session.steering.add(items, given)

        self._beside("add", compute)

    def _beside(self, what: str, work: Callable[[], None]) -> None:
        """Work in another thread, one after the other; what goes wrong is told as an event."""

        def run() -> None:
            try:
                with self._one:
                    work()
            except (ValueError, OSError) as error:
                self._refuse(what, error)

        threading.Thread(target=run, name=what, daemon=True).start()

    def pause(self, on: bool) -> None:
        """Make no readouts, or make them again."""
        if self._session is not None:
            self._session.steering.pause(on)

    def truth(self, seq: int, label: str) -> None:
        """Tell which item the event of a readout had."""
        if self._session is not None:
            self._session.steering.truth(seq, label)

    def stop(self) -> None:
        """Ask the session to end."""
        self._stopped.set()


class SessionThread:
    """A session in a thread of the experiment's own process.

    Parameters
    ----------
    take : callable
        Takes what the session tells (see `SessionHost`), in its thread.
    given : mapping
        As `SessionHost.run` takes it.

    Attributes
    ----------
    pid : int
        Of this process.
    """

    def __init__(self, take: Callable[[tuple[Any, ...]], object], given: Mapping[str, Any]) -> None:
        self.pid = os.getpid()
        self._host = SessionHost(take)
        self._thread = threading.Thread(
            target=self._host.run, args=(given,), name="session", daemon=True
        )
        self._thread.start()

    def ask(self, what: str, *arguments: Any) -> None:
        """Ask something of the session, among `ASKED`."""
        self._host.ask(what, *arguments)

    def close(self, timeout: float) -> None:
        """Wait for the session to end, for at most `timeout` s."""
        self._thread.join(timeout)
