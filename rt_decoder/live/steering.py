"""Do what an experiment wants of a running session, between two pushes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.decoder import Decoder
from rt_decoder.decoding.answering import Answering
from rt_decoder.decoding.succession import grown
from rt_decoder.files.decisions import Added, Chosen, Paused, Swapped, Truth
from rt_decoder.files.model_file import model_hash
from rt_decoder.model import Model
from rt_decoder.pipeline import Successor
from rt_decoder.signal import Choice, Marker
from rt_decoder.sinks.record import Recorder

__all__ = ["Steering"]

_SHOWN = 20  # new items that an event names
Told = list[tuple[str, dict[str, Any]]]


class _Wish(NamedTuple):
    decision: Chosen | Paused | Truth | Swapped | Added
    answering: Answering | None = None
    successor: Successor | None = None


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
        self._successor: Successor | None = None  # the newest, perhaps not in effect yet

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
            self._wanted.append(_Wish(Chosen(0, choice), self._made(choice)))
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
        return Marker(label, time, answering=self._made(choice))

    def swap(self, model: Model) -> None:
        """Go on with another model from the next samples on; called from any thread, takes time.

        Parameters
        ----------
        model : Model
            One that cleans and windows as the one that runs.

        Raises
        ------
        ValueError
            If it cannot follow in mid-session, and why.
        """
        digest = model_hash(model)
        with self._lock:
            self._follow(Swapped(0, digest), model, grown=False)

    def add(self, items: Sequence[str], vectors: np.ndarray) -> None:
        """Add items to the vocabulary from the next samples on; called from any thread, takes time.

        Parameters
        ----------
        items : sequence of str
            Those that the model lacks.
        vectors : array of shape (n_items, D)
            As `succession.grown` takes them; used as float32, which the record holds.

        Raises
        ------
        ValueError
            If they cannot be added, and why.
        """
        values = np.asarray(vectors, np.float32)
        with self._lock:
            model = grown(self._model, items, values.astype(np.float64))
            self._follow(Added.of(0, items, values), model, grown=True)

    def _follow(self, decision: Swapped | Added, model: Model, *, grown: bool) -> None:
        successor = self._decoder.pipeline.ready(model, self._choice, grown=grown)
        self._successor, self._choice = successor, successor.answerer.answering.choice
        self._wanted.append(_Wish(decision, successor=successor))

    @property
    def _model(self) -> Model:
        return self._decoder.pipeline.model if self._successor is None else self._successor.model

    def _made(self, choice: Choice) -> Answering:
        """What answers by a choice, when all that is wanted is in effect."""
        newest = self._successor
        return (self._decoder.pipeline if newest is None else newest).answerer.make(choice)

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
            Events ``chosen``, ``paused``, ``resumed``, ``truth``, ``swapped``, ``added`` and
            ``refused``.
        """
        told: Told = []
        while self._wanted:
            wish = self._wanted.popleft()
            decision = wish.decision
            try:
                told.append(self._do(wish))
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

    def _do(self, wish: _Wish) -> tuple[str, dict[str, Any]]:
        pipeline, decision, answering = self._decoder.pipeline, wish.decision, wish.answering
        if isinstance(decision, Truth):
            pipeline.truth(decision.seq, decision.label)
            return "truth", {"seq": decision.seq, "label": decision.label}
        if isinstance(decision, Paused):
            pipeline.pause(decision.on)
            return "paused" if decision.on else "resumed", {}
        if isinstance(decision, Swapped | Added):
            assert wish.successor is not None
            self._decoder.swap(wish.successor)
            n_items = len(wish.successor.model.items)
            if isinstance(decision, Added):
                return "added", {"items": list(decision.items[:_SHOWN]), "n_items": n_items}
            return "swapped", {"model": decision.model, "n_items": n_items}
        assert answering is not None
        pipeline.answerer.answer_by(answering)
        return "chosen", _plain(decision.choice, len(pipeline.model.items))


def _plain(choice: Choice, n_items: int) -> dict[str, Any]:
    """A choice as details of an event, without its lists."""
    told = asdict(choice) | {"prior": "as chosen" if choice.prior else "of the model"}
    return told | {"candidates": len(choice.candidates) or n_items}
