"""Find decoders on LSL, whenever they start, and watch each."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pylsl

from rt_decoder.dashboard.watched import Watched
from rt_decoder.sinks.log_outlet import LOG_TYPE

__all__ = ["Watcher"]

LOOK_S = 0.5
MOST = 8  # decoders that are watched; those that have ended longest ago are forgotten


class Watcher:
    """Watch all decoders that can be seen, from now until `close`."""

    def __init__(self) -> None:
        self._resolver = pylsl.ContinuousResolver(pred="true()", forget_after=5.0)
        self._found: Sequence[pylsl.StreamInfo] = ()
        self._decoders: dict[str, Watched] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="find decoders", daemon=True)
        self._thread.start()

    @property
    def decoders(self) -> list[Watched]:
        """Those that are there or have ended, in the order in which they were found."""
        return list(self._decoders.values())

    def get(self, uid: str) -> Watched | None:
        """Return the decoder of this id, None if there is none."""
        return self._decoders.get(uid)

    def _run(self) -> None:
        while not self._closing.wait(LOOK_S):
            self._found = self._resolver.results()
            for stream in self._found:
                if (
                    stream.type() == LOG_TYPE
                    and stream.uid() not in self._decoders
                    and self._room()
                ):
                    self._decoders[stream.uid()] = Watched(stream, lambda: self._found)

    def _room(self) -> bool:
        """Forget a decoder that has ended, where there are too many."""
        if len(self._decoders) < MOST:
            return True
        ended = next((one for one in self.decoders if one.view.state == "ended"), None)
        if ended is None:
            return False
        del self._decoders[ended.id]
        ended.close()
        return True

    def close(self) -> None:
        """Leave all outlets."""
        self._closing.set()
        self._thread.join()
        for one in self.decoders:
            one.close()
