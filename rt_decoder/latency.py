"""Durations: of each stage, and from the newest sample until the scores of its readout have left.

A histogram with logarithmic bins (2.5 % wide, 100 ns to 1000 s) holds any number of laps in fixed
memory; the maximum is exact.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import perf_counter_ns

import numpy as np

from rt_decoder.signal import Readout

__all__ = ["Histogram", "Lateness", "Stopwatch", "clock_offset", "is_latency"]

_AHEAD = 1.0  # s by which stamps may run ahead of this machine's clock: corrections are imprecise
_BEHIND = 600.0  # s of samples that may wait: more than any buffer holds
_MOST_LAPS = 64  # that wait to be counted
_MOST_ROWS = 4  # of laps timed elsewhere, which are kept as they come: one a hop
_LOW_NS = 100.0
_PER_LOG = 1.0 / math.log(1.025)
_N_BINS = math.ceil(math.log(1e12 / _LOW_NS) * _PER_LOG) + 1


def is_latency(seconds: float) -> bool:
    """Tell whether a sample may be that old; if not, it was stamped by another clock."""
    return -_AHEAD < seconds < _BEHIND


def clock_offset(newest: float, arrival: float) -> float:
    """Return the seconds from the clock of a stream's stamps to this machine's.

    Parameters
    ----------
    newest : float
        Time of the newest sample, in s on the stream's clock; NaN if unknown.
    arrival : float
        When it arrived, in s on this machine's clock.

    Returns
    -------
    float
        0 if both can be the same clock. Otherwise as if the sample had been taken as it arrived.

    Examples
    --------
    >>> clock_offset(100.0, 100.02), clock_offset(1.7e9, 100.0)
    (0.0, -1699999900.0)
    """
    late = arrival - newest
    return 0.0 if is_latency(late) else late


class Histogram:
    """Distribution of durations.

    Examples
    --------
    >>> histogram = Histogram()
    >>> for microseconds in range(1, 1001):
    ...     histogram.add(microseconds * 1000)
    >>> round(histogram.percentile(50) / 1000, -2)
    500.0
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all durations."""
        self._counts = array("q", bytes(8 * _N_BINS))  # keeps no object, as a list of ints does
        self.n = 0
        self.max_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count a duration in ns, 0 or more."""
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns
        place = 0
        if duration_ns > _LOW_NS:
            place = min(int(math.log(duration_ns / _LOW_NS) * _PER_LOG), _N_BINS - 1)
        self._counts[place] += 1
        self.n += 1

    def percentile(self, q: float) -> float:
        """Return the duration in ns below which `q` percent lie; NaN if nothing was added."""
        if self.n == 0:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._counts), q / 100 * self.n))
        return min(_LOW_NS * math.exp((place + 0.5) / _PER_LOG), float(self.max_ns))

    def summary(self, unit_ns: float, percentiles: Sequence[float] = (50, 95, 99)) -> dict:
        """Return ``{"p50": ..., "max": ...}`` in units of `unit_ns` ns; None if nothing was added."""
        row = {f"p{q:g}": self.percentile(q) / unit_ns for q in percentiles}
        row["max"] = self.max_ns / unit_ns if self.n else math.nan
        return {name: None if math.isnan(value) else round(value, 4) for name, value in row.items()}


class Lateness:
    """Measures how old the newest sample of each readout is, and counts those over the budget.

    A readout's latency ends when its scores have left: have been pushed to the outlet or, without
    one, are handed to the log. Until then it is known so far, as at the readout's `time`.

    Parameters
    ----------
    clock : callable or None
        Returns the time in s on the clock of the stamps. With None (offline) latencies are NaN.
    budget_ms : float
        Latency that is allowed.

    Attributes
    ----------
    latencies : Histogram
        Of the readouts that have left.
    clock_offset : float
        Seconds from the stream's times to `clock`; NaN if unknown.
    n_late, n_early : int
        Readouts over the budget; readouts that came before the stamp of their newest sample.
    earliest_ms : float
        By which the first of `n_early` readouts came before its time.
    """

    def __init__(self, clock: Callable[[], float] | None, budget_ms: float) -> None:
        self._clock, self.budget_ms = clock, budget_ms
        self.latencies = Histogram()
        self.reset()

    def reset(self) -> None:
        """Forget all readouts and the offset."""
        self.latencies.reset()
        self.n_late = self.n_early = 0
        self.clock_offset = self.earliest_ms = 0.0

    def measure(self, taken: float) -> tuple[float, float, bool | None]:
        """Measure a readout that is made now, and has not left yet.

        Parameters
        ----------
        taken : float
            Stamp of its newest sample, in s.

        Returns
        -------
        now : float
            In s; offline, `taken`.
        latency_ms : float
            So far; NaN where unknown.
        late : bool or None
            Whether it is over the budget already; None where a live latency is unknown.
        """
        if self._clock is None:
            return taken, math.nan, False
        now = self._clock()
        latency_ms = (now - taken - self.clock_offset) * 1e3
        if not is_latency(1e-3 * latency_ms):
            return now, math.nan, None
        return now, latency_ms, latency_ms > self.budget_ms

    def left(self, readout: Readout) -> Readout:
        """Count a readout whose scores have left now.

        Parameters
        ----------
        readout : Readout
            As it was made, with what `measure` told.

        Returns
        -------
        Readout
            With its whole latency; unchanged where that is unknown.
        """
        if self._clock is None or math.isnan(readout.latency_ms):
            return readout
        latency_ms = readout.latency_ms + 1e3 * (self._clock() - readout.time)
        late = latency_ms > self.budget_ms
        if latency_ms >= 0:
            self.latencies.add(int(latency_ms * 1e6))
            self.n_late += late
        else:  # no duration: the stamps run ahead
            self.earliest_ms = self.earliest_ms or -latency_ms
            self.n_early += 1
        return readout._replace(latency_ms=latency_ms, late=late)


class Stopwatch:
    """Times laps: each stage takes the time since the lap before.

    Parameters
    ----------
    stages : sequence of str
        Names of the stages, in flow order.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self.histograms = {stage: Histogram() for stage in stages}
        # laps that are not counted yet, in memory that stays
        self._stages, self._durations = [""] * _MOST_LAPS, array("q", bytes(8 * _MOST_LAPS))
        self._n_laps = 0
        self._rows: list[tuple[Sequence[str], Sequence[int], int]] = []
        self._last = 0

    def start(self) -> None:
        """Begin a round of laps."""
        self._last = perf_counter_ns()

    def lap(self, stage: str) -> None:
        """Take the time since the last lap as that of `stage`."""
        now = perf_counter_ns()
        n = self._n_laps
        self._stages[n], self._durations[n] = stage, now - self._last
        self._last, self._n_laps = now, n + 1
        if n + 1 == _MOST_LAPS:
            self.count()

    def laps(self, stages: Sequence[str], stamps: Sequence[int]) -> None:
        """Take laps that were timed elsewhere.

        Parameters
        ----------
        stages : sequence of str
            In the order in which they ran.
        stamps : sequence of int
            When the first began, and when each ended, in ns on any clock; kept. The first takes what
            else has passed since the lap before.
        """
        now = perf_counter_ns()
        self._rows.append((stages, stamps, now - self._last))
        self._last = now
        if len(self._rows) == _MOST_ROWS:
            self.count()

    def count(self) -> None:
        """Put the laps into the histograms, which takes longer than the laps: after the readouts."""
        for k in range(self._n_laps):
            self.histograms[self._stages[k]].add(self._durations[k])
        self._n_laps = 0
        for stages, stamps, whole in self._rows:
            beside = whole - (stamps[-1] - stamps[0])
            for stage, (begun, ended) in zip(stages, pairwise(stamps), strict=True):
                self.histograms[stage].add(max(0, ended - begun + beside))
                beside = 0
        self._rows.clear()

    def reset(self) -> None:
        """Forget all laps."""
        self._n_laps = 0
        self._rows.clear()
        for histogram in self.histograms.values():
            histogram.reset()

    def summary_us(self) -> dict[str, dict[str, float | None]]:
        """Return the percentiles in us of each stage that ran."""
        self.count()
        return {
            stage: histogram.summary(1e3)
            for stage, histogram in self.histograms.items()
            if histogram.n
        }
