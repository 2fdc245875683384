"""Answer events sooner, by the maps of windows that end earlier, and commit to a word.

Each window has a posterior and a threshold of its own, fitted out of fold, so that its probabilities
can be believed. They sharpen as the window grows. The words of single windows may still change: an
event commits to the word that two windows in a row have named over their thresholds, else to that of
the whole window, and never takes it back.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from rt_decoder.decoding.features import FeatureWindow, make_window
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.model import Model, WindowMap
from rt_decoder.signal import Features, Marker, Readout, SignalInfo
from rt_decoder.timing.items import CUE

__all__ = [
    "Commitment",
    "DueWindow",
    "KeptWords",
    "SoonerMaps",
    "SoonerWindows",
    "certified_windows",
]

IN_A_ROW = 2  # windows that name a word before an event commits to it


def certified_windows(model: Model, *, force: bool = False) -> tuple[WindowMap, ...]:
    """Return the shorter windows that are above chance in the certificate.

    Parameters
    ----------
    model : Model
        Its certificate tells from which end on all windows are (`calibration.frontier`).
    force : bool
        Return all windows.

    Returns
    -------
    tuple of WindowMap
        In order of their ends; often none.
    """
    found = model.certificate.get("anytime")
    earliest = found.get("earliest") if isinstance(found, Mapping) else None
    if force:
        return model.windows
    if isinstance(earliest, bool) or not isinstance(earliest, int | float):
        return ()
    return tuple(one for one in model.windows if one.end >= earliest - 1e-9)


class Commitment:
    """The word that one event commits to.

    Attributes
    ----------
    word : str
        Empty as long as there is none.
    """

    def __init__(self) -> None:
        self.word, self._best, self._n = "", "", 0
        self._until = -1.0

    def add(self, readout: Readout) -> str:
        """Take the readout of a window; returns the word."""
        if readout.until is None or readout.until <= self._until:  # the same window twice
            return self.word
        self._until = readout.until
        best = "" if readout.abstained else readout.words[0]
        self._n = self._n + 1 if best and best == self._best else int(bool(best))
        self._best = best
        if not self.word and self._n >= IN_A_ROW:
            self.word = best
        return self.word

    def end(self, readout: Readout) -> str:
        """Take the readout of the whole window; returns the word, empty if there is none."""
        if not self.word and not readout.abstained:
            self.word = readout.words[0]
        return self.word


class KeptWords:
    """The words of the events that are open, by onset and label."""

    def __init__(self) -> None:
        self._events: dict[tuple[int, str], Commitment] = {}  # oldest first

    def is_next(self, marker: Marker) -> bool:
        """Whether no earlier event is open."""
        event = marker.index, marker.label
        return next(iter(self._events), event) == event

    def add(self, marker: Marker, readout: Readout) -> Readout:
        """Take the readout of a window; returns it with the word that its event keeps."""
        commitment = self._events.setdefault((marker.index, marker.label), Commitment())
        return readout._replace(committed=commitment.add(readout))

    def end(self, marker: Marker, readout: Readout) -> Readout:
        """End an event by the readout of its whole window; returns its last one."""
        commitment = self._events.pop((marker.index, marker.label), Commitment())
        return readout._replace(kind="anytime", committed=commitment.end(readout))

    def forget(self, marker: Marker) -> None:
        """Forget an event whose window is lost."""
        self._events.pop((marker.index, marker.label), None)

    def clear(self) -> None:
        """Forget all events."""
        self._events.clear()


class SoonerMaps:
    """The maps of windows that end earlier; false if there are none.

    Parameters
    ----------
    model : Model
        Its `windows` are used.
    """

    def __init__(self, model: Model) -> None:
        self._by_size = {
            len(one.weights): (place, LinearMap(one.weights, one.offset), one.end)
            for place, one in enumerate(model.windows)
        }

    def __bool__(self) -> bool:
        return bool(self._by_size)

    def of(self, features: Features) -> tuple[int, LinearMap, float]:
        """Return place, map and end in s of the window that has so many features."""
        return self._by_size[len(features.values)]


class DueWindow(NamedTuple):
    """A window of an event that is not full yet."""

    at: int  # sample before which it is full
    index: int  # type: ignore[assignment]  # of the onset
    marker: Marker
    window: FeatureWindow


class SoonerWindows:
    """The windows of events that end before the model's.

    Parameters
    ----------
    model : Model
        Its `windows` are used.
    info : SignalInfo
        Of the signal in the ring.

    Attributes
    ----------
    ends : tuple of float
        In s after the onset.

    Raises
    ------
    ValueError
        If a map does not fit its window.
    """

    def __init__(self, model: Model, info: SignalInfo) -> None:
        self._windows = tuple(_window(model, info, one) for one in model.windows)
        self.ends = tuple(one.end for one in model.windows)
        self._waiting: list[DueWindow] = []

    def mark(self, marker: Marker) -> None:
        """Wait for the windows of an event, whose index is known; a cue has none."""
        if marker.label.startswith(CUE):
            return
        for window in self._windows:
            due = DueWindow(marker.index + max(window.last, 2), marker.index, marker, window)
            insort(self._waiting, due, key=lambda one: one[:2])

    def after(self, sample: int) -> int:
        """Return where the next window ends after a sample; 0 for none."""
        return next((one.at for one in self._waiting if one.at > sample), 0)

    def take(self, at: int, index: int) -> DueWindow | None:
        """Take the first window, if it is full.

        Parameters
        ----------
        at : int
            Samples up to here are there.
        index : int
            Onset of an event whose whole window ends at `at`; it comes before the windows of later
            onsets that end there.

        Returns
        -------
        DueWindow or None
        """
        if self._waiting and self._waiting[0][:2] <= (at, index):
            return self._waiting.pop(0)
        return None

    def drop(self, sample: int) -> None:
        """Forget the windows that were full before a sample."""
        self._waiting = [one for one in self._waiting if one.at > sample]

    def clear(self) -> None:
        """Forget the events."""
        self._waiting.clear()


def _window(model: Model, info: SignalInfo, one: WindowMap) -> FeatureWindow:
    """Make the window of the first features."""
    q = len(one.weights)
    recipe = replace(model.recipe, features=replace(model.recipe.features, tmax=one.end))
    part = replace(model, recipe=recipe, center=model.center[:q], scale=model.scale[:q], windows=())
    return make_window(part, info)
