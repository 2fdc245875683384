"""Run a recording through the live cleaning chain, to a FIF file: the command `clean`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.decoder import Decoder
from rt_decoder.files.atomic import write_file
from rt_decoder.files.blocks import Blocks, loaded
from rt_decoder.files.fif_writer import Span, write_fif
from rt_decoder.files.spool import Spool
from rt_decoder.files.steps import recorded_start
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import features_of_recording
from rt_decoder.signal import (
    BAD,
    CORRECTED,
    FLAGS,
    Chunk,
    Reason,
    SignalInfo,
    has_unit,
    reason_names,
    unit_gain,
)
from rt_decoder.timing.timebase import TimeBase

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = ["clean_file"]


def clean_file(
    model: Model,
    recording: Recording,
    out: Path,
    options: PipelineOptions = PipelineOptions(),  # noqa: B008  (immutable)
    *,
    overwrite: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Clean a recording as a live session would, and write all its channels.

    Channels of the model are filtered, referenced and cleaned; the others are as recorded. Samples
    lie on the grid of the absolute index: where some were lost there are zeros, annotated
    ``BAD_gap``; other flagged stretches are ``BAD_...`` with their reasons. A recording at a
    multiple of the model's rate is decimated and keeps the model's channels only; its markers wait
    for the delay of the decimation. An incomplete hop at the end is left out. What is too large for
    memory waits in a nameless file beside `out`.

    Parameters
    ----------
    model : Model
        The fitted model; it needs no map.
    recording : Recording
        The recording to clean.
    out : Path
        The FIF file.
    options : PipelineOptions
        Which stages are left out.
    overwrite : bool
        Whether a file of this name may be replaced.
    progress : callable
        Called with the share done, 0 to 1.

    Returns
    -------
    dict
        Counts, the texts of the markers, the share of samples that each stage corrected and that
        is bad, what repair and monitor tell, and `fit`: whether the signal is that of calibration.

    Raises
    ------
    ValueError
        If `out` is not named .fif, or the recording is shorter than a hop.
    OSError
        If the file cannot be written; the sentence says where it is kept.
    """
    if out.suffix.lower() != ".fif":
        raise ValueError(f"need a file named .fif, got {out.name}")
    started = recorded_start(recording)
    rules = options.rules if started is None else started.rules
    options = replace(options, rules=rules.for_target(model.recipe.target))
    decoder = Decoder(model, recording.info, options)
    n = len(recording.stamps)
    spool = Spool(model.info.n_channels, out.parent)
    flags = _run(decoder, recording, spool, lambda done: progress(min(1.0, done / max(1, n))))
    cleaned = spool.data()
    if len(cleaned) == 0:
        raise ValueError(f"need at least a hop of samples, got {n} in {recording.name}")
    info, data = _with_others(model, recording, cleaned, decoder.pipeline.factor)
    spans = _spans(flags)
    spans += _marked(decoder, recording, len(cleaned))
    spans = sorted(spans)
    write_file(
        out,
        lambda path: write_fif(path, data, info, spans, recording.line_freq, recording.bads),
        overwrite,
    )
    bad = flags & BAD
    return {
        "n_samples": len(data),
        "n_channels": info.n_channels,
        "stages": [name for name in decoder.pipeline.stages if name != "bank"],
        "texts": list(dict.fromkeys(marker.label for marker in recording.markers)),
        "bad": round(float(np.mean(bad != 0)), 4),
        "events": [{"event": event} | details for event, details in decoder.take_events()],
        "fit": decoder.pipeline.monitor.summary,
        "corrected": {
            reason.name.lower(): round(float(np.mean(flags & reason != 0)), 4)
            for reason in CORRECTED
            if reason.name
        },
    }


def _run(
    decoder: Decoder, recording: Recording, spool: Spool, done: Callable[[int], None]
) -> np.ndarray:
    """Put the contract's channels on the grid of the absolute index; returns the samples' flags."""
    hops: list[tuple[int, np.ndarray]] = []
    base = stop = 0

    def keep(hop: Chunk) -> None:
        nonlocal base, stop
        if base + hop.index < stop:  # the stream came back: a new time line after the old one
            base = stop
        spool.put(base + hop.index, hop.data)
        hops.append((base + hop.index, hop.flags.copy()))
        stop = base + hop.index + len(hop.data)
        done(stop)

    decoder.pipeline.tap(keep)
    model, markers = decoder.pipeline.model, recording.markers
    for _ in features_of_recording(model, recording, markers, decoder=decoder):
        pass  # features are not needed; the monitor judges the response to each event
    flags = np.full(stop, Reason.GAP, FLAGS)
    for at, of_part in hops:
        flags[at : at + len(of_part)] = of_part
    return flags


def _index(recording: Recording) -> np.ndarray:
    """Absolute index of each row, as the live time base gives it; restarts go on after the last."""
    times, arrivals = recording.times, recording.arrivals
    index, base = np.empty(len(times), np.int64), 0
    for low, high in recording.stretches:
        came = None if arrivals is None else arrivals[low:high]
        part = TimeBase(recording.info.sfreq, 0.0).update(times[low:high], came)
        index[low:high] = base + part.index
        base = int(index[high - 1]) + 1
    return index


def _with_others(
    model: Model, recording: Recording, cleaned: np.ndarray | Blocks, factor: int
) -> tuple[SignalInfo, np.ndarray | Blocks]:
    """Add the recording's other channels in its own order; all in SI units."""
    have, want = recording.info, model.info
    if factor > 1:
        return want, cleaned
    units = [unit_gain(unit)[0] if has_unit(unit) else unit for unit in have.units]
    info = SignalInfo(have.sfreq, have.ch_names, have.ch_types, tuple(units), have.positions)
    index = _index(recording)
    own = np.array([name in want.ch_names for name in have.ch_names])
    picks = [want.ch_names.index(name) for name in np.array(have.ch_names)[own].tolist()]
    gains = np.array([unit_gain(unit)[1] if has_unit(unit) else 1.0 for unit in have.units])[~own]

    def read(start: int, stop: int) -> np.ndarray:
        block = np.zeros((stop - start, have.n_channels))
        block[:, own] = cleaned[start:stop][:, picks]
        rows = np.flatnonzero((index >= start) & (index < stop))
        if len(rows) and not own.all():
            as_recorded = recording.data[rows[0] : rows[-1] + 1][rows - rows[0]]
            block[np.ix_(index[rows] - start, ~own)] = gains * as_recorded[:, ~own]
        return block

    return info, loaded(Blocks(read, (len(cleaned), have.n_channels)))


def _marked(decoder: Decoder, recording: Recording, n: int) -> list[Span]:
    """The recording's markers, where the pipeline places them; decimation delays the samples."""
    pipeline, index, late = decoder.pipeline, _index(recording), 0.0
    if pipeline.factor > 1:
        late = pipeline.stages["decimate"].delay * pipeline.model.info.sfreq
    return [
        Span(min(round(int(index[marker.index]) / pipeline.factor + late), n - 1), marker.label)
        for marker in recording.markers
        if marker.index >= 0
    ]


def _spans(flags: np.ndarray) -> list[Span]:
    """Stretches of bad samples with the same reasons."""
    bits = flags & BAD
    edges = [0, *(np.flatnonzero(np.diff(bits)) + 1).tolist(), len(bits)]
    return [
        Span(at, f"BAD_{'_'.join(reason_names(int(bits[at])))}", stop - at)
        for at, stop in pairwise(edges)
        if bits[at]
    ]
