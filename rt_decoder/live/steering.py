"""Change what a running session answers, between two pushes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Restricted
from rt_decoder.sinks.record import Recorder

__all__ = ["Steering"]


class Steering:
    """Take wishes from any thread, and put them into effect in the loop's.

    Parameters
    ----------
    decoder : Decoder
        The session's decoder.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._wanted: deque[tuple[tuple[str, ...], Any]] = deque()

    def restrict(self, items: Collection[str]) -> None:
        """Answer among some items only, from the next samples on; called from any thread.

        Parameters
        ----------
        items : collection of str
            Of the model; empty for all.

        Raises
        ------
        ValueError
            If the model does not have one of them.
        """
        self._wanted.append((tuple(items), self._decoder.answering(items)))

    def apply(
        self, time: float, n_samples: int, recorder: Recorder | None
    ) -> list[tuple[str, dict[str, Any]]]:
        """Put what is wanted into effect, and record it.

        Parameters
        ----------
        time : float
            Now, in s on the LSL clock.
        n_samples : int
            Samples decoded so far.
        recorder : Recorder or None
            The session record.

        Returns
        -------
        list of (str, dict)
            Events ``restricted``, with the number of candidates.
        """
        events = []
        while self._wanted:
            items, answering = self._wanted.popleft()
            self._decoder.pipeline.restrict(answering)
            if recorder is not None:
                recorder.decision(time, Restricted(n_samples, items))
            n_items = len(items) or len(self._decoder.pipeline.model.items)
            events.append(("restricted", {"n_items": n_items}))
        return events
