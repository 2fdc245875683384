"""Write the session log: its lines, and the file that they go to.

The log cannot delay the decoder: lines pass to a worker through a bounded queue, and what does not
fit is dropped and counted. `log_file` reads a log.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rt_decoder.files.append_file import AppendFile
from rt_decoder.signal import CORRECTED, Marker, Readout, reason_names
from rt_decoder.sinks.log_file import part_header, part_path
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.worker import Worker
from rt_decoder.timing.timebase import Decision

__all__ = [
    "JsonlLog",
    "Recorder",
    "Worker",
    "decision_details",
    "event_line",
    "marker_line",
    "parse_readout",
    "readout_line",
]


_TUPLES = ("reasons", "posterior", "before")  # fields of a readout that JSON has as lists


def _number(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def readout_line(readout: Readout) -> dict[str, Any]:
    """Return a readout as the log and the outlets write it."""
    top = zip(readout.words, readout.scores, readout.probabilities, strict=True)
    more: dict[str, Any] = {}
    if readout.kind == "pooled":
        more["n_repeats"] = readout.n_repeats
    if readout.until is not None:
        more |= {"until": readout.until, "committed": readout.committed}
    if readout.prior:
        more["prior"] = readout.prior
    if readout.plausible is not None:
        more |= {"set": list(readout.plausible), "set_is_all": not readout.plausible}
    if readout.posterior:
        more |= {"posterior": list(readout.posterior), "before": list(readout.before)}
    return {
        "type": "readout",
        "seq": readout.seq,
        "kind": readout.kind,
        "onset": None if math.isnan(readout.onset) else readout.onset,
        "index": readout.index,
        "time": None if math.isnan(readout.time) else readout.time,
        "label": readout.label,
        "word": readout.words[0] if readout.words else "",
        "item": readout.item,
        "abstained": readout.abstained,
        "top": [list(row) for row in top],
        "bits": readout.bits,
        "quality": readout.quality,
        "reasons": list(readout.reasons),
        "fit": readout.fit,
        "corrected": {
            name: round(share, 4)
            for name, share in zip(reason_names(CORRECTED), readout.corrected, strict=True)
            if share
        },
        "latency_ms": _number(readout.latency_ms, 4),
        "late": readout.late,
    } | more


def parse_readout(line: str | Mapping[str, Any]) -> Readout:
    """Make a readout of what the log and the outlet ``NAME-readout`` hold.

    Parameters
    ----------
    line : str or mapping
        JSON text, or what was read of it.

    Returns
    -------
    Readout
        `corrected` and `latency_ms` are rounded to four digits.

    Raises
    ------
    ValueError
        If it is no readout.

    Examples
    --------
    >>> parse_readout('{"type": "event", "event": "gap"}')
    Traceback (most recent call last):
    ValueError: need a readout of a log or an outlet, got a line of type 'event'
    """
    plain = json.loads(line) if isinstance(line, str) else line
    if not isinstance(plain, Mapping) or plain.get("type") != "readout":
        kind = plain.get("type") if isinstance(plain, Mapping) else type(plain).__name__
        raise ValueError(f"need a readout of a log or an outlet, got a line of type {kind!r}")
    rows, nan = list(plain["top"]), math.nan
    known = {name: plain[name] for name in Readout._fields if name in plain}
    known |= {name: nan for name in ("onset", "time", "latency_ms") if known[name] is None}
    known |= {name: tuple(known[name]) for name in _TUPLES if name in known}
    if "set" in plain:
        known["plausible"] = () if plain["set_is_all"] else tuple(plain["set"])
    shares = known["corrected"]
    known["corrected"] = tuple(float(shares.get(name, 0.0)) for name in reason_names(CORRECTED))
    words, scores, probabilities = (tuple(row[k] for row in rows) for k in range(3))
    return Readout(words=words, scores=scores, probabilities=probabilities, **known)


def marker_line(marker: Marker) -> dict[str, Any]:
    """Return a marker as the log writes it."""
    return {
        "type": "marker",
        "label": marker.label,
        "time": _number(marker.time, 6),
        "index": marker.index,
    }


def event_line(event: str, time: float | None, details: dict[str, Any]) -> dict[str, Any]:
    """Return an event, which the operator should know, as the log writes it.

    Parameters
    ----------
    event : str
        Name of the event.
    time : float or None
        When it happened, in s on the LSL clock; None if unknown.
    details : dict
        Further keys; they override those above.

    Returns
    -------
    dict
        The line.
    """
    return {"type": "event", "event": event, "time": time} | details


def decision_details(decision: Decision) -> dict[str, Any]:
    """Return a decision of the time base as the log writes it."""
    return {
        "sample": decision.sample,
        "index": decision.index,
        "n_lost": decision.n_lost,
        "change": decision.change,
        "shift_ms": round(1e3 * decision.shift, 3),
    }


class JsonlLog(Worker):
    """An append-only log of JSON lines, readable by its owner only.

    Each line goes to the system in one piece as soon as the thread comes to it, and to the disk
    within a second: a process that is killed leaves whole lines and at most one torn at the end,
    which `log_file.read_log` drops. A full disk ends the log after a whole line.

    Parameters
    ----------
    path : path-like
        As `AppendFile` takes it.
    max_lines : int
        Lines that may wait for the disk; more are dropped and counted.
    drop : bool
        False waits for the disk instead, for use offline.
    max_bytes : int
        Size in bytes above which a new part begins (see `log_file`); 0 for never. A part holds
        at least two lines, however long.

    Raises
    ------
    OSError
        If the file cannot be made.
    FileExistsError
        If the log exists, or another file has the name of its next part.
    """

    def __init__(
        self,
        path: str | Path,
        max_lines: int = 8192,
        drop: bool = True,
        max_bytes: int = 64 << 20,
    ) -> None:
        self.path = Path(path)
        next_part = part_path(self.path, 1)
        if max_bytes and next_part.exists():
            raise FileExistsError(
                f"need the name {next_part.name} for the log's next part, got a file that exists; "
                "give the log another name"
            )
        self._file = AppendFile(self.path)
        self._max_bytes = max_bytes
        self._header: dict[str, Any] = {}
        self._n_lines = self._part = 0  # of this part; its number
        super().__init__(f"log {self.path.name}", max_lines, drop)

    def write(self, line: dict[str, Any] | Readout | Marker) -> None:
        """Queue one line; the worker encodes it."""
        self.put(lambda: self._encode(line))

    def _encode(self, line: dict[str, Any] | Readout | Marker) -> None:
        if isinstance(line, Readout):
            line = readout_line(line)
        elif isinstance(line, Marker):
            line = marker_line(line)
        block = _encoded(line)
        if self._part == 0 and self._n_lines == 0 and line.get("type") == "header":
            self._header = line
        full = self._max_bytes and self._file.size + len(block) > self._max_bytes
        if full and self._n_lines > 1:  # something beside the header is in this part
            self._begin_part()
        self._file.append(block)
        self._n_lines += 1

    def _begin_part(self) -> None:
        self._file.close()
        self._part += 1
        self._file = AppendFile(part_path(self.path, self._part))
        self._file.append(_encoded(part_header(self._header, self._part)))
        self._n_lines = 1

    def _sync(self) -> None:
        self._file.sync()

    def _finish(self) -> None:
        self._file.close()


def _encoded(line: dict[str, Any]) -> bytes:
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace") + b"\n"  # JSON's own way to write half a pair
