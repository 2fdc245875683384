"""The markers of a session: their stream may be lost and come back while the samples go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rt_decoder.signal import Marker, StreamLost
from rt_decoder.source import MarkerSource, Streams

__all__ = ["MarkerReader"]


class MarkerReader:
    """Read a marker stream, and tell when it is lost and when it is back.

    Parameters
    ----------
    source : MarkerSource or None
        The stream; None where a session has none.
    counts : Counter
        Of the session.
    tell : callable
        Takes the name of an event and, by name, its details.
    """

    def __init__(
        self, source: MarkerSource | None, counts: Counter[str], tell: Callable[..., None]
    ) -> None:
        self._source = source
        self._counts, self._tell = counts, tell
        self._gone = False

    def open(self) -> None:
        """Subscribe."""
        if self._source is not None:
            self._source.open()

    def pull(self, streams: Streams | None) -> list[Marker]:
        """Markers that have arrived, at once; `streams` finds their stream again."""
        if self._source is None:
            self._find(streams)
            return []
        try:
            markers = self._source.pull()
        except StreamLost as error:
            self._counts["markers_stream_lost"] += 1
            self._tell("markers_stream_lost", reason=str(error))
            self._source, self._gone = None, True
            return []
        self._counts["markers_received"] += len(markers)
        return markers

    def _find(self, streams: Streams | None) -> None:
        """A stimulus program often restarts between blocks: take its stream up again."""
        if self._gone and streams is not None:
            self._source = streams.reopen_markers()
            if self._source is not None:
                self._gone = False
                self._tell("markers_stream_returned", stream=self._source.name)

    def close(self) -> None:
        """Leave the stream."""
        if self._source is not None:
            self._source.close()
