"""What an operator must see of a session, in a few lines of a terminal that are kept up to date."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.commands.lines import event_text, readout_text
from rt_decoder.commands.session_text import score_text
from rt_decoder.counted import counted
from rt_decoder.signal import Readout
from rt_decoder.sinks.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["View"]

EVERY = 0.25  # s between two drawings
CLOSE_TIMEOUT = 5.0  # s; a terminal that is held up (Ctrl-S) keeps nobody from leaving
_N_READOUTS, _N_EVENTS, _N_LATENCIES = 5, 256, 1000
_STATES = {
    "live": ("LIVE", "green"), "live_again": ("LIVE", "green"), "stale": ("STALE", "yellow"),
    "lost": ("LOST", "bold red"), "returned": ("RETURNED", "yellow"),
}  # fmt: skip
_FITS = {"fits": "green", "doubtful": "yellow", "unlike": "bold red"}
_BAD = {"channel_replaced": True, "channel_returned": False}


class View:
    """Show a session from a thread of its own.

    The session's thread only appends to bounded queues: a terminal that is slow, held up or gone
    loses the oldest lines of what waits, and holds nothing up. The log has all.

    Parameters
    ----------
    budget_ms : float
        Latency that is allowed.
    console : rich.console.Console or None
        Where to draw; None is standard output.
    """

    def __init__(self, budget_ms: float, console: Console | None = None) -> None:
        self._budget_ms, self._console = budget_ms, console
        self._readouts: deque[Readout] = deque(maxlen=_N_READOUTS)
        self._events: deque[dict[str, Any]] = deque(maxlen=_N_EVENTS)
        self._latencies: deque[float] = deque(maxlen=_N_LATENCIES)
        self._newest: Readout | None = None
        self._n = self._n_abstained = self._n_late = 0
        self._score: dict[str, Any] | None = None
        self._state, self._bad = "live", dict[str, None]()
        self._counts: Mapping[str, int] = {}

    # --- called by the session's thread

    def on_readout(self, readout: Readout) -> None:
        """Take a readout; at every hop only the answers are listed."""
        self._newest = readout
        self._n += 1
        self._n_abstained += readout.abstained
        self._n_late += bool(readout.late)
        if not math.isnan(readout.latency_ms):
            self._latencies.append(readout.latency_ms)
        if readout.kind != "continuous" or not readout.abstained:
            self._readouts.append(readout)

    def on_event(self, event: dict[str, Any]) -> None:
        """Take an event, a line of the log."""
        self._events.append(event)

    def on_score(self, score: dict[str, Any]) -> None:
        """Take the score so far, `Score.summary`."""
        self._score = score

    # --- in the view's thread

    @contextmanager
    def shown(self, counts: Mapping[str, int]) -> Iterator[None]:
        """Draw while the context is open, and leave the terminal in order.

        Parameters
        ----------
        counts : mapping of str to int
            Counts of the session, which it goes on to update.

        Yields
        ------
        None
        """
        self._counts, ended = counts, threading.Event()
        drawer = threading.Thread(target=self._draw, args=(ended,), name="view", daemon=True)
        drawer.start()
        try:
            yield
        finally:
            ended.set()
            drawer.join(CLOSE_TIMEOUT)

    def _draw(self, ended: threading.Event) -> None:
        from rich.console import Console
        from rich.live import Live

        console, start = self._console or Console(), monotonic()
        with (
            suppress(OSError),  # the terminal was closed: the session goes on
            Live(
                console=console, auto_refresh=False, transient=True,
                redirect_stdout=False, redirect_stderr=False,
            ) as live,
        ):  # fmt: skip
            last = False
            while not last:
                last = ended.wait(EVERY)
                while self._events:
                    self._tell(console, self._events.popleft())
                live.update(self.text(monotonic() - start), refresh=True)

    def _tell(self, console: Console, event: dict[str, Any]) -> None:
        """Print an event above the lines, and take from it what they show."""
        name = event["event"]
        self._state = name if name in _STATES else self._state
        if name in _BAD and (channel := event.get("channel")):
            self._bad.pop(channel, None)
            self._bad |= {channel: None} if _BAD[name] else {}
        console.print(event_text(event), markup=False, highlight=False, soft_wrap=True)

    def text(self, seconds: float) -> Text:
        """Return the lines as they are now.

        Parameters
        ----------
        seconds : float
            Since the session began.

        Returns
        -------
        rich.text.Text
        """
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        state, style = _STATES[self._state]
        fit = self._newest.fit if self._newest else "unchecked"
        minutes, rest = divmod(int(seconds), 60)
        text.append(f"{state:<9}", style)
        text.append(f" {minutes // 60}:{minutes % 60:02}:{rest:02}   like calibration: ")
        text.append(fit, _FITS.get(fit, ""))
        text.append(f"   {counted(self._n, 'readout')}, {self._n_abstained} abstained\n")
        for readout in list(self._readouts):
            text.append(readout_text(readout) + "\n", "dim" if readout.abstained else "")
        text.append(f"latency   {self._latency_line()}\n", "red" if self._n_late else "")
        if self._score is not None:
            text.append(f"score     {score_text(self._score).removeprefix('score of ')}\n")
        quality = f"{self._newest.quality:.2f} of the window" if self._newest else "-"
        bad = ", ".join(plain(name, 40) for name in self._bad) or "none"
        text.append(f"quality   {quality}; bad channels: {bad}\n", "yellow" if self._bad else "")
        lost = self._lost_line()
        text.append(f"lost      {lost}", "yellow" if lost != "nothing" else "")
        return text

    def _latency_line(self) -> str:
        recent = list(self._latencies)
        if not recent:
            return f"none so far; budget {self._budget_ms:g} ms"
        p50, p95 = np.percentile(recent, (50, 95))
        return (
            f"p50 {p50:.2f}  p95 {p95:.2f}  max {max(recent):.2f} ms of the last {len(recent)}; "
            f"budget {self._budget_ms:g} ms, {self._n_late} late"
        )

    def _lost_line(self) -> str:
        named = {
            "lost_samples": ("sample", "samples"), "skipped_samples": ("skipped sample", "skipped samples"),
            "markers_lost": ("marker", "markers"), "lost": ("loss of the stream", "losses of the stream"),
        }  # fmt: skip
        told = [
            counted(n, *words) for name, words in named.items() if (n := self._counts.get(name, 0))
        ]
        return ", ".join(told) or "nothing"
