"""One source, decoded: `Align` and `Pipeline` joined, and the way through a recording.

The live session, `rt-decoder decode` and calibration all hold a `Decoder`; there is no second
implementation of the path. It knows nothing of LSL, logs or files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline
from rt_decoder.signal import Chunk, Features, Marker, Readout, SignalInfo
from rt_decoder.timing.align import Align, rate_factor
from rt_decoder.timing.markers import MarkerRules
from rt_decoder.timing.timebase import Decision

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = [
    "Decoder",
    "decode_recording",
    "features_of_recording",
    "hops_of_recording",
    "recorded_start",
]

_PIECE = 0.5  # s of samples that are aligned at a time


class Decoder:
    """Decode the samples and markers of one source.

    Parameters
    ----------
    model : Model
        What was fitted.
    have : SignalInfo
        What the source offers.
    rules : MarkerRules
        How markers become items.
    continuous : bool
        Read out at every hop instead of at markers.
    clock : callable or None
        LSL clock for live latencies; None offline.
    without : collection of str
        Cleaning stages to leave out.

    Raises
    ------
    ModelMismatch
        If the source does not fit the model's contract.
    """

    def __init__(
        self,
        model: Model,
        have: SignalInfo,
        rules: MarkerRules = MarkerRules(),  # noqa: B008  (immutable)
        *,
        continuous: bool = False,
        clock: Callable[[], float] | None = None,
        without: Collection[str] = (),
    ) -> None:
        self._n_columns = have.n_channels
        self.pipeline = Pipeline(
            model,
            factor=rate_factor(have.sfreq, model.info.sfreq),
            continuous=continuous,
            marker_wait=rules.wait,
            clock=clock,
            without=without,
        )
        window_s = self.pipeline.ring.capacity / model.info.sfreq
        self.align = Align(have, model.info, rules, model.optional, history=window_s + rules.wait)
        self._n_piece = max(1, round(_PIECE * have.sfreq))
        self.lost: list[tuple[Marker, str]] = []
        self.found: list[Marker] = []

    def mark(self, marker: Marker) -> None:
        """Take a marker; its sample is found once the stream has reached its time."""
        self.align.mark(marker)

    def push(
        self, data: np.ndarray, stamps: np.ndarray, arrivals: np.ndarray | float | None = None
    ) -> list[Readout]:
        """Readouts that samples (n, c) with corrected `stamps` (n,) make possible.

        `arrivals` says when they came, in s, where that is known: it tells lost samples from a
        clock that was set.
        """
        readouts: list[Readout] = []
        for chunk in self._aligned(data, stamps, arrivals):
            readouts += self.pipeline.push(chunk)
        return readouts

    def push_features(
        self, data: np.ndarray, stamps: np.ndarray, arrivals: np.ndarray | float | None = None
    ) -> Iterator[tuple[str, Marker, Features]]:
        """Yield (kind, marker, features) of the windows that these samples complete."""
        for chunk in self._aligned(data, stamps, arrivals):
            yield from self.pipeline.push_features(chunk)

    def push_until(
        self,
        stage: str,
        data: np.ndarray,
        stamps: np.ndarray,
        arrivals: np.ndarray | float | None = None,
    ) -> Iterator[Chunk]:
        """Yield hops as they leave a stage of the pipeline; their arrays are the stage's own."""
        for chunk in self._aligned(data, stamps, arrivals):
            yield from self.pipeline.run_until(stage, chunk)

    def skip(
        self, data: np.ndarray, stamps: np.ndarray, arrivals: np.ndarray | float | None = None
    ) -> None:
        """Let samples pass that come too late to be decoded: to the pipeline they are lost."""
        for _ in self._aligned(data, stamps, arrivals):
            pass

    def _aligned(
        self, data: np.ndarray, stamps: np.ndarray, arrivals: np.ndarray | float | None
    ) -> Iterator[Chunk]:
        # In pieces: a marker must find its sample before that is forgotten.
        for start in range(0, len(stamps), self._n_piece):
            piece = slice(start, start + self._n_piece)
            came = arrivals[piece] if isinstance(arrivals, np.ndarray) else arrivals
            chunks = self.align.process(data[piece], stamps[piece], came)
            known, lost = self.align.markers()
            for marker in known:
                self.pipeline.mark(marker)
            self.found.extend(known)
            self.lost.extend(lost)
            yield from chunks

    def take_decisions(self) -> list[Decision]:
        """What the stamps turned out to mean since the last call."""
        taken, self.align.decisions = self.align.decisions, []
        return taken

    def take_markers(self) -> tuple[list[Marker], list[tuple[Marker, str]]]:
        """Markers found and markers lost, with reasons, since the last call."""
        found, self.found = self.found, []
        lost, self.lost = self.lost + self.pipeline.missed, []
        self.pipeline.missed = []
        return found, lost

    @property
    def needed(self) -> set[str]:
        """Channels of the source that are in use."""
        trigger = self.align.rules.trigger
        names = {*self.align.info.ch_names, *([trigger] if trigger else [])}
        return names - self.pipeline.model.optional

    @property
    def n_waiting(self) -> int:
        """Markers that have no readout yet."""
        return len(self.align.waiting) + self.pipeline.n_pending

    def restart(self) -> None:
        """The source came back: a new time line, old samples never joined to new ones."""
        self.lost.extend((marker, "the stream was lost") for marker in self.align.waiting)
        self.align.reset()
        self.pipeline.restart()

    def warm_up(self) -> None:
        """Compile and touch everything before the first real sample."""
        self.pipeline.warm_up()
        n = self._n_piece  # memory for a backlog, too
        self.align.process(np.zeros((n, self._n_columns)), np.zeros(n), 0.0)
        self.align.reset()
        self.align.decisions.clear()


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
    rules: MarkerRules = MarkerRules(),  # noqa: B008  (immutable)
    *,
    chunk: int = 64,
    continuous: bool = False,
    decoder: Decoder | None = None,
) -> Iterator[Readout]:
    """Decode a recording with the live pipeline, as fast as it goes.

    Parameters
    ----------
    chunk : int
        Samples a push; changes nothing in the readouts.
    decoder : Decoder or None
        To read its counters afterwards; made here if None.
    """
    decoder = decoder or Decoder(model, recording.info, rules, continuous=continuous)
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
    rules: MarkerRules = MarkerRules(),  # noqa: B008  (immutable)
    *,
    progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[Marker, Features]]:
    """Yield (marker, features) of each event, through the same stages as a live stream."""
    decoder = Decoder(model, recording.info, rules)
    done = 0
    for samples in _feed(decoder, recording, markers, 1024):
        for _, marker, features in decoder.push_features(*samples):
            yield marker, features._replace(values=features.values.copy())
        done += len(samples[0])
        if progress is not None:
            progress(done / len(recording.stamps))
