"""Parse ``--markers``: a marker stream or a trigger channel."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MarkerChoice", "parse_markers"]

_CHANNEL = "channel:"


@dataclass(frozen=True, slots=True)
class MarkerChoice:
    """A marker stream or a trigger channel; false if neither: the source's default markers."""

    stream: str = ""  # name of a marker stream; for FieldTrip a type of events, or "all"
    trigger: str = ""  # channel of the data stream that carries triggers

    def __bool__(self) -> bool:
        return bool(self.stream or self.trigger)


def parse_markers(text: str | MarkerChoice | None) -> MarkerChoice:
    """Read the name of a marker stream, or ``channel:NAME`` of a trigger channel.

    Parameters
    ----------
    text : str, MarkerChoice or None
        A choice is returned as it is; None and "" choose neither.

    Returns
    -------
    MarkerChoice

    Raises
    ------
    ValueError
        If no name comes after ``channel:``.

    Examples
    --------
    >>> parse_markers("words"), parse_markers("channel:STI 014")
    (MarkerChoice(stream='words', trigger=''), MarkerChoice(stream='', trigger='STI 014'))
    >>> bool(parse_markers(""))
    False
    """
    if isinstance(text, MarkerChoice):
        return text
    if text is None or not text.startswith(_CHANNEL):
        return MarkerChoice(stream=text or "")
    trigger = text.removeprefix(_CHANNEL)
    if not trigger:
        raise ValueError(f"need the name of a trigger channel as channel:NAME, got {text!r}")
    return MarkerChoice(trigger=trigger)
