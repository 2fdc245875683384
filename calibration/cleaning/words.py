"""Put the results of a fit into words; every stage's module uses this."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Summary", "decibels", "one_line", "share_text"]


class Summary(NamedTuple):
    """The result of a fit in a few words; a field with nothing to report is empty."""

    found: str
    taken_out: str
    kept: str


def one_line(summary: Summary) -> str:
    """Format a summary as one line for the terminal.

    >>> one_line(Summary("50 Hz", "by 31.2 dB", ""))
    '50 Hz; taken out: by 31.2 dB'
    """
    parts = zip(("", "taken out: ", "kept: "), summary, strict=True)
    return "; ".join(label + part for label, part in parts if part)


def share_text(share: float, digits: int = 1) -> str:
    """Format a share.

    >>> share_text(0.1042)
    '10.4 %'
    """
    return f"{100 * share:.{digits}f} %"


def decibels(value: float | None) -> str:
    """Say how much weaker something is, in dB of power; None if it could not be measured."""
    return "not measured" if value is None else f"by {value:.1f} dB"
