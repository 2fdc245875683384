"""Whether references can be used, and whether they were turned upside down since calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rt_decoder.cleaning.regressors import Regressors

__all__ = ["ReferenceCheck"]

EVERY = 0.2  # s between two looks; a bad sample shows for longer
CHANGED, AS_BEFORE = 0.25, 0.5  # agreement below which one has changed, above which it is back
PERSISTS = 25  # looks in a row that tell of a change


@dataclass(slots=True)
class _Told:
    """What was told of a reference."""

    usable: bool = True
    changed: bool = False
    n_against: int = 0  # looks in a row that contradict `changed`


class ReferenceCheck:
    """Tells when a reference cannot be used, was turned upside down, and is as before again.

    A reference that was turned upside down is known by its weights, which vanish while they are
    learned anew: the sooner, the more of its artifact there is. One that has become weaker,
    stronger or noisier is not noticed.

    Parameters
    ----------
    stage : Regressors or None
        What leans on the references; None where nothing does.
    """

    def __init__(self, stage: Regressors | None) -> None:
        self._stage = stage
        self._told = {name: _Told() for name in (() if stage is None else stage.names)}
        self._look_at = -float("inf")

    def look(self, now: float) -> list[tuple[str, dict[str, Any]]]:
        """What has happened to references at the time `now` in s: (event, details).

        `reference_unusable` (it is flagged: lost, railed) and `reference_usable`;
        `reference_changed` (less than a quarter of its calibrated weights is left, for 5 s) and
        `reference_as_before` (more than half of them is back). Details name the channel and tell
        its `agreement`.
        """
        if self._stage is None or now < self._look_at:
            return []
        self._look_at = now + EVERY
        usable, agreement = self._stage.usable.tolist(), self._stage.agreement.tolist()
        # a reset restores calibrated weights, whatever the reference is like
        learned = self._stage.age > self._stage.time_constant
        found = []
        for (name, told), good, agrees in zip(self._told.items(), usable, agreement, strict=True):
            details = {"channel": name, "agreement": round(agrees, 2)}
            if good != told.usable:
                told.usable = good
                found.append(("reference_usable" if good else "reference_unusable", details))
            against = agrees > AS_BEFORE and learned if told.changed else agrees < CHANGED
            told.n_against = told.n_against + 1 if against else 0
            if told.n_against == PERSISTS:
                told.changed, told.n_against = not told.changed, 0
                event = "reference_changed" if told.changed else "reference_as_before"
                found.append((event, details))
        return found
