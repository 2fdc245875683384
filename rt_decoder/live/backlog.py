"""Watch how much signal waits to be decoded."""

from __future__ import annotations

from typing import Any

from rt_decoder.latency import Histogram

__all__ = ["Backlog"]

Event = tuple[str, dict[str, Any]]
CAUGHT_UP = 0.5  # of the limit; below it the decoder has caught up


class Backlog:
    """Tell when the decoder falls behind its stream, and when it has caught up.

    Parameters
    ----------
    sfreq : float
        Rate of the stream in Hz.
    limit : float
        Signal time in s above which the decoder is behind.

    Attributes
    ----------
    histogram : Histogram
        Signal time in ns that waited at each pull.
    is_behind : bool
    """

    def __init__(self, sfreq: float, limit: float) -> None:
        self._sfreq, self._limit = sfreq, limit
        self.histogram = Histogram()
        self.is_behind = False
        self._since = self._most = 0.0

    def look(self, n_waiting: int, now: float) -> tuple[()] | tuple[Event]:
        """Count what waits.

        Parameters
        ----------
        n_waiting : int
            Samples that have arrived and are not decoded.
        now : float
            Time in s.

        Returns
        -------
        tuple of (str, dict)
            Event ``behind`` or ``caught_up`` with its details, if it has happened just now.
        """
        waiting = n_waiting / self._sfreq
        self.histogram.add(int(waiting * 1e9))
        if not self.is_behind:
            if waiting <= self._limit:
                return ()
            self.is_behind, self._since, self._most = True, now, waiting
            return (("behind", {"behind_ms": round(1e3 * waiting, 1)}),)
        self._most = max(self._most, waiting)
        if waiting > CAUGHT_UP * self._limit:
            return ()
        self.is_behind = False
        most, took = round(1e3 * self._most, 1), round(now - self._since, 3)
        return (("caught_up", {"most_behind_ms": most, "after_s": took}),)
