"""Fit a smooth clock line through jittered stamps and detect lost samples.

The input is raw stamps and, where known, arrival times. A recursive line with forgetting (20 s)
estimates when each sample was taken. If stamps stay late by whole samples, samples were lost and
the index jumps over them. The result depends only on the samples so far: not on how they were cut
into chunks, and not on any other clock.

Limits: in the stamps, a loss, a lasting delay and a clock set ahead look the same. Arrival times
distinguish the last one. Each takes a while to recognise; until then samples are flagged
`Reason.HELD`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels import clock
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.timeline import place
from rt_decoder.signal import FLAGS, ModelMismatch
from rt_decoder.timing.timeline import Timeline

__all__ = ["Decision", "RateMismatch", "TimeBase", "TimedSamples"]

_FLOAT = np.dtype(np.float64)


class RateMismatch(ModelMismatch):
    """The stamps run at another rate than was declared, or there are none.

    Parameters
    ----------
    measured : float
        Hz; median over up to 15 s. NaN if no sample has a time in s, infinite or below 0 if the
        stamps stand still or go back.
    declared : float
        Hz.
    """

    def __init__(self, measured: float, declared: float) -> None:
        if math.isnan(measured):
            got = "none that is a time in s: not a number, or in another unit"
        elif not 0 < measured < math.inf:
            got = "stamps that " + ("go back" if measured < 0 else "do not advance")
        else:
            got = f"{measured:.4g} Hz: declared wrongly, or many samples are lost all the time"
        super().__init__(f"need stamps at the declared {declared:g} Hz, got {got}")
        self.measured = measured
        self.declared = declared


class Decision(NamedTuple):
    """A gap, a revoked gap or a clock reset, effective from `sample` on."""

    kind: str  # "gap": samples were lost; "revoked": they were only late; "reset": the clock moved
    sample: int  # number of samples received before the first that it affects
    index: int  # type: ignore[assignment]  # absolute, of the first sample that it affects
    n_lost: int  # samples that the index jumped over; negative if revoked, 0 if reset
    change: int  # estimated number of samples received before the shift began
    shift: float  # s by which the time line moved; 0 for a gap
    time: float  # s on the clock line, of the first sample that it affects


class TimedSamples(NamedTuple):
    """Times and indices of consecutive samples; the arrays are valid until the next call."""

    times: np.ndarray  # (n,) float64 s on the stamps' clock
    index: np.ndarray  # type: ignore[assignment]  # (n,) int64 absolute; it only ever grows
    flags: np.ndarray  # (n,) uint32: Reason.HELD, or Reason.GAP after lost samples
    decisions: list[Decision]
    latest: float  # largest of the times, NaN if one is


class TimeBase:
    """Assign times and indices to samples, and find the sample nearest to a time.

    =========  =======================================================================
    decision   what follows
    =========  =======================================================================
    gap        Samples were lost: the index jumps at the sample that decided it, which
               is flagged `Reason.GAP`. Samples between the loss and the decision keep
               their index and time, flagged `Reason.HELD` once a loss was suspected.
    revoked    The stamps returned soon: samples were only late. The index never goes
               back, so the lost samples stay on the grid; only the time line moves.
    reset      The sender's clock was set: the time line moves, the index does not.
    =========  =======================================================================

    A revoked gap and a reset begin a new epoch, whose time may start before the last one's end.

    Parameters
    ----------
    sfreq : float
        Nominal sampling rate in Hz.
    history : float
        Seconds of sample times to keep for markers that arrive late.

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
        """Forget the clock line; the index starts at 0."""
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
        stamps : array of shape (n,), float64
            Raw stamps in s; n may be 0. One that is not finite is estimated and flagged.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s on any steady clock. They distinguish a clock set ahead
            from a loss, unless the reader lags at that moment by more than half the step. Record
            them: decisions depend on them.

        Returns
        -------
        TimedSamples
            Its arrays are valid until the next call.

        Raises
        ------
        RateMismatch
            If the stamps run more than 1 % off `sfreq` for 16 s, or more than 3 % for 6 s.
        """
        n = len(stamps)
        times, index, flags = self._times.take(n), self._index.take(n), self._flags.take(n)
        arrived, each = self._arrivals.take(n), isinstance(arrivals, np.ndarray)
        if each:
            arrived[:] = arrivals
        arrival = math.nan if each or arrivals is None else float(arrivals)
        if stamps.dtype is not _FLOAT or not stamps.flags.carray:  # the layout that is compiled
            stamps, given = self._stamps.take(n), stamps
            stamps[:] = given
        decisions: list[Decision] = []
        state, start, latest = self._clock[0], 0, -math.inf
        while start < n:
            start, latest = place(
                stamps, arrival, arrived, not each, start, self.sfreq, *self._clock,
                times, index, flags, self.n_samples, *self._timeline.memory,
            )  # fmt: skip
            kind = clock.CODES[int(state[clock.DECIDED])]
            if kind == "rate":
                raise RateMismatch(float(state[clock.RATE]), self.sfreq)
            if kind == "begun":
                self._timeline.begin_epoch(0, self.n_samples + start - 1, state[clock.SHIFT])
            elif kind:
                decisions.append(self._decision(kind, start - 1, times, index))
        self._timeline.grow(n)
        return TimedSamples(times, index, flags, decisions, latest)

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
        """Find the absolute index of the sample nearest to `time`, which may be a lost one.

        Parameters
        ----------
        time : float
            In s, on the stamps' clock.
        came : int
            Number of samples received when the marker arrived. If the clock was set back, two
            samples may have this time; the one nearer to the arrival is chosen.

        Returns
        -------
        int or None
            None until the stream reaches `time`, and while the newest samples are held, so that the
            index does not depend on when it is asked for. A time far before the oldest sample waits
            a second, too: the clock may just have been set back.

        Raises
        ------
        LookupError
            If `time` lies before the first sample, further back than the history kept, or where
            the clock jumped.
        """
        return self._timeline.index_of(time, came)
