"""Read one outlet for as long as it is there, and again when it is back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import numpy as np
import pylsl

from rt_decoder.signal import StreamLost
from rt_decoder.sources.lsl.find import FORMATS
from rt_decoder.sources.lsl.inlet import Inlet

__all__ = ["Reader"]

RETRY_S, PATIENCE_S, CORRECT_S = 1.0, 2.0, 5.0
MAX_TEXTS, MAX_VALUES = 512, 1 << 19  # of a pull
_DTYPES = {"double64": "float64"}  # LSL's names that numpy has not

Find = Callable[[Sequence[pylsl.StreamInfo]], pylsl.StreamInfo | None]
Take = Callable[[Any, np.ndarray], object]


class Reader:
    """An LSL client of one stream; it never waits for long and raises nothing.

    Parameters
    ----------
    find : callable
        Takes the streams that are there, and returns the one to read, or None.
    take : callable or None
        Takes samples, (n, c) or a list of texts, and their stamps, (n,), in s on this machine's clock.
        None reads the description once, and no sample.
    opened : callable or None
        Takes the full description, once the stream is open.
    lost : callable or None
        Called when the stream has gone.

    Attributes
    ----------
    problem : str
        Why the stream cannot be read; empty if it can, or is not there.
    """

    def __init__(
        self,
        find: Find,
        take: Take | None,
        opened: Callable[[pylsl.StreamInfo], object] | None = None,
        lost: Callable[[], object] | None = None,
    ) -> None:
        self._find, self._take = find, take
        self._on_open, self._on_lost = opened or (lambda _: None), lost or (lambda: None)
        self._inlet: Inlet | None = None
        self._next = self._correct_at = self._correction = 0.0
        self._buffer: np.ndarray | None = None
        self.problem = ""

    def step(self, streams: Sequence[pylsl.StreamInfo]) -> None:
        """Pass on what has come, or look whether the stream is back."""
        if self._inlet is None:
            self._open(streams)
            return
        try:
            self._pull(self._inlet)
        except (StreamLost, TimeoutError):
            self.close()
            self._on_lost()
        except (ValueError, TypeError, LookupError) as error:  # not what its description says
            self.close()
            self.problem = str(error)

    def _open(self, streams: Sequence[pylsl.StreamInfo]) -> None:
        now = monotonic()
        if now < self._next or (stream := self._find(streams)) is None:
            return
        self._next = now + RETRY_S
        try:
            inlet = Inlet(stream, PATIENCE_S)
            if self._take is not None:
                inlet.open(PATIENCE_S)
                self._correction, self._correct_at = inlet.correction(PATIENCE_S), now + CORRECT_S
        except (StreamLost, TimeoutError) as error:
            self.problem = str(error)
            return
        try:
            self._on_open(inlet.info)
        except ValueError as error:  # its description is wrong
            self.problem = str(error)
            inlet.close()
            return
        if self._take is None:
            inlet.close()
            self._next = math.inf
            return
        n_channels, kind = inlet.info.channel_count(), FORMATS.get(inlet.info.channel_format())
        self._buffer = None
        if kind is not None:
            rows = max(1, min(4096, MAX_VALUES // n_channels))
            self._buffer = np.zeros((rows, n_channels), _DTYPES.get(kind, kind))
        self._inlet, self.problem = inlet, ""

    def _pull(self, inlet: Inlet) -> None:
        assert self._take is not None
        if monotonic() > self._correct_at:
            self._correct_at = monotonic() + CORRECT_S
            self._correction = inlet.correction(PATIENCE_S)
        if (buffer := self._buffer) is None:
            texts, stamps = inlet.ask("pull_chunk", timeout=0.0, max_samples=MAX_TEXTS)
            if stamps:
                self._take([one[0] for one in texts], np.array(stamps) + self._correction)
            return
        while True:
            _, stamps = inlet.ask(
                "pull_chunk", timeout=0.0, max_samples=len(buffer), dest_obj=buffer
            )
            if len(stamps):
                self._take(buffer[: len(stamps)], np.array(stamps) + self._correction)
            if len(stamps) < len(buffer):
                return

    @property
    def is_open(self) -> bool:
        """Whether the stream is being read."""
        return self._inlet is not None

    def close(self) -> None:
        """Disconnect."""
        if self._inlet is not None:
            self._inlet.close()
        self._inlet, self._next = None, monotonic() + RETRY_S
