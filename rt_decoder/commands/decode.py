"""Run a recording through the live pipeline, to a log: the command `decode`."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.commands.describe import continuous_text
from rt_decoder.counted import counted
from rt_decoder.decoder import Decoder
from rt_decoder.files.atomic import named_error, replacing
from rt_decoder.files.outputs import is_place
from rt_decoder.files.proof import forced
from rt_decoder.files.steps import recorded_start
from rt_decoder.live.footer import scored
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker
from rt_decoder.sinks.header import header_line
from rt_decoder.sinks.log import JsonlLog, decision_details, event_line
from rt_decoder.sinks.log_file import remove_parts
from rt_decoder.timing.double_events import check_stimuli
from rt_decoder.timing.items import CUE, unknown_labels
from rt_decoder.timing.marker_choice import MarkerChoice
from rt_decoder.timing.markers import MarkerRules, trigger_markers

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = ["decode_file", "no_readouts"]


def decode_file(
    model: Model,
    recording: Recording,
    markers: Sequence[Marker],
    jsonl: Path,
    options: PipelineOptions,
    *,
    chunk: int = 64,
    overwrite: bool = False,
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
        The log, written whole or not at all; a FIFO or a device is written in place.
    options : PipelineOptions
        As given on the command line; defaults are filled in here.
    chunk : int
        Samples per push; does not change the readouts.
    overwrite : bool
        Whether a log of this name may be replaced.
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
    ValueError
        If an event is there twice; the markers of a session record are decoded as they came.
    OSError
        If the log cannot be written.
    """
    options = _settled(options, model, recording, markers)
    _check_single(options.rules, recording, markers)
    _warn_of_unknown(options, model, markers)
    decoder = Decoder(model, recording.info, options)
    n_samples = len(recording.stamps)
    counts: Counter[str] = Counter()
    with nullcontext(jsonl) if is_place(jsonl) else replacing(jsonl, overwrite) as path:
        log = JsonlLog(path, drop=False, max_bytes=0)
        try:
            kind = Path(recording.name).suffix.lstrip(".") or "recorded"
            header = header_line(
                model,
                f"{kind} file",
                decoder.alignment,
                force=options.force,
                learn=decoder.learns,
                anytime=decoder.pipeline.sooner.ends,
            ) | ({"language": options.next_word.told} if options.next_word else {})
            header |= {"set": options.level} if options.level else {}
            log.write(header)  # its name may be a person's
            for readout in decode_recording(
                model,
                recording,
                markers,
                chunk=chunk,
                decoder=decoder,
            ):
                counts += _write_events(log, decoder)
                log.write(readout)
                progress(min(1.0, readout.index / n_samples))
            counts += _write_events(log, decoder)
            if decoder.off_scale:
                log.write(event_line("scale", None, {"channels": decoder.off_scale}))
            footer = {
                "type": "footer",
                **forced(model, force=options.force),
                "n_samples": n_samples,
                "n_readouts": decoder.pipeline.answerer.n_readouts,
                **decoder.learned(),
                **scored(decoder),
                "fit": decoder.pipeline.monitor.summary,
                "counts": dict(counts)
                | {
                    "markers_waiting": decoder.n_waiting,
                    "markers_left_out": decoder.align.n_left_out,
                },
                "stages_us": decoder.pipeline.stopwatch.summary_us(),
            }
            log.write(footer)
        finally:
            log.close()
        if log.error is not None:
            raise _named(log.error, jsonl)
    if overwrite and not is_place(jsonl):
        remove_parts(jsonl)  # of a session log that had this name
    return footer


def no_readouts(footer: Mapping[str, Any], markers: MarkerChoice) -> str:
    """Say why a log has no readout, and what to look at.

    Parameters
    ----------
    footer : mapping
        Of the log.
    markers : MarkerChoice
        As given on the command line.

    Returns
    -------
    str
    """
    n, n_lost = footer["counts"].get("markers", 0), footer["counts"].get("markers_lost", 0)
    if n_lost and not n:
        return (
            f"no readout: none of {counted(n_lost, 'marker')} lies in the recording; the log tells the reason of "
            "each (marker_lost)"
        )
    if n:
        return (
            f"no readout: of {counted(n + n_lost, 'marker')} none had a whole window (--marker-offset, the "
            "window of the model, or where the recording ends)"
        )
    if markers.trigger:
        return (
            f"no readout: channel {markers.trigger} holds no trigger, a change to a whole number "
            "other than 0; is it the trigger channel, and does --mask keep its bits?"
        )
    return "no readout: there was no marker; --events TSV, --markers NAME or --continuous"


def _named(error: Exception, jsonl: Path) -> Exception:
    return named_error(error, jsonl) if isinstance(error, OSError) else error


def _settled(
    options: PipelineOptions, model: Model, recording: Recording, markers: Sequence[Marker]
) -> PipelineOptions:
    """Fill options that were not given, from the record's session or the markers."""
    start = recorded_start(recording)
    if start is not None and options.rules == MarkerRules():
        options = PipelineOptions(
            start.rules,
            start.continuous if options.continuous is None else options.continuous,
            options.without or start.without,
            options.force,
            options.align,
            options.learn,
            options.next_word,
            options.level,
            options.when_unlike,
            options.anytime,
            options.then,
        )
    else:
        options = options.for_target(model.recipe.target)
    options = options.as_recorded(start, model)
    if options.continuous is None:
        item = options.rules.item_rule().item
        is_marked = any(item(marker.label) is not None for marker in markers)
        options = replace(options, continuous=not (is_marked or options.rules.trigger))
    if options.continuous and model.continuous is None and not options.force:
        warnings.warn(f"every hop {continuous_text(model)}", RuntimeWarning, stacklevel=3)
    return options


def _check_single(rules: MarkerRules, recording: Recording, markers: Sequence[Marker]) -> None:
    """Refuse events that are there twice, as a fit does."""
    source = "the events"
    if recorded_start(recording) is not None and markers is recording.markers:
        return
    if rules.trigger:
        source, names = f"the codes of channel {rules.trigger}", recording.info.ch_names
        if rules.trigger not in names:
            return
        codes = recording.data[:, names.index(rules.trigger)]
        markers = trigger_markers(codes, recording.times, mask=rules.mask)
    check_stimuli(markers, rules, recording.name, source)


def _warn_of_unknown(options: PipelineOptions, model: Model, markers: Sequence[Marker]) -> None:
    """Warn once of labels that name no item of the model; they may still say when a word came."""
    item = options.rules.item_rule(model.items).item
    found = (item(marker.label) for marker in markers if not marker.label.startswith(CUE))
    counts = Counter(filter(None, found))
    if told := unknown_labels(dict(counts.most_common()), model.items):
        warnings.warn(told, RuntimeWarning, stacklevel=3)


def _write_events(log: JsonlLog, decoder: Decoder) -> Counter[str]:
    """Log what happened to markers, time and channels since the last call; return the counts."""
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
    for update in decoder.take_updates():
        log.write(event_line("aligned", None, update))
        counts["aligned"] += 1
    for event, details in decoder.take_events():
        log.write(event_line(event, None, details))
        counts[event] += 1
    counts["markers"] += len(found)
    counts["markers_lost"] += len(lost)
    return counts
