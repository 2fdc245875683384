"""Read labels from the channels of a marker stream, live and in files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["MarkerColumns", "label_of"]

_OR_NAMED = ", or in channels with labels that differ"


class MarkerColumns:
    """Turn a sample of a marker stream into labels.

    One channel says the label itself, as text or as a number. Of several channels of text the first
    that is not empty does. Of several channels of numbers each stands for one label, its own, and
    says by a number other than 0 that it occurs (mne-lsl sends annotations like this). A trigger
    channel, numbers at a regular rate, has to be the only one.

    Parameters
    ----------
    stream : str
        Name of the stream, for the error.
    labels : sequence of str
        Label of each channel; empty where it has none.
    is_text, is_regular : bool
        Whether the stream holds text, and whether it has a regular rate.

    Raises
    ------
    ValueError
        If it is unknown which of several channels says the label.

    Examples
    --------
    >>> MarkerColumns("words", [""], True, False).of(["axe"])
    ['axe']
    >>> MarkerColumns("annotations", ["rest", "task"], False, False).of([0.0, 2.5])
    ['task']
    """

    def __init__(self, stream: str, labels: Sequence[str], is_text: bool, is_regular: bool) -> None:
        self._is_text = is_text
        self.names = tuple(label.strip() for label in labels)
        self._are_named = len(self.names) > 1 and not is_text
        differ = all(self.names) and len(set(self.names)) == len(self.names)
        if self._are_named and (is_regular or not differ):
            got = ", ".join(name or "none" for name in self.names[:8])
            raise ValueError(
                f"need markers in one channel{_OR_NAMED * (not is_regular)}, got {len(self.names)} "
                f"channels of numbers in {stream!r} with the labels {got}: which of them says the "
                "label is unknown"
            )

    def of(self, row: Sequence[Any]) -> list[str]:
        """Return the labels of a sample (one value a channel); none if nothing occurs."""
        if self._are_named:
            return [name for name, value in zip(self.names, row, strict=True) if _occurs(value)]
        for value in row if self._is_text else row[:1]:
            if label := label_of(value):
                return [label]
        return []


def _occurs(value: float) -> bool:
    return math.isfinite(value) and value != 0


def label_of(value: str | bytes | float) -> str:
    """Return text as it is, whole numbers without a point, and "" for what is no number.

    Parameters
    ----------
    value : str, bytes or float
        Bytes that are not UTF-8 are read as Latin-1: Windows programs send their own code page.

    Returns
    -------
    str
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    number = float(value)
    if not math.isfinite(number):
        return ""
    return str(int(number)) if number.is_integer() else repr(number)
