"""Decode live from an experiment's own program.

`open_live` starts a session, by default in a process of its own; `Live` is the experiment's hold on
it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from rt_decoder.live.host import SessionThread
from rt_decoder.live.opening import run_options
from rt_decoder.live.process import SessionProcess
from rt_decoder.signal import ONSET, Marker, Readout

__all__ = ["Live", "open_live"]

MAX_READOUTS = 100_000  # that wait for a consumer; the oldest are dropped and counted
MAX_EVENTS = 1000
_CLOSE_S = 60.0  # a session that does not end within is killed
_WAIT_S = 0.2  # between looks at whether Ctrl-C was pressed (Windows hears it no sooner)
_STATES = {
    "live": "live",
    "live_again": "live",
    "stale": "stale",
    "lost": "lost",
    "returned": "live",
}  # event -> state


class _Link(Protocol):
    pid: int

    def ask(self, what: str, *arguments: Any) -> None: ...
    def close(self, timeout: float) -> None: ...


class Live:
    """A live session, as an experiment sees it; made by `open_live`.

    Iterating yields readouts until the session ends. Leaving a ``with`` block ends the session, as
    `stop` does. Methods may be called from any thread.

    Parameters
    ----------
    given : mapping
        As `SessionHost.run` takes it.
    in_process : bool
        Run in a thread of this process.

    Attributes
    ----------
    stream : str
        Name of the stream that is decoded.
    files : dict
        Paths of the ``log`` and the ``record``, which may have got a number.
    items : tuple of str
        Of the model.
    state : str
        "live", "stale" (no samples for too long), "lost", or "ended".
    events : deque of dict
        The newest lines of the log that an operator should know of, oldest first.
    pid : int
        Of the session's process.
    n_dropped : int
        Readouts that were never taken, and made room for newer ones.
    """

    def __init__(self, given: Mapping[str, Any], in_process: bool) -> None:
        self.stream, self.state = "", "opening"
        self.files: dict[str, str] = {}
        self.items: tuple[str, ...] = ()
        self.events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self.n_dropped = 0
        self._readouts: deque[Readout] = deque()
        self._changed = threading.Condition()
        self._footer: dict[str, Any] = {}
        self._error: BaseException | None = None
        self._torn: list[str] = []
        self._link: _Link
        if in_process:
            self._link = SessionThread(self._take, given)
        else:
            self._link = SessionProcess(self._take, given)
        self.pid = self._link.pid
        try:
            self._wait(lambda: self.state != "opening", None)
        finally:
            if self.state == "opening" or self._error is not None:
                self._end()
        if self._error is not None:
            raise self._error

    def _take(self, message: tuple[Any, ...]) -> None:
        what, *rest = message
        with self._changed:
            if what == "readout":
                if len(self._readouts) >= MAX_READOUTS:
                    self._readouts.popleft()
                    self.n_dropped += 1
                self._readouts.append(rest[0])
            elif what == "event":
                self.events.append(rest[0])
                if self.state != "opening":
                    self.state = _STATES.get(rest[0]["event"], self.state)
            elif what == "opened":
                self.stream, self.files, items = rest
                self.items, self.state = tuple(items), "live"
            elif what == "ended":
                (self._footer, self._torn), self.state = rest, "ended"
            else:
                self._error, self.state = rest[0], "ended"
            self._changed.notify_all()

    def _wait(self, until: Callable[[], object], timeout: float | None) -> None:
        end = None if timeout is None else monotonic() + timeout
        with self._changed:
            while not until():
                left = _WAIT_S if end is None else min(_WAIT_S, end - monotonic())
                if left <= 0:
                    return
                self._changed.wait(left)

    def next(self, timeout: float | None = None) -> Readout | None:
        """Return the oldest readout that has not been taken yet.

        Parameters
        ----------
        timeout : float or None
            Longest wait in s; 0 only looks, None waits until the session ends.

        Returns
        -------
        Readout or None
            None if none came in time.

        Raises
        ------
        EOFError
            If the session has ended, and all its readouts were taken.
        Exception
            What ended the session, such as StreamLost or ModelMismatch.
        """
        self._wait(lambda: self._readouts or self.state == "ended", timeout)
        with self._changed:
            if self._readouts:
                return self._readouts.popleft()
            if self._error is not None:
                raise self._error
            if self.state == "ended":
                raise EOFError("the session has ended")
        return None

    def __iter__(self) -> Iterator[Readout]:
        """Yield readouts until the session ends."""
        while True:
            try:
                readout = self.next()
            except EOFError:
                return
            if readout is not None:
                yield readout

    def mark(self, label: str = "", time: float | None = None) -> None:
        """Tell the session of an event, as a marker stream would.

        Parameters
        ----------
        label : str
            What was shown. Where the session shall find that out, empty: the readout's label is
            then "onset".
        time : float or None
            When, in s on the LSL clock (`pylsl.local_clock`); None for now.
        """
        from pylsl import local_clock

        self._link.ask(
            "mark", Marker(label or ONSET, local_clock() if time is None else float(time))
        )

    def restrict(self, items: Collection[str] = ()) -> None:
        """Answer among some items only, from the next samples on, until it is called again.

        Probabilities and bits are those among the candidates. The session record holds the change.

        Parameters
        ----------
        items : collection of str
            Of the model; empty for all.

        Raises
        ------
        ValueError
            If the model does not have one of them.
        """
        wanted = [items] if isinstance(items, str) else list(items)
        unknown = [item for item in wanted if item not in self.items]
        if isinstance(items, str) or unknown:
            raise ValueError(f"need a list of items of the model, got {(unknown or wanted)[0]!r}")
        self._link.ask("restrict", wanted)

    def stop(self) -> dict[str, Any]:
        """End the session, if it has not ended, and close its files.

        Returns
        -------
        dict
            The footer: counts and percentiles, as in the log's last line. Readouts that were not
            taken can still be.

        Raises
        ------
        OSError
            If the log or the record is not whole.
        Exception
            What ended the session before, if it was not asked to end.
        """
        self._end()
        if self._error is not None:
            raise self._error
        if self._torn:
            raise OSError(f"decoded, but not all is written: {'; '.join(self._torn)}")
        return self._footer

    def _end(self) -> None:
        self._link.ask("stop")
        self._wait(lambda: self.state == "ended", _CLOSE_S)
        self._link.close(_CLOSE_S)

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session; an error of the experiment's own is not replaced by one of the session."""
        if error is None:
            self.stop()
        else:
            self._end()


def open_live(
    model: str | os.PathLike[str],
    name: str = "",
    markers: str = "",
    *,
    in_process: bool = False,
    network: bool = False,
    **options: Any,
) -> Live:
    """Decode a live stream, and return once the session is ready to.

    The session runs in a process of its own: it shares no interpreter with the experiment.

    Parameters
    ----------
    model : path-like
        Model file.
    name : str
        Name of the LSL stream; any if empty.
    markers : str
        Name of a marker stream, or ``channel:NAME``; may be empty, see `Live.mark`. Then every hop
        is read out, unless ``continuous=False``.
    in_process : bool
        Run in a thread of this process instead; what holds the interpreter then holds the decoder.
    network : bool
        Whether other machines may find and read the outlets.
    **options
        Those of ``rt-decoder run``, without dashes and with the same defaults: ``log``, ``record``,
        ``type``, ``source_id``, ``fieldtrip``, ``references`` (a list), ``marker_offset`` in ms,
        ``continuous``, ``without``, ``learn``, ``force``, ``outlet`` and so on.

    Returns
    -------
    Live

    Raises
    ------
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model.
    OSError, ValueError, TypeError
        If a file or an option is not what it must be.
    """
    given = {"outlet": "rt_decoder"} | options | {"name": name, "markers": markers}
    run_options(given)  # what is wrong with them is told before anything starts
    return Live(given | {"model": os.fspath(model), "network": network}, in_process)
