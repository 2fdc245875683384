"""Check whether references are usable, and whether their polarity flipped since calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rt_decoder.cleaning.regressors import Regressors

__all__ = ["ReferenceCheck"]

EVERY = 0.2  # s between checks; a bad sample stays visible for longer
CHANGED, AS_BEFORE = 0.25, 0.5  # changed below this agreement, back above it
PERSISTS = 25  # checks in a row that make a change certain


@dataclass(slots=True)
class _Told:
    """What was reported of a reference."""

    usable: bool = True
    changed: bool = False
    n_against: int = 0  # checks in a row that contradict `changed`


class ReferenceCheck:
    """Report when a reference becomes unusable or flips its polarity, and when it recovers.

    A flip shows in the reference's weights: they pass through zero while they adapt, the sooner
    the stronger its artifact. A reference that becomes weaker, stronger or noisier goes unnoticed.

    Parameters
    ----------
    stage : Regressors or None
        The stage that uses the references; None, or another stage, if none does.
    """

    def __init__(self, stage: object | None) -> None:
        self._stage = stage = stage if isinstance(stage, Regressors) else None
        self._told = {name: _Told() for name in (() if stage is None else stage.names)}
        self._look_at = -float("inf")

    def look(self, now: float) -> list[tuple[str, dict[str, Any]]]:
        """Return what has happened to the references since the last check.

        =======================  ===========================================================
        event                    meaning
        =======================  ===========================================================
        ``reference_unusable``   it is flagged, such as lost or railed
        ``reference_usable``     it is no longer flagged
        ``reference_changed``    agreement with its calibrated weights below 0.25 for 5 s
        ``reference_as_before``  agreement above 0.5 for 5 s
        =======================  ===========================================================

        Parameters
        ----------
        now : float
            Time in s.

        Returns
        -------
        list of (str, dict)
            Events with their details: the channel and its ``agreement``.
        """
        if self._stage is None or now < self._look_at:
            return []
        self._look_at = now + EVERY
        usable, agreement = self._stage.usable.tolist(), self._stage.agreement.tolist()
        # a reset restores the calibrated weights, even if the reference is still flipped
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
