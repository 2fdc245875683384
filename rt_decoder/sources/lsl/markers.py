"""Read markers from an LSL stream."""

from __future__ import annotations

import math

import pylsl

from rt_decoder.signal import Marker
from rt_decoder.sources.lsl.find import is_data
from rt_decoder.sources.lsl.inlet import Inlet

__all__ = ["LslMarkers"]

_LONGEST_PULL = 64  # markers; the next pull takes the rest


class LslMarkers:
    """A stream of markers: text or numbers.

    Only the first channel is read. Empty labels and NaN are no markers. Numbers at a regular rate
    are a trigger channel: each change to a value other than 0 is a marker.

    Parameters
    ----------
    stream : pylsl.StreamInfo
        From `resolve`.
    timeout : float
        Longest time in s to wait for the stream's description.

    Attributes
    ----------
    name : str
        Of the stream.
    is_regular : bool
        Whether it is a trigger channel: numbers at a regular rate.
    """

    def __init__(self, stream: pylsl.StreamInfo, *, timeout: float = 5.0) -> None:
        self.name = stream.name()
        self.is_regular = is_data(stream)
        self._last = 0.0
        self._inlet = Inlet(stream, timeout)

    def open(self, timeout: float = 5.0) -> None:
        """Subscribe: markers pushed from now on are delivered; see `LslSource.open`."""
        self._inlet.open(timeout)

    def pull(self) -> list[Marker]:
        """Return the markers that have arrived, without waiting.

        Returns
        -------
        list of Marker
            With times on this machine's LSL clock.

        Raises
        ------
        StreamLost
            If the outlet is gone.
        """
        # text as bytes: not every program sends UTF-8
        rows, stamps = self._inlet.ask("pull_chunk", 0.0, _LONGEST_PULL, as_numpy=True)
        if not len(stamps):
            return []
        correction = self._inlet.correction(0.0)
        markers = []
        for row, stamp in zip(rows, stamps, strict=True):
            value = row[0]
            if self.is_regular:
                changed, self._last = value != self._last and value != 0, value
                if not changed:
                    continue
            label = _label(value)
            if label:
                markers.append(Marker(label, float(stamp) + correction))
        return markers

    def correction(self, timeout: float = 5.0) -> float:
        """Return the seconds to add to raw stamps; see `LslSource.correction`."""
        return self._inlet.correction(timeout)

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close()


def _label(value: bytes | float) -> str:
    """Format a marker's value as text; "" for NaN."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:  # Windows programs send their own code page
            return value.decode("latin-1")
    number = float(value)
    if math.isnan(number):
        return ""
    return str(int(number)) if number.is_integer() else str(number)
