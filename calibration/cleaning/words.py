"""Put the results of a fit into words; every stage's module uses this."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Summary", "decibels", "one_line", "plain_values"]


class Summary(NamedTuple):
    """The result of a fit in a few words; a field with nothing to report is empty."""

    found: str
    taken_out: str
    kept: str


def one_line(summary: Summary) -> str:
    """Format a summary as one line for the terminal.

    >>> one_line(Summary("50 Hz", "31.2 dB", ""))
    '50 Hz; taken out: 31.2 dB'
    """
    parts = zip(("", "taken out: ", "kept: "), summary, strict=True)
    return "; ".join(label + part for label, part in parts if part)


def plain_values(report: dict[str, Any]) -> str:
    """List the texts and numbers of a report, without nested values.

    >>> plain_values({"beats": 64, "rate": 62.5, "held_out": {}})
    'beats 64, rate 62.5'
    """
    plain = (str, int, float)
    return ", ".join(f"{key} {value}" for key, value in report.items() if isinstance(value, plain))


def decibels(value: float | None) -> str:
    """Format an attenuation in dB; None if it could not be measured."""
    return "not measured" if value is None else f"{value:.1f} dB"
