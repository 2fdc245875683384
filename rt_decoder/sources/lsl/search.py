"""Look for a lost auxiliary stream and open it, without ever blocking the decoder."""

from __future__ import annotations

import math
import threading
from time import monotonic

import pylsl

from rt_decoder.channels import same_layout
from rt_decoder.sources.lsl.find import DATA, other_than, selection_query
from rt_decoder.sources.lsl.source import LslSource

__all__ = ["StreamSearch"]

LOOK = 0.5  # s of one search; closing waits at most that long
PATIENCE = 2.0  # s without a call after which the search ends, and its result is out of date


class StreamSearch:
    """Searches in a thread for the stream that replaces a lost or silent one.

    Finding a stream, reading its description and measuring its clock all wait for the network, so
    they happen in the thread. The thread lives only while this object is being called.

    Parameters
    ----------
    source : LslSource
        The stream before the loss: its name and channels have to come back.
    """

    def __init__(self, source: LslSource) -> None:
        self._name, self._uid, self._want = source.name, source.uid, source.info
        self._refused: set[str] = set()
        self._gone, self._asked, self._closed = True, -math.inf, False
        self._found: tuple[LslSource, float] | None = None
        self._error: ValueError | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, gone: bool) -> LslSource | None:
        """Return the stream once exactly one matches; never waits.

        Parameters
        ----------
        gone : bool
            Whether the connection has broken, so that the same outlet may come back. Otherwise the
            stream is silent, and only another outlet is accepted.

        Returns
        -------
        LslSource or None
            The stream, subscribed to; None if it is not found yet.

        Raises
        ------
        ValueError
            If a stream came back and was refused, with the reason; each outlet is refused once.
        """
        self._gone, self._asked = gone, monotonic()
        error, self._error = self._error, None
        if error is not None:
            raise error
        found, self._found = self._found, None
        if found is not None:
            source, at = found
            if self._asked - at < PATIENCE:
                self._uid = source.uid
                return source
            source.close()  # found too long ago
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._search, name=f"search {self._name}")
            self._thread.start()
        return None

    def _search(self) -> None:
        while not self._ended:
            source = self._look()
            if source is None:
                continue
            if self._ended:
                source.close()
            else:
                self._found = source, monotonic()
            return

    @property
    def _ended(self) -> bool:
        forgotten = monotonic() - self._asked > PATIENCE
        return self._closed or forgotten or not threading.main_thread().is_alive()

    def _look(self) -> LslSource | None:
        without = self._refused if self._gone else self._refused | {self._uid}
        query = f"{selection_query(self._name)} and {DATA} and {other_than(without)}"
        found = pylsl.resolve_bypred(query, 2, LOOK)
        if len(found) != 1:
            return None
        try:
            source = LslSource(found[0])
            same_layout(source.info, self._want)
            source.open()
        except (TimeoutError, ConnectionError):
            return None
        except ValueError as error:
            self._refused.add(found[0].uid())
            self._error = error
            return None
        return source

    def close(self) -> None:
        """End the search."""
        self._closed = True
        if self._thread is not None:
            self._thread.join()
        if self._found is not None:
            self._found[0].close()
            self._found = None
