"""Tell when markers have labels that the model does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rt_decoder.signal import ONSET, Marker
from rt_decoder.timing.items import some

__all__ = ["LabelCheck"]

TOLD = 10  # unknown labels that are told; more are counted only
NAMED = 4  # labels named in a sentence; of more, how many
KEPT = 1000  # labels whose markers are counted: a stream may send a new one each time


class LabelCheck:
    """Compare the labels of a stream with the items of the model.

    Parameters
    ----------
    items : collection of str
        Of the model; empty if it names nothing, and every label is then as good as another.

    Attributes
    ----------
    seen : Counter of str
        Markers that came, by label.
    """

    def __init__(self, items: Collection[str]) -> None:
        self._items: Mapping[str, object] = dict.fromkeys(items)
        self._known: dict[str, None] = {}  # labels of the stream, as they came
        self._unknown: dict[str, None] = {}
        self.seen = Counter[str]()

    def rename(self, items: Mapping[str, object]) -> None:
        """Compare with these items from now on; they are not copied."""
        self._items = items

    def look(self, markers: Sequence[Marker]) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
        """Return how many markers have unknown labels, and an event for each new one.

        Parameters
        ----------
        markers : sequence of Marker
            Whose sample was found since the last call, labels as the rules have named them.

        Returns
        -------
        n_unknown : int
        events : list of (str, dict)
            Each ``label_unknown`` names the label, and what the stream and the model have.
        """
        for marker in markers:
            if marker.label in self.seen or len(self.seen) < KEPT:
                self.seen[marker.label] += 1
        if not self._items:
            return 0, []
        n_unknown, events = 0, []
        for marker in markers:
            if marker.label == ONSET:
                continue
            if marker.label in self._items:
                self._known[marker.label] = None
                continue
            n_unknown += 1
            if marker.label not in self._unknown and len(self._unknown) < TOLD:
                self._unknown[marker.label] = None
                told = some([*self._unknown, *self._known], NAMED)
                reason = (
                    f"labels of this stream: {told}; of the model: {some([*self._items], NAMED)}"
                )
                if len(self._unknown) == TOLD:
                    reason += "; further unknown labels are only counted"
                events.append(("label_unknown", {"label": marker.label, "reason": reason}))
        return n_unknown, events
