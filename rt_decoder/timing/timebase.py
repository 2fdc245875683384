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
from rt_decoder.signal import FLAGS, ModelMismatch
from rt_decoder.timing.timeline import Timeline

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
    flags: np.ndarray  # (n,) uint32: Reason.HELD, or Reason.GAP after lost samples
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
        self._timeline = Timeline(max(2, math.ceil(history * sfreq)), self.sfreq)
        self._times = Rows((), np.float64)
        self._index = Rows((), np.int64)
        self._flags = Rows((), FLAGS)
        self._stamps = Rows((), np.float64)
        self._arrivals = Rows((), np.float64)
        self.reset()

    def reset(self) -> None:
        """Forget the line; the index starts at 0 again."""
        self._clock = clock.clock_state(self.sfreq)
        self._timeline.reset()

    @property
    def n_samples(self) -> int:
        """Samples received since the start."""
        return self._timeline.n_samples

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
        self._timeline.keep(times, index, flags)
        return TimedSamples(times, index, flags, decisions)

    def _decision(self, kind: str, at: int, times: np.ndarray, index: np.ndarray) -> Decision:
        state, sample = self._clock[0], self.n_samples + at
        if kind != "gap":
            shift = float(state[clock.SHIFT])
            self._timeline.begin_epoch(int(state[clock.CHANGE]), sample, shift)
        return Decision(
            kind,
            sample,
            int(index[at]),
            int(state[clock.LOST]),
            int(state[clock.CHANGE]),
            float(state[clock.SHIFT]),
            float(times[at]),
        )

    @property
    def newest(self) -> float:
        """Time of the newest sample; -inf before the first."""
        return self._timeline.newest

    def index_of(self, time: float, came: int = 0) -> int | None:
        """Absolute index of the sample nearest to `time`, which may be a lost one.

        Parameters
        ----------
        time : float
            In s, on the stamps' clock.
        came : int
            How many samples had been received when the marker came. Where the clock was set back, two
            samples may have had this time: it is the one nearer to the arrival.

        Returns
        -------
        int or None
            None while the stream has not reached `time`, and while the newest samples are HELD: the
            answer never depends on when it was asked for.

        Raises
        ------
        LookupError
            If `time` lies before the first sample, further back than the history kept, or where
            the clock jumped.
        """
        return self._timeline.index_of(time, came)
