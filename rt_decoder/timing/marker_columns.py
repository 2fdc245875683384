"""Read labels from the channels of a marker stream, live and in files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rt_decoder.channels import TYPE_NAMES

__all__ = ["MarkerColumns", "MarkerKind", "label_of"]

_OR_NAMED = ", or in channels with labels that differ"
_SIGNALS = {"meg", "ieeg", "gaze", "audio", "nirs", "fnirs"} | {
    name for name, of in TYPE_NAMES.items() if of not in ("misc", "stim")
}


class MarkerKind(NamedTuple):
    """What a stream declares to be, by which it may hold markers or a signal."""

    type: str  # LSL's content type, such as "Markers" or "EEG"
    format: str  # "string", or as numpy and LSL name numbers
    is_regular: bool  # whether it has a regular rate

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.format == "string"

    @property
    def is_signal(self) -> bool:
        """Whether it is a signal by its type, and no code: fractions, or a regular rate."""
        fractions = self.format.startswith(("float", "double"))
        return (
            not self.is_text
            and self.type.strip().lower() in _SIGNALS
            and (fractions or self.is_regular)
        )

    def check(self, stream: str) -> None:
        """Refuse a signal.

        Parameters
        ----------
        stream : str
            Name of the stream, for the error.

        Raises
        ------
        ValueError
            If it is one.
        """
        if self.is_signal:
            raise ValueError(
                "need a marker stream (text, or numbers that are codes), got "
                f"{stream!r}, {self.format} of type {self.type}"
            )


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
    kind : MarkerKind
        What the stream declares to be.

    Raises
    ------
    ValueError
        If it is unknown which of several channels says the label, or the stream is a signal.

    Examples
    --------
    >>> MarkerColumns("words", [""], MarkerKind("Markers", "string", False)).of(["axe"])
    ['axe']
    >>> kind = MarkerKind("annotations", "float64", False)
    >>> MarkerColumns("annotations", ["rest", "task"], kind).of([0.0, 2.5])
    ['task']
    """

    def __init__(self, stream: str, labels: Sequence[str], kind: MarkerKind) -> None:
        kind.check(stream)
        self._is_text = kind.is_text
        self.names = tuple(label.strip() for label in labels)
        self._are_named = len(self.names) > 1 and not kind.is_text
        differ = all(self.names) and len(set(self.names)) == len(self.names)
        if self._are_named and (kind.is_regular or not differ):
            got = ", ".join(name or "none" for name in self.names[:8])
            raise ValueError(
                f"need markers in one channel{_OR_NAMED * (not kind.is_regular)}, got {len(self.names)} "
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
