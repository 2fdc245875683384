"""Relate the clock of a page in a browser to our own, with a known error."""

from __future__ import annotations

from collections import deque

__all__ = ["PageClock"]

_KEPT = 64  # answers
_DRIFT = 1e-4  # by which two clocks of one machine may differ in rate, at most


class PageClock:
    """Times of a page on the LSL clock, and back.

    We ask at `sent`, the page answers with its own time, and the answer is here at `received`. So ours
    minus theirs lies between ``sent - theirs`` and ``received - theirs``, however the way there and
    back differ. All answers that agree narrow it down; an old one is trusted less, as clocks drift.

    Examples
    --------
    >>> clock = PageClock()
    >>> clock.add(10.000, 2.0, 10.004)
    >>> clock.add(11.000, 3.001, 11.002)
    >>> round(clock.ours(3.0), 4), round(clock.error, 4)
    (11.0005, 0.0005)
    """

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float, float]] = deque(maxlen=_KEPT)
        self._low = self._high = 0.0

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, sent: float, theirs: float, received: float) -> None:
        """Take an answer.

        Parameters
        ----------
        sent, received : float
            When it was asked for and when it came, in s on our clock.
        theirs : float
            What it said, in s on the page's.
        """
        self._answers.append((received, sent - theirs, received - theirs))
        self._low, self._high = self._answers[-1][1:]
        for at, low, high in reversed(self._answers):
            wider = _DRIFT * (received - at)
            if low - wider > self._high or high + wider < self._low:
                break  # the page's clock was set: what it said before is of no use
            self._low, self._high = max(self._low, low - wider), min(self._high, high + wider)

    @property
    def error(self) -> float:
        """Most by which a time can be wrong, in s; 0 before the first answer."""
        return (self._high - self._low) / 2

    def ours(self, theirs: float) -> float:
        """Return a time of the page's clock on ours, in s."""
        return theirs + (self._low + self._high) / 2

    def theirs(self, ours: float) -> float:
        """Return a time of our clock on the page's, in s."""
        return ours - (self._low + self._high) / 2
