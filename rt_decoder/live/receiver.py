"""Pull samples with their clock correction, always in the session's order of channels."""

from __future__ import annotations

import numpy as np

from rt_decoder.source import Received, SampleSource

__all__ = ["Receiver"]

REFRESH = 1.0  # s between updates of the clock correction


class Receiver:
    """Pull from a source, which may change after a loss."""

    def __init__(self) -> None:
        self.restart(None)
        self._correction = 0.0
        self._times = np.zeros(0)

    def restart(self, picks: np.ndarray | None) -> None:
        """Start on another source.

        Parameters
        ----------
        picks : array of shape (c,), int, or None
            Columns of the source in the session's order, -1 for a missing channel; None if the
            order is the same.
        """
        self._picks = picks
        self._check_at = 0.0

    def pull(self, source: SampleSource, timeout: float, n: int = 1) -> Received:
        """Wait for samples.

        Parameters
        ----------
        source : SampleSource
            The stream.
        timeout : float
            Longest wait, in s.
        n : int
            Samples to wait for.

        Returns
        -------
        Received
            Views into the source's memory, valid until its next pull; empty after `timeout`.
        """
        data, stamps, arrival = source.pull(timeout, n)
        if self._picks is not None:
            data = data[:, self._picks]
            data[:, self._picks < 0] = np.nan  # missing channels, which the model does not need
        if len(stamps) and arrival >= self._check_at:
            self._correction = source.correction()
            self._check_at = arrival + REFRESH
        return Received(data, stamps, arrival, self._correction)

    def timed(self, received: Received) -> tuple[np.ndarray, np.ndarray, float]:
        """Return data, stamps on this machine's clock, (n,) s, and arrival; valid until the next call."""
        n = len(received.stamps)
        if n > len(self._times):
            self._times = np.zeros(2 * n)
        times = self._times[:n]
        np.add(received.stamps, received.correction, out=times)
        return received.data, times, received.arrival
