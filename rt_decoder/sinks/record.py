"""Write the session record: raw input, and every decision that depended on the wall clock.

It is an XDF file, which every lab's tools read; `rt-decoder decode` reproduces the live readouts
from it. It cannot delay the decoder: a worker writes the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from rt_decoder.files.decisions import Decision, Dropped, MarkerCame, MarkerWithoutTime
from rt_decoder.files.session_record import (
    ARRIVALS,
    DECISIONS,
    REFERENCE,
    encode,
    reference_arrivals,
)
from rt_decoder.files.xdf_writer import XdfWriter
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.sinks.worker import Worker
from rt_decoder.source import Received

__all__ = ["Recorder"]


class Recorder(Worker):
    """Write a session record: raw samples, stamps, arrivals, corrections, markers, decisions.

    Each pull goes to the system as soon as the thread comes to it, and to the disk within a
    second. A process that is killed, or a full disk, leaves a record that decodes to the readouts
    of the live run up to there. Where the disk cannot keep up, pulls are dropped and counted, and
    a decision ``dropped`` in the record says where and how many samples.

    Parameters
    ----------
    path : path-like
        As `AppendFile` takes it.
    info : SignalInfo
        The stream as declared, all channels.
    name : str
        Name of the stream.
    markers : str
        Name of the marker stream; ``<name>-markers`` if empty.
    max_jobs : int
        Chunks that may wait for the disk.
    meta : mapping of str to str or None
        What readers should know of the decoder, such as the model's hash; goes to the description of
        the decisions.
    markers_id : str
        source_id of the marker stream.
    """

    DATA, MARKERS, ARRIVALS, DECISIONS, REFERENCES = 1, 2, 3, 4, 5

    def __init__(
        self,
        path: str | Path,
        info: SignalInfo,
        name: str,
        markers: str = "",
        max_jobs: int = 8192,
        meta: Mapping[str, str] | None = None,
        markers_id: str = "",
    ) -> None:
        self.path = Path(path)
        self._file = XdfWriter(path)
        try:
            add = self._file.add_stream
            add(self.DATA, name=name, type="EEG", info=info)
            marked = markers or f"{name}-markers"
            add(self.MARKERS, name=marked, type="Markers", source_id=markers_id)
            add(self.ARRIVALS, name=ARRIVALS, type="Arrivals", n_channels=3)
            add(self.DECISIONS, name=DECISIONS, type="Decisions", desc=meta)
        except OSError:
            with suppress(OSError):  # the footers will not fit either
                self._file.close()
            raise
        self._names = {name, ARRIVALS, DECISIONS}
        self._references: dict[str, int] = {}
        self._markers, self._next_id = [self.MARKERS], self.REFERENCES
        self._corrections: dict[int, float] = {}
        self._unsaid = [0, 0]  # jobs and samples dropped, not yet recorded
        self._n_rows = self._n_missing = 0  # samples of the main stream in the record, and not
        super().__init__(f"record {Path(path).name}", max_jobs)

    def pulled(self, received: Received) -> None:
        """Record one pull as it came; its memory may be used again at once."""
        self._pull(self.DATA, self.ARRIVALS, received, ())

    def add_markers(self, name: str, source_id: str = "") -> None:
        """Declare a further marker stream, whose number is the next one.

        Parameters
        ----------
        name : str
            Name of the stream; another marker stream may have it, too.
        source_id : str
            What tells them apart.
        """
        stream_id = self._next_id
        self._next_id += 1
        self._markers.append(stream_id)

        def job() -> None:
            self._file.add_stream(stream_id, name=name, type="Markers", source_id=source_id)

        self._queue(math.nan, job)

    def add_reference(self, name: str, info: SignalInfo) -> None:
        """Declare an auxiliary stream, with its own clock, such as a belt's.

        Parameters
        ----------
        name : str
            Name of the stream.
        info : SignalInfo
            The stream as declared.

        Raises
        ------
        ValueError
            If a stream of that name is recorded already.
        """
        if name in self._names:
            raise ValueError(f"need a name for the reference stream, got {name}, which is in use")
        self._names.add(name)
        stream_id = self._next_id
        self._next_id += 2
        self._references[name] = stream_id
        arrivals = reference_arrivals(name)

        def job() -> None:
            self._file.add_stream(stream_id, name=name, type=REFERENCE, info=info)
            self._file.add_stream(stream_id + 1, name=arrivals, type="Arrivals", n_channels=4)

        self._queue(math.nan, job)

    def pulled_reference(self, name: str, received: Received, index: int) -> None:
        """Record one pull of an auxiliary stream.

        Parameters
        ----------
        name : str
            Name of the stream, declared with `add_reference`.
        received : Received
            The pull; its memory may be used again at once.
        index : int
            Sample of the main stream before which it came.
        """
        stream_id = self._references[name]
        self._pull(stream_id, stream_id + 1, received, (index - self._n_missing,))

    def _pull(
        self, stream_id: int, arrivals_id: int, received: Received, before: tuple[int, ...]
    ) -> None:
        data, stamps, arrival, correction = received.copy()  # the caller uses its memory again
        row = [len(stamps), arrival, correction, *before]

        def job() -> None:
            # samples without a row of arrivals, as a kill leaves them, are left out by the reader
            self._file.write_samples(stream_id, data, stamps)
            self._file.write_samples(arrivals_id, np.array([row]), np.array([arrival]))
            if correction != self._corrections.get(stream_id):
                self._corrections[stream_id] = correction
                self._file.write_clock_offset(stream_id, arrival - correction, correction)

        n_samples = len(stamps) if stream_id == self.DATA else 0
        self._queue(arrival, job, n_samples, data.nbytes + stamps.nbytes)

    def marker(self, marker: Marker, arrival: float, index: int, number: int = 0) -> None:
        """Record a marker at its corrected time.

        Parameters
        ----------
        marker : Marker
            The marker.
        arrival : float
            When it arrived, in s on the LSL clock.
        index : int
            Sample of the main stream before which it arrived.
        number : int
            Of its stream, as they were declared.
        """
        stream_id = self._markers[number]
        if not math.isfinite(marker.time):  # it points at no sample, live or in the record
            self.decision(arrival, MarkerWithoutTime(index, marker.label))
            return
        row = index - self._n_missing
        choice = None if marker.answering is None else marker.answering.choice
        told = self._decision(arrival, MarkerCame(row, marker.label, marker.time, choice))

        def job() -> None:
            told()  # first: a marker that no decision speaks of is read as if from a table
            self._file.write_samples(stream_id, [marker.label], np.array([marker.time]))

        self._queue(arrival, job)

    def decision(self, time: float, decision: Decision) -> None:
        """Record a decision that depended on the wall clock; its index counts session samples."""
        decision = replace(decision, index=decision.index - self._n_missing)
        self._queue(time, self._decision(time, decision))

    def _decision(self, time: float, decision: Decision) -> Callable[[], None]:
        def job() -> None:
            self._file.write_samples(self.DECISIONS, [encode(decision)], np.array([time]))

        return job

    def _queue(
        self, time: float, job: Callable[[], None], n_samples: int = 0, n_bytes: int = 0
    ) -> None:
        """Queue a job; where jobs before it were dropped, the record says so first."""
        if self._unsaid[0] and not (self.has_ended or self.is_full):
            dropped = Dropped(self._n_rows, *self._unsaid)
            if self.put(self._decision(time, dropped)):
                self._unsaid = [0, 0]
        if self.put(job, n_bytes):
            self._n_rows += n_samples
        else:
            self._n_missing += n_samples
            self._unsaid[0] += 1
            self._unsaid[1] += n_samples

    def _sync(self) -> None:
        self._file.sync()

    def _finish(self) -> None:
        self._file.close()
