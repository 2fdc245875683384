"""How reports put what was found of a cleaning stage into words; each stage's module uses it."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Summary", "decibels", "one_line", "plain_values"]


class Summary(NamedTuple):
    """A stage that was fitted, in a few words; empty where there is nothing to say."""

    found: str
    taken_out: str
    kept: str


def one_line(summary: Summary) -> str:
    """The summary for a terminal.

    >>> one_line(Summary("50 Hz", "31.2 dB", ""))
    '50 Hz; taken out: 31.2 dB'
    """
    parts = zip(("", "taken out: ", "kept: "), summary, strict=True)
    return "; ".join(label + part for label, part in parts if part)


def plain_values(report: dict[str, Any]) -> str:
    """Texts and numbers of a report, what is nested left out.

    >>> plain_values({"beats": 64, "rate": 62.5, "held_out": {}})
    'beats 64, rate 62.5'
    """
    plain = (str, int, float)
    return ", ".join(f"{key} {value}" for key, value in report.items() if isinstance(value, plain))


def decibels(value: float | None) -> str:
    """Attenuation; None where too few events were held out to tell."""
    return "too few to tell" if value is None else f"{value:.1f} dB"
