"""A consumer that falls behind: catch up and say late, or skip to what is new and say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.decoder import Decoder
from rt_decoder.files.read import read_recording
from rt_decoder.files.steps import recorded_start
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, Readout, StreamLost
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import data_outlet, marker_outlet
from rt_decoder.sinks.record import Recorder
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from rt_decoder.timing.markers import MarkerRules
from tests.small import lines, random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=20.0)
SFREQ = RECORDING.info.sfreq
N_HOP = 2  # 10 ms at 250 Hz, rounded


class Source:
    """Rows of `RECORDING` in pulls of given lengths, then lost; a marker before each pull it names."""

    name = "amplifier"
    info = RECORDING.info

    def __init__(self, sizes: list[int], left: int = 0) -> None:
        self._sizes, self.at, self._left = list(sizes), 0, left
        self.start = local_clock()

    def open(self, timeout: float = 5.0) -> None:
        pass

    def close(self) -> None:
        pass

    def waiting(self) -> int:
        """What came in the stall beside this pull: all pulls until a short one."""
        left = 0
        for size in self._sizes:
            if size < self._left:
                break
            left += size
        return left if self._left else 0

    def correction(self, timeout: float = 5.0) -> float:
        return 0.0

    def pull(self, timeout: float, n: int = 1) -> tuple[np.ndarray, np.ndarray, float]:
        if not self._sizes:
            raise StreamLost("no more")
        rows = np.arange(self.at, self.at + self._sizes.pop(0))
        self.at += len(rows)
        return RECORDING.data[rows], self.start + rows / SFREQ, local_clock()


class Markers:
    """All markers at the first pull."""

    name = "stimuli"

    def __init__(self, marks: list[Marker]) -> None:
        self._marks = marks

    def open(self, timeout: float = 5.0) -> None:
        pass

    def close(self) -> None:
        pass

    def pull(self) -> list[Marker]:
        marks, self._marks = self._marks, []
        return marks


@pytest.fixture(scope="module")
def model():
    return random_model(RECORDING, small_recipe())


def decode(
    model, sizes: list[int], tmp_path: Path, *, skip: bool, onsets: list[int], **limits: Any
) -> tuple[Session, list[Readout], list[dict[str, Any]]]:
    """A session over pulls of these sizes; its record has to decode to the same."""
    source = Source(sizes, limits.pop("left", 0))
    markers = Markers([Marker(str(at), source.start + at / SFREQ) for at in onsets])
    answers: list[Readout] = []
    events: list[dict[str, Any]] = []
    recorder = Recorder(tmp_path / "record.xdf", source.info, source.name, markers.name)
    sinks = Sinks(recorder=recorder, on_readout=answers.append, on_event=events.append)
    chunks = limits.pop("chunks", (7, 5000))
    options = LiveOptions(
        MarkerRules(wait=limits.pop("wait", 30.0)), skip=skip, until_lost=True, **limits
    )
    session = Session(model, source, options, markers=[markers], sinks=sinks)
    session.run(lambda: False)
    recorder.close()
    record = read_recording(tmp_path / "record.xdf")
    started = recorded_start(record)
    assert started is not None
    for chunk in chunks:
        decoder = Decoder(model, record.info, PipelineOptions(started.rules))
        again = list(decode_recording(model, record, record.markers, chunk=chunk, decoder=decoder))
        assert timeless(again) == timeless(answers)
    return session, answers, events


STEADY = [5] * 150  # 3 s
STALL = [250, 250, 250, 250, 250, 40, 7, 1]  # 5 s of samples in pulls of at most one second
ONSETS = [200, 500, 1000, 1800, 2600]  # in the third and fourth the consumer stands still


def test_catching_up_processes_everything(model, tmp_path: Path) -> None:
    sizes = [*STEADY, *STALL, *[5] * 200]
    session, answers, events = decode(
        model, sizes, tmp_path, skip=False, onsets=ONSETS, chunks=(1, 64, 5000)
    )
    assert [answer.index for answer in answers] == ONSETS
    assert {answer.quality for answer in answers} == {1.0}
    assert session.counts["skipped_samples"] == 0
    assert "overrun" not in {event["event"] for event in events}
    assert session.footer()["backlog_ms"]["max"] == pytest.approx(1000.0, rel=0.05)


def test_skipping_drops_to_the_newest_hop_and_counts(model, tmp_path: Path) -> None:
    sizes = [*STEADY, *STALL, *[5] * 200]
    session, answers, events = decode(model, sizes, tmp_path, skip=True, onsets=ONSETS)
    behind = sum(STALL)
    overrun = next(event for event in events if event["event"] == "overrun")
    # the last block of more than a hop keeps its newest hop; the single sample after it is new
    assert overrun["n_skipped"] == session.counts["skipped_samples"] == behind - 1 - N_HOP
    assert session.n_samples == sum(sizes)
    by_onset = {answer.index: answer for answer in answers}
    assert sorted(by_onset) == ONSETS
    for onset in (1000, 1800):
        assert by_onset[onset].abstained
        assert "gap" in by_onset[onset].reasons
    assert by_onset[200].quality == 1.0


@pytest.mark.parametrize("skip", [False, True])
def test_what_waits_is_more_than_one_pull(model, tmp_path: Path, skip: bool) -> None:
    """Pulls of 100 ms, as they are at high rates, with three seconds waiting behind the first."""
    sizes = [*STEADY, *[25] * 30, 1, *[5] * 100]
    session, answers, events = decode(
        model, sizes, tmp_path, skip=skip, onsets=[500], left=25, max_behind=2.0
    )
    told = {event["event"]: event for event in events}
    assert told["behind"]["behind_ms"] == 3020.0
    assert told["caught_up"]["index"] > told["behind"]["index"] == 745
    assert session.footer()["backlog_ms"]["max"] == pytest.approx(3020.0, rel=0.05)
    assert session.counts["skipped_samples"] == (755 - N_HOP if skip else 0)
    assert [answer.quality for answer in answers] == [1.0]


def test_markers_of_what_was_skipped_say_so(model, tmp_path: Path) -> None:
    """15 s are skipped: more than the ring holds."""
    sizes = [*STEADY, *[250] * 15, 1, *[5] * 40]
    _, answers, events = decode(model, sizes, tmp_path, skip=True, onsets=[300, 900], wait=4.0)
    assert [answer.index for answer in answers] == [300]
    (lost,) = [event for event in events if event["event"] == "marker_lost"]
    assert lost["label"] == "900"
    assert lost["reason"] == "samples of its window were skipped: the decoder was behind"


@pytest.mark.slow
def test_a_burst_within_the_limit_is_no_overrun(model, tmp_path: Path) -> None:
    sizes = [*STEADY, 125, *[5] * 100]
    session, answers, _ = decode(model, sizes, tmp_path, skip=True, onsets=[500])
    assert session.counts["overruns"] == 0
    assert answers[0].quality == 1.0


def test_behind_at_the_end_of_the_stream(model, tmp_path: Path) -> None:
    session, _, events = decode(model, [*STEADY, 250, 250], tmp_path, skip=True, onsets=[500])
    assert session.n_samples == 1250
    assert [event["event"] for event in events][-1] == "lost"


@pytest.fixture
def amplifier(source_id: str) -> Iterator[threading.Thread]:
    """A stream in real time, from another thread, with a marker every second."""
    outlet = data_outlet("amplifier", RECORDING.info, source_id)
    marks = marker_outlet("stimuli", f"{source_id}-markers")
    over = threading.Event()

    def send() -> None:
        while not (outlet.have_consumers() and marks.have_consumers()):
            if over.wait(0.01):
                return
        start, at = local_clock(), 0
        while at < len(RECORDING.data) and not over.is_set():
            stop = min(len(RECORDING.data), int((local_clock() - start) * SFREQ))
            for row in range(at, stop):
                outlet.push_sample(RECORDING.data[row], start + row / SFREQ)
                if row % 250 == 125:
                    marks.push_sample([str(row)], start + row / SFREQ)
            at = stop
            over.wait(0.004)

    thread = threading.Thread(target=send)
    thread.start()
    yield thread
    over.set()
    thread.join()


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.parametrize("skip", [False, True])
def test_a_consumer_that_stands_still_for_five_seconds(
    model, source_id: str, amplifier, tmp_path: Path, skip: bool
) -> None:
    source = LslSource(resolve(source_id=source_id))
    markers = LslMarkers(resolve(source_id=f"{source_id}-markers"))
    recorder = Recorder(tmp_path / "record.xdf", source.info, source.name, markers.name)
    log = JsonlLog(tmp_path / "log.jsonl")
    answers: list[Readout] = []

    def slow(readout: Readout) -> None:
        answers.append(readout)
        if len(answers) == 3:
            time.sleep(5.0)  # what the test is about: a consumer that blocks the loop

    sinks = Sinks(on_readout=slow, recorder=recorder, log=log)
    session = Session(model, source, LiveOptions(skip=skip), markers=[markers], sinks=sinks)
    deadline = time.monotonic() + 40.0
    session.run(
        lambda: (
            (not amplifier.is_alive() and session.n_samples == len(RECORDING.data))
            or time.monotonic() > deadline
        )
    )
    session.close()
    recorder.close()
    log.close()
    assert session.n_samples == len(RECORDING.data)
    n_late = sum(answer.late for answer in answers)
    if skip:
        assert session.counts["overruns"] >= 1
        assert session.counts["skipped_samples"] > 3 * SFREQ
        assert any("gap" in answer.reasons for answer in answers)
        after = [answer for answer in answers if answer.index > answers[2].index + 7 * SFREQ]
        assert after
        assert not any(answer.late for answer in after)
    else:
        assert session.counts["skipped_samples"] == 0
        assert n_late >= 3
        assert {answer.quality for answer in answers} == {1.0}
    footer = lines(tmp_path / "log.jsonl")[-1]
    assert footer["n_late"] == n_late
    record = read_recording(tmp_path / "record.xdf")
    started = recorded_start(record)
    assert started is not None
    decoder = Decoder(model, record.info, PipelineOptions(started.rules))
    again = list(decode_recording(model, record, record.markers, chunk=33, decoder=decoder))
    assert timeless(again) == timeless(answers)
