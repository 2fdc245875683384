"""Sample index and time: a smooth clock line through jittered stamps that sees lost samples.

Raw stamps go in, and when the samples arrived where that is known. A recursive line with
forgetting (20 s) gives each sample the time at which it was most likely taken. Stamps that stay
late by whole samples mean that samples were lost: the index then jumps over them. Every step is a
function of the samples so far, never of how they were cut into chunks, and of no clock of its own.

What no method can do: loss, a lasting delay and a clock set ahead look the same in the stamps
(arrivals tell the last one apart), and none of them can be told at once. Samples whose fate is
open are flagged `Reason.HELD`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels import clock
from rt_decoder.kernels.memory import Rows
from rt_decoder.signal import ModelMismatch

__all__ = ["Decision", "RateMismatch", "TimeBase", "TimedSamples"]


class RateMismatch(ModelMismatch):
    """The stamps run at another rate than was declared.

    Attributes
    ----------
    measured, declared : float
        Hz; measured is the median over up to 15 s.
    """

    def __init__(self, measured: float, declared: float) -> None:
        super().__init__(
            f"need stamps at the declared {declared:g} Hz, got {measured:.4g} Hz: "
            "declared wrongly, or many samples are lost all the time"
        )
        self.measured = measured
        self.declared = declared


class Decision(NamedTuple):
    """What the stamps turned out to mean; it takes effect at `sample` and never before."""

    kind: str  # "gap" samples were lost; "revoked" they were only late; "reset" the clock moved
    sample: int  # count of samples received before the one that it takes effect at
    index: int  # type: ignore[assignment]  # absolute, of that sample, from now on
    n_lost: int  # that the index jumped over; negative if revoked, 0 if reset
    change: int  # count of samples received before the shift began, as far as can be told
    shift: float  # s by which the time line was moved; 0 for a gap
    time: float  # s, of that sample on the line


class TimedSamples(NamedTuple):
    """Time and place of consecutive samples; the arrays are valid until the next call."""

    times: np.ndarray  # (n,) float64 s on the stamps' clock
    index: np.ndarray  # type: ignore[assignment]  # (n,) int64 absolute; it only ever grows
    flags: np.ndarray  # (n,) uint16: Reason.HELD, or Reason.GAP after lost samples
    decisions: list[Decision]


class TimeBase:
    """Times and indices of samples, and the sample nearest to a time.

    A decided gap makes the index jump at the sample that decided it (flagged `Reason.GAP`);
    samples between the loss and the decision keep the index and time they were given and are
    flagged `Reason.HELD` from when a loss was suspected. If stamps come back soon afterwards the
    samples were only late: the gap is *revoked*. The index never goes back, so those lost samples
    stay on the grid as samples that never were; only the time line moves. The same holds for a
    *reset*, where the sender's clock was set. Both begin a new epoch, in which time may start
    earlier than where it was.

    Parameters
    ----------
    sfreq : float
        Nominal sampling rate in Hz.
    history : float
        How many seconds of sample times are kept for markers that arrive late.

    Raises
    ------
    ValueError
        If `sfreq` is not above 0 or `history` is negative.

    Examples
    --------
    >>> timebase = TimeBase(100.0, history=1.0)
    >>> timebase.update(np.arange(50) / 100.0).index[-1]
    np.int64(49)
    >>> timebase.index_of(0.204)
    20
    """

    def __init__(self, sfreq: float, history: float) -> None:
        if not (math.isfinite(sfreq) and sfreq > 0):
            raise ValueError(f"need a sampling rate above 0 Hz, got {sfreq}")
        if not (math.isfinite(history) and history >= 0):
            raise ValueError(f"need a history of 0 s or more, got {history}")
        self.sfreq = float(sfreq)
        size = max(2, math.ceil(history * sfreq))
        self._kept_times = np.zeros(size)
        self._kept_index = np.zeros(size, np.int64)
        self._times = Rows((), np.float64)
        self._index = Rows((), np.int64)
        self._flags = Rows((), np.uint16)
        self._stamps = Rows((), np.float64)
        self._arrivals = Rows((), np.float64)
        self.reset()

    def reset(self) -> None:
        """Forget the line; the index starts at 0 again."""
        self._clock = clock.clock_state(self.sfreq)
        self._epochs = [0]  # counts of samples received before each epoch that is still kept
        self.n_samples = 0

    def update(
        self, stamps: np.ndarray, arrivals: np.ndarray | float | None = None
    ) -> TimedSamples:
        """Place samples on the time line.

        Parameters
        ----------
        stamps : array of shape (n,)
            Raw stamps in s; any n, also 0. One that is not finite is guessed and flagged.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s on any steady clock, which need not be the stamps'. With
            them a clock that is set ahead is told from a loss, unless the reader itself lags
            behind just then by more than half of it. Record them: decisions depend on them.

        Raises
        ------
        RateMismatch
            If the stamps run at a rate more than 1 % off `sfreq` for 16 s (6 s where it is 3 %).
        """
        n = len(stamps)
        times, index, flags = self._times.take(n), self._index.take(n), self._flags.take(n)
        # Copied, for the kernel is compiled for one layout: a read-only array would compile another.
        stamped, arrived = self._stamps.take(n), self._arrivals.take(n)
        stamped[:] = stamps
        arrived[:] = math.nan if arrivals is None else arrivals
        decisions: list[Decision] = []
        state, start = self._clock[0], 0
        while start < n:
            start = clock.advance(
                stamped, arrived, start, self.sfreq, *self._clock, times, index, flags
            )
            kind = clock.CODES[int(state[clock.DECIDED])]
            if kind == "rate":
                raise RateMismatch(float(state[clock.RATE]), self.sfreq)
            if kind:
                decisions.append(self._decision(kind, start - 1, times, index))
        self._keep(times, index)
        return TimedSamples(times, index, flags, decisions)

    def _decision(self, kind: str, at: int, times: np.ndarray, index: np.ndarray) -> Decision:
        state, sample = self._clock[0], self.n_samples + at
        if kind != "gap":
            self._epochs.append(sample)
        return Decision(
            kind,
            sample,
            int(index[at]),
            int(state[clock.LOST]),
            int(state[clock.CHANGE]),
            float(state[clock.SHIFT]),
            float(times[at]),
        )

    def _keep(self, times: np.ndarray, index: np.ndarray) -> None:
        n, size = len(times), len(self._kept_times)
        first = max(0, n - size)
        start = (self.n_samples + first) % size
        head = min(n - first, size - start)
        for kept, new in ((self._kept_times, times), (self._kept_index, index)):
            kept[start : start + head] = new[first : first + head]
            kept[: n - first - head] = new[first + head :]
        self.n_samples += n
        while len(self._epochs) > 1 and self._epochs[1] <= self.n_samples - size:
            del self._epochs[0]

    @property
    def newest(self) -> float:
        """Time of the newest sample; -inf before the first."""
        if self.n_samples == 0:
            return -math.inf
        return self._time(self.n_samples - 1)

    def _time(self, sample: int) -> float:
        return float(self._kept_times[sample % len(self._kept_times)])

    def index_of(self, time: float) -> int | None:
        """Absolute index of the sample nearest to `time`, which may be a lost one.

        Where the clock was set back, two samples may have had this time: it is the one that was
        received first, whenever this is asked.

        Returns
        -------
        int or None
            None while the stream has not reached `time`, so that the answer never depends on
            when it was asked for.

        Raises
        ------
        LookupError
            If `time` lies before the first sample, further back than the history kept, or where
            the clock jumped.
        """
        oldest = max(0, self.n_samples - len(self._kept_times))
        starts = [max(oldest, start) for start in self._epochs]
        for start, stop in zip(starts, [*starts[1:], self.n_samples], strict=True):
            if start < stop and self._time(start) <= time <= self._time(stop - 1):
                return self._nearest(time, start, stop - 1)
        if time > self.newest:
            return None
        begins = self._time(starts[0])
        if time >= begins:
            raise LookupError(f"marker at {time:.3f} s, where the clock jumped")
        if oldest == 0 and begins - time <= 0.5 / self.sfreq:
            return 0
        when = "before the first sample" if oldest == 0 else "too long ago"
        raise LookupError(f"marker {begins - time:.3f} s {when}")

    def _nearest(self, time: float, low: int, high: int) -> int:
        while high - low > 1:  # _time(low) <= time <= _time(high)
            middle = (low + high) // 2
            if self._time(middle) <= time:
                low = middle
            else:
                high = middle
        first, last = (int(self._kept_index[k % len(self._kept_index)]) for k in (low, high))
        before, span = time - self._time(low), self._time(high) - self._time(low)
        if last - first <= 1:
            return first if before <= span - before else last
        return first + math.floor(before / span * (last - first) + 0.5)
