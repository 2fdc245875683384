"""What a session tells of its markers, its time line and its sinks: events, and counts of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rt_decoder.decoder import Decoder
from rt_decoder.sinks.log import JsonlLog, decision_details
from rt_decoder.sinks.worker import Worker

__all__ = ["report_decisions", "report_markers", "report_sinks"]

Tell = Callable[..., None]  # takes the name of an event and, by name, its details


def report_markers(
    decoder: Decoder, counts: Counter[str], log: JsonlLog | None, tell: Tell
) -> None:
    """Log the markers whose sample was found, and tell of those that were lost.

    Parameters
    ----------
    decoder : Decoder
        Has taken the markers.
    counts : Counter
        Of the session.
    log : JsonlLog or None
        Of the session.
    tell : callable
        Takes the name of an event and, by name, its details.
    """
    found, lost = decoder.take_markers()
    for marker in found:
        counts["markers"] += 1
        if log is not None:
            log.write(marker)
    for marker, why in lost:
        counts["markers_lost"] += 1
        tell("marker_lost", label=marker.label, time=marker.time, reason=why)


def report_decisions(decoder: Decoder, counts: Counter[str], tell: Tell) -> None:
    """Tell of samples that were lost and clocks that were set.

    Parameters
    ----------
    decoder : Decoder
        Has the time base.
    counts : Counter
        Of the session.
    tell : callable
        Takes the name of an event and, by name, its details.
    """
    for decision in decoder.take_decisions():
        counts[decision.kind] += 1
        counts["lost_samples"] += decision.n_lost
        tell(decision.kind, **decision_details(decision))


def report_sinks(
    log: Worker | None, recorder: Worker | None, counts: Counter[str], tell: Tell
) -> None:
    """Tell that a log or record has ended: a full disk never ends the session.

    Parameters
    ----------
    log, recorder : Worker or None
        Where there are.
    counts : Counter
        Of the session.
    tell : callable
        Takes the name of an event and, by name, its details.
    """
    for what, sink in (("log", log), ("record", recorder)):
        if sink is not None and (error := sink.take_error()) is not None:
            counts[f"{what}_ended"] += 1
            tell(f"{what}_ended", reason=str(error))
