"""When silence makes a stream stale: the one rule, for the main stream and for auxiliary ones."""

from __future__ import annotations

__all__ = ["Staleness"]

SHORTEST = 0.2  # s of silence that no stream is stale after


class Staleness:
    """Usual interval between the packets of a stream, and the silence that exceeds it.

    A stream is stale after 200 ms without a sample, `least` s, or 3 of its usual intervals,
    whichever is longest.

    Parameters
    ----------
    least : float
        Limit in s, whatever the intervals are.
    """

    def __init__(self, least: float = 0.0) -> None:
        self._least = max(SHORTEST, least)
        self.reset()

    def reset(self) -> None:
        """Forget the usual interval."""
        self._interval = 0.0  # s, averaged over 16

    @property
    def limit(self) -> float:
        """Seconds of silence that make the stream stale."""
        return max(self._least, 3 * self._interval)

    def packet(self, interval: float) -> None:
        """A packet came `interval` s after the one before; an outage is no usual interval."""
        self._interval += (interval - self._interval) / (16 if self._interval else 1)
