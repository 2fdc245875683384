"""Find a marker stream, and find it again after a loss."""

from __future__ import annotations

import pylsl

from rt_decoder.sources.lsl.find import (
    DATA,
    MARKS,
    in_background,
    marker_kind,
    resolve,
    selection_query,
)
from rt_decoder.sources.lsl.markers import LslMarkers

__all__ = ["MarkerSearch"]

_NOT_YET = (LookupError, TimeoutError, ConnectionError)


class MarkerSearch:
    """Looks for one marker stream.

    Parameters
    ----------
    wanted : str
        Name of the stream, or its source_id: two programs may use one name.
    """

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        by_name, by_id = selection_query(wanted), selection_query(source_id=wanted)
        self._predicate = f"{by_name} or {by_id}"
        self._kind = MARKS
        self._resolver: pylsl.ContinuousResolver | None = None
        self._refused: set[str] = set()

    def find(self, timeout: float) -> LslMarkers:
        """Find the stream.

        Parameters
        ----------
        timeout : float
            Longest time in s to look for it.

        Returns
        -------
        LslMarkers
            Not yet subscribed to.

        Raises
        ------
        LookupError
            If not exactly one stream matches.
        ValueError
            If it is a signal, or it is unknown which channel says the label.
        """
        found = resolve(predicate=self._predicate, timeout=timeout, kind=MARKS)
        markers = LslMarkers(found)
        self._kind = DATA if markers.is_regular else MARKS
        if markers.name != self.wanted:  # of two with one name; another id is another stream
            self._predicate = selection_query(markers.name, source_id=self.wanted)
        return markers

    def again(self) -> LslMarkers | None:
        """Return the subscribed stream if it is back, else None; looks in the background.

        Raises
        ------
        ValueError
            If it is back and cannot be read; once for each outlet.
        """
        if self._resolver is None:
            self._resolver = in_background(f"({self._predicate}) and {self._kind}")
        if self._resolver is None:
            return None
        found = [one for one in self._resolver.results() if one.uid() not in self._refused]
        found = [one for one in found if not marker_kind(one).is_signal] or found
        if len(found) != 1:
            return None
        try:
            markers = LslMarkers(found[0])
            markers.open()
        except _NOT_YET:
            return None
        except ValueError:
            self._refused.add(found[0].uid())
            raise
        self._resolver = None
        return markers
