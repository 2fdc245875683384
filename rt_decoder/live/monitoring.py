"""Pass on what the monitor says: to the record and the outlets, and to who asked to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rt_decoder.files.decisions import Note
from rt_decoder.monitor.verdict import CHANGES, UNCLEAR
from rt_decoder.signal import ModelMismatch

if TYPE_CHECKING:
    from rt_decoder.live.options import Sinks

__all__ = ["pass_on"]


def pass_on(line: dict[str, Any], n_samples: int, sinks: Sinks, when_unlike: str) -> None:
    """Write an event of the monitor to the record, and send it to consumers.

    Parameters
    ----------
    line : dict
        Of the log; other events are left alone.
    n_samples : int
        Samples that have come so far.
    sinks : Sinks
        Of the session.
    when_unlike : str
        As `PipelineOptions` has it.

    Raises
    ------
    ModelMismatch
        Once it is clear how the signal differs from calibration, if `when_unlike` is "stop".
    """
    if line["event"] in ("swapped", "added") and sinks.outlets is not None:
        sinks.outlets.tell(line, line["time"])  # items have other numbers
    if line["event"] not in CHANGES:
        return
    if sinks.recorder is not None and not sinks.recorder.has_ended:
        left = ("type", "event", "time", "index")
        details = {key: value for key, value in line.items() if key not in left}
        sinks.recorder.decision(line["time"], Note(n_samples, line["event"], details))
    if sinks.outlets is not None:
        sinks.outlets.tell(line, line["time"])
    if when_unlike == "stop" and line.get("what", UNCLEAR) != UNCLEAR:
        raise ModelMismatch(
            f"need the signal of calibration, got another: {line['explanation']}: {line['fix']} "
            "(--when-unlike abstain goes on)"
        )
