"""Score a session's events once it is told, by their markers or later, which item each had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.decoding.answering import Answering, whole
from rt_decoder.decoding.score import Score
from rt_decoder.signal import Readout

__all__ = ["Scored"]

_MOST, _LEAST, _NUMBERS = 1024, 16, 1 << 22  # events; numbers in memory


class _Event(NamedTuple):
    readout: Readout
    scores: np.ndarray  # (n_items,) cosines; of the newest event not a copy until `keep`
    length: float  # of the prediction
    by: Answering


class Scored:
    """The newest events, and the running score of those whose item is known.

    A marker that names an item of the model tells the item, unless it was to be found out: then it
    has another label, and `truth` tells. An event counts once.

    Parameters
    ----------
    items : sequence of str
        The vocabulary; the larger, the fewer events are kept: 16 to 1024.

    Attributes
    ----------
    score : Score
        The running score.
    n_kept : int
        Events that are kept.
    numbers : dict of str to int
        Number of each item.
    """

    def __init__(self, items: Sequence[str]) -> None:
        self.numbers = {item: number for number, item in enumerate(items)}
        self.n_kept = min(_MOST, max(_LEAST, _NUMBERS // max(1, len(items))))
        self._scores = np.zeros((self.n_kept, len(items)), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        self._events: dict[int, _Event] = {}  # by the number of the readout, oldest first
        self._told: list[tuple[int, str]] = []
        self._newest = -1  # number of the readout whose scores are not copied yet
        self._n = 0
        self.score = Score()

    def follow(self, before: Scored, *, same_items: bool) -> None:
        """Take over the score of another one; its events as well, if its items are among these."""
        before.settle()
        self.score = before.score
        if same_items:
            self._events = before._events

    def add(self, readout: Readout, scores: np.ndarray, length: float, by: Answering) -> None:
        """Keep an event, in place of the oldest.

        Parameters
        ----------
        readout : Readout
            Its answer.
        scores : array of shape (n_items,), float32
            Cosines; `keep` copies them, once the readout is out and before they are overwritten.
        length : float
            Of the prediction.
        by : Answering
            What answered.
        """
        self.keep()
        if self._n >= self.n_kept:
            self._events.pop(next(iter(self._events)), None)
        self._n += 1
        self._events[readout.seq] = _Event(readout, scores, length, by)
        self._newest = readout.seq
        if readout.label in self.numbers:
            self._told.append((readout.seq, readout.label))

    def keep(self) -> None:
        """Copy the scores of the newest event, if that is not done."""
        if self._newest in self._events:
            event, kept = self._events[self._newest], self._scores[(self._n - 1) % self.n_kept]
            np.copyto(kept, event.scores)
            self._events[self._newest] = event._replace(scores=kept)
        self._newest = -1

    def settle(self) -> bool:
        """Score the events whose markers told their items; True if there was one."""
        self.keep()
        told, self._told = self._told, []
        for seq, label in told:
            if seq in self._events:
                self._count(self._events[seq], label)
        return bool(told)

    def truth(self, seq: int, label: str) -> None:
        """Score an event by the item that it had.

        Parameters
        ----------
        seq : int
            Number of its readout.
        label : str
            The item.

        Raises
        ------
        ValueError
            If there is no such item or event, it is too old, or its item was told before.
        """
        self.settle()
        if label not in self.numbers:
            raise ValueError(f"need an item of the model, got {label!r}")
        event = self._events.get(seq)
        if event is None:
            raise ValueError(
                f"need the readout of one of the newest {self.n_kept} events, got number {seq}"
            )
        if event.readout.seq in self.score.counted:
            raise ValueError(f"need an event whose item is not known, got readout {seq} again")
        self._count(event, label)

    def _count(self, event: _Event, label: str) -> None:
        readout, by = event.readout, event.by
        posterior, prior = whole(by, readout.kind, event.scores, event.length)
        self.score.add(
            posterior, prior, self.numbers[label],
            seq=readout.seq, onset=readout.onset, abstained=readout.abstained,
        )  # fmt: skip
