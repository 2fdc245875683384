"""Report a session's markers, time base and sinks, as events and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rt_decoder.decoder import Decoder
from rt_decoder.live.labels import LabelCheck
from rt_decoder.sinks.log import JsonlLog, decision_details
from rt_decoder.sinks.worker import Worker
from rt_decoder.source import SampleSource

if TYPE_CHECKING:
    from rt_decoder.sinks.outlets import ReadoutOutlets

__all__ = ["end_sinks", "report_channels", "report_decisions", "report_markers", "report_sinks"]

Tell = Callable[..., None]  # called with an event's name and, as keyword arguments, its details


def report_channels(
    source: SampleSource, decoder: Decoder, counts: Counter[str], tell: Tell
) -> None:
    """Report channels whose type is only known by name, and references that are left out.

    Parameters
    ----------
    source : SampleSource
        Of the session.
    decoder : Decoder
        Matches its channels.
    counts : Counter
        Counts of the session; updated.
    tell : callable
        Called with an event's name and, as keyword arguments, its details.
    """
    if by_name := getattr(source, "types_by_name", None):
        tell("types_by_name", channels=[f"{name} is {kind}" for name, kind in by_name.items()])
    for name, reason in decoder.align.left_out.items():
        counts["references_left_out"] += 1
        tell("reference_left_out", channel=name, reason=reason)


def report_markers(
    decoder: Decoder,
    counts: Counter[str],
    log: JsonlLog | None,
    tell: Tell,
    labels: LabelCheck | None = None,
) -> None:
    """Log the markers whose sample was found, and report those that were lost.

    Parameters
    ----------
    decoder : Decoder
        Places the markers.
    counts : Counter
        Counts of the session; updated.
    log : JsonlLog or None
        The session's log.
    tell : callable
        Called with an event's name and, as keyword arguments, its details.
    labels : LabelCheck or None
        Compares the markers' labels with the model's.
    """
    found, lost = decoder.take_markers()
    for marker in found:
        counts["markers"] += 1
        if log is not None:
            log.write(marker)
    if labels is not None and found:
        labels.rename(decoder.pipeline.answerer.scored.numbers)
        n_unknown, events = labels.look(found)
        counts["markers_unknown"] += n_unknown
        for event, details in events:
            tell(event, **details)
    for marker, why in lost:
        counts["markers_lost"] += 1
        time = marker.time if math.isfinite(marker.time) else None
        tell("marker_lost", label=marker.label, time=time, reason=why)


def report_decisions(decoder: Decoder, counts: Counter[str], tell: Tell) -> None:
    """Report lost samples, clocks that were set, and what the repair decided of channels.

    Parameters
    ----------
    decoder : Decoder
        Holds the time base and the repair.
    counts : Counter
        Counts of the session; updated.
    tell : callable
        Called with an event's name and, as keyword arguments, its details.
    """
    for decision in decoder.take_decisions():
        counts[decision.kind] += 1
        counts["lost_samples"] += decision.n_lost
        tell(decision.kind, **decision_details(decision))
    for event, details in decoder.take_events():
        counts[event] += 1
        tell(event, **details)


def report_sinks(
    log: Worker | None,
    recorder: Worker | None,
    counts: Counter[str],
    tell: Tell,
    outlets: ReadoutOutlets | None = None,
) -> None:
    """Report a log or record that has ended; a full disk never ends the session.

    Parameters
    ----------
    log, recorder : Worker or None
        The session's log and record, if in use.
    counts : Counter
        Counts of the session; updated.
    tell : callable
        Called with an event's name and, as keyword arguments, its details.
    outlets : ReadoutOutlets or None
        The session's outlets, if in use.
    """
    texts = None if outlets is None else outlets.texts
    for what, sink in (("log", log), ("record", recorder), ("texts", texts)):
        if sink is not None and sink.take_error() is not None:
            counts[f"{what}_ended"] += 1
            tell(f"{what}_ended", reason=sink.reason)  # a file's name may be a person's


def end_sinks(
    log: JsonlLog | None,
    recorder: Worker | None,
    counts: Counter[str],
    tell: Tell,
    footer: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Close record and log, in this order: each may fail to close, and the footer says so.

    Parameters
    ----------
    log, recorder : JsonlLog, Worker or None
        The session's log and record, if in use.
    counts : Counter
        Counts of the session; updated.
    tell : callable
        Called with an event's name and, as keyword arguments, its details.
    footer : callable
        Returns the footer as it is now.

    Returns
    -------
    dict
        The footer, which the log ends with where it could be closed.
    """
    if recorder is not None:
        recorder.close()
    report_sinks(log, recorder, counts, tell)
    ended = footer()
    if log is not None:
        log.write(ended)
        log.close()
        report_sinks(log, None, counts, tell)
        if log.reason:  # only the caller can hear of it
            ended = footer()
    return ended
