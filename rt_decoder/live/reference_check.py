"""Check whether references are usable, and whether they are what they were in calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.cleaning.regressors import Regressors

__all__ = ["ReferenceCheck"]

EVERY = 0.2  # s between checks; a bad sample stays visible for longer
CHANGED, AS_BEFORE = 0.25, 0.5  # changed below this agreement, back above it
PERSISTS = 25  # checks in a row that make a change certain


SIZES = 0.25, 4.0  # times its size in calibration: an ECG beyond these has changed


@dataclass(slots=True)
class _Told:
    """What was reported of a reference."""

    usable: bool = True
    changed: bool = False
    n_against: int = 0  # checks in a row that contradict `changed`


class ReferenceCheck:
    """Report when a reference becomes unusable or is not what it was, and when it recovers.

    It is not what it was if too little of what it says is in the data (another size, another kind
    of signal, upside down, another person's), or if it is silent.

    Parameters
    ----------
    stages : Regressors, HeartbeatTemplate or other
        The stages that use the references; others, and None, are passed over. What the regressors
        use is judged by them, an ECG that only the template uses by the template.
    """

    def __init__(self, *stages: object | None) -> None:
        regressors = [stage for stage in stages if isinstance(stage, Regressors)]
        self._stage = regressors[0] if regressors else None
        known = () if self._stage is None else self._stage.names
        templates = [stage for stage in stages if isinstance(stage, HeartbeatTemplate)]
        self._templates = [stage for stage in templates if stage.names[0] not in known]
        names = (*known, *(stage.names[0] for stage in self._templates))
        self._told = {name: _Told() for name in names}
        self._look_at = -float("inf")

    def look(self, now: float) -> list[tuple[str, dict[str, Any]]]:
        """Return what has happened to the references since the last check.

        =======================  ===========================================================
        event                    meaning
        =======================  ===========================================================
        ``reference_unusable``   it is flagged, such as lost or railed, or too loud
        ``reference_usable``     it is neither any longer
        ``reference_changed``    agreement with the data below 0.25 for 5 s
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
        if not self._told or now < self._look_at:
            return []
        self._look_at = now + EVERY
        found = []
        for (name, told), (good, agrees, learned) in zip(
            self._told.items(), self._states(), strict=True
        ):
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

    def _states(self) -> Iterator[tuple[bool, float, bool]]:
        """Yield of each reference whether it is usable, its agreement, and whether that is sure."""
        if self._stage is not None:
            # a reset restores the calibrated weights, even if the reference is still flipped
            learned = self._stage.age > self._stage.time_constant
            usable, agreement = self._stage.usable.tolist(), self._stage.agreement.tolist()
            yield from (
                (good, agrees, learned) for good, agrees in zip(usable, agreement, strict=True)
            )
        for template in self._templates:
            as_usual = SIZES[0] <= template.size <= SIZES[1]
            yield True, float(template.agreement[0]) if as_usual else 0.0, True
