"""Read markers from an LSL stream."""

from __future__ import annotations

import pylsl

from rt_decoder.signal import Marker
from rt_decoder.sources.lsl.find import FORMATS, declared_channels, is_data
from rt_decoder.sources.lsl.inlet import Inlet
from rt_decoder.timing.marker_columns import MarkerColumns

__all__ = ["LslMarkers"]

_LONGEST_PULL = 64  # markers; the next pull takes the rest


class LslMarkers:
    """A stream of markers: text or numbers.

    `MarkerColumns` says which channel is the label. Empty labels and NaN are no markers. Numbers at
    a regular rate are a trigger channel: each change to a value other than 0 is a marker.

    Parameters
    ----------
    stream : pylsl.StreamInfo
        From `resolve`.
    timeout : float
        Longest time in s to wait for the stream's description.

    Attributes
    ----------
    name, source_id, uid : str
        Of the stream; `uid` identifies this one outlet.
    is_regular : bool
        Whether it is a trigger channel: numbers at a regular rate.

    Raises
    ------
    ValueError
        If it is unknown which channel says the label.
    TimeoutError, StreamLost
        See `Inlet`.
    """

    def __init__(self, stream: pylsl.StreamInfo, *, timeout: float = 5.0) -> None:
        self.name, self.source_id, self.uid = stream.name(), stream.source_id(), stream.uid()
        self.is_regular = is_data(stream)
        self._inlet = Inlet(stream, timeout)
        declared = declared_channels(self._inlet.info, by_hand=True)
        is_text = stream.channel_format() not in FORMATS
        labels = [one.label for one in declared]
        self._columns = MarkerColumns(self.name, labels, is_text, self.is_regular)
        self._last = 0.0

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
            if self.is_regular:
                changed, self._last = row[0] not in (0, self._last), row[0]
                if not changed:
                    continue
            time = float(stamp) + correction
            markers += [Marker(label, time) for label in self._columns.of(row)]
        return markers

    def correction(self, timeout: float = 5.0) -> float:
        """Return the seconds to add to raw stamps; see `LslSource.correction`."""
        return self._inlet.correction(timeout)

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close()
