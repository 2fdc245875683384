"""Keep the map of a running session aligned with its person.

The features of good events are kept; every few of them an update is due, which `align` computes from
the newest. A session that learns keeps their items beside them, and hands them to `LabelSums` with the
next update: never before the last answer about the event has left. Three ways of keeping time, with the
same bits where the same updates come before the same samples:

- a recording: computed and in effect at the next hop;
- live (`defer`): another thread computes, and the session swaps the result in between two pushes;
- a session record (`follow`): the updates that its session made, where its session made them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from rt_decoder.decoding.alignment import (
    LEAST_EVENTS,
    Aligned,
    align,
    map_change,
    one_thread,
    whitened_weights,
)
from rt_decoder.decoding.features import FeatureWindow, robust_scale
from rt_decoder.decoding.learning import LabelSums
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.model import Model

__all__ = ["Adaptation", "Update"]

Job = Callable[[], None]


class Update(NamedTuple):
    """An update that is in effect."""

    n_events: int  # good events before it was begun
    change: float  # see `map_change`
    n_labels: int = 0  # events among them whose labels have joined the map


def _at_once(job: Job) -> None:
    job()


class Adaptation:
    """Collect the features of events, and align window and map with them.

    Parameters
    ----------
    model : Model
        With a map, `alignment` and `covariance`.
    window : FeatureWindow
        Gets centre and scale.
    linear_map : LinearMap
        Gets weights and offset.
    learn : bool
        Whether labels that name an item are true, and join the map.

    Attributes
    ----------
    n_events : int
        Good events so far.
    n_updates : int
        Updates in effect so far.
    n_labels : int
        Labels in the map that is in effect.
    learns : bool
        Whether labels join the map.

    Raises
    ------
    ValueError
        If the model has no `alignment` or no `covariance`, or cannot learn.
    """

    def __init__(
        self, model: Model, window: FeatureWindow, linear_map: LinearMap, *, learn: bool = False
    ) -> None:
        if model.alignment is None or not model.covariance.size:
            raise ValueError("need a model with alignment and covariance, got one without")
        self._model, self._window, self._map = model, window, linear_map
        self._every = model.alignment.every
        self._rows = np.zeros((model.alignment.most, window.n_features))
        self._taken = np.zeros_like(self._rows)  # for the update that is computed
        self.learns = learn
        self._sums = LabelSums(model) if learn else None
        self._numbers = {item: number for number, item in enumerate(model.items)}
        self._items = np.full(len(self._rows), -1)  # number of each row's item; -1 for none
        self._seqs = np.full(len(self._rows), -1)  # of each row's readout
        # Labels that were told later: number of events then, the event's features, and its item.
        self._told: list[tuple[int, np.ndarray, int]] = []
        self._whitened: np.ndarray | None = None
        self._begin: Callable[[Job], None] = _at_once
        self._wanted: Collection[int] | None = None  # numbers of events, of a session record
        self._at_next_hop = True
        self._life = 0  # goes up with each reset: what was begun before it is not used
        self._restore()

    def _restore(self) -> None:
        model = self._model
        self._parts = Aligned(model.center, model.scale, model.weights, model.offset)
        self._life += 1
        self._ready: tuple[int, Update, Aligned] | None = None
        self._news: list[Update] = []
        self._busy = False
        self.n_events = self.n_updates = self.n_labels = self._n_begun = 0
        self._n_known = self._n_joined = 0  # first events whose items may join, and have joined
        self._seqs[:] = -1
        self._told.clear()
        if self._sums is not None:
            self._sums.reset()

    def defer(self, begin: Callable[[Job], None]) -> None:
        """Compute elsewhere: `begin` takes each job, and `apply` must be called from time to time."""
        self._begin, self._at_next_hop = begin, False

    def follow(self, wanted: Collection[int]) -> None:
        """Make the updates of a session record, which hold `wanted` numbers of events, by `apply`."""
        self._wanted, self._at_next_hop = frozenset(wanted), False

    def add(
        self, features: np.ndarray, good: float, label: str = "", *, n_open: int = 0, seq: int = -1
    ) -> None:
        """Take an event, after it was answered.

        Parameters
        ----------
        features : array of shape (p,), float64
            Unscaled; copied.
        good : float
            Share of good samples in its window; left out below the model's `min_quality`.
        label : str
            Not looked at unless the session learns.
        n_open : int
            Newest events, with this one, whose items must not be known yet: their trial goes on.
        seq : int
            Number of its readout, for `truth`.
        """
        if good < self._model.posterior.min_quality or not math.isfinite(features.sum()):
            return
        place = self.n_events % len(self._rows)
        self._rows[place] = features
        self.n_events += 1
        if self.learns:
            self._items[place], self._seqs[place] = self._numbers.get(label, -1), seq
            self._n_known = max(self._n_known, self.n_events - n_open)

    def truth(self, seq: int, label: str) -> None:
        """Take the item that an event had, if the session learns and still has its features.

        It joins with the first update that is begun after another event: so it does not matter when
        an update is computed.

        Parameters
        ----------
        seq : int
            Number of the event's readout.
        label : str
            The item.
        """
        places, item = np.flatnonzero(self._seqs == seq), self._numbers.get(label)
        if self.learns and item is not None and len(places) and self._items[places[0]] < 0:
            self._told.append((self.n_events, self._rows[places[0]].copy(), item))

    def hop(self) -> None:
        """Begin a hop: an update that is due is begun here, after the last answer has left.

        Without `defer` and `follow` it takes effect here, too.
        """
        if self._is_due():
            n = min(self.n_events, len(self._rows))
            self._taken[:n] = self._rows[:n]
            self._busy, self._n_begun = True, self.n_events
            life, n_events, before = self._life, self.n_events, self._parts
            labelled = self._labelled()
            self._begin(lambda: self._compute(life, n_events, self._taken[:n], before, labelled))
            if self._at_next_hop:
                self.apply()

    def _is_due(self) -> bool:
        if self._wanted is not None:
            return self.n_events in self._wanted and self.n_events != self._n_begun
        enough = max(LEAST_EVENTS, self._n_begun + self._every)
        return self.n_events >= enough and not self._busy

    def _labelled(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Features that join with the update that is begun, and items; None without `learn`."""
        if self._sums is None:
            return None
        first = max(self._n_joined, self.n_events - len(self._rows))
        rows = np.arange(first, max(first, self._n_known)) % len(self._rows)
        self._n_joined = self._n_known
        items = self._items[rows]
        told = [one for one in self._told if one[0] < self.n_events]
        del self._told[: len(told)]
        features = [self._taken[rows[items >= 0]], *(one[1][None] for one in told)]
        numbers = [*items[items >= 0], *(one[2] for one in told)]
        return np.concatenate(features), np.array(numbers, int)

    def _compute(
        self,
        life: int,
        n_events: int,
        features: np.ndarray,
        before: Aligned,
        labelled: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        if life != self._life:
            return
        if self._whitened is None:
            self._whitened = whitened_weights(self._model)
        with one_thread():
            if self._sums is not None and labelled is not None:
                self._sums.add(*labelled, *robust_scale(features))
            parts = align(self._model, features, self._whitened, self._sums)
            change = map_change(before, parts)
        n_labels = 0 if self._sums is None else self._sums.n
        self._ready = life, Update(n_events, change, n_labels), parts

    @property
    def next_update(self) -> int | None:
        """Number of events behind the update that is ready; None if there is none."""
        ready = self._ready
        return None if ready is None or ready[0] != self._life else ready[1].n_events

    def apply(self) -> Update | None:
        """Put the update that is ready into effect, at once and whole; None if there is none."""
        ready = self._ready
        if ready is None or ready[0] != self._life:
            return None
        _, update, self._parts = ready
        self._ready, self._busy = None, False
        self._window.rescale(self._parts.center, self._parts.scale)
        self._map.replace(self._parts.weights, self._parts.offset)
        self.n_updates += 1
        self.n_labels = update.n_labels
        self._news.append(update)
        return update

    def take_updates(self) -> list[Update]:
        """Take the updates that came into effect since the last call."""
        taken, self._news = self._news, []
        return taken

    def reset(self) -> None:
        """Return to the model as it was fitted, without any event."""
        self._restore()
        self._window.rescale(self._parts.center, self._parts.scale)
        self._map.replace(self._parts.weights, self._parts.offset)
