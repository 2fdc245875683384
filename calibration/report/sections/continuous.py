"""What it does at every hop: false alarms, and events that are named."""

from __future__ import annotations

from calibration.continuous import continuous_line
from calibration.report.page import Note, Part, Section, Table, Text
from calibration.report.shown import Shown, number

__all__ = ["section"]

_LEAST_HOURS = 0.05  # without events, for figures by the hour


def section(shown: Shown) -> Section | None:
    """Tell false alarms of continuous readouts."""
    if not shown.model.has_map:
        return None
    found = shown.certificate.get("continuous")
    if not found:
        told = "Readouts at every hop: not fitted."
        return Section("Readouts at every hop", [Note(told)])
    parts: list[Part] = [Text(f"{continuous_line(found).capitalize()}.")]
    final = found.get("final")
    if final and final.get("hours", 0) >= _LEAST_HOURS:
        keys = ("hours", "n_alarms", "low", "high", "n_events", "hits")
        head = (
            "", "hours without events", "false alarms", "an hour, at least", "at most", "events",
            "named",
        )  # fmt: skip
        parts.append(Table(head, [("locked block", *(number(final.get(key), 3) for key in keys))]))
        parts.append(Note("False alarms an hour: 95 % interval of a Poisson count."))
    return Section("Readouts at every hop", parts)
