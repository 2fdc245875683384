"""Read a session's markers; their stream may be lost and return while samples keep coming."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from rt_decoder.signal import Marker, StreamLost
from rt_decoder.source import MarkerSource, Streams

__all__ = ["MarkerReader"]


class MarkerReader:
    """Read a marker stream, and report when it is lost and when it returns.

    Parameters
    ----------
    source : MarkerSource or None
        The stream; None if the session has none.
    counts : Counter
        Counts of the session; updated.
    tell : callable
        Called with an event's name and, as keyword arguments, its details.
    """

    def __init__(
        self, source: MarkerSource | None, counts: Counter[str], tell: Callable[..., None]
    ) -> None:
        self._source = source
        self._counts, self._tell = counts, tell
        self._gone = False
        self._added: deque[Marker] = deque()

    def add(self, marker: Marker) -> None:
        """Add a marker of this program's own, from any thread, as if the stream had sent it."""
        self._added.append(marker)

    def open(self) -> None:
        """Subscribe to the stream."""
        if self._source is not None:
            self._source.open()

    def pull(self, streams: Streams | None) -> list[Marker]:
        """Return the markers that have arrived or were added, without waiting.

        Parameters
        ----------
        streams : Streams or None
            Finds a lost marker stream again.

        Returns
        -------
        list of Marker
        """
        markers = self._pull(streams)
        while self._added:
            markers.append(self._added.popleft())
        self._counts["markers_received"] += len(markers)
        return markers

    def _pull(self, streams: Streams | None) -> list[Marker]:
        if self._source is None:
            self._find(streams)
            return []
        try:
            return self._source.pull()
        except StreamLost as error:
            self._counts["markers_stream_lost"] += 1
            self._tell("markers_stream_lost", reason=str(error))
            self._source, self._gone = None, True
            return []

    def _find(self, streams: Streams | None) -> None:
        """Reconnect to a lost stream: stimulus programs often restart between blocks."""
        if self._gone and streams is not None:
            try:
                self._source = streams.reopen_markers()
            except ValueError as error:
                self._tell("markers_refused", reason=str(error))
            if self._source is not None:
                self._gone = False
                self._tell("markers_stream_returned", stream=self._source.name)

    def close(self) -> None:
        """Leave the stream."""
        if self._source is not None:
            self._source.close()
