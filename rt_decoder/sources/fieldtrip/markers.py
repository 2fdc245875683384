"""Read the events of a FieldTrip buffer as markers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from rt_decoder.signal import Marker, StreamLost

__all__ = ["FieldTripMarkers"]


class FieldTripMarkers:
    """Events of a buffer as markers; `FieldTripSource.markers` makes it.

    The label is the event's value, or its type if it has no value. The time is that of the event's
    sample, from the same clock as the samples' stamps.

    Parameters
    ----------
    source : str
        Name of the source whose connection is shared.
    ended : callable
        Returns the reason why the source is lost, or "". Its markers are lost with it.
    kind : str
        Type of the events to read; all if empty.

    Attributes
    ----------
    name : str
        Of the source, with the type.
    """

    def __init__(self, source: str, ended: Callable[[], str], kind: str = "") -> None:
        self.name = f"{source}/{kind or 'events'}"
        self._kind = kind
        self._ended = ended
        self._markers: deque[Marker] = deque()

    def open(self, timeout: float = 5.0) -> None:
        """Do nothing: the source's `open` subscribes to both."""

    def take(self, event: Any, time: float) -> None:
        """Store an event of the client that happened at `time` s; runs in the reader's thread."""
        kind = _text(event.type)
        label = _text(event.value) or kind
        if label and self._kind in ("", kind):
            self._markers.append(Marker(label, time))

    def pull(self) -> list[Marker]:
        """Return the markers that have arrived, without waiting.

        Returns
        -------
        list of Marker
            With times on this machine's LSL clock.

        Raises
        ------
        StreamLost
            If the source is lost; raised once all earlier markers were pulled.
        """
        ended = self._ended()
        markers = [self._markers.popleft() for _ in range(len(self._markers))]
        if ended and not markers:
            raise StreamLost(ended)
        return markers

    def correction(self, timeout: float = 5.0) -> float:  # noqa: ARG002  (as other sources)
        """Return 0: times are already on this machine's LSL clock."""
        return 0.0

    def close(self) -> None:
        """Do nothing: the source's `close` disconnects both."""


def _text(value: Any) -> str:
    """Format the type or value of an event: bytes, or numbers in an array."""
    if isinstance(value, bytes):
        value = value.rstrip(b"\0").strip()
        try:
            return value.decode()
        except UnicodeDecodeError:  # MATLAB on Windows sends its own code page
            return value.decode("latin-1")
    return " ".join(_number(number) for number in value.tolist())


def _number(number: float) -> str:
    if isinstance(number, int) or not math.isfinite(number) or not number.is_integer():
        return str(number)
    return str(int(number))
