"""Does a reference still say what it said in calibration? Contacts come loose, belts get turned."""

from __future__ import annotations

from typing import Any

from rt_decoder.artifacts.regressors import ReferenceRegression

__all__ = ["ReferenceCheck"]

EVERY = 1.0  # s between two looks
CHANGED, AS_BEFORE = 0.4, 0.6  # agreement below which one has changed, above which it is back


class ReferenceCheck:
    """Tells when a reference can no longer be used, has changed, and is as before again.

    Parameters
    ----------
    stage : ReferenceRegression or None
        What leans on the references; None where nothing does.
    """

    def __init__(self, stage: ReferenceRegression | None) -> None:
        self._stage = stage
        self._state = dict.fromkeys(() if stage is None else stage.names, "usable")
        self._look_at = -float("inf")

    def look(self, now: float) -> list[tuple[str, dict[str, Any]]]:
        """What has happened to references at the time `now` in s: (event, details).

        `reference_unusable` (it is flagged: lost, railed, flat), `reference_changed` (what it
        explains now is little of what it explained in calibration, or upside down),
        `reference_usable`; details name the channel and tell its `agreement`.
        """
        if self._stage is None or now < self._look_at:
            return []
        self._look_at = now + EVERY
        found = []
        agreement, usable = self._stage.agreement, self._stage.usable
        for (name, was), agrees, good in zip(
            self._state.items(), agreement.tolist(), usable.tolist(), strict=True
        ):
            if not good:
                state = "unusable"
            elif agrees < (AS_BEFORE if was == "changed" else CHANGED):
                state = "changed"
            else:
                state = "usable"
            if state != was:
                self._state[name] = state
                found.append(
                    (f"reference_{state}", {"channel": name, "agreement": round(agrees, 2)})
                )
        return found
