"""An experiment's hold on its live session; `api` opens one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Self, Unpack

from rt_decoder.live.callback import Callback
from rt_decoder.live.host import SessionThread
from rt_decoder.live.inbox import Inbox
from rt_decoder.live.process import SessionProcess
from rt_decoder.live.steered import Changes, Steered
from rt_decoder.signal import Readout

__all__ = ["Live"]

_CLOSE_S = 60.0  # a session that does not end within is killed


class Live(Steered):
    """A live session, as an experiment sees it; made by `open_live`.

    Iterating, also by ``async for``, yields readouts until the session ends. Leaving a ``with`` block
    ends the session, as `stop` does. Methods may be called from any thread. What goes wrong in the
    session is raised by `next`, by iterating, by `wait` and by `stop`.

    Parameters
    ----------
    given : mapping
        As `SessionHost.run` takes it.
    in_process : bool
        Run in a thread of this process.
    on_readout : callable or None
        As `open_live` takes it.
    budget_ms : float
        Of `on_readout`.

    Attributes
    ----------
    missed : str
        Why the last `ask` has no readout; empty if it has one.
    """

    missed = ""

    def __init__(
        self,
        given: Mapping[str, Any],
        in_process: bool,
        on_readout: Callable[[Readout], object] | None = None,
        budget_ms: float = 10.0,
    ) -> None:
        self._offset = 1e-3 * float(given.get("marker_offset") or 0.0)
        self._callback: Callback | None = None
        if on_readout is not None:
            self._callback = Callback(on_readout, budget_ms, lambda told: self._inbox.take(told))
        self._inbox = Inbox(self._callback)
        make = SessionThread if in_process else SessionProcess
        super().__init__(make(self._inbox.take, given))
        try:
            self._inbox.wait(lambda: self.state != "opening", None)
        finally:
            if self.state == "opening" or self._inbox.error is not None:
                self._end()
        if self._inbox.error is not None:
            raise self._inbox.error

    @property
    def stream(self) -> str:
        """Name of the stream that is decoded."""
        return str(self._inbox.about["stream"])

    @property
    def files(self) -> dict[str, str]:
        """Paths of the ``log`` and the ``record``, which may have got a number."""
        return dict(self._inbox.about["files"])

    @property
    def items(self) -> tuple[str, ...]:
        """Items of the model, which `swap` and `add` change."""
        items: tuple[str, ...] = self._inbox.about["items"]
        return items

    @property
    def correlation(self) -> float:
        """Of the errors of repeats, for `Evidence`; 0 where calibration did not fit it."""
        return float(self._inbox.about["correlation"])

    @property
    def state(self) -> str:
        """One of "live", "stale" (no samples for too long), "lost", or "ended"."""
        return self._inbox.state

    @property
    def paused(self) -> bool:
        """Whether no readouts are made since `pause` was called."""
        return self._inbox.paused

    @property
    def events(self) -> deque[dict[str, Any]]:
        """The newest lines of the log that an operator should know of, oldest first."""
        return self._inbox.events

    @property
    def score(self) -> dict[str, Any]:
        """How answers compare with what was shown, beside chance; of 0 events before the first truth.

        Events count whose marker names an item of the model, or of which `truth` told. The keys are
        those of `Score.summary`; ``score["verdict"]`` says whether it is above chance so far.
        """
        return self._inbox.score

    @property
    def callback(self) -> dict[str, Any]:
        """How long the calls of ``on_readout`` took; empty without it."""
        return {} if self._callback is None else self._callback.summary()

    @property
    def n_dropped(self) -> int:
        """Readouts that were never taken, and made room for newer ones."""
        return self._inbox.n_dropped

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
        RuntimeError
            If ``on_readout`` takes them.
        Exception
            What ended the session, such as StreamLost or ModelMismatch.
        """
        self._refuse_beside_callback()
        return self._inbox.next(timeout)

    def __iter__(self) -> Iterator[Readout]:
        """Yield readouts until the session ends."""
        while True:
            try:
                readout = self.next()
            except EOFError:
                return
            if readout is not None:
                yield readout

    def __aiter__(self) -> AsyncIterator[Readout]:
        """Yield readouts until the session ends; other tasks run meanwhile."""
        self._refuse_beside_callback()
        return self

    async def __anext__(self) -> Readout:
        """Return the next readout."""
        return await self._inbox.coming()

    def _refuse_beside_callback(self) -> None:
        if self._callback is not None:
            raise RuntimeError(
                "need a session without on_readout to take readouts, got one with it"
            )

    def ask(
        self, label: str = "", timeout: float | None = None, **choice: Unpack[Changes]
    ) -> Readout | None:
        """Tell the session of an event now, and wait for its readout.

        Readouts that come before it, of hops or of other events, are taken and dropped.

        Parameters
        ----------
        label : str
            As `mark` takes it.
        timeout : float or None
            Longest wait in s; None waits until the session ends.
        **choice
            As `mark` takes it.

        Returns
        -------
        Readout or None
            None if it did not come in time, or as soon as it is known that there will be none, as
            its samples were lost or the session is paused; `missed` says why.

        Raises
        ------
        EOFError, RuntimeError, Exception
            As `next`.
        ValueError, TypeError
            As `choose`.
        """
        self._refuse_beside_callback()
        end = math.inf if timeout is None else monotonic() + timeout
        at = self.mark(label, **choice)
        times = (at + self._offset, at)
        readout = self._inbox.answer_to(times, end)
        reasons = (self._inbox.unanswered.get(time) for time in times)
        late = f"no readout within {timeout:g} s" if timeout is not None else ""
        self.missed = "" if readout is not None else next(filter(None, reasons), late)
        return readout

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the session ends, while ``on_readout`` works.

        Parameters
        ----------
        timeout : float or None
            Longest wait in s; None for no limit.

        Returns
        -------
        bool
            Whether it has ended.

        Raises
        ------
        Exception
            What ended the session, or what ``on_readout`` raised.
        """
        inbox = self._inbox
        inbox.wait(lambda: inbox.state == "ended" or inbox.error is not None, timeout)
        if inbox.error is not None:
            raise inbox.error
        return inbox.state == "ended"

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
            What ended the session before, if it was not asked to end; what ``on_readout`` raised.
        """
        self._end()
        if self._inbox.error is not None:
            raise self._inbox.error
        if self._inbox.torn:
            raise OSError(f"decoded, but not all is written: {'; '.join(self._inbox.torn)}")
        return self._inbox.footer

    def _end(self) -> None:
        self._link.ask("stop")
        self._inbox.wait(lambda: self.state == "ended", _CLOSE_S)
        self._link.close(_CLOSE_S)
        if self._callback is not None:
            self._callback.close()

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
