"""Read markers from an LSL stream."""

from __future__ import annotations

import numpy as np
import pylsl

from rt_decoder.signal import Marker
from rt_decoder.sources.lsl.find import declared_channels, marker_kind
from rt_decoder.sources.lsl.inlet import Inlet
from rt_decoder.timing.marker_columns import MarkerColumns
from rt_decoder.timing.markers import TriggerReader

__all__ = ["LslMarkers"]

_LONGEST_PULL = 64  # markers; the next pull takes the rest


class LslMarkers:
    """A stream of markers: text or numbers.

    `MarkerColumns` says which channel is the label. Empty labels and NaN are no markers. Numbers at
    a regular rate are a trigger channel, as `TriggerReader` reads one.

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
        If it is unknown which channel says the label, or the stream is a signal.
    TimeoutError, StreamLost
        See `Inlet`.
    """

    def __init__(self, stream: pylsl.StreamInfo, *, timeout: float = 5.0) -> None:
        self.name, self.source_id, self.uid = stream.name(), stream.source_id(), stream.uid()
        kind = marker_kind(stream)
        kind.check(self.name)
        self.is_regular = kind.is_regular and not kind.is_text
        self._inlet = Inlet(stream, timeout)
        declared = declared_channels(self._inlet.info, by_hand=True)
        labels = [one.label for one in declared]
        self._columns = MarkerColumns(self.name, labels, kind)
        self._codes = TriggerReader()

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
        times = np.asarray(stamps, float) + self._inlet.correction(0.0)
        if self.is_regular:
            found = self._codes.process(np.asarray(rows)[:, 0], times, 0)
            return [Marker(marker.label, marker.time) for marker in found]
        return [
            Marker(label, time)
            for row, time in zip(rows, times.tolist(), strict=True)
            for label in self._columns.of(row)
        ]

    def correction(self, timeout: float = 5.0) -> float:
        """Return the seconds to add to raw stamps; see `LslSource.correction`."""
        return self._inlet.correction(timeout)

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close()
