"""What the pipeline tells a monitor; calibration collects by the same calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from rt_decoder.monitor.verdict import UNLIKE_REASON, Fit
from rt_decoder.signal import Chunk

__all__ = ["Watcher"]


class Watcher:
    """See everything, and say nothing.

    Attributes
    ----------
    state : Fit
        What is known of the signal so far.
    silences : bool
        Whether readouts abstain while the signal is not that of calibration.
    """

    state = Fit.UNCHECKED
    silences = True

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons for readouts to abstain; empty for none."""
        return (UNLIKE_REASON,) if self.silences and self.state is Fit.UNLIKE else ()

    def mark(self, onset: int) -> None:
        """Expect a response to an event at this sample."""

    def raw(self, hop: Chunk) -> None:
        """Take a hop as it is before channels are repaired."""

    def write(
        self, data: np.ndarray, flags: np.ndarray, index: int, power: np.ndarray | None = None
    ) -> None:
        """Take cleaned samples.

        Parameters
        ----------
        data : array of shape (n, c), float64
        flags : array of shape (n,), uint32
            Reason bits.
        index : int
            Of the first sample; those before it that did not come were lost.
        power : array of shape (n, bands * c), float64, or None
            Of the samples in bands, where features are of these.
        """

    def advance(self, stop: int) -> None:
        """Judge what is complete before sample `stop`."""

    def truth(self, label: str, scores: np.ndarray) -> None:
        """Take the cosines (V,) of an event whose marker has this label, after its readout."""

    @property
    def summary(self) -> dict[str, Any] | None:
        """State and what it rests on, as plain values; None where nothing is checked."""
        return None

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Take what is to be told since the last call."""
        return []

    def warm_up(self) -> None:
        """Compile every kernel; forgets everything."""

    def restart(self) -> None:
        """Begin a new time line at index 0; what is known of the signal stays."""

    def reset(self) -> None:
        """Forget everything."""
