"""The two answers of every fit: a stage that was fitted, or the reason why it is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["LeftOut", "StageFit"]


@dataclass(frozen=True, slots=True, eq=False)
class StageFit:
    """A cleaning stage that was fitted.

    Attributes
    ----------
    arguments : dict
        What the constructor of the live stage takes beside its info: arrays and plain values.
    report : dict
        Plain JSON: what was found, and how well it does on the held-out part.
    """

    arguments: dict[str, Any]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cleaning stage that is left out.

    Attributes
    ----------
    reason : str
        Why, for people.

    Raises
    ------
    ValueError
        If there is no reason.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("need a reason to leave a stage out, got none")
