"""One auxiliary stream: its clock line, its recent samples, its losses and returns."""

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

SHORTEST_DELAY = 0.04  # s; smallest default delay
LONGEST_DELAY = 5.0  # s
REPLACE = 2.0  # s of silence after which another outlet may replace this one
AHEAD = 1.0  # s by which its times may be ahead of the newest main sample
KEPT = 2.0  # s of samples that the ring holds at least


class Search(Protocol):
    """Finds a lost or silent stream again."""

    def __call__(self, gone: bool) -> SampleSource | None:
        """Return a source to replace the present one, open, or None; never waits.

        `gone` is whether the connection has broken; otherwise the stream is merely silent. Raises
        ValueError with the reason if a source was found and refused.
        """
        ...

    def close(self) -> None:
        """End the search."""


OnRead = Callable[[Received], None]


class AuxiliaryStream:
    """An auxiliary stream whose values a `JoinedSource` looks up.

    Parameters
    ----------
    source : SampleSource
        The stream, not open yet.
    delay : float or None
        A main sample gets the values from that many seconds before. Values that take longer to
        arrive are missing. None is 40 ms or two sampling intervals, whichever is longer.
    limit : float or None
        Longest step between samples, in s, across which values are interpolated: a longer one is
        a dropout. None is 50 ms or three sampling intervals, whichever is longer.
    again : Search or None
        Finds a replacement for a lost or silent stream; None never replaces it.

    Attributes
    ----------
    name, info : str, SignalInfo
        Of the stream; a replacement does not change them.
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
    Values are interpolated linearly between the two samples around the time, which the delay makes
    causal; `stim` channels hold the last value. A stream with a higher rate than the main stream is
    first averaged over one main interval, against aliasing (-3.9 dB at the main stream's Nyquist
    frequency, zeros at multiples of its rate). Each average counts at its mean time, so it adds no
    lag.
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
        """Set the main stream's rate in Hz; the same rate as before keeps the ring's samples."""
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
        """Subscribe; if the stream is open already, read the samples that have waited in it."""
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
        """Look up the values at the times of the main stream's last update.

        Parameters
        ----------
        main : ClockLine
            Clock line of the main stream.
        out : array of shape (n, c), float64
            Takes the values of the n main samples; missing ones are NaN.
        column : int
            First column of `out` to fill.
        arrival : float
            Time of arrival of the main samples in s on this machine's LSL clock.
        """
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
        """Pull the samples that have arrived; False if there are none, or the stream is gone."""
        try:
            data, stamps, arrived = self._source.pull(0.0)
            if len(stamps) == 0:
                return False
            self._waiting = self._data.take(len(stamps))
            np.take(data, self._picks, axis=1, out=self._waiting, mode="wrap")  # "raise" buffers
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
        """Number of main samples without a value, for any reason."""
        return int(self._state[MISSING])

    @property
    def n_late(self) -> int:
        """Number of samples that came too late for their main samples, or far ahead of them."""
        return int(self._state[LATE])

    def describe(self) -> dict[str, Any]:
        """Return how the stream is joined, for the log and the record."""
        return {
            "stream": self.name,
            "channels": list(self.info.ch_names),
            "sfreq": self.info.sfreq,
            "delay_ms": round(1e3 * self.delay, 3),
            "limit_ms": round(1e3 * self.limit, 3),
            "averaged": self.span,
        }

    def close(self) -> None:
        """Disconnect, and end the search."""
        if self._again is not None:
            self._again.close()
        self._source.close()
        self.state = "closed"
