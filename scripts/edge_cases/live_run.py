"""A live session for the cases: streams by plain pylsl, and a record that must decode alike."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pylsl

from rt_decoder.decoder import Decoder
from rt_decoder.files.model_file import save_model
from rt_decoder.files.read import read_recording
from rt_decoder.files.steps import recorded_start
from rt_decoder.live.opening import open_session
from rt_decoder.live.run_options import RunOptions
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import ModelMismatch, Readout, StreamLost
from tests.small import random_model, small_recipe, small_recording, timeless

SFREQ = 250.0
RECORDING = small_recording(seconds=12.0)
DATA = RECORDING.data
NAMES = RECORDING.info.ch_names


@cache
def model() -> Model:
    """Its answers are nonsense, and every bit of them counts."""
    return random_model(RECORDING, small_recipe())


def model_file(folder: Path) -> Path:
    """The same in a file."""
    path = folder / "m.rtd.safetensors"
    save_model(model(), path)
    return path


def until(condition: Callable[[], Any], deadline: float = 30.0) -> Any:
    """Poll until it is true."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"nothing after {deadline:g} s"
        time.sleep(0.002)
    return result


class Amp:
    """An outlet of the recording's channels, as an amplifier's program makes it."""

    def __init__(
        self, source_id: str, *, name: str = "", sfreq: float = SFREQ, names: Any = NAMES
    ) -> None:
        self.sfreq, self.name = sfreq, name or source_id
        info = pylsl.StreamInfo(self.name, "EEG", len(names), sfreq, "double64", source_id)
        info.set_channel_labels(list(names))
        info.set_channel_types(["EEG"] * (len(names) - 1) + ["stim"])
        info.set_channel_units(["V"] * (len(names) - 1) + ["n/a"])
        self.outlet: Any = pylsl.StreamOutlet(info)
        self.row, self.start = 0, pylsl.local_clock()

    def at(self, row: float) -> float:
        """Time of a row, in s."""
        return self.start + row / self.sfreq

    def send(self, n: int) -> None:
        """The next rows of the recording, again and again, in one piece."""
        rows = np.arange(self.row, self.row + n)
        data = np.ascontiguousarray(DATA[rows % len(DATA), : self.outlet.channel_count])
        self.outlet.push_chunk(data, [self.at(row) for row in rows])
        self.row += n

    def close(self) -> None:
        self.outlet = None


def marks(source_id: str, *, name: str = "", form: str = "string", labels: Any = ("",)) -> Any:
    """An outlet of markers."""
    info = pylsl.StreamInfo(name or source_id, "Markers", len(labels), 0, form, source_id)
    if any(labels):
        info.set_channel_labels(list(labels))
    return pylsl.StreamOutlet(info)


class Live:
    """A session in a thread of its own, with a log of events, a record, and all its readouts."""

    def __init__(self, folder: Path, source_id: str, markers: str = "", **options: Any) -> None:
        self.answers: list[Readout] = []
        self.events: list[dict[str, Any]] = []
        self.hold: Callable[[Readout], None] = lambda _: None
        self.error: Exception | None = None
        self._record, self._stop = folder / "record.xdf", threading.Event()
        self._stack = ExitStack()
        chosen = RunOptions(
            **{"selection": {"source_id": source_id}, "markers": markers, "timeout": 20.0,
               "record": self._record} | options
        )  # fmt: skip
        self.session = open_session(model(), chosen, self._stack)
        self.session.attach(
            replace(self.session.sinks, on_readout=self._take, on_event=self.events.append)
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _take(self, readout: Readout) -> None:
        self.answers.append(readout)
        self.hold(readout)

    def _run(self) -> None:
        try:
            self.session.run(self._stop.is_set)
        except (ModelMismatch, StreamLost, ValueError) as error:
            self.error = error

    def connected(self, *outlets: Any) -> None:
        """Wait until the session reads them."""
        until(lambda: self.ended or all(outlet.have_consumers() for outlet in outlets))
        assert not self.ended, self.error

    def has(self, n_samples: int) -> None:
        """Wait until it has decoded so many samples."""
        until(lambda: self.ended or self.session.n_samples >= n_samples)
        assert not self.ended, self.error

    def told(self, event: str, n: int = 1) -> list[dict[str, Any]]:
        """Wait until an event was told `n` times; the events."""

        def found() -> list[dict[str, Any]] | None:
            some = [line for line in self.events if line["event"] == event]
            return some if len(some) >= n else None

        return until(found)

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def finish(self, *, recorded: bool = True) -> dict[str, Any]:
        """End it; its record has to decode to the same. The footer."""
        self._stop.set()
        self._thread.join(60.0)
        assert self.ended
        footer = self.session.footer()
        self._stack.close()
        assert self.error is None, self.error
        if recorded:
            record = read_recording(self._record)
            start = recorded_start(record)
            assert start is not None
            for chunk in (7, 5000):
                options = PipelineOptions(start.rules, start.continuous, start.without)
                decoder = Decoder(model(), record.info, options)
                again = decode_recording(
                    model(), record, record.markers, chunk=chunk, decoder=decoder
                )
                assert timeless(list(again)) == timeless(self.answers), "record is not live"
        return footer


def fresh() -> str:
    """Id of a stream that no other case has."""
    return f"edge-{uuid.uuid4().hex[:12]}"
