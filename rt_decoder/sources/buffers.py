"""Open the buffer of a session, and open it again after a loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rt_decoder.sources.fieldtrip.markers import FieldTripMarkers
from rt_decoder.sources.fieldtrip.source import FieldTripSource

__all__ = ["FieldTripStreams"]


@dataclass
class FieldTripStreams:
    """Samples and events of a FieldTrip buffer.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.
    event_type : str or None
        Type of the events to read as markers; "" reads all, None reads none.
    channels, units : path, str or None
        Channel table and unit that the user sets (``--channels``, ``--units``).
    timeout : float
        Longest time in s to connect.
    """

    address: str
    event_type: str | None = None
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    _source: FieldTripSource | None = field(default=None, init=False)

    def samples(self, timeout: float | None = None) -> FieldTripSource:
        """Connect to the buffer, or return the open connection; TimeoutError if it is silent."""
        if self._source is None or timeout is not None:
            if self._source is not None:
                self._source.close()
            self._source = FieldTripSource(
                self.address, channels=self.channels, units=self.units,
                timeout=self.timeout if timeout is None else timeout,
            )  # fmt: skip
        return self._source

    def markers(self) -> list[FieldTripMarkers]:
        """Return the buffer's events; none if the session has no markers."""
        return [] if self.event_type is None else [self.samples().markers(self.event_type)]

    def reopen(self, wait: float) -> FieldTripSource | None:
        """Connect again; None if the buffer is not back within `wait` s."""
        try:
            return self.samples(wait)
        except (LookupError, TimeoutError, ConnectionError):
            return None

    @property
    def why_not(self) -> str:
        """Return "": a buffer is there, or it is not."""
        return ""

    def replacement(self) -> None:
        """Return None: a buffer that does not answer is lost, never silent."""

    def stop_looking(self) -> None:
        """Do nothing: no replacement is ever looked for."""

    def reopen_markers(self, number: int = 0) -> FieldTripMarkers:
        """Return the events of the present connection."""
        return self.markers()[number]
