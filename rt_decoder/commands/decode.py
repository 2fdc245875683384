"""Run a recording through the live pipeline, to a log: the command `decode`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.commands.describe import header_line
from rt_decoder.decoder import Decoder
from rt_decoder.files.atomic import replacing
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording, recorded_start
from rt_decoder.signal import Marker
from rt_decoder.sinks.log import JsonlLog, decision_details, event_line
from rt_decoder.sinks.log_file import remove_parts
from rt_decoder.timing.markers import MarkerRules

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = ["decode_file"]


def decode_file(
    model: Model,
    recording: Recording,
    markers: Sequence[Marker],
    jsonl: Path,
    options: PipelineOptions,
    *,
    chunk: int = 64,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Decode a recording to a log.

    A session record is decoded as its live session was, markers and all; options that are given
    here come first.

    Parameters
    ----------
    model : Model
        With a map.
    recording : Recording
        What to decode.
    markers : sequence of Marker
        When the words came; empty if `options` name a trigger channel instead.
    jsonl : Path
        The log.
    options : PipelineOptions
        As given on the command line; defaults are filled in here.
    chunk : int
        Samples per push; does not change the readouts.
    progress : callable
        Called with the share done, 0 to 1.

    Returns
    -------
    dict
        The footer, which also ends the log.

    Raises
    ------
    ModelMismatch
        If the recording does not fit the model.
    OSError
        If the log cannot be written.
    """
    options = _settled(options, model, recording, bool(markers))
    decoder = Decoder(model, recording.info, options)
    n_samples = len(recording.stamps)
    counts: Counter[str] = Counter()
    with replacing(jsonl) as path:
        log = JsonlLog(path, drop=False, max_bytes=0)
        try:
            log.write(header_line(model, recording.name))
            for readout in decode_recording(
                model, recording, markers, chunk=chunk, decoder=decoder
            ):
                counts += _write_events(log, decoder)
                log.write(readout)
                progress(min(1.0, readout.index / n_samples))
            counts += _write_events(log, decoder)
            footer = {
                "type": "footer",
                "n_samples": n_samples,
                "n_readouts": decoder.pipeline.n_readouts,
                "counts": dict(counts) | {"markers_waiting": decoder.n_waiting},
                "stages_us": decoder.pipeline.stopwatch.summary_us(),
            }
            log.write(footer)
        finally:
            log.close()
        if log.error is not None:
            raise log.error
        remove_parts(jsonl)  # of a session log that had this name
    return footer


def _settled(
    options: PipelineOptions, model: Model, recording: Recording, has_markers: bool
) -> PipelineOptions:
    """Fill options that were not given, from the record's session or the markers."""
    start = recorded_start(recording)
    if start is not None and options.rules == MarkerRules():
        options = PipelineOptions(
            start.rules,
            start.continuous if options.continuous is None else options.continuous,
            options.without or start.without,
        )
    else:
        options = options.named(model.recipe.target.names)
    if options.continuous is None:
        is_unmarked = not (has_markers or options.rules.trigger)
        options = replace(options, continuous=is_unmarked)
    return options


def _write_events(log: JsonlLog, decoder: Decoder) -> Counter[str]:
    """Log what happened to markers and time since the last call; return the counts."""
    counts: Counter[str] = Counter()
    found, lost = decoder.take_markers()
    for marker in found:
        log.write(marker)
    for marker, why in lost:
        time = marker.time if np.isfinite(marker.time) else None
        log.write(event_line("marker_lost", time, {"label": marker.label, "reason": why}))
    for decision in decoder.take_decisions():
        log.write(event_line(decision.kind, decision.time, decision_details(decision)))
        counts[decision.kind] += 1
        counts["lost_samples"] += decision.n_lost
    counts["markers"] += len(found)
    counts["markers_lost"] += len(lost)
    return counts
