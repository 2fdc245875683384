"""Sample index and time: a smooth clock line through jittered stamps.

Raw stamps go in; a recursive line with forgetting (20 s) gives each sample the time at which it
was most likely taken, and markers find their nearest sample on that line. Every step is a
function of the samples so far, never of how they were cut into chunks. Lost samples are not yet
inferred from the stamps: the index is the count of samples received.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.line import line_state, line_times

__all__ = ["TimeBase"]


class TimeBase:
    """Times of samples, and the sample nearest to a time.

    Parameters
    ----------
    sfreq : float
        Nominal sampling rate in Hz.
    history : float
        How many seconds of sample times are kept for markers that arrive late.

    Examples
    --------
    >>> timebase = TimeBase(100.0, history=1.0)
    >>> times = timebase.update(np.arange(50) / 100.0)
    >>> timebase.index_of(0.204)
    20
    """

    def __init__(self, sfreq: float, history: float) -> None:
        self.sfreq = float(sfreq)
        self._kept = np.zeros(max(2, math.ceil(history * sfreq)))
        self._times = np.zeros(0)
        self.reset()

    def reset(self) -> None:
        """Forget the line; the index starts at 0 again."""
        self._state = line_state(self.sfreq)
        self.n_samples = 0

    def update(self, stamps: np.ndarray) -> np.ndarray:
        """Times (n,) of samples with raw `stamps` (n,) in s; valid until the next call."""
        n = len(stamps)
        if n > len(self._times):
            self._times = np.zeros(n)
        times = self._times[:n]
        line_times(stamps, self.sfreq, self._state, times)
        size = len(self._kept)
        first = max(0, n - size)
        start = (self.n_samples + first) % size
        head = min(n - first, size - start)
        self._kept[start : start + head] = times[first : first + head]
        self._kept[: n - first - head] = times[first + head :]
        self.n_samples += n
        return times

    @property
    def newest(self) -> float:
        """Time of the newest sample; -inf before the first."""
        if self.n_samples == 0:
            return -math.inf
        return float(self._kept[(self.n_samples - 1) % len(self._kept)])

    def index_of(self, time: float) -> int | None:
        """Absolute index of the sample nearest to `time`.

        Returns
        -------
        int or None
            None while the stream has not reached `time`, so that the answer never depends on
            when it was asked for.

        Raises
        ------
        LookupError
            If `time` lies before the first sample, or further back than the history kept.
        """
        if time > self.newest:
            return None
        size = len(self._kept)
        low = max(0, self.n_samples - size)
        oldest = self._kept[low % size]
        if time < oldest:
            if low == 0 and oldest - time <= 0.5 / self.sfreq:
                return 0
            when = "before the first sample" if low == 0 else "too long ago"
            raise LookupError(f"marker {oldest - time:.3f} s {when}")
        high = self.n_samples - 1
        while high - low > 1:  # kept[low] <= time <= kept[high]
            middle = (low + high) // 2
            if self._kept[middle % size] <= time:
                low = middle
            else:
                high = middle
        nearer_low = time - self._kept[low % size] <= self._kept[high % size] - time
        return low if nearer_low else high
