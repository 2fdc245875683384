"""Report silence, loss, return and late samples of an auxiliary stream to the operator."""

from __future__ import annotations

import math
from typing import Any

from rt_decoder.timing.staleness import Staleness

__all__ = ["ReferenceWatch"]

REPORT = 10.0  # s between two reports of late samples


class ReferenceWatch:
    """Collects events of an auxiliary stream; times are arrivals in s.

    Parameters
    ----------
    stream : str
        Its name.
    delay : float
        Its delay in s.

    Attributes
    ----------
    events : list of (str, dict)
        Events that `take_events` has not returned yet.
    stale : bool
        Whether nothing came for 200 ms or three observed packet intervals, whichever is longer.
    """

    def __init__(self, stream: str, delay: float) -> None:
        self._about = {"stream": stream, "delay_ms": round(1e3 * delay, 3)}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._told_late, self._told_at = 0, -math.inf
        self._staleness = Staleness()
        self.restart(math.nan)

    def restart(self, now: float) -> None:
        """Begin a connection at `now`; NaN lets the next `look` or `arrived` begin it."""
        self._seen, self.stale = now, False

    def arrived(self, now: float) -> None:
        """Take note that samples arrived."""
        if self.stale:
            self.stale = False
            self.tell("live_again", silent_s=round(now - self._seen, 3))
        elif not math.isnan(self._seen):
            self._staleness.packet(now - self._seen)
        self._seen = now

    def silent(self, now: float) -> float:
        """Return the seconds since the last arrival."""
        return now - self._seen

    def look(self, now: float, empty: bool, n_late: int) -> None:
        """Report silence and late samples after a look at the stream.

        Parameters
        ----------
        now : float
            Time in s on this machine's LSL clock.
        empty : bool
            Whether samples were needed and none had arrived.
        n_late : int
            Number of late samples since the start.
        """
        if not empty or math.isnan(self._seen):
            self._seen = now
        if not self.stale and self.silent(now) > self._staleness.limit:
            self.stale = True
            self.tell("stale", silent_s=round(self.silent(now), 3))
        if n_late > self._told_late and now - self._told_at >= REPORT:
            self.tell("late", n_samples=n_late - self._told_late)
            self._told_late, self._told_at = n_late, now

    def tell(self, event: str, **details: Any) -> None:
        """Add an event; its name gets the prefix ``reference_``."""
        self.events.append((f"reference_{event}", self._about | details))

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the events since the last call."""
        taken, self.events = self.events, []
        return taken
