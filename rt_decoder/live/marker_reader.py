"""Read a session's markers; their streams may be lost and return while samples keep coming."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pylsl import local_clock

from rt_decoder.signal import Marker, StreamLost
from rt_decoder.source import MarkerSource, Streams

__all__ = ["MarkerReader", "MarkerReaders"]

KEPT = 1000  # labels that are counted: a stream may send a new one each time


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
    number : int
        Of the stream among those of the session.

    Attributes
    ----------
    name : str
        Of the stream; empty without one.
    seen : Counter of str
        Markers of the stream, by label.
    n : int
        Markers of the stream.
    n_losses : int
        How often it was lost.
    latest : float
        How long after its time the latest marker came, in s; 0 while none has come.
    """

    def __init__(
        self,
        source: MarkerSource | None,
        counts: Counter[str],
        tell: Callable[..., None],
        number: int = 0,
    ) -> None:
        self._source, self._number = source, number
        self.name = "" if source is None else source.name
        self.seen, self.n, self.n_losses, self.latest = Counter[str](), 0, 0, 0.0
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
            markers = self._source.pull()
        except StreamLost as error:
            self._counts["markers_stream_lost"] += 1
            self.n_losses += 1
            self._tell("markers_stream_lost", reason=str(error))
            self._source, self._gone = None, True
            return []
        self._watch(markers)
        return markers

    def _watch(self, markers: Sequence[Marker]) -> None:
        now = local_clock() if markers else 0.0
        self.n += len(markers)
        for label, time, *_ in markers:
            self.latest = max(self.latest, now - time)
            if label in self.seen or len(self.seen) < KEPT:
                self.seen[label] += 1

    def _find(self, streams: Streams | None) -> None:
        """Reconnect to a lost stream: stimulus programs often restart between blocks."""
        if self._gone and streams is not None:
            try:
                self._source = streams.reopen_markers(self._number)
            except ValueError as error:
                self._tell("markers_refused", reason=str(error))
            if self._source is not None:
                self._gone = False
                self._tell("markers_stream_returned", stream=self._source.name)

    def close(self) -> None:
        """Leave the stream."""
        if self._source is not None:
            self._source.close()


class MarkerReaders:
    """The marker streams of a session.

    Parameters
    ----------
    sources : sequence of MarkerSource
        What is added belongs to the first one, which may be missing.
    counts : Counter
        Counts of the session; updated.
    tell : callable
        As for `MarkerReader`.

    Attributes
    ----------
    readers : list of MarkerReader
        One a stream, at least one.
    """

    def __init__(
        self, sources: Sequence[MarkerSource], counts: Counter[str], tell: Callable[..., None]
    ) -> None:
        self.readers = [
            MarkerReader(source, counts, tell, number)
            for number, source in enumerate(sources or (None,))
        ]
        self.add = self.readers[0].add

    def open(self) -> None:
        """Subscribe to all streams."""
        for reader in self.readers:
            reader.open()

    def pull(self, streams: Streams | None) -> Iterator[tuple[int, Marker]]:
        """Yield what has arrived or was added, with the number of its stream; never waits."""
        for number, reader in enumerate(self.readers):
            for marker in reader.pull(streams):
                yield number, marker

    def told(self) -> list[dict[str, Any]]:
        """Say what each stream has sent.

        Returns
        -------
        list of dict
            ``name``, of equal ones with a number, ``n``, ``labels`` with their counts, ``n_losses``, and
            ``latest_s``, how late the latest came, None if none did.
        """
        names = [one.name for one in self.readers]
        return [
            {
                "name": f"{one.name} ({k})" if names.count(one.name) > 1 else one.name,
                "n": one.n,
                "labels": one.seen.copy(),
                "n_losses": one.n_losses,
                "latest_s": one.latest if one.n else None,
            }
            for k, one in enumerate(self.readers, 1)
            if one.name
        ]

    def several(self) -> dict[str, Any]:
        """Return what a footer says of several streams, nothing of a single one."""
        return {"marker_streams": self.told()} if len(self.readers) > 1 else {}

    def close(self) -> None:
        """Leave all streams."""
        for reader in self.readers:
            reader.close()
