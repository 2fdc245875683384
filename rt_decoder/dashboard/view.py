"""What a page shows of one decoder, made of what its outlets tell; holds a bounded amount.

Whatever comes may be garbled or hostile: it is read as text and numbers, and counted where it is
neither. Texts stay texts until the page shows them.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter, deque
from collections.abc import Mapping
from itertools import islice
from time import monotonic
from typing import Any

from rt_decoder.dashboard.words import word_row
from rt_decoder.signal import Readout
from rt_decoder.sinks.advice import advised
from rt_decoder.sinks.log import parse_readout
from rt_decoder.sinks.text import plain

__all__ = ["PER_DECADE", "View"]

PER_DECADE, LOWEST_MS, N_BINS = 8, 0.1, 40  # bins of latencies: from .1 ms to 10 s
MAX_WORDS, MAX_EVENTS, MAX_LABELS = 60, 100, 1000
# of readouts at every hop: s until the same word is listed again, and until another one can be read
SAME_S, OTHER_S = 1.0, 0.25
MINUTE = 60.0
SILENT_S = 5.0  # s without a status after which a decoder counts as gone
_STATES = {
    "live_again": "live", "stale": "stale", "lost": "lost", "returned": "returned",
}  # fmt: skip
_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


class View:
    """Filled by the thread that reads the outlets, read by those of pages.

    Parameters
    ----------
    wall : float
        Seconds from the LSL clock to Unix time.

    Attributes
    ----------
    n : int
        Number of the newest row or event.
    items : frozenset of str
        Of the model; empty where they are not known. A label that is none is no truth.
    n_garbled : int
        Messages that could not be read.
    """

    def __init__(self, wall: float = 0.0) -> None:
        self._wall, self._lock = wall, threading.RLock()
        self.n = self.n_garbled = 0
        self.state, self.fit = "ended", "unchecked"
        self.status: dict[str, Any] = {}
        self._heard = -math.inf
        self._words: deque[dict[str, Any]] = deque(maxlen=MAX_WORDS)
        self._events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self._bins, self._n_late = [0] * N_BINS, 0
        self.items: frozenset[str] = frozenset()
        self._unknown: set[str] = set()  # labels that name no item
        self._reasons: set[str] = set()
        self._onsets: deque[tuple[float, str]] = deque(maxlen=5000)
        self._hears_reasons = self._knows_reasons = False

    @property
    def has_samples(self) -> bool:
        """Whether the decoder has got a sample of its stream, as far as it has told."""
        return bool(self.status) and self.status.get("n_samples") != 0

    def connected(self) -> None:
        """Note that the decoder can be heard."""
        with self._lock:
            self._heard = monotonic()
            if self.state == "ended":
                self.state = "returned"

    def ended(self) -> None:
        """Note that the decoder has gone."""
        with self._lock:
            self.state, self._heard = "ended", -math.inf

    def line(self, text: str) -> None:
        """Take a message of the log outlet or of the readouts.

        Parameters
        ----------
        text : str
            JSON.
        """
        with self._lock:
            try:
                line = json.loads(text)
                take = {"readout": self._readout, "event": self._event, "status": self._status}
                take[line["type"]](line)
            except _WRONG:
                self.n_garbled += 1

    def _readout(self, line: Mapping[str, Any]) -> None:
        readout = parse_readout(line)
        self.fit = plain(readout.fit, 20)
        latency = readout.latency_ms
        if latency == latency:
            place = math.floor(PER_DECADE * math.log10(max(latency, LOWEST_MS) / LOWEST_MS))
            self._bins[min(place, N_BINS - 1)] += 1
        row = word_row(readout, self._wall)
        if row["truth"] in self._unknown or (self.items and row["truth"] not in self.items):
            row |= {"truth": "", "hit": None}
        if readout.kind != "continuous" or self._is_news(readout, row):
            self._add(self._words, row)

    def _is_news(self, readout: Readout, row: dict[str, Any]) -> bool:
        if readout.abstained:
            return False
        last = next((one for one in reversed(self._words) if one["kind"] == "continuous"), None)
        if last is None:
            return True
        return (
            not 0 <= row["at"] - last["at"] <= (SAME_S if last["word"] == row["word"] else OTHER_S)
        )

    def _event(self, line: Mapping[str, Any]) -> None:
        told = advised(line)
        name = plain(told["event"], 60)
        left = ("type", "event", "time", "index", "explanation", "fix")
        details = {
            plain(k, 40): plain(v, 200) for k, v in islice(told.items(), 20) if k not in left
        }
        self._add(self._events, {
            "event": name,
            "at": self._unix(told.get("time")),
            "explanation": plain(told.get("explanation", ""), 400),
            "fix": plain(told.get("fix", ""), 400),
            "details": details,
        })  # fmt: skip
        self.state = _STATES.get(name, self.state)
        if name == "truth":
            self._truth(line["seq"], plain(line["label"], 200))
        elif name == "label_unknown":
            self._label_unknown(plain(line["label"], 200))
        elif name in ("added", "swapped"):
            self.items = frozenset()  # there are others now

    def _truth(self, seq: int, label: str) -> None:
        for row in self._words:
            if row["seq"] == seq:
                self.n += 1
                row |= {"truth": label, "hit": row["word"] == label, "n": self.n}

    def _label_unknown(self, label: str) -> None:
        if len(self._unknown) < MAX_LABELS:
            self._unknown.add(label)
        for row in self._words:
            if row["truth"] == label:
                self.n += 1
                row |= {"truth": "", "hit": None, "n": self.n}

    def _status(self, line: Mapping[str, Any]) -> None:
        self.state = plain(line["state"], 20)
        self._heard = monotonic() if self.state != "ended" else -math.inf
        if isinstance(found := line.get("fit"), Mapping):
            self.fit = plain(found.get("state", self.fit), 20)
        self.status = dict(line)

    def _add(self, rows: deque[dict[str, Any]], row: dict[str, Any]) -> None:
        self.n += 1
        rows.append(row | {"n": self.n})

    def _unix(self, time: Any) -> float | None:
        return time + self._wall if isinstance(time, int | float) else None

    def hears_reasons(self) -> None:
        """Note that reasons will be told; each only when it changes."""
        self._hears_reasons = True

    def reasons(self, text: str, time: float) -> None:
        """Take a marker of the cleaned stream's reasons.

        Parameters
        ----------
        text : str
            Names joined by commas, or "good".
        time : float
            In s.
        """
        with self._lock:
            self._hears_reasons = self._knows_reasons = True
            now = {plain(name, 40) for name in text.split(",")[:40]} - {"good", ""}
            self._onsets.extend((time, name) for name in sorted(now - self._reasons))
            self._reasons = now
            while self._onsets and self._onsets[-1][0] - self._onsets[0][0] >= MINUTE:
                self._onsets.popleft()

    def _artifacts(self) -> dict[str, int] | None:
        if not self._hears_reasons:
            return None
        return Counter(name for _, name in self._onsets)

    def shown(self, after: int = 0) -> dict[str, Any]:
        """Return what a page shows.

        Parameters
        ----------
        after : int
            Number up to which words and events are known to it.

        Returns
        -------
        dict
            Plain values; words and events are those with a larger ``n``.
        """
        with self._lock:
            if self._heard > 0 and monotonic() - self._heard > SILENT_S:
                self.ended()
            status = {key: value for key, value in self.status.items() if key in _SHOWN}
            return {
                "type": "view",
                "n": self.n,
                "state": self.state,
                "fit": self.fit,
                "bins": {"counts": self._bins, "lowest_ms": LOWEST_MS, "per_decade": PER_DECADE},
                "artifacts": self._artifacts(),
                "reasons": sorted(self._reasons) if self._knows_reasons else None,
                "garbled": self.n_garbled,
                "status": status,
                "words": [row for row in self._words if row["n"] > after],
                "events": [row for row in self._events if row["n"] > after],
            }


_SHOWN = (
    "n_samples", "n_readouts", "n_late", "n_dropped", "errors", "counts", "latency_ms", "backlog_ms",
    "budget_ms", "score", "paused", "channels", "unlike", "bad", "references", "forced", "fit",
)  # fmt: skip
