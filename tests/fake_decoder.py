"""The outlets of a decoder that does not exist: it says what a test wants."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
from pylsl import local_clock

from rt_decoder.signal import FLAGS, Chunk, Readout, SignalInfo
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sinks.log_outlet import LogOutlet
from rt_decoder.sinks.outlets import ReadoutOutlets, data_outlet
from rt_decoder.sinks.text import json_text

WORDS = ("river", "mother", "house", "music", "winter", "doctor", "garden", "yellow")
FACTS = {
    "n_channels": 16, "sfreq": 250.0, "n_items": len(WORDS), "window_s": [0.0, 0.8],
    "stages": ["muscle", "repair", "eye"], "adapts": False, "budget_ms": 50.0, "unproven": "",
    "certificate": {
        "n": 200, "rank_accuracy": 0.712, "top1": 0.31, "chance_top1": 0.125, "bits_per_word": 0.4, "p": 0.005,
    },
    "fitted": "2026-01-31",
}  # fmt: skip
SCORE = {
    "n": 42, "n_outside": 0, "p": 0.004, "since": 31, "verdict": "above chance since event 31",
    "rank": {"value": 0.71, "low": 0.6, "high": 0.81, "chance": 0.5},
    "top_1": {"value": 0.33, "low": 0.18, "high": 0.52, "chance": 0.125},
    "bits_per_minute": {"value": 9.3, "low": 2.1, "high": 16.4, "chance": 0.0},
}  # fmt: skip


class FakeDecoder:
    """Amplifier, readouts, log and cleaned signal, by one name."""

    def __init__(self, name: str, names: tuple[str, ...] = (), words: tuple[str, ...] = WORDS):
        self.words, self.name = words, name
        self.rng, self.seq, self.n = np.random.default_rng(0), 0, 0
        self.sent = local_clock()
        names = names or tuple(f"E{k + 1:02}" for k in range(16))
        self.info = SignalInfo(250.0, names, ("eeg",) * len(names), ("V",) * len(names))
        session = uuid4().hex[:12]
        meta = {"stream": f"{name}-amp", "session": session, "model": "c0ffee" + 58 * "0"}
        self.amplifier = data_outlet(f"{name}-amp", self.info, f"{name}-amp-{session}")
        self.readouts = ReadoutOutlets(name, f"{name}-{session}", meta, words)
        self.clean = CleanOutlet(f"{name}-clean", self.info, 0.0, meta)
        about = meta | {"clean": f"{name}-clean", "readout": name, "facts": json_text(FACTS)}
        self.log = LogOutlet(name, f"{name}-{session}", about)
        self.status: dict[str, Any] = {
            "state": "live", "n_readouts": 0, "n_late": 0, "n_dropped": 0, "counts": {}, "errors": [],
            "latency_ms": {"p50": 0.9, "p95": 1.6, "p99": 2.8, "max": 61.0}, "budget_ms": 50.0,
            "fit": {"state": "fits", "n_events": 12}, "bad": {}, "score": SCORE,
        }  # fmt: skip
        self.log.watch(lambda: dict(self.status))

    @property
    def is_heard(self) -> bool:
        """Whether somebody reads its readouts and its log."""
        outlets = self.readouts._readout, self.log._outlet
        return all(one.have_consumers() for one in outlets)

    def event(self, event: str, **details: Any) -> None:
        line = {"type": "event", "event": event, "time": local_clock(), "index": self.n}
        self.log.tell(line | details)

    def say(self, word: int = 0, **changes: Any) -> None:
        """Send a readout, whose best item is number `word`."""
        order = [word, *(k for k in range(len(self.words)) if k != word)][:4]
        p = np.sort(self.rng.dirichlet([2.0, 1, 0.7, 0.5]))[::-1].round(4).tolist()[: len(order)]
        self.seq += 1
        latency = float(np.exp(self.rng.normal(0, 0.4)))
        readout = Readout(
            self.seq, "event", self.words[word], self.n, local_clock() - 0.8, local_clock(),
            tuple(self.words[k] for k in order), tuple(p), tuple(p), False, 1.2, 1.0, (), latency,
            False, item=word, fit=self.status["fit"]["state"],
        )  # fmt: skip
        readout = readout._replace(**changes)
        self.readouts.push_scores(readout)
        self.readouts.push_text(readout)
        self.status["n_readouts"] = self.seq

    def send(self, reason: int = 0, blink: float = 0.0) -> None:
        """Send the signal up to now, 2 s at most; raw has mains, and a blink of so many volts."""
        now = local_clock()
        n, c = int(250 * min(2.0, now - self.sent)), self.info.n_channels
        self.sent, seconds = now, n / 250.0
        times = now - np.arange(n)[::-1] / 250.0
        wave = np.sin(2 * np.pi * 9.7 * times)[:, None] * np.linspace(6e-6, 14e-6, c)
        brain = wave + self.rng.normal(0, 4e-6, (n, c))
        shape = np.exp(-0.5 * ((np.arange(n) / 250 - seconds / 2) / 0.09) ** 2)
        raw = brain + 6e-6 * np.sin(2 * np.pi * 50 * times)[:, None] + 3e-4 + blink * shape[:, None]
        self.amplifier.push_chunk(np.ascontiguousarray(raw), times.tolist())
        flags = np.full(n, int(reason), FLAGS)
        self.clean.push(Chunk(brain, times, self.n, flags, np.zeros((n, c), FLAGS)))
        self.n += n

    def close(self) -> None:
        self.log.close()
        self.readouts.close()
        self.clean.close()
        del self.amplifier, self.clean, self.readouts, self.log
