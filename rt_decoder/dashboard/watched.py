"""One decoder, as its outlets tell it: a thread reads them into a view and two traces."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from time import time as unix_time
from typing import Any

import numpy as np
import pylsl

from rt_decoder.counted import counted
from rt_decoder.dashboard.reader import Reader
from rt_decoder.dashboard.traces import KEPT_S, QUALITY, Trace
from rt_decoder.dashboard.view import View
from rt_decoder.signal import has_unit, unit_gain
from rt_decoder.sinks.text import plain
from rt_decoder.sources.lsl.find import declared_channels, is_data

__all__ = ["Watched"]

POLL_S = 0.1
OPENS_S = 2.0  # within which a signal is there, once a page looks
_END = "-log"
Streams = Callable[[], Sequence[pylsl.StreamInfo]]


class Watched:
    """A decoder that is watched.

    Parameters
    ----------
    log : pylsl.StreamInfo
        Its log outlet, as the search found it.
    streams : callable
        Returns the streams that are there now.

    Attributes
    ----------
    id : str
        Unique to the outlet.
    name : str
        Stem of its outlets' names.
    about : dict
        What the outlet says of the decoder; empty until it is connected.
    view : View
    clean, raw : Trace or None
        Signals, which are read while a page looks; None until then, and without a stream.
    """

    def __init__(self, log: pylsl.StreamInfo, streams: Streams) -> None:
        self.id, self.name = log.uid(), plain(log.name().removesuffix(_END), 100)
        self._stem = log.source_id().removesuffix(_END)
        self.about: dict[str, Any] = {}
        self.view = View(unix_time() - pylsl.local_clock())
        self.clean: Trace | None = None
        self.raw: Trace | None = None
        self._streams, self._raw_gain = streams, np.ones(1)
        self._looked = self._looks_since = -math.inf
        self._log = Reader(self._find_log, self._lines, self._connected, self._lost)
        self._raw = Reader(self._find_raw, self._raw_samples, self._raw_opened)
        self._signals = (
            self._raw,
            Reader(self._by_id(self._clean_id), self._clean_samples, self._clean_opened),
        )
        self._readers = (
            self._log,
            Reader(self._by_id(lambda: f"{self._stem}-readout"), self._lines),
            Reader(self._by_id(lambda: f"{self._stem}-scores"), None, self._items),
            Reader(
                self._by_id(lambda: f"{self._clean_id()}-reasons"),
                self._reasons,
                lambda _: self.view.hears_reasons(),
            ),
        )
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {self.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(POLL_S):
            streams = self._streams()
            for reader in self._readers:
                reader.step(streams)
            is_looked_at = monotonic() < self._looked + KEPT_S
            for reader in self._signals:
                if is_looked_at:
                    reader.step(streams)
                elif reader.is_open:
                    reader.close()
        for reader in (*self._readers, *self._signals):
            reader.close()

    def look(self) -> None:
        """Say that a page shows the signals: they are read from now on, and for `KEPT_S` longer."""
        now = monotonic()
        if now >= self._looked + KEPT_S:
            self._looks_since = now
        self._looked = now

    def _find_log(self, streams: Sequence[pylsl.StreamInfo]) -> pylsl.StreamInfo | None:
        return next((one for one in streams if one.uid() == self.id), None)

    def _by_id(
        self, source_id: Callable[[], str]
    ) -> Callable[[Sequence[pylsl.StreamInfo]], pylsl.StreamInfo | None]:
        def find(streams: Sequence[pylsl.StreamInfo]) -> pylsl.StreamInfo | None:
            wanted = source_id() if self._log.is_open else ""
            return next((one for one in streams if wanted and one.source_id() == wanted), None)

        return find

    def _clean_id(self) -> str:
        return f"{self.about.get('clean', '')}-{self.about.get('session', '')}"

    def _find_raw(self, streams: Sequence[pylsl.StreamInfo]) -> pylsl.StreamInfo | None:
        name = self.about.get("stream", "")
        # the decoder comes first: a replay begins with whoever connects, and would begin without it
        if not name or not self._log.is_open or not self.view.has_samples:
            return None
        found = [one for one in streams if one.name() == name and is_data(one)]
        return found[0] if len(found) == 1 else None

    @property
    def raw_problem(self) -> str:
        """Why the amplifier's own signal is not shown; empty if it is."""
        is_tried = self._looks_since + OPENS_S <= monotonic() < self._looked + KEPT_S
        if self._raw.is_open or not self.about or not is_tried:
            return ""
        name = plain(self.about.get("stream", ""), 100)
        found = [one for one in self._streams() if one.name() == self.about.get("stream")]
        if len(found) > 1:
            return f"{name} is the name of {counted(len(found), 'stream')}: which is decoded cannot be told"
        return plain(self._raw.problem, 300) or (
            f"no LSL stream {name} is seen: a FieldTrip buffer, or one that is gone"
        )

    def _connected(self, info: pylsl.StreamInfo) -> None:
        node, about = info.desc().child("decoder").first_child(), dict[str, Any]()
        while not node.empty():
            about[node.name()] = node.child_value()
            node = node.next_sibling()
        facts: Any = None
        with suppress(ValueError):
            facts = json.loads(about.get("facts", ""))
        self.about = about | {"facts": facts if isinstance(facts, Mapping) else {}}
        self.view.connected()

    def _lost(self) -> None:
        self.view.ended()

    def _lines(self, texts: Sequence[str], _: np.ndarray) -> None:
        for text in texts:
            self.view.line(text)

    def _reasons(self, texts: Sequence[str], stamps: np.ndarray) -> None:
        for text, stamp in zip(texts, stamps.tolist(), strict=True):
            self.view.reasons(text, stamp)

    def _items(self, info: pylsl.StreamInfo) -> None:
        node, items = info.desc().child("items").child("item"), []
        while not node.empty():
            items.append(node.child_value())
            node = node.next_sibling("item")
        self.view.items = frozenset(items)

    def _clean_opened(self, info: pylsl.StreamInfo) -> None:
        channels = declared_channels(info)
        self.clean = Trace(
            [plain(one.label, 60) for one in channels], info.nominal_srate(), channels[0].unit
        )

    def _clean_samples(self, data: np.ndarray, stamps: np.ndarray) -> None:
        assert self.clean is not None
        self.clean.add(data, stamps)

    def _raw_opened(self, info: pylsl.StreamInfo) -> None:
        """Take each channel to the unit in which its cleaned signal is sent."""
        channels = declared_channels(info, by_hand=True)
        names = [plain(one.label or f"{k + 1}", 60) for k, one in enumerate(channels)]
        gains = [
            unit_gain(one.unit)[1] * _SHOWN.get(unit_gain(one.unit)[0], 1.0)
            if has_unit(one.unit)
            else 1.0
            for one in channels
        ]
        self._raw_gain = np.array(gains)
        self.raw = Trace(names, info.nominal_srate(), channels[0].unit)

    def _raw_samples(self, data: np.ndarray, stamps: np.ndarray) -> None:
        assert self.raw is not None
        self.raw.add(data * self._raw_gain, stamps)

    def channels(self) -> dict[str, Any]:
        """Return the channels that can be shown, and what there is to say of the signals."""
        clean, raw = self.clean, self.raw
        source = clean or raw
        names = [] if source is None else [name for name in source.names if name != QUALITY]
        missing = self.about and not self.about.get("clean")
        return {
            "names": names[:1024],
            "unit": "" if source is None else plain(source.unit, 30),
            "has_clean": clean is not None,
            "has_raw": raw is not None,
            "clean_problem": "start the decoder with --clean-outlet NAME to see it cleaned"
            if missing
            else "",
            "raw_problem": self.raw_problem,
        }

    def summary(self) -> dict[str, Any]:
        """Return what a list of decoders shows of this one."""
        return {
            "id": self.id,
            "name": self.name,
            "stream": plain(self.about.get("stream", ""), 100),
            "session": plain(self.about.get("session", ""), 40),
            "model": plain(self.about.get("model", ""), 12),
            "forced": plain(self.about.get("forced", ""), 400),
            "facts": self.about.get("facts", {}),
            "ended": self.view.state == "ended",
        }

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join()


_SHOWN = {"V": 1e6, "T": 1e15, "T/m": 1e13}  # as `CleanOutlet` sends them
