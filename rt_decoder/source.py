"""Protocols that a session expects of its sources, whether LSL or FieldTrip."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from rt_decoder.signal import Marker, SignalInfo

__all__ = ["MarkerSource", "Pulled", "SampleSource", "Streams"]


class Pulled(NamedTuple):
    """Samples as delivered: views into the source's memory, valid until its next pull."""

    data: np.ndarray  # (n, c) float64 in declared units
    stamps: np.ndarray  # (n,) float64 s, raw, on the sender's clock
    arrival: float  # s on this machine's LSL clock


class SampleSource(Protocol):
    """A stream of samples."""

    name: str
    info: SignalInfo

    def open(self, timeout: float = ...) -> None:
        """Subscribe."""

    def pull(self, timeout: float) -> Pulled:
        """Return what has arrived after at most `timeout` s; StreamLost if the source is gone."""
        ...

    def correction(self, timeout: float = ...) -> float:
        """Return the seconds to add to stamps to reach this machine's clock."""
        ...

    def close(self) -> None:
        """Leave the stream."""


class MarkerSource(Protocol):
    """A stream of markers."""

    name: str

    def open(self, timeout: float = ...) -> None:
        """Subscribe."""

    def pull(self) -> list[Marker]:
        """Return the markers that have arrived, without waiting; StreamLost if the source is gone."""
        ...

    def close(self) -> None:
        """Leave the stream."""


class Streams(Protocol):
    """Opens a session's streams again after a loss or a long silence."""

    def reopen(self, wait: float) -> SampleSource | None:
        """Return the samples, or None if they do not come back within `wait` s."""
        ...

    def reopen_markers(self) -> MarkerSource | None:
        """Return the markers if they are back, else None; never waits."""
        ...

    def replacement(self) -> object | None:
        """Return the outlet that has replaced a silent one, or None; never waits."""
        ...

    def stop_looking(self) -> None:
        """Stop looking for a replacement: the stream has resumed."""
