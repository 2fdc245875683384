"""Protocols that a session expects of its sources, whether LSL or FieldTrip."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from rt_decoder.signal import Marker, SignalInfo

__all__ = ["MarkerSource", "Pulled", "Received", "SampleSource", "Streams"]


class Pulled(NamedTuple):
    """Samples as delivered: views into the source's memory, valid until its next pull."""

    data: np.ndarray  # (n, c) float64 in declared units
    stamps: np.ndarray  # (n,) float64 s, raw, on the sender's clock
    arrival: float  # s on this machine's LSL clock


class Received(NamedTuple):
    """A pull, and the clock correction that was in force."""

    data: np.ndarray  # (n, c) float64 in declared units
    stamps: np.ndarray  # (n,) float64 s, raw, on the sender's clock
    arrival: float  # s on this machine's LSL clock
    correction: float  # s from the sender's clock to this machine's

    @property
    def times(self) -> np.ndarray:
        """Stamps on this machine's clock, (n,) s."""
        return self.stamps + self.correction

    def rows(self, start: int | None, stop: int | None) -> Received:
        """Some of the samples; views."""
        return self._replace(data=self.data[start:stop], stamps=self.stamps[start:stop])

    def copy(self) -> Received:
        """The same in memory of its own, which the next pull leaves alone."""
        return self._replace(data=self.data.copy(), stamps=self.stamps.copy())


class SampleSource(Protocol):
    """A stream of samples."""

    name: str
    info: SignalInfo

    def open(self, timeout: float = ...) -> None:
        """Subscribe."""

    def pull(self, timeout: float, n: int = 1) -> Pulled:
        """Return what has come once `n` have, or after `timeout` s; StreamLost if it is gone."""
        ...

    def waiting(self) -> int:
        """Return how many samples the last pull has left behind; it never waits."""
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

    @property
    def why_not(self) -> str:
        """Why the last `reopen` found something and did not take it; "" if it found nothing."""
        ...

    def reopen(self, wait: float) -> SampleSource | None:
        """Return the samples, or None if they do not come back within `wait` s."""
        ...

    def reopen_markers(self, number: int = 0) -> MarkerSource | None:
        """Return a stream of markers, by its number, if it is back, else None; never waits."""
        ...

    def replacement(self) -> object | None:
        """Return the outlet that has replaced a silent one, or None; never waits."""
        ...

    def stop_looking(self) -> None:
        """Stop looking for a replacement: the stream has resumed."""
