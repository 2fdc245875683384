"""Keep the map of a running session aligned with its person.

The features of good events are kept; every few of them an update is due, which `align` computes from
the newest. Three ways of keeping time, with the same bits where the same updates come before the same
samples:

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
from rt_decoder.decoding.features import FeatureWindow
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.model import Model

__all__ = ["Adaptation", "Update"]

Job = Callable[[], None]


class Update(NamedTuple):
    """An update that is in effect."""

    n_events: int  # good events before it was begun
    change: float  # see `map_change`


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

    Attributes
    ----------
    n_events : int
        Good events so far.
    n_updates : int
        Updates in effect so far.

    Raises
    ------
    ValueError
        If the model has no `alignment` or no `covariance`.
    """

    def __init__(self, model: Model, window: FeatureWindow, linear_map: LinearMap) -> None:
        if model.alignment is None or not model.covariance.size:
            raise ValueError("need a model with alignment and covariance, got one without")
        self._model, self._window, self._map = model, window, linear_map
        self._every = model.alignment.every
        self._rows = np.zeros((model.alignment.most, window.n_features))
        self._taken = np.zeros_like(self._rows)  # for the update that is computed
        self._whitened: np.ndarray | None = None
        self._begin: Callable[[Job], None] = _at_once
        self._wanted: Collection[int] | None = None  # numbers of events, of a session record
        self._at_next_hop = True
        self._restore()

    def _restore(self) -> None:
        model = self._model
        self._parts = Aligned(model.center, model.scale, model.weights, model.offset)
        self._ready: tuple[Update, Aligned] | None = None
        self._news: list[Update] = []
        self._busy = False
        self.n_events = self.n_updates = self._n_begun = 0

    def defer(self, begin: Callable[[Job], None]) -> None:
        """Compute elsewhere: `begin` takes each job, and `apply` must be called from time to time."""
        self._begin, self._at_next_hop = begin, False

    def follow(self, wanted: Collection[int]) -> None:
        """Make the updates of a session record, which hold `wanted` numbers of events, by `apply`."""
        self._wanted, self._at_next_hop = frozenset(wanted), False

    def add(self, features: np.ndarray, good: float) -> None:
        """Take an event.

        Parameters
        ----------
        features : array of shape (p,), float64
            Unscaled; copied.
        good : float
            Share of good samples in its window; left out below the model's `min_quality`.
        """
        if good < self._model.posterior.min_quality or not math.isfinite(features.sum()):
            return
        self._rows[self.n_events % len(self._rows)] = features
        self.n_events += 1

    def hop(self) -> None:
        """Begin a hop: an update that is due is begun here, after the last answer has left.

        Without `defer` and `follow` it takes effect here, too.
        """
        if self._is_due():
            n = min(self.n_events, len(self._rows))
            self._taken[:n] = self._rows[:n]
            self._busy, self._n_begun = True, self.n_events
            n_events, before = self.n_events, self._parts
            self._begin(lambda: self._compute(n_events, self._taken[:n], before))
            if self._at_next_hop:
                self.apply()

    def _is_due(self) -> bool:
        if self._wanted is not None:
            return self.n_events in self._wanted and self.n_events != self._n_begun
        enough = max(LEAST_EVENTS, self._n_begun + self._every)
        return self.n_events >= enough and not self._busy

    def _compute(self, n_events: int, features: np.ndarray, before: Aligned) -> None:
        if self._whitened is None:
            self._whitened = whitened_weights(self._model)
        parts = align(self._model, features, self._whitened)
        with one_thread():
            change = map_change(before, parts)
        self._ready = Update(n_events, change), parts

    @property
    def next_update(self) -> int | None:
        """Number of events behind the update that is ready; None if there is none."""
        return None if self._ready is None else self._ready[0].n_events

    def apply(self) -> Update | None:
        """Put the update that is ready into effect, at once and whole; None if there is none."""
        if self._ready is None:
            return None
        update, self._parts = self._ready
        self._ready, self._busy = None, False
        self._window.rescale(self._parts.center, self._parts.scale)
        self._map.replace(self._parts.weights, self._parts.offset)
        self.n_updates += 1
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
