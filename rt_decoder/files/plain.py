"""Check values of a session record's decisions, whose text may be damaged or forged."""

from __future__ import annotations

import sys
from typing import Any

from rt_decoder.files.stamps import LATEST

__all__ = ["are_details", "are_names", "is_count", "is_finite", "is_flag", "is_text", "is_time"]


def are_names(names: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(names, list) and all(map(is_text, names))


def are_details(details: Any) -> bool:
    """Whether it is an object of scalars and lists of scalars, as events have."""
    values = details.values() if isinstance(details, dict) else [details]
    parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
    return isinstance(details, dict) and all(
        part is None or isinstance(part, str | int | float) for part in parts
    )


def is_text(value: Any) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    """Whether it is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def is_finite(value: Any) -> bool:
    """Whether it is a number: a marker may be stamped with any."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def is_time(value: Any) -> bool:
    """Whether it can be a time in s."""
    return is_finite(value) and abs(value) < LATEST


def is_flag(value: Any) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)
