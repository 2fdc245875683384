"""A new person on a group's model over LSL: no label is shown, and the record decodes to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

import rt_decoder.decoding.adaptation as adaptation
from rt_decoder.commands.decode import decode_file
from rt_decoder.files.decisions import Realigned
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.files.steps import recorded_start
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import data_outlet, marker_outlet
from rt_decoder.sinks.record import Recorder
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from rt_decoder.sources.streams import LslStreams
from tests.lsl_loopback import wait_for
from tests.new_person import N_EEG, RULES, group, person, ranks
from tests.small import readouts, timeless
from tests.test_session import Running

pytestmark = pytest.mark.lsl

UNTOLD = "word"  # what every marker says
SHOWN = person(7)


class Lab:
    """A person's amplifier and markers, a session on them, and its log and record."""

    def __init__(self, model: Model, recording: Recording, source_id: str, folder: Path) -> None:
        self.recording, self.model, self.source_id = recording, model, source_id
        self.info = recording.info.pick(range(N_EEG))  # without the codes of the words
        self.marks: Any = marker_outlet("stimuli", f"{source_id}-markers")
        self.amplifier: Any = data_outlet("amplifier", self.info, source_id)
        self.tells = False  # whether markers name their word
        self.log, self.record = folder / "log.jsonl", folder / "record.xdf"
        self.sinks = Sinks(
            log=JsonlLog(self.log), recorder=Recorder(self.record, self.info, "amplifier")
        )

    def begin(self, **options: Any) -> None:
        """Connect a session."""
        self.session = Session(
            self.model,
            LslSource(resolve(source_id=self.source_id)),
            LiveOptions(RULES, **options),
            markers=[LslMarkers(resolve(source_id=f"{self.source_id}-markers"))],
            streams=LslStreams({"source_id": self.source_id}),
            sinks=self.sinks,
        )
        self.running = Running(self.session)
        wait_for(lambda: self.amplifier.have_consumers() and self.marks.have_consumers())
        self.start = local_clock()

    def send(self, first: int, stop: int, *, step: int = 50) -> None:
        """Send samples, each marker before its own, and wait until they are decoded."""
        sfreq, before = self.info.sfreq, self.session.n_samples
        for low in range(first, stop, step):
            high = min(low + step, stop)
            for marker in self.recording.markers:
                if low <= marker.index < high:
                    label = marker.label if self.tells else UNTOLD
                    self.marks.push_sample([label], self.start + marker.index / sfreq)
                    n = sum(one.index <= marker.index for one in self.recording.markers)
                    self.running.counts("markers_received", n)
            data = np.ascontiguousarray(self.recording.data[low:high, :N_EEG])
            self.amplifier.push_chunk(data, [self.start + row / sfreq for row in range(low, high)])
            self.running.has(before + high - first)

    def lose(self) -> None:
        """Take the amplifier away and bring it back."""
        self.amplifier = None
        self.running.counts("lost")
        self.amplifier = data_outlet("amplifier", self.info, self.source_id)
        self.running.counts("returned")
        wait_for(self.amplifier.have_consumers)

    def end(self) -> dict[str, Any]:
        """Stop the session; its footer."""
        footer = self.running.stop()
        self.session.close()
        return footer


@pytest.fixture
def lab(source_id: str, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(model: Model | None = None, recording: Recording = SHOWN) -> Lab:
        labs.append(Lab(model or group(), recording, source_id, tmp_path))
        return labs[-1]

    yield make
    for one in labs:
        one.end()


def again(lab: Lab, folder: Path, chunk: int = 64) -> list[tuple[Any, ...]]:
    """Decode the record."""
    record = read_recording(lab.record)
    start = recorded_start(record)
    assert start is not None
    options = PipelineOptions(start.rules, start.continuous, start.without)
    return timeless([*decode_recording(lab.model, record, record.markers, options, chunk=chunk)])


def decisions(lab: Lab) -> list[Realigned]:
    return [one for one in read_recording(lab.record).decisions if isinstance(one, Realigned)]


@pytest.mark.slow
def test_a_session_is_its_record_to_the_bit(lab: Callable[..., Lab], tmp_path: Path) -> None:
    one = lab()
    one.begin(continuous=True)
    one.send(0, len(SHOWN.data))
    footer = one.end()
    made = decisions(one)
    assert [update.n_events for update in made[:2]] == [20, 30]
    assert all(0 < update.index < len(SHOWN.data) for update in made)
    assert footer["counts"]["aligned"] == len(made) >= 3
    live = timeless(one.running.answers)
    assert {answer.label for answer in one.running.answers} <= {UNTOLD, ""}
    for chunk in (7, 64, 1000):
        assert again(one, tmp_path, chunk) == live
    # the command, which counts and logs them, too
    record = read_recording(one.record)
    jsonl = tmp_path / "again.jsonl"
    unknown, silent = "events with items that the model does not know", "every hop abstains"
    with (
        pytest.warns(RuntimeWarning, match=silent),
        pytest.warns(RuntimeWarning, match=unknown),
    ):
        ended = decode_file(one.model, record, record.markers, jsonl, PipelineOptions())
    assert ended["counts"]["aligned"] == len(made)
    assert readouts(jsonl) == readouts(one.log)
    kept = decode_recording(
        one.model, record, record.markers, PipelineOptions(RULES, True, align=False)
    )
    assert timeless([*kept]) != live


@pytest.mark.slow
def test_events_before_a_loss_count_and_the_record_knows(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    one = lab()
    one.begin()
    one.send(0, 5000)
    n_before = one.session.counts["readouts"]
    one.lose()
    one.send(5000, len(SHOWN.data))
    one.end()
    made = decisions(one)
    assert any(update.n_events > n_before for update in made)
    assert again(one, tmp_path) == timeless(one.running.answers)


@pytest.mark.slow
def test_an_update_that_fails_ends_the_updates_and_not_the_session(
    lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(adaptation, "align", fail)
    one = lab()
    one.begin()
    one.send(0, 6000)
    footer = one.end()
    assert footer["counts"]["alignment_ended"] == 1
    assert "aligned" not in footer["counts"]
    log = one.log.read_text()
    assert '"event": "alignment_ended"' in log
    assert "the memory does not hold the covariance" in log
    monkeypatch.undo()
    assert decisions(one) == []
    assert again(one, tmp_path) == timeless(one.running.answers)


def test_an_update_that_comes_late_holds_nothing_up(
    lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events go on while it is computed; it lands mid-stream, and a second one never at the end."""
    begun, done = threading.Semaphore(0), threading.Semaphore(0)
    align = adaptation.align

    def slow(*args: Any) -> Any:
        begun.release()
        assert done.acquire(timeout=60.0)
        return align(*args)

    monkeypatch.setattr(adaptation, "align", slow)
    one = lab()
    one.begin()
    one.send(0, 6000)  # 20 events came after 15 s
    assert begun.acquire(timeout=60.0)
    assert one.session.counts["readouts"] > 25
    done.release()
    wait_for(lambda: one.session.decoder.pipeline.adaptation.next_update)  # type: ignore[union-attr]
    one.send(6000, 7000)
    assert one.session.counts["aligned"] == 1
    assert begun.acquire(timeout=60.0)  # the second one is computed when the session ends
    threading.Timer(0.3, done.release).start()
    footer = one.end()
    assert footer["counts"]["aligned"] == 1
    monkeypatch.undo()
    (made,) = decisions(one)
    assert (made.n_events, made.index) == (20, 6000)
    assert again(one, tmp_path) == timeless(one.running.answers)


@pytest.mark.slow
def test_a_session_may_keep_the_map_as_it_is(lab: Callable[..., Lab], tmp_path: Path) -> None:
    one = lab()
    one.begin(align=False)
    one.send(0, 6000)
    footer = one.end()
    assert "aligned" not in footer["counts"]
    assert recorded_start(read_recording(one.record)).align is False  # type: ignore[union-attr]
    assert again(one, tmp_path) == timeless(one.running.answers)


@pytest.mark.slow
def test_live_reaches_the_offline_figure(lab: Callable[..., Lab], tmp_path: Path) -> None:
    """Rank accuracy of a new person, labels never shown: live, offline, and as the group has it."""
    model = replace(group(), alignment=replace(group().alignment, most=400))  # type: ignore[type-var]
    recording = person(12, seconds=120.0)
    one = lab(model, recording)
    one.begin()
    one.send(0, len(recording.data))
    one.end()
    assert again(one, tmp_path) == timeless(one.running.answers)
    live = np.mean(ranks(one.running.answers, recording))
    aligned, kept = (
        np.mean(ranks([*decode_recording(model, recording, recording.markers, options)], recording))
        for options in (PipelineOptions(RULES, align=align) for align in (True, False))
    )
    assert len(one.running.answers) > 150
    assert live > aligned - 0.02, (live, aligned, kept)
    assert live > kept + 0.01 > 0.7, (live, aligned, kept)


@pytest.mark.slow
def test_labels_that_a_session_learned_are_learned_again(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """Record, replay and `decode` give the live bits, which another order of labels does not."""
    one = lab()
    one.tells = True
    one.begin(learn=True)
    one.send(0, len(SHOWN.data))
    footer = one.end()
    made = decisions(one)
    assert footer["n_labels"] == made[-1].n_events >= 40
    live = timeless(one.running.answers)
    record = read_recording(one.record)
    assert recorded_start(record).learn is True  # type: ignore[union-attr]
    for chunk in (7, 1000):
        assert again(one, tmp_path, chunk) == live
    jsonl = tmp_path / "again.jsonl"
    ended = decode_file(one.model, record, record.markers, jsonl, PipelineOptions())
    assert ended["n_labels"] == footer["n_labels"]
    assert readouts(jsonl) == readouts(one.log)
    kept = decode_recording(
        one.model, record, record.markers, PipelineOptions(RULES, False, learn=False)
    )
    assert timeless([*kept])[: made[0].n_events] == live[: made[0].n_events]
    assert timeless([*kept]) != live
