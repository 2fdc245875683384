"""Pulls of samples with their clock correction, in the order of channels that the session began with."""

from __future__ import annotations

import numpy as np

from rt_decoder.source import Received, SampleSource

__all__ = ["Receiver"]

REFRESH = 1.0  # s between looks at the clock correction


class Receiver:
    """Pull from a source, which may be another one after a loss."""

    def __init__(self) -> None:
        self.restart(None)
        self._correction = 0.0

    def restart(self, picks: np.ndarray | None) -> None:
        """Begin with another source.

        Parameters
        ----------
        picks : array of shape (c,), int, or None
            Columns that put it in order, -1 for a channel that is gone; None if it is in order.
        """
        self._picks = picks
        self._check_at = 0.0

    def pull(self, source: SampleSource, timeout: float) -> Received:
        """Wait for samples.

        Parameters
        ----------
        source : SampleSource
            The stream.
        timeout : float
            For how long, in s.

        Returns
        -------
        Received
            Views into memory of the source, valid until its next pull.
        """
        data, stamps, arrival = source.pull(timeout)
        if self._picks is not None:
            data = data[:, self._picks]
            data[:, self._picks < 0] = np.nan  # not in use, and gone
        if len(stamps) and arrival >= self._check_at:
            self._correction = source.correction()
            self._check_at = arrival + REFRESH
        return Received(data, stamps, arrival, self._correction)
