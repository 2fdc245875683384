"""Do what an experiment wants of a running session, between two pushes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from rt_decoder.decoder import Decoder
from rt_decoder.decoding.answering import Answering, make_answering
from rt_decoder.files.decisions import Chosen, Paused, Truth
from rt_decoder.signal import Choice, Marker
from rt_decoder.sinks.record import Recorder

__all__ = ["Steering"]

Told = list[tuple[str, dict[str, Any]]]


class _Wish(NamedTuple):
    decision: Chosen | Paused | Truth
    answering: Answering | None = None


class Steering:
    """Take wishes from any thread, and put them into effect in the loop's.

    Parameters
    ----------
    decoder : Decoder
        The session's decoder.

    Attributes
    ----------
    on_score : callable or None
        Called with the score's summary when it has changed, in the loop's thread.
    """

    on_score: Callable[[dict[str, Any]], object] | None = None

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._wanted: deque[_Wish] = deque()
        self._lock, self._choice = threading.Lock(), Choice()
        self._n_scored = 0

    def choose(self, **changes: Any) -> None:
        """Answer otherwise from the next samples on; called from any thread.

        Parameters
        ----------
        **changes
            Fields of `Choice`; the others stay as they are.

        Raises
        ------
        ValueError
            If the model does not have an item, or a value is out of range.
        """
        with self._lock:
            choice = replace(self._choice, **changes)
            self._wanted.append(
                _Wish(Chosen(0, choice), make_answering(self._decoder.pipeline.model, choice))
            )
            self._choice = choice

    def marker(self, label: str, time: float, changes: Mapping[str, Any]) -> Marker:
        """Return a marker whose event alone is answered otherwise.

        Parameters
        ----------
        label : str
            Of the marker.
        time : float
            In s on the LSL clock.
        changes : mapping
            Fields of `Choice`, beside those that hold now; empty for nothing.

        Returns
        -------
        Marker

        Raises
        ------
        ValueError
            As by `choose`.
        """
        if not changes:
            return Marker(label, time)
        with self._lock:
            choice = replace(self._choice, **changes)
        return Marker(label, time, answering=make_answering(self._decoder.pipeline.model, choice))

    def pause(self, on: bool) -> None:
        """Make no readouts from the next samples on, or make them again."""
        self._wanted.append(_Wish(Paused(0, on)))

    def truth(self, seq: int, label: str) -> None:
        """Tell which item the event of a readout had."""
        self._wanted.append(_Wish(Truth(0, seq, label)))

    def apply(self, time: float, n_samples: int, recorder: Recorder | None) -> Told:
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
            Events ``chosen``, ``paused``, ``resumed``, ``truth`` and ``refused``.
        """
        told: Told = []
        while self._wanted:
            decision, answering = self._wanted.popleft()
            try:
                told.append(self._do(decision, answering))
            except ValueError as error:
                told.append(("refused", {"asked": "truth", "reason": str(error)}))
                continue
            if recorder is not None:
                recorder.decision(time, replace(decision, index=n_samples))
        if told:
            self.score()
        return told

    def score(self) -> None:
        """Score the events whose items are known by now, and tell."""
        scored = self._decoder.pipeline.answerer.scored
        scored.settle()
        if scored.score.n > self._n_scored:
            self._n_scored = scored.score.n
            if self.on_score is not None:
                self.on_score(scored.score.summary())

    def _do(
        self, decision: Chosen | Paused | Truth, answering: Answering | None
    ) -> tuple[str, dict[str, Any]]:
        pipeline = self._decoder.pipeline
        if isinstance(decision, Truth):
            pipeline.answerer.scored.truth(decision.seq, decision.label)
            return "truth", {"seq": decision.seq, "label": decision.label}
        if isinstance(decision, Paused):
            pipeline.pause(decision.on)
            return "paused" if decision.on else "resumed", {}
        assert answering is not None
        pipeline.answerer.answer_by(answering)
        return "chosen", _plain(decision.choice, len(pipeline.model.items))


def _plain(choice: Choice, n_items: int) -> dict[str, Any]:
    """A choice as details of an event, without its lists."""
    told = asdict(choice) | {"prior": "as chosen" if choice.prior else "of the model"}
    return told | {"candidates": len(choice.candidates) or n_items}
