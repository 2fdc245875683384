"""Hold markers until the stream has reached them, and give up those that it never will.

A marker may come before its sample: data are late by their buffers, and a stream may stand still
while markers come. It is given up if it lies further ahead than that can explain, which depends on
the samples and on the order of arrival only: a session record gives the same answer again.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import Marker, Reason
from rt_decoder.timing.timebase import TimeBase, TimedSamples

__all__ = ["AHEAD", "MOST", "WaitingMarkers"]

AHEAD = 1.0  # s by which data may be late in their buffers
MOST = 4096  # markers that may wait
_HELD = int(Reason.HELD)


class _Entry(NamedTuple):
    time: float  # s, of the marker
    number: int  # in order of arrival
    marker: Marker
    came: int  # samples received before it arrived


class WaitingMarkers:
    """Markers whose sample is not known yet.

    With the first sample after a marker whose time is certain, the marker is compared with the time
    at which the stream then is: the sample's arrival, less the shortest time that a sample of this
    stream has taken to arrive. So a stream that stands still does not make markers seem to be
    ahead. Where arrivals are not known it is the sample's own time.

    Parameters
    ----------
    timebase : TimeBase
        Finds samples.
    wait : float
        Seconds that a marker may be ahead of the stream, besides `AHEAD`.
    history : float
        Seconds that a marker may be behind it.
    """

    def __init__(self, timebase: TimeBase, wait: float, history: float) -> None:
        self._timebase, self._ahead, self._behind = timebase, wait + AHEAD, history + AHEAD
        self._number = 0
        self.reset()

    def reset(self) -> None:
        """Forget all markers, and what is known of the stream."""
        self._left: dict[int, _Entry] = {}  # by number
        self._new: list[_Entry] = []  # not compared with the stream yet
        self._untried: list[_Entry] = []
        self._later: list[_Entry] = []  # heap: the stream has not come to their time
        self._reached: list[_Entry] = []  # it has, but the sample there is not certain yet
        self._lost: list[tuple[Marker, str]] = []
        self._is_ahead: dict[int, float] = {}  # s, by number; lost unless they have a sample
        self._certain = self._new_epoch = False
        self._least_lag = math.inf  # s from a sample's time to its arrival
        self._now = math.nan  # s, where the stream is

    @property
    def markers(self) -> tuple[Marker, ...]:
        """The markers, in order of arrival."""
        return tuple(entry.marker for entry in self._left.values())

    def add(self, marker: Marker) -> None:
        """Add a marker that has arrived now."""
        if not math.isfinite(marker.time):
            self._lost.append((marker, f"its stamp is {marker.time}, which is no time"))
            return
        if len(self._left) >= MOST:
            self._lost.append((marker, f"{MOST} markers wait for the stream already"))
            return
        entry = _Entry(marker.time, self._number, marker, self._timebase.n_samples)
        self._number += 1
        self._left[entry.number] = entry
        self._new.append(entry)
        self._untried.append(entry)

    def follow(self, samples: TimedSamples, arrivals: np.ndarray | float | None) -> None:
        """Take note of new samples, after each update of the time base.

        Parameters
        ----------
        samples : TimedSamples
            What the time base returned.
        arrivals : array of shape (n,), float or None
            When they arrived, in s; None where unknown.
        """
        n, start = len(samples.times), 0
        for decision in samples.decisions:
            self._new_epoch |= decision.kind != "gap"
            if decision.kind == "reset":  # the lags until here were those of another clock
                stop = decision.sample - (self._timebase.n_samples - n)
                self._pass(samples, arrivals, start, stop)
                self._least_lag, start = math.inf, stop
        self._pass(samples, arrivals, start, n)
        if self._reached and not self._certain:
            self._certain = not (samples.flags & _HELD).all()

    def _pass(
        self, samples: TimedSamples, arrivals: np.ndarray | float | None, start: int, stop: int
    ) -> None:
        """Compare new markers with the first certain sample; all samples are on one clock."""
        if stop <= start:
            return
        if self._new:
            certain = np.flatnonzero((samples.flags[start:stop] & _HELD) == 0)
            if len(certain):
                row = start + int(certain[0])
                self._compare(_now(samples.times, arrivals, start, row, self._least_lag))
        if isinstance(arrivals, float) and stop - start == len(samples.times):
            self._least_lag = min(self._least_lag, arrivals - samples.latest)
        elif arrivals is not None:
            self._least_lag = _least_lag(samples.times, arrivals, start, stop, self._least_lag)

    def _compare(self, now: float) -> None:
        self._now = now
        for entry in self._new:
            if not entry.time - now <= self._ahead:
                self._is_ahead[entry.number] = entry.time - now
        self._new.clear()

    def take(self) -> tuple[list[Marker], list[tuple[Marker, str]]]:
        """Take the markers whose sample is known, in order of it, and those given up, with reasons."""
        if not self._left:
            lost, self._lost = self._lost, []
            return [], lost
        if self._new_epoch:
            tries = dict(self._left)
            self._later.clear()
        else:
            tries = {entry.number: entry for entry in self._untried}
            if self._certain:
                tries |= {entry.number: entry for entry in self._reached}
            newest = self._timebase.newest
            while self._later and self._later[0].time <= newest:
                entry = heapq.heappop(self._later)
                tries[entry.number] = entry
            tries |= {number: self._left[number] for number in self._is_ahead}
        waiting = [] if self._new_epoch or self._certain else self._reached
        self._untried, self._reached = [], waiting
        self._certain = self._new_epoch = False
        known = [
            marker
            for number, entry in sorted(tries.items())
            if number in self._left and (marker := self._tried(entry)) is not None
        ]
        self._is_ahead.clear()
        lost, self._lost = self._lost, []
        return sorted(known, key=lambda marker: marker.index), lost

    def end(self) -> None:
        """Give up the markers that lie further ahead of the newest sample; no more will come."""
        if math.isfinite(self._timebase.newest):
            self._compare(self._timebase.newest)

    def _tried(self, entry: _Entry) -> Marker | None:
        """Return the marker with its sample; None if it is lost or goes on waiting."""
        try:
            index = self._timebase.index_of(entry.time, entry.came)
        except LookupError as error:
            self._give_up(entry, str(error) + self._hint(self._now - entry.time))
            return None
        if index is not None:
            del self._left[entry.number]
            return entry.marker._replace(index=index)
        ahead = self._is_ahead.get(entry.number)
        if ahead is not None:
            self._give_up(
                entry, f"stamped {_seconds(ahead)} ahead of the stream: is it stamped with another "
                "clock, or before its time (raise --marker-wait)?"
            )  # fmt: skip
        elif entry.time <= self._timebase.newest:
            self._reached.append(entry)
        else:
            heapq.heappush(self._later, entry)
        return None

    def _give_up(self, entry: _Entry, why: str) -> None:
        del self._left[entry.number]
        self._lost.append((entry.marker, why))

    def _hint(self, behind: float) -> str:
        return ": is it stamped with another clock?" if behind > 10 * self._behind else ""


def _now(
    times: np.ndarray, arrivals: np.ndarray | float | None, start: int, row: int, lag: float
) -> float:
    """Return the time at which the stream is once the sample `row` has arrived."""
    if arrivals is None:
        return float(times[row])
    arrival = float(arrivals[row]) if isinstance(arrivals, np.ndarray) else arrivals
    now = arrival - _least_lag(times, arrivals, start, row + 1, lag)
    return now if math.isfinite(now) else float(times[row])


def _least_lag(
    times: np.ndarray, arrivals: np.ndarray | float, start: int, stop: int, lag: float
) -> float:
    """Return the least of `lag` and of the seconds that these samples took to arrive."""
    if isinstance(arrivals, np.ndarray):
        least = float(np.fmin.reduce(arrivals[start:stop] - times[start:stop]))
    else:
        least = arrivals - float(np.maximum.reduce(times[start:stop]))
    return min(lag, least)  # NaN, an arrival that is not known, leaves it as it was


def _seconds(seconds: float) -> str:
    if seconds >= 1e7:
        return f"{seconds:.3g} s"
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
