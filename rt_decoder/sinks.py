"""Where readouts go: a log of JSON lines and a session record.

Neither can delay the decoder. Lines and samples are handed to a writer thread through a bounded
queue; what does not fit is dropped and counted. (LSL outlets are in `outlets`.)
"""

from __future__ import annotations

import json
import math
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.signal import Marker, Readout, SignalInfo
from rt_decoder.timebase import Decision
from rt_decoder.xdf_writer import XdfWriter

__all__ = [
    "JsonlLog",
    "Recorder",
    "Writer",
    "decision_details",
    "event_line",
    "marker_line",
    "readout_line",
]


def _number(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)


def readout_line(readout: Readout) -> dict[str, Any]:
    """A readout as the log and the outlets write it."""
    top = zip(readout.words, readout.scores, readout.probabilities, strict=True)
    return {
        "type": "readout",
        "seq": readout.seq,
        "kind": readout.kind,
        "onset": readout.onset,
        "index": readout.index,
        "time": readout.time,
        "label": readout.label,
        "word": readout.words[0] if readout.words else "",
        "abstained": readout.abstained,
        "top": [list(row) for row in top],
        "bits": readout.bits,
        "quality": readout.quality,
        "reasons": list(readout.reasons),
        "latency_ms": _number(readout.latency_ms, 4),
        "late": readout.late,
    }


def marker_line(marker: Marker) -> dict[str, Any]:
    """A marker as the log writes it."""
    return {
        "type": "marker",
        "label": marker.label,
        "time": _number(marker.time, 6),
        "index": marker.index,
    }


def event_line(event: str, time: float | None, details: dict[str, Any]) -> dict[str, Any]:
    """Something that the operator should know, as the log writes it; `details` come first."""
    return {"type": "event", "event": event, "time": time} | details


def decision_details(decision: Decision) -> dict[str, Any]:
    """What the time base decided, as the log writes it."""
    return {
        "sample": decision.sample,
        "index": decision.index,
        "n_lost": decision.n_lost,
        "change": decision.change,
        "shift_ms": round(1e3 * decision.shift, 3),
    }


class Writer:
    """A thread that runs jobs from a bounded queue; a full queue drops and counts.

    Attributes
    ----------
    n_dropped : int
        Jobs that were never done.
    error : OSError or None
        What ended the work, if anything did.
    """

    def __init__(self, name: str, max_jobs: int, drop: bool = True) -> None:
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(max_jobs)
        self._block = not drop
        self.n_dropped = 0
        self.error: OSError | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Queue a job, or count it as dropped."""
        if self.error is not None:
            self.n_dropped += 1
            return
        try:
            self._jobs.put(job, block=self._block)
        except queue.Full:
            self.n_dropped += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self.error is not None:
                self.n_dropped += 1
                continue
            try:
                job()
            except OSError as error:  # a full disk ends writing, never decoding
                self.error = error
                self.n_dropped += 1

    def close(self) -> None:
        """Run what waits, then end."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()


class JsonlLog(Writer):
    """An append-only log of JSON lines, readable by its owner only.

    Parameters
    ----------
    path : path-like
        Replaced if it exists.
    max_lines : int
        Lines that may wait for the disk; more are dropped and counted.
    drop : bool
        False waits for the disk instead: offline, where nothing is in a hurry.
    """

    def __init__(self, path: str | Path, max_lines: int = 8192, drop: bool = True) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self.name = Path(path).name
        super().__init__(f"log {self.name}", max_lines, drop)

    def write(self, line: dict[str, Any] | Readout | Marker) -> None:
        """Queue one line; encoding happens in the writer's thread."""
        self.put(lambda: self._encode(line))

    def _encode(self, line: dict[str, Any] | Readout | Marker) -> None:
        if isinstance(line, Readout):
            line = readout_line(line)
        elif isinstance(line, Marker):
            line = marker_line(line)
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
        self._file.write(text.encode() + b"\n")  # one write a line: whole or absent

    def close(self) -> None:
        """Write what waits, then close."""
        super().close()
        self._file.close()


class Recorder(Writer):
    """The session record: an XDF file of raw samples, stamps, arrivals, corrections and markers.

    Every lab's XDF tools read it; `rt-decoder decode` gives from it the readouts of the live run.

    Parameters
    ----------
    path : path-like
        Replaced if it exists.
    info : SignalInfo
        The stream as declared, all channels.
    name : str
        Name of the stream.
    markers : str
        Name of the marker stream; ``<name>-markers`` if empty.
    max_jobs : int
        Chunks that may wait for the disk.
    """

    DATA, MARKERS, ARRIVALS, DECISIONS = 1, 2, 3, 4

    def __init__(
        self, path: str | Path, info: SignalInfo, name: str, markers: str = "", max_jobs: int = 8192
    ) -> None:
        self._file = XdfWriter(path)
        add = self._file.add_stream
        add(self.DATA, name=name, type="EEG", info=info)
        add(self.MARKERS, name=markers or f"{name}-markers", type="Markers")
        add(self.ARRIVALS, name="rt_decoder-arrivals", type="Arrivals", n_channels=3)
        add(self.DECISIONS, name="rt_decoder-decisions", type="Decisions")
        super().__init__(f"record {Path(path).name}", max_jobs)
        self._last_correction = math.nan

    def pulled(
        self, data: np.ndarray, stamps: np.ndarray, arrival: float, correction: float
    ) -> None:
        """Record one pull: samples (n, c) as delivered, raw stamps (n,) s."""
        data, stamps = data.copy(), stamps.copy()

        def job() -> None:
            self._file.write_samples(self.DATA, data, stamps)
            row = np.array([[len(stamps), arrival, correction]])
            self._file.write_samples(self.ARRIVALS, row, np.array([arrival]))
            if correction != self._last_correction:
                self._file.write_clock_offset(self.DATA, arrival, correction)
                self._last_correction = correction

        self.put(job)

    def marker(self, marker: Marker, arrival: float, index: int) -> None:
        """Record a marker at its corrected time, and before which sample it arrived."""
        row, stamp = [marker.label], np.array([marker.time])
        self.put(lambda: self._file.write_samples(self.MARKERS, row, stamp))
        self.decision(arrival, index, decision="marker", label=marker.label, time=marker.time)

    def decision(self, time: float, index: int, /, **what: Any) -> None:
        """Record a decision that hung on the wall clock, with its sample index."""
        row = [json.dumps({"index": index, **what}, ensure_ascii=False)]
        stamp = np.array([time])
        self.put(lambda: self._file.write_samples(self.DECISIONS, row, stamp))

    def close(self) -> None:
        """Write what waits and the footers, then close."""
        super().close()
        self._file.close()
