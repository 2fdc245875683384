"""Whether a stream is alive; independent of what LSL believes, which takes half a minute.

A dead amplifier says nothing, and nothing is what this watches for. It knows nothing of sources
and of no clock of its own.
"""

from __future__ import annotations

from enum import Enum

from rt_decoder.timing.staleness import Staleness

__all__ = ["State", "Watchdog"]


class State(Enum):
    """What a stream is."""

    LIVE = "live"  # samples come
    STALE = "stale"  # none for too long; the connection stands
    LOST = "lost"  # the connection is gone
    RETURNED = "returned"  # connected anew, nothing has come yet


class Watchdog:
    """State of one stream, by when its samples came.

    A stream is stale when no sample came for 200 ms, 3 hops or 3 of its usual intervals between
    packets, whichever is longest (see `timing.staleness`).

    Parameters
    ----------
    hop : float
        Step of the pipeline in s.

    Attributes
    ----------
    state : State
    last : float
        When samples came last, or when waiting for them began, in s.
    """

    def __init__(self, hop: float) -> None:
        self._staleness = Staleness(3 * hop)
        self.state = State.RETURNED
        self.last = 0.0

    @property
    def limit(self) -> float:
        """Seconds of silence that make the stream stale."""
        return self._staleness.limit

    def connected(self, now: float) -> None:
        """A connection was made; samples are awaited from now on."""
        self.state, self.last = State.RETURNED, now
        self._staleness.reset()

    def arrived(self, now: float) -> float | None:
        """Samples came; gives for how long there were none if the stream was stale."""
        silent, self.last = now - self.last, now
        was, self.state = self.state, State.LIVE
        if was is State.STALE:
            return silent
        if was is State.LIVE:  # an outage is no usual interval
            self._staleness.packet(silent)
        return None

    def silent(self, now: float) -> bool:
        """No sample came; whether that has just made the stream stale."""
        if self.state is State.STALE or now - self.last <= self.limit:
            return False
        self.state = State.STALE
        return True

    def lost(self) -> None:
        """The connection is gone."""
        self.state = State.LOST
