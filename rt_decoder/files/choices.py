"""Read the choices of an experiment from a session record, whose text may be damaged or forged."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from rt_decoder.files.decisions import Added, Chosen, MarkerCame
from rt_decoder.signal import Choice

__all__ = ["added", "chosen", "is_choice", "marker", "may_choose", "restricted"]


def is_choice(value: Any) -> bool:
    """Whether it is a `Choice` as a record has it."""
    if not isinstance(value, dict) or set(value) != {one.name for one in fields(Choice)}:
        return False
    prior, threshold, top = value["prior"], value["threshold"], value["top"]
    if prior is not None and not (
        isinstance(prior, dict) and all(map(_is_weight, prior.values())) and any(prior.values())
    ):
        return False
    candidates = value["candidates"]
    return (
        isinstance(candidates, list)
        and all(isinstance(item, str) for item in candidates)
        and (threshold is None or _is_weight(threshold))
        and (top is None or (type(top) is int and 0 < top < 1 << 62))
        and isinstance(value["posterior"], bool)
    )


def may_choose(value: Any) -> bool:
    """Whether it is a `Choice`, or none."""
    return value is None or is_choice(value)


def _is_weight(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def marker(index: int, label: str, time: float, choice: dict[str, Any] | None) -> MarkerCame:
    """Make a marker that came.

    Parameters
    ----------
    index : int
        As of `MarkerCame`.
    label : str
        As of `MarkerCame`.
    time : float
        As of `MarkerCame`.
    choice : dict or None
        What `may_choose` has passed.

    Returns
    -------
    MarkerCame
    """
    return MarkerCame(index, label, time, None if choice is None else Choice(**choice))


def chosen(index: int, choice: dict[str, Any]) -> Chosen:
    """Make a choice of what `is_choice` has passed."""
    return Chosen(index, Choice(**choice))


def added(index: int, items: list[str], vectors: str) -> Added:
    """Make more items, as a record has them.

    Parameters
    ----------
    index : int
        As of `Added`.
    items : list of str
        As of `Added`.
    vectors : str
        As of `Added`.

    Returns
    -------
    Added
    """
    return Added(index, tuple(items), vectors)


def restricted(index: int, items: list[str]) -> Chosen:
    """Make a choice of candidates, as version 5 has it."""
    return Chosen(index, Choice(tuple(items)))
