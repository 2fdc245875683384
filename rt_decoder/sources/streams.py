"""Open the streams of a live session, and open them again after a loss.

A session asks its `LslStreams` or `FieldTripStreams` for samples and markers; it does not know
which of the two it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pylsl

from rt_decoder.sources.fieldtrip import FieldTripSource
from rt_decoder.sources.fieldtrip_events import FieldTripMarkers
from rt_decoder.sources.lsl import LslMarkers, LslSource, resolve

__all__ = ["FieldTripStreams", "LslStreams"]

_NOT_YET = (LookupError, TimeoutError, ConnectionError)


@dataclass
class LslStreams:
    """Streams of LSL.

    Parameters
    ----------
    selection : dict
        Arguments of `lsl.resolve`.
    marker_name : str
        Name of the marker stream; none if empty.
    channels, units : path, str or None
        By hand.
    timeout : float
        For finding streams, in s.
    """

    selection: dict[str, str | None]
    marker_name: str = ""
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    _resolver: pylsl.ContinuousResolver | None = field(default=None, init=False)

    def samples(self, timeout: float | None = None) -> LslSource:
        """The stream of samples; LookupError if not exactly one matches."""
        stream = resolve(**self.selection, timeout=self.timeout if timeout is None else timeout)
        return LslSource(stream, channels=self.channels, units=self.units)

    def markers(self) -> LslMarkers | None:
        """The stream of markers, or None where none is wanted."""
        if not self.marker_name:
            return None
        return LslMarkers(resolve(name=self.marker_name, timeout=self.timeout))

    def reopen(self, wait: float) -> LslSource | None:
        """The stream of samples once it is back; None if it is not within `wait` s."""
        try:
            return self.samples(wait)
        except _NOT_YET:
            return None

    def reopen_markers(self) -> LslMarkers | None:
        """The stream of markers once it is back; looks in the background and does not wait."""
        if self._resolver is None:
            self._resolver = pylsl.ContinuousResolver("name", self.marker_name, forget_after=2.0)
        found = self._resolver.results()
        if len(found) != 1:
            return None
        try:
            markers = LslMarkers(found[0])
            markers.open()
        except _NOT_YET:
            return None
        self._resolver = None
        return markers


@dataclass
class FieldTripStreams:
    """Samples and events of a FieldTrip buffer.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.
    event_type : str or None
        Type of the events that are markers; "" takes all, None takes none.
    channels, units : path, str or None
        By hand.
    timeout : float
        For connecting, in s.
    """

    address: str
    event_type: str | None = None
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    _source: FieldTripSource | None = field(default=None, init=False)

    def samples(self, timeout: float | None = None) -> FieldTripSource:
        """The buffer's samples; TimeoutError if it does not answer."""
        if self._source is None or timeout is not None:
            if self._source is not None:
                self._source.close()
            self._source = FieldTripSource(
                self.address, channels=self.channels, units=self.units,
                timeout=self.timeout if timeout is None else timeout,
            )  # fmt: skip
        return self._source

    def markers(self) -> FieldTripMarkers | None:
        """The buffer's events, or None where none are wanted."""
        return None if self.event_type is None else self.samples().markers(self.event_type)

    def reopen(self, wait: float) -> FieldTripSource | None:
        """The buffer once it is back; None if it is not within `wait` s."""
        try:
            return self.samples(wait)
        except _NOT_YET:
            return None

    def reopen_markers(self) -> FieldTripMarkers | None:
        """The events of the buffer that is there now."""
        return self.markers()
