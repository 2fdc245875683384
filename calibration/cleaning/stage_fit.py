"""The two results of a fit: a stage that was fitted, or the reason why it is left out."""

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
        Arguments of the live stage's constructor, without `info`: arrays and plain values.
    report : dict
        Plain JSON: what was found, and how well the stage does on the held-out part.
    """

    arguments: dict[str, Any]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cleaning stage that is left out.

    Attributes
    ----------
    reason : str
        Why, in words for people.

    Raises
    ------
    ValueError
        If the reason is empty.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("need a reason to leave a stage out, got none")
