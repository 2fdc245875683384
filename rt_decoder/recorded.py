"""Decode a recording through the live path.

A session record is decoded as its session was: samples that it skipped are skipped, and each marker
arrives before the same sample as live. In other recordings each marker arrives in time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rt_decoder.cleaning.scale import LEAST_SECONDS, channels_off, scale_check
from rt_decoder.decoder import Decoder
from rt_decoder.decoding.succession import grown
from rt_decoder.files import decisions as made
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.recording import Recording
from rt_decoder.files.steps import Step, recorded_start, skipped_rows, steps_of, warn_of_missing
from rt_decoder.model import Model
from rt_decoder.monitor.watcher import Watcher
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Chunk, Features, Marker, ModelMismatch, Readout

__all__ = ["MAINS_DIFFER", "decode_recording", "features_of_recording", "hops_of_recording"]

MAINS_DIFFER = 1.0  # Hz between two statements of the mains frequency that contradict each other


class _Piece(NamedTuple):
    """Samples for one push."""

    data: np.ndarray  # (n, c) as recorded
    times: np.ndarray  # (n,) corrected stamps in s
    arrivals: np.ndarray | None  # (n,) s
    flags: np.ndarray | None  # (n,) reason bits of segments that are marked as bad


class _Scale:
    """Compare a recording's scale with calibration's as a live session does."""

    def __init__(self, decoder: Decoder, recording: Recording) -> None:
        self._decoder, self._name = decoder, recording.name
        self._sfreq, self._n = recording.info.sfreq, 0
        self._check = scale_check(decoder.pipeline.model, self._sfreq)

    def look(self, data: np.ndarray) -> None:
        """Add samples as recorded (n, c); raise ModelMismatch once a wrong unit is certain."""
        if not self._check.done:
            align = self._decoder.align
            self._n += len(data)
            if (ratio := self._check.update(data[:, align.picks] * align.gains)) is not None:
                self._judge(ratio)

    def end(self) -> None:
        """Judge what there is of a recording that was too short."""
        if not self._check.done and self._n >= LEAST_SECONDS * self._sfreq:
            self._judge(self._check.ratio())

    def _judge(self, ratio: np.ndarray) -> None:
        try:
            off = channels_off(self._decoder.pipeline.model, ratio)
        except ModelMismatch as error:
            raise ModelMismatch(f"{self._name}: {error}") from None
        if off:
            self._decoder.off_scale = off
            warnings.warn(
                f"{self._name}: channels far from their scale in calibration: {', '.join(off)}",
                RuntimeWarning,
                stacklevel=4,
            )


def _swap(decoder: Decoder, step: made.Swapped | made.Added, models: Mapping[str, Model]) -> None:
    """Go on with another model or with more items, as a session did."""
    pipeline, is_added = decoder.pipeline, isinstance(step, made.Added)
    if isinstance(step, made.Added):
        model = grown(pipeline.model, step.items, step.values)
    elif (found := models.get(step.model)) is None:
        raise ValueError(
            f"need the model {step.model[:12]} with which the session went on at sample {step.index} "
            "(--then FILE), got none"
        )
    else:
        model = found
    choice = pipeline.answerer.answering.choice
    decoder.swap(pipeline.ready(model, choice, grown=is_added))


def _do(decoder: Decoder, step: Step, models: Mapping[str, Model] | None) -> bool:
    """Do what a session did; False if the map cannot be aligned as it was there.

    Without `models` nothing is answered.
    """
    pipeline, answers = decoder.pipeline, models is not None
    match step:
        case Marker(answering=choice):
            decoder.mark(step._replace(answering=choice if answers else None))
        case made.Restart():
            decoder.restart()
        case made.Realigned(n_events=n_events):
            return decoder.realign(n_events)
        case made.Chosen(choice=choice) if answers and pipeline.model.has_map:
            pipeline.answerer.answer_by(pipeline.answerer.make(choice))
        case made.Prior() if answers and pipeline.answerer.foretell is None:
            pipeline.answerer.prepare(pipeline.answerer.expect(step.values))
        case made.Swapped() | made.Added() if models is not None:
            _swap(decoder, step, models)
        case made.Paused(on=on) if answers:
            pipeline.pause(on)
        case made.Truth(seq=seq, label=label) if answers:
            with suppress(ValueError):  # other markers than its session's were asked for
                pipeline.truth(seq, label)
    return True


def _feed(
    decoder: Decoder,
    recording: Recording,
    markers: Sequence[Marker],
    chunk: int,
    *,
    judged: bool = True,
    models: Mapping[str, Model] | None = None,
) -> Iterator[_Piece]:
    """Yield the recording in pieces, after adding the markers that arrive before each.

    Samples that the live session skipped are skipped. If `judged`, a scale that is not that of
    calibration is refused; with `models`, answers are given as the
    session's experiment chose, and by those with which it went on.
    """
    if chunk < 1:
        raise ValueError(f"need chunks of at least 1 sample, got {chunk}")
    scale = _Scale(decoder, recording)
    stamps, arrivals, flags = recording.times, recording.arrivals, recording.flags
    steps = steps_of(recording, markers, stamps)
    skipped = skipped_rows(recording)
    missing: list[made.Realigned] = []
    edges = {0, len(stamps), *steps, *(edge for stretch in skipped for edge in stretch)}
    for low, high in pairwise(sorted(edge for edge in edges if edge <= len(stamps))):
        for step in steps.get(low, ()):
            if not _do(decoder, step, models) and isinstance(step, made.Realigned):
                missing.append(step)
            if isinstance(step, made.Restart):
                scale = _Scale(decoder, recording)
        for start in range(low, high, chunk):
            stop = min(start + chunk, high)
            came = None if arrivals is None else arrivals[start:stop]
            marked = None if flags is None else flags[start:stop]
            piece = _Piece(recording.data[start:stop], stamps[start:stop], came, marked)
            if any(first <= low < end for first, end in skipped):
                decoder.skip(*piece[:3])
            else:
                yield piece
            if judged:
                scale.look(piece.data)
    if judged:
        scale.end()
    warn_of_missing(recording, missing)
    for step in steps.get(len(stamps), ()):
        if isinstance(step, Marker | made.Truth):
            _do(decoder, step, models)  # no sample follows: a marker is lost or waiting
    decoder.end()


def _say_differences(decoder: Decoder, recording: Recording) -> None:
    """Warn (RuntimeWarning) of references that are not used, and of other mains."""
    told = [
        f"reference {name} is left out: {reason}" for name, reason in decoder.align.left_out.items()
    ]
    line, stated = decoder.pipeline.model.recipe.stream.line_freq, recording.line_freq
    if line > 0 and stated is not None and abs(stated - line) > MAINS_DIFFER:
        told.append(f"it states mains of {stated:g} Hz, the model takes out {line:g} Hz")
    if told:
        warnings.warn(f"{recording.name}: {'; '.join(told)}", RuntimeWarning, stacklevel=3)


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
        Without a map, which only cleans, there are no readouts.
    recording : Recording
        What to decode; samples that its session skipped are skipped.
    markers : sequence of Marker
        Onsets of the words, such as the recording's own markers.
    options : PipelineOptions
        How to decode it.
    chunk : int
        Samples a push; does not affect the readouts.
    decoder : Decoder or None
        Decoder to use, so that its counters can be read; None makes one from `options`.

    Yields
    ------
    Readout

    Raises
    ------
    ValueError
        If a model is missing with which the session went on.
    """
    start = recorded_start(recording)
    if decoder is None:
        options = options.as_recorded(start, model)
        decoder = Decoder(model, recording.info, options)
    _say_differences(decoder, recording)
    if start is not None and start.align is not None and decoder.pipeline.align is None:
        updates = [one for one in recording.decisions if isinstance(one, made.Realigned)]
        decoder.follow({update.n_events for update in updates})
    models = {model_hash(one): one for one in decoder.pipeline.then}
    for piece in _feed(decoder, recording, markers, chunk, models=models):
        yield from decoder.push(*piece)
        decoder.pipeline.answerer.scored.settle()


def hops_of_recording(
    decoder: Decoder, recording: Recording, markers: Sequence[Marker], stage: str
) -> Iterator[Chunk]:
    """Yield hops as they leave a stage.

    Parameters
    ----------
    decoder : Decoder
        Decoder of this recording.
    recording : Recording
        What to run through the stages.
    markers : sequence of Marker
        Onsets of the words.
    stage : str
        Name of the stage.

    Yields
    ------
    Chunk
    """
    for piece in _feed(decoder, recording, markers, 1024, judged=False):
        yield from decoder.push_until(stage, *piece)


def features_of_recording(
    model: Model,
    recording: Recording,
    markers: Sequence[Marker],
    options: PipelineOptions = PipelineOptions(),  # noqa: B008  (immutable)
    *,
    progress: Callable[[float], None] | None = None,
    watcher: Watcher | None = None,
    decoder: Decoder | None = None,
) -> Iterator[tuple[Marker, Features]]:
    """Yield the features of each event, through the same stages as a live stream.

    Parameters
    ----------
    model : Model
        Needs no map.
    recording : Recording
        What to run through the stages.
    markers : sequence of Marker
        Onsets of the words; empty if they are read from a trigger channel.
    options : PipelineOptions
        How to decode it.
    progress : callable or None
        Called with the share done, in [0, 1].
    watcher : Watcher or None
        Sees what a monitor would.
    decoder : Decoder or None
        Decoder to use, with its own monitor; None makes one from `options`, with `watcher`.

    Yields
    ------
    marker : Marker
    features : Features
        Its `values` (n_features,) are a copy.
    """
    if decoder is None:
        decoder = Decoder(model, recording.info, options)
        decoder.pipeline.monitor = watcher or Watcher()
    done = 0
    _say_differences(decoder, recording)
    for piece in _feed(decoder, recording, markers, 1024):
        for _, marker, features in decoder.push_features(*piece):
            yield marker, features._replace(values=features.values.copy())
        done += len(piece.data)
        if progress is not None:
            progress(done / len(recording.stamps))
