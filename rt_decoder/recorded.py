"""Decode a recording through the live path.

A session record is decoded as its session was: what the live session skipped is skipped, and each
marker comes before the sample that it came before. Other recordings get each marker in time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rt_decoder.decoder import Decoder
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Chunk, Features, Marker, Readout

__all__ = ["decode_recording", "features_of_recording", "hops_of_recording", "recorded_start"]


def recorded_start(recording: Recording) -> dict[str, Any] | None:
    """How the session of a session record was started; None for other recordings."""
    for decision in map(json.loads, recording.decisions):
        if decision["decision"] == "start":
            return decision
    return None


def _steps(
    recording: Recording, markers: Sequence[Marker], stamps: np.ndarray
) -> dict[int, list[Marker | None]]:
    """What happens before which sample, in order: a marker comes, or (None) the stream restarts.

    In a session record that is when it happened live. Elsewhere a marker comes a second before
    its sample, as it may from a marker stream; the order is all that counts.
    """
    steps: dict[int, list[Marker | None]] = {}
    left = Counter((marker.label, marker.time) for marker in markers)
    for decision in map(json.loads, recording.decisions):
        step = steps.setdefault(min(decision["index"], len(stamps)), [])
        if decision["decision"] == "restart":
            step.append(None)
        elif decision["decision"] == "marker":
            marker = Marker(decision["label"], decision["time"])
            if left[marker.label, marker.time]:
                left[marker.label, marker.time] -= 1
                step.append(marker)
    reached = np.maximum.accumulate(stamps)
    for label, time in sorted(left.elements(), key=lambda marker: marker[1]):
        row = int(np.searchsorted(reached, time - 1.0))
        steps.setdefault(row, []).append(Marker(label, time))
    return steps


def _skipped(recording: Recording) -> list[tuple[int, int]]:
    """Stretches of rows that the live session let pass because it was behind."""
    decisions = [json.loads(text) for text in recording.decisions]
    return [(d["index"], d["index"] + d["n"]) for d in decisions if d["decision"] == "skip"]


def _feed(
    decoder: Decoder, recording: Recording, markers: Sequence[Marker], chunk: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield (data, corrected stamps, arrivals), each after the markers that belong to it.

    What a live session skipped is skipped here.
    """
    if chunk < 1:
        raise ValueError(f"need chunks of at least 1 sample, got {chunk}")
    stamps, arrivals = recording.times, recording.arrivals
    steps = _steps(recording, markers, stamps)
    skipped = _skipped(recording)
    edges = {0, len(stamps), *steps, *(edge for stretch in skipped for edge in stretch)}
    for low, high in pairwise(sorted(edge for edge in edges if edge <= len(stamps))):
        for marker in steps.get(low, ()):
            if marker is None:
                decoder.restart()
            else:
                decoder.mark(marker)
        for start in range(low, high, chunk):
            stop = min(start + chunk, high)
            came = None if arrivals is None else arrivals[start:stop]
            samples = recording.data[start:stop], stamps[start:stop], came
            if any(first <= low < end for first, end in skipped):
                decoder.skip(*samples)
            else:
                yield samples
    for marker in filter(None, steps.get(len(stamps), ())):
        decoder.mark(marker)  # too late for any sample, and counted


def decode_recording(
    model: Model,
    recording: Recording,
    markers: Sequence[Marker],
    options: PipelineOptions = PipelineOptions(),  # noqa: B008  (immutable)
    *,
    chunk: int = 64,
    decoder: Decoder | None = None,
) -> Iterator[Readout]:
    """Decode a recording with the live pipeline, as fast as it goes.

    Parameters
    ----------
    model : Model
        With a map.
    recording : Recording
        What to decode; what its session skipped is skipped.
    markers : sequence of Marker
        When the words came, such as the recording's own.
    options : PipelineOptions
        How it is decoded.
    chunk : int
        Samples a push; changes nothing in the readouts.
    decoder : Decoder or None
        To read its counters afterwards; made here of the `options` if None.

    Yields
    ------
    Readout
    """
    decoder = decoder or Decoder(model, recording.info, options)
    for samples in _feed(decoder, recording, markers, chunk):
        yield from decoder.push(*samples)


def hops_of_recording(
    decoder: Decoder, recording: Recording, markers: Sequence[Marker], stage: str
) -> Iterator[Chunk]:
    """Yield hops as they leave `stage`; their arrays are valid until the next one."""
    for samples in _feed(decoder, recording, markers, 1024):
        yield from decoder.push_until(stage, *samples)


def features_of_recording(
    model: Model,
    recording: Recording,
    markers: Sequence[Marker],
    options: PipelineOptions = PipelineOptions(),  # noqa: B008  (immutable)
    *,
    progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[Marker, Features]]:
    """Yield (marker, features) of each event, through the same stages as a live stream.

    Parameters
    ----------
    model : Model
        It needs no map.
    recording : Recording
        What to run through the stages.
    markers : sequence of Marker
        When the words came; empty where a trigger channel says it.
    options : PipelineOptions
        How it is decoded.
    progress : callable or None
        Takes the share done.

    Yields
    ------
    marker : Marker
    features : Features
        With `values` (n_features,) of its own.
    """
    decoder = Decoder(model, recording.info, options)
    done = 0
    for samples in _feed(decoder, recording, markers, 1024):
        for _, marker, features in decoder.push_features(*samples):
            yield marker, features._replace(values=features.values.copy())
        done += len(samples[0])
        if progress is not None:
            progress(done / len(recording.stamps))
