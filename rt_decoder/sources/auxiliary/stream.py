"""One reference stream beside the main one: its time line, its recent samples, its fate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from rt_decoder.channels import same_layout
from rt_decoder.kernels.join import LATE, MISSING, NEXT, join, join_state, take_all
from rt_decoder.kernels.memory import Rows
from rt_decoder.signal import ModelMismatch, StreamLost
from rt_decoder.source import Received, SampleSource
from rt_decoder.sources.auxiliary.clock_line import ClockLine
from rt_decoder.sources.auxiliary.watch import ReferenceWatch
from rt_decoder.timing.timebase import RateMismatch

__all__ = ["AuxiliaryStream", "Search"]

SHORTEST_DELAY = 0.04  # s that a reference may be on its way, unless it is declared
LONGEST_DELAY = 5.0
REPLACE = 2.0  # s of silence after which another outlet may take its place
AHEAD = 1.0  # s that a reference may be ahead of what the main stream has sent
KEPT = 2.0  # s of samples that stay in the ring at least


class Search(Protocol):
    """What finds a stream again."""

    def __call__(self, gone: bool) -> SampleSource | None:
        """At once: the source to go on with, open, or None; ValueError says what was refused.

        `gone` says that the connection broke; otherwise the stream is just silent.
        """
        ...

    def close(self) -> None:
        """End the search."""


OnRead = Callable[[Received], None]


class AuxiliaryStream:
    """A reference stream that a `JoinedSource` looks up.

    Parameters
    ----------
    source : SampleSource
        The stream, not open yet.
    delay : float or None
        A main sample gets the reference of that many seconds before. A reference that takes longer
        to arrive is missing. If None, 40 ms or two sampling intervals.
    limit : float or None
        Longest step between samples, in s, that is bridged: a longer one is a dropout. If None,
        50 ms or three sampling intervals.
    again : Search or None
        Finds what takes the place of a stream that was lost or is silent.

    Attributes
    ----------
    name, info : str, SignalInfo
        Of the stream, whatever comes back after a loss.
    state : str
        ``new``, ``open``, ``lost``, ``refused`` or ``closed``.
    watch : ReferenceWatch
        Its events.

    Raises
    ------
    ValueError
        If the delay is not within 0 to 5 s, or the limit not above a sampling interval.

    Notes
    -----
    Channels are interpolated linearly between the two samples around, which the delay makes
    causal; `stim` channels hold the last one. A stream at a higher rate than the main one is
    averaged over one main interval first, against aliasing (-3.9 dB at the main stream's Nyquist
    frequency, zeros at the multiples of its rate); the average stands at its mean time, so it adds
    no lag.
    """

    def __init__(
        self,
        source: SampleSource,
        *,
        delay: float | None = None,
        limit: float | None = None,
        again: Search | None = None,
    ) -> None:
        self.name, self.info, self.state = source.name, source.info, "new"
        step = 1.0 / source.info.sfreq
        self.delay = max(SHORTEST_DELAY, 2.0 * step) if delay is None else float(delay)
        self.limit = max(0.05, 3.0 * step) if limit is None else float(limit)
        if not 0.0 <= self.delay <= LONGEST_DELAY:
            raise ValueError(
                f"need a delay of 0 to {1e3 * LONGEST_DELAY:g} ms for reference {self.name!r}, "
                f"got {1e3 * self.delay:g} ms"
            )
        if not step < self.limit < math.inf:
            raise ValueError(
                f"need a limit above a sampling interval of {1e3 * step:g} ms for reference "
                f"{self.name!r}, got {1e3 * self.limit:g} ms"
            )
        self.watch = ReferenceWatch(source.name, self.delay)
        self._on_read: OnRead | None = None
        self._source, self._again = source, again
        self._picks = np.arange(source.info.n_channels)
        self._hold = np.array([ch_type == "stim" for ch_type in source.info.ch_types])
        self._line = ClockLine(source.info.sfreq)
        self._data = Rows((source.info.n_channels,), np.float64)
        self._waiting = self._data.take(0)
        self._main_sfreq = math.nan

    def pass_on(self, on_read: OnRead) -> None:
        """Call `on_read` with what is read from now on, as it comes."""
        self._on_read = on_read

    def follow(self, sfreq: float) -> None:
        """Serve a main stream of that rate; what is in the ring stays if it was the same before."""
        if sfreq == self._main_sfreq:
            return
        self._main_sfreq = sfreq
        self.span = 1 if self._hold.all() else max(1, round(self.info.sfreq / sfreq))
        size = math.ceil((KEPT + self.limit) * self.info.sfreq) + self.span + 2
        ring = np.zeros((size, self.info.n_channels))
        self._state = join_state(not self._hold.all())
        self._ring = (np.zeros((size, 2)), ring, ring if self.span == 1 else ring.copy())
        self._look_up(self._line, np.zeros((0, self.info.n_channels)), 0, 0, 0.0, False)  # compiles

    def open(self, timeout: float = 5.0) -> None:
        """Subscribe; what is open stays open, and what has waited in it meanwhile is read."""
        if self.state == "new":
            self._source.open(timeout)
            self.state = "open"
            return
        self._take_all()
        while self.state == "open" and self._read():
            self._take_all()

    def _take_all(self) -> None:
        line = self._line
        take_all(
            self._waiting, line.times, line.stamps, line.flags, self.span, self.limit,
            *self._ring, self._state,
        )  # fmt: skip

    def fill(self, main: ClockLine, out: np.ndarray, column: int, arrival: float) -> None:
        """Write the values at the times of `main` into `out` (n, ...) from `column` on."""
        silent = self.watch.stale and self.watch.silent(arrival) > REPLACE
        if self.state == "lost" or (self.state == "open" and silent):
            self._find(arrival)
        n, at, more = len(out), 0, self.state == "open"
        needed, latest = False, max(arrival, float(main.stamps[-1])) + AHEAD
        while (at := self._look_up(main, out, column, at, latest, more)) < n:
            needed, more = True, self._read()
            if more:
                self.watch.arrived(arrival)
        if self.state == "open":
            self.watch.look(arrival, needed and not more, self.n_late)

    def _look_up(
        self, main: ClockLine, out: np.ndarray, column: int, start: int, latest: float, more: bool
    ) -> int:
        line = self._line
        return join(
            main.times, main.stamps, main.flags, start, more, self.delay, latest,
            self._waiting, line.times, line.stamps, line.flags,
            self.span, self.limit, self._hold, *self._ring, self._state, out, column,
        )  # fmt: skip

    def _read(self) -> bool:
        """Take what has arrived; false if that is nothing, or the stream is gone."""
        try:
            data, stamps, arrived = self._source.pull(0.0)
            if len(stamps) == 0:
                return False
            self._waiting = self._data.take(len(stamps))
            np.take(data, self._picks, axis=1, out=self._waiting)
            self._state[NEXT] = 0.0
            self._line.update(self._source, stamps, arrived)
            if self._on_read is not None:
                self._on_read(Received(self._waiting, stamps, arrived, self._line.correction))
        except StreamLost as error:
            self._gone("lost", error)
            return False
        except RateMismatch as error:
            self._gone("refused", error)
            self._source.close()
            return False
        return True

    def _gone(self, state: str, error: Exception) -> None:
        self.state = state
        self._waiting = self._data.take(0)
        self._line = ClockLine(self.info.sfreq)
        self._state[NEXT] = 0.0
        self.watch.tell(state, reason=str(error))

    def _find(self, arrival: float) -> None:
        if self._again is None:
            return
        try:
            source = self._again(self.state == "lost")
        except ValueError as error:
            self.watch.tell("refused", reason=str(error))
            return
        if source is None:
            return
        try:
            picks = same_layout(source.info, self.info)
        except ModelMismatch as error:
            source.close()
            self.watch.tell("refused", reason=str(error))
            return
        self._picks = np.arange(self.info.n_channels) if picks is None else picks
        if self.state == "open":
            self._gone("lost", StreamLost(f"stream {self.name!r} is silent and was started anew"))
            self._source.close()
        self._source, self.state = source, "open"
        self.watch.restart(arrival)
        self.watch.tell("returned")

    @property
    def n_missing(self) -> int:
        """Main samples that got no value, for whatever reason."""
        return int(self._state[MISSING])

    @property
    def n_late(self) -> int:
        """Reference samples that came after the main samples that wanted them, or far ahead."""
        return int(self._state[LATE])

    def describe(self) -> dict[str, Any]:
        """How it is joined, for the log and the record."""
        return {
            "stream": self.name,
            "channels": list(self.info.ch_names),
            "sfreq": self.info.sfreq,
            "delay_ms": round(1e3 * self.delay, 3),
            "limit_ms": round(1e3 * self.limit, 3),
            "averaged": self.span,
        }

    def close(self) -> None:
        """Leave the stream."""
        if self._again is not None:
            self._again.close()
        self._source.close()
        self.state = "closed"
