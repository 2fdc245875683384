"""Read markers from a trigger channel, which an amplifier records beside the signal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple

import numpy as np

from rt_decoder.recipe import Target
from rt_decoder.signal import Marker
from rt_decoder.timing.items import ItemRule

__all__ = ["MarkerRules", "TriggerReader", "trigger_markers"]


class MarkerRules(NamedTuple):
    """How markers become items."""

    trigger: str = ""  # channel of the stream that carries triggers
    names: dict[str, str] | None = None  # label -> item
    mask: int | None = None  # bits of the trigger channel that count
    offset: float = 0.0  # s added to every marker's time
    wait: float = 2.0  # s that a marker may arrive after its window is full
    include: tuple[str, ...] = ()  # patterns of labels or items; empty for all stimuli
    exclude: tuple[str, ...] = ()  # patterns of labels or items that are no stimuli
    fold: bool = False  # case, accents' coding, quotes and white space make no other item
    stems: bool = False  # labels are files; an item is a file's name without folder and ending

    def for_target(self, target: Target) -> MarkerRules:
        """Return the rules as a recipe has them, unless they have names already."""
        if self.names is not None:
            return self
        return self._replace(
            names=dict(target.names),
            include=target.include,
            exclude=target.exclude,
            fold=target.fold,
            stems=bool(target.stimuli),
        )

    def item_rule(self, items: Iterable[str] = ()) -> ItemRule:
        """Return what maps a label to its item, spelled as among `items`."""
        return ItemRule(
            self.names, self.include, self.exclude, fold=self.fold, stems=self.stems, items=items
        )


class TriggerReader:
    """Read markers from a trigger channel, chunk by chunk.

    A change to a code other than 0 is a marker. A code in the first sample is none, since it began
    at an unknown time. The markers do not depend on how the channel is cut into chunks.

    Parameters
    ----------
    mask : int or None
        Bits of the code that count, such as ``0xFF``; None for all.
    names : mapping of str to str or None
        Label of a code, such as ``{"1": "face"}``; other codes are their own label.
    """

    def __init__(self, mask: int | None = None, names: Mapping[str, str] | None = None) -> None:
        self._mask = -1 if mask is None else mask
        self._names = dict(names or {})
        self.reset()

    def reset(self) -> None:
        """Forget the last code."""
        self._code: int | None = None

    def process(self, values: np.ndarray, times: np.ndarray, index: int) -> list[Marker]:
        """Return the markers of the next chunk.

        Parameters
        ----------
        values : array of shape (n_samples,)
            The channel as delivered; rounded to whole numbers. NaN and infinity are skipped.
        times : array of shape (n_samples,), float64
            Time of each sample in s.
        index : int
            Absolute index of the first sample.

        Returns
        -------
        list of Marker
        """
        markers = []
        for i, value in enumerate(values.tolist()):  # Python integers hold any code exactly
            if not isfinite(value):
                continue
            code = round(value) & self._mask
            if code not in (0, self._code) and self._code is not None:
                label = self._names.get(str(code), str(code))
                markers.append(Marker(label, float(times[i]), index + i))
            self._code = code
        return markers


def trigger_markers(
    values: np.ndarray,
    stamps: np.ndarray,
    *,
    mask: int | None = None,
    names: Mapping[str, str] | None = None,
) -> list[Marker]:
    """Return the markers of a whole trigger channel; see `TriggerReader`.

    Parameters
    ----------
    values : array of shape (n_samples,)
        The channel as delivered; rounded to whole numbers. NaN and infinity are skipped.
    stamps : array of shape (n_samples,), float64
        Time of each sample in s.
    mask : int or None
        Bits of the code that count; None for all.
    names : mapping of str to str or None
        Label of a code; other codes are their own label.

    Returns
    -------
    list of Marker
        In order of `index`, the row in `values`.

    Examples
    --------
    >>> import numpy as np
    >>> markers = trigger_markers(np.array([0, 2, 2, 0, 5]), np.arange(5.0), names={"2": "word"})
    >>> [(marker.label, marker.index) for marker in markers]
    [('word', 1), ('5', 4)]
    """
    return TriggerReader(mask, names).process(values, stamps, 0)
