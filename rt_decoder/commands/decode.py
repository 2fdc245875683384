"""What the command `decode` does: a recording through the live pipeline, to a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.commands.describe import header_line
from rt_decoder.decoder import Decoder
from rt_decoder.files.atomic import replacing
from rt_decoder.model import Model
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
    *,
    trigger: str = "",
    mask: int | None = None,
    marker_offset: float = 0.0,
    continuous: bool | None = None,
    without: Sequence[str] = (),
    chunk: int = 64,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Decode a recording to a log; gives its footer.

    A session record is decoded as its live session was, markers and all; options that are given
    here come first.
    """
    names = dict(model.recipe.target.names)
    rules = MarkerRules(trigger, names, mask, marker_offset)
    start = recorded_start(recording)
    if start is not None and rules == MarkerRules(names=names):
        rules = MarkerRules(**start["rules"])
        continuous = start["continuous"] if continuous is None else continuous
        without = without or tuple(start.get("without", ()))
    if continuous is None:
        continuous = not markers and not rules.trigger
    decoder = Decoder(model, recording.info, rules, continuous=continuous, without=without)
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


def _write_events(log: JsonlLog, decoder: Decoder) -> Counter[str]:
    """Log what happened to markers and time since the last call; gives the counts."""
    counts: Counter[str] = Counter()
    found, lost = decoder.take_markers()
    for marker in found:
        log.write(marker)
    for marker, why in lost:
        time = None if np.isnan(marker.time) else marker.time
        log.write(event_line("marker_lost", time, {"label": marker.label, "reason": why}))
    for decision in decoder.take_decisions():
        log.write(event_line(decision.kind, decision.time, decision_details(decision)))
        counts[decision.kind] += 1
        counts["lost_samples"] += decision.n_lost
    counts["markers"] += len(found)
    counts["markers_lost"] += len(lost)
    return counts
