"""Decide when silence makes a stream stale: one rule for the main and the auxiliary streams."""

from __future__ import annotations

__all__ = ["Staleness"]

SHORTEST = 0.2  # s; shorter silence makes no stream stale


class Staleness:
    """Limit of silence, from the usual interval between packets.

    The limit is 200 ms, `least`, or 3 usual intervals, whichever is longest.

    Parameters
    ----------
    least : float
        Lowest limit in s.
    """

    def __init__(self, least: float = 0.0) -> None:
        self._least = max(SHORTEST, least)
        self.reset()

    def reset(self) -> None:
        """Forget the usual interval."""
        self._interval = 0.0  # s, averaged over about 16 packets

    @property
    def limit(self) -> float:
        """Seconds of silence that make the stream stale."""
        return max(self._least, 3 * self._interval)

    def packet(self, interval: float) -> None:
        """Count a packet that arrived `interval` s after the last one; leave outages out."""
        self._interval += (interval - self._interval) / (16 if self._interval else 1)
