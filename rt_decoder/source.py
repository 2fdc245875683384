"""What a session asks of where its samples and markers come from, whichever source that is."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from rt_decoder.signal import Marker, SignalInfo

__all__ = ["MarkerSource", "Pulled", "Received", "SampleSource", "Streams"]


class Pulled(NamedTuple):
    """Samples as delivered; views into memory of the source, valid until its next pull."""

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
    """What a session asks of a stream of samples, LSL's or FieldTrip's."""

    name: str
    info: SignalInfo

    def open(self, timeout: float = ...) -> None:
        """Subscribe."""

    def pull(self, timeout: float) -> Pulled:
        """Wait for samples, at most `timeout` s; raises StreamLost."""
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
