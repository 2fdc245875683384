"""Detect silence: a stream that delivers no samples.

LSL itself takes half a minute to notice a dead amplifier. The caller passes the time; nothing here
reads a clock or knows a source.
"""

from __future__ import annotations

from enum import Enum

from rt_decoder.timing.staleness import Staleness

__all__ = ["State", "Watchdog"]


class State(Enum):
    """State of a stream."""

    LIVE = "live"  # samples come
    STALE = "stale"  # no samples for too long, still connected
    LOST = "lost"  # the connection is gone
    RETURNED = "returned"  # connected, no samples yet


class Watchdog:
    """Track the state of one stream from the times at which its samples come.

    A stream is stale when no sample came for 200 ms, 3 hops or 3 of its usual intervals between
    packets, whichever is longest (see `timing.staleness`).

    Parameters
    ----------
    hop : float
        Duration of a hop, in s.

    Attributes
    ----------
    state : State
    last : float
        Time of the last samples, or of the connection if none came since, in s.
    """

    def __init__(self, hop: float) -> None:
        self._staleness = Staleness(3 * hop)
        self.state = State.RETURNED
        self.last = 0.0

    @property
    def limit(self) -> float:
        """Silence after which the stream is stale, in s."""
        return self._staleness.limit

    def connected(self, now: float) -> None:
        """Note a new connection at the time `now`, in s."""
        self.state, self.last = State.RETURNED, now
        self._staleness.reset()

    def arrived(self, now: float) -> float | None:
        """Note that samples came.

        Parameters
        ----------
        now : float
            Time in s.

        Returns
        -------
        float or None
            Length of the silence that ends here, in s, if the stream was stale; otherwise None.
        """
        silent, self.last = now - self.last, now
        was, self.state = self.state, State.LIVE
        if was is State.STALE:
            return silent
        if was is State.LIVE:  # an outage does not count as a usual interval
            self._staleness.packet(silent)
        return None

    def silent(self, now: float) -> bool:
        """Note that no sample came.

        Parameters
        ----------
        now : float
            Time in s.

        Returns
        -------
        bool
            True if the stream has become stale just now.
        """
        if self.state is State.STALE or now - self.last <= self.limit:
            return False
        self.state = State.STALE
        return True

    def lost(self) -> None:
        """Note that the connection is gone."""
        self.state = State.LOST
