"""What a check found."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

__all__ = ["Finding", "Verdict", "finding_lines", "named", "worst"]

_MOST = 8  # channels or labels that are named in a sentence


class Verdict(Enum):
    """How a session would fare."""

    GOOD = "good"
    UNKNOWN = "not checked"
    LOOK = "look"  # a session runs, and may be worse
    BAD = "bad"  # a session fails, or what it decodes cannot be believed


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str  # one word or two, such as "rate"
    verdict: Verdict
    text: str  # what was seen, with figures and units
    fix: str = ""  # what a person can do
    figures: dict[str, Any] = {}  # noqa: RUF012  (never changed); the same as numbers


def named(names: Sequence[str]) -> str:
    """List names, the first eight of many.

    >>> named(["Fz", "Cz"])
    'Fz, Cz'
    """
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the worst verdict of all; what was not checked counts as good."""
    found = {one.verdict for one in findings}
    return next((one for one in (Verdict.BAD, Verdict.LOOK) if one in found), Verdict.GOOD)


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Write a line for each finding, its fix below it."""
    lines = []
    for one in findings:
        lines.append(f"{one.verdict.value:<12}{one.what:<10}{one.text}")
        if one.fix:
            lines.append(f"{'':<22}-> {one.fix}")
    return lines
