"""Where samples come from, and what a session asks of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rt_decoder.signal import Marker, SignalInfo

__all__ = ["MarkerSource", "SampleSource", "Streams"]


class SampleSource(Protocol):
    """What a session asks of a stream of samples, LSL's or FieldTrip's."""

    name: str
    info: SignalInfo

    def open(self, timeout: float = ...) -> None:
        """Subscribe."""

    def pull(self, timeout: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Samples (n, c) as delivered, raw stamps (n,), time of arrival; StreamLost."""
        ...

    def correction(self, timeout: float = ...) -> float:
        """Seconds from the stamps' clock to this machine's."""
        ...

    def close(self) -> None:
        """Leave the stream."""


class MarkerSource(Protocol):
    """What a session asks of a stream of markers."""

    name: str

    def open(self, timeout: float = ...) -> None:
        """Subscribe."""

    def pull(self) -> list[Marker]:
        """Markers that have arrived, at once; StreamLost."""
        ...

    def close(self) -> None:
        """Leave the stream."""


class Streams(Protocol):
    """What a session asks of whoever opened its streams, after a loss or a long silence."""

    def reopen(self, wait: float) -> SampleSource | None:
        """The samples once they are back; None if they are not within `wait` s."""
        ...

    def reopen_markers(self) -> MarkerSource | None:
        """The markers once they are back; at once."""
        ...

    def replacement(self) -> object | None:
        """Another outlet that has taken the place of a silent one; at once."""
        ...

    def stop_looking(self) -> None:
        """The stream goes on: look for no replacement."""
