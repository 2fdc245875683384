"""The live loop against real outlets on loopback: what it decodes, survives, counts and refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.decoder import Decoder
from rt_decoder.files.read import read_recording
from rt_decoder.files.steps import recorded_start
from rt_decoder.live.opening import open_session
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.run_options import RunOptions
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, ModelMismatch, Readout, SignalInfo, StreamLost
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import data_outlet, marker_outlet
from rt_decoder.sinks.record import Recorder
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from rt_decoder.sources.streams import LslStreams
from rt_decoder.timing.markers import MarkerRules
from tests.cleaned import fitted, scene
from tests.lsl_loopback import wait_for
from tests.small import CODES, lines, random_model, small_recipe, small_recording, timeless

pytestmark = pytest.mark.lsl

RECORDING = small_recording(seconds=12.0)
RULES = MarkerRules(names=CODES)
BY_CODE = LiveOptions(RULES)
CONTINUOUS = LiveOptions(RULES, continuous=True)


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(RECORDING, small_recipe())


class Amplifier:
    """An outlet that sends rows of `RECORDING`, permuted or in another unit if asked."""

    def __init__(self, source_id: str, info: SignalInfo = RECORDING.info, gain: float = 1.0):
        self.info, self.gain = info, gain
        self.picks = [RECORDING.info.ch_names.index(name) for name in info.ch_names]
        self.outlet: Any = data_outlet("amplifier", info, source_id)
        self.start = local_clock()

    def time(self, row: int) -> float:
        return self.start + row / self.info.sfreq

    def send(self, first: int, stop: int) -> None:
        data = np.ascontiguousarray(RECORDING.data[first:stop, self.picks]) * self.gain
        self.outlet.push_chunk(data, [self.time(row) for row in range(first, stop)])

    def close(self) -> None:
        self.outlet = None


class Running:
    """A session in a thread of its own."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answers: list[Readout] = []
        session.attach(replace(session.sinks, on_readout=self.answers.append))
        self.footer: dict[str, Any] = {}
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.footer = self.session.run(self._stop.is_set)
        except (ModelMismatch, StreamLost) as error:
            self.error = error

    def counts(self, name: str, n: int = 1) -> None:
        wait_for(lambda: self.session.counts[name] >= n or self.ended)
        assert self.session.counts[name] >= n, self.session.counts

    def has(self, n_samples: int) -> None:
        wait_for(lambda: self.session.n_samples >= n_samples or self.ended)
        assert self.session.n_samples == n_samples

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> dict[str, Any]:
        self._stop.set()
        wait_for(lambda: self.ended)
        return self.footer

    def fails(self) -> str:
        wait_for(lambda: self.ended)
        assert self.error is not None
        return str(self.error)


@pytest.fixture
def run(model: Model, source_id: str) -> Iterator[Callable[..., Running]]:
    """Start a session on the stream `source_id`, connected once it returns."""
    running: list[Running] = []

    def start(amplifier: Amplifier, options: LiveOptions = BY_CODE, **kwargs: Any) -> Running:
        source = LslSource(resolve(source_id=source_id))
        running.append(Running(Session(model, source, options, **kwargs)))
        wait_for(amplifier.outlet.have_consumers)
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def amplifier(source_id: str) -> Iterator[Amplifier]:
    amplifier = Amplifier(source_id)
    yield amplifier
    amplifier.close()


@pytest.fixture
def stimuli(source_id: str) -> tuple[Any, LslMarkers]:
    """Outlet and inlet of a marker stream."""
    outlet = marker_outlet("stimuli", f"{source_id}-markers")
    return outlet, LslMarkers(resolve(source_id=f"{source_id}-markers"))


def back(source_id: str) -> LslStreams:
    """Look for the stream again, as `run` does."""
    return LslStreams({"source_id": source_id})


def offline(
    model: Model, amplifier: Amplifier, rows: slice, marks: Sequence[tuple[str, int]], **kwargs: Any
) -> list[tuple[Any, ...]]:
    """Decode what the amplifier sent, from memory; no permutation, no gain."""
    stamps = np.array([amplifier.time(row) for row in range(rows.start, rows.stop)])
    recording = replace(RECORDING, data=RECORDING.data[rows], stamps=stamps, markers=())
    markers = [Marker(label, amplifier.time(row)) for label, row in marks]
    return timeless(
        list(decode_recording(model, recording, markers, PipelineOptions(RULES), **kwargs))
    )


def test_live_is_offline(model, amplifier, stimuli, run) -> None:
    """Chunks of any size, markers before or after their samples, two of them on one sample."""
    outlet, markers = stimuli
    early = LiveOptions(RULES._replace(wait=6.0))  # some come 4.4 s before their samples
    running = run(amplifier, early, markers=[markers])
    wait_for(outlet.have_consumers)
    marks = [("1", 300), ("2", 500), ("3", 500), ("12", 900), ("no code", 1100)]
    for label, row in (marks[3], marks[4], *marks[:3]):
        outlet.push_sample([label], amplifier.time(row))
    running.counts("markers_received", 5)
    rng, row = np.random.default_rng(0), 0
    while row < 1400:
        stop = min(1400, row + int(rng.integers(1, 90)))
        amplifier.send(row, stop)
        row = stop
        if row % 3 == 0:
            running.has(row)
    running.has(1400)
    running.counts("readouts", 5)
    assert timeless(running.answers) == offline(model, amplifier, slice(0, 1400), marks)
    assert [a.label for a in running.answers] == ["word0", "word1", "word2", "word11", "no code"]
    footer = running.stop()
    assert footer["counts"]["markers"] == 5
    assert footer["n_readouts"] == 5


def test_a_clean_stop_leaves_whole_lines_and_a_footer(amplifier, run, tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl")
    running = run(amplifier, CONTINUOUS, sinks=Sinks(log=log))
    amplifier.send(0, 500)
    running.has(500)
    footer = running.stop()
    log.close()
    written = lines(tmp_path / "log.jsonl")
    assert written[-1] == footer
    n_readouts = sum(line["type"] == "readout" for line in written)
    assert n_readouts == footer["n_readouts"] == footer["counts"]["readouts"] > 100
    assert footer["latency_ms"]["max"] is not None
    assert footer["n_dropped"] == 0


class Outlets:
    """Readouts as rows and texts get them, and when each row had left."""

    texts: Any = None

    def __init__(self) -> None:
        self.rows, self.told = list[tuple[Readout, float]](), list[Readout]()

    def push_scores(self, readout: Readout) -> None:
        self.rows.append((readout, local_clock()))

    def push_text(self, readout: Readout) -> None:
        self.told.append(readout)


def test_a_latency_ends_once_the_scores_have_left(amplifier, run, tmp_path: Path) -> None:
    log, outlets = JsonlLog(tmp_path / "log.jsonl"), Outlets()
    sinks = Sinks(log=log, outlets=outlets)  # type: ignore[arg-type]
    running = run(amplifier, CONTINUOUS, sinks=sinks)
    amplifier.send(0, 500)
    running.has(500)
    footer = running.stop()
    log.close()
    written = [line for line in lines(tmp_path / "log.jsonl") if line["type"] == "readout"]
    heard = running.answers
    assert len(heard) == len(written) > 100
    assert outlets.told == heard
    longest = 0.0
    for (row, left), whole, line in zip(outlets.rows, heard, written, strict=True):
        newest = row.time - 1e-3 * row.latency_ms
        assert newest + 1e-3 * whole.latency_ms >= left - 1e-9
        assert row == whole._replace(latency_ms=row.latency_ms, late=row.late)
        assert line["latency_ms"] == round(whole.latency_ms, 4)
        longest = max(longest, whole.latency_ms)
    assert footer["latency_ms"]["max"] == pytest.approx(longest, abs=1e-3)


def test_silence_is_an_event_once(amplifier, run, tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl")
    running = run(amplifier, sinks=Sinks(log=log))
    amplifier.send(0, 100)
    running.counts("stale")
    amplifier.send(100, 200)
    running.has(200)
    running.counts("stale", 2)
    assert running.stop()["counts"]["stale"] == 2
    log.close()
    events = [line for line in lines(tmp_path / "log.jsonl") if line["type"] == "event"]
    told = [(line["event"], line["index"]) for line in events]
    assert told == [("live", 0), ("stale", 100), ("live_again", 100), ("stale", 200)]
    assert all(0.2 < line["silent_s"] < 10.0 for line in events[1:])


# --- markers


def test_markers_that_cannot_be_decoded_are_counted(amplifier, stimuli, run, tmp_path) -> None:
    outlet, markers = stimuli
    log = JsonlLog(tmp_path / "log.jsonl")
    running = run(amplifier, markers=[markers], sinks=Sinks(log=log))
    wait_for(outlet.have_consumers)
    amplifier.send(0, 1000)
    running.has(1000)
    outlet.push_sample(["early"], amplifier.time(-50))
    outlet.push_sample(["late"], amplifier.time(20))  # its window has left the ring
    outlet.push_sample(["just in time"], amplifier.time(600))
    running.counts("markers_received", 3)
    amplifier.send(1000, 1010)
    running.counts("readouts")
    running.counts("markers_lost", 2)
    footer = running.stop()
    log.close()
    assert footer["counts"]["markers_lost"] == 2
    lost = {
        line["label"]: line["reason"]
        for line in lines(tmp_path / "log.jsonl")
        if line.get("event") == "marker_lost"
    }
    assert lost.keys() == {"early", "late"}
    assert "before the first sample" in lost["early"]
    assert [a.label for a in running.answers] == ["just in time"]


@pytest.mark.slow
def test_a_marker_stream_may_go_and_come_back(model, amplifier, source_id) -> None:
    """A stimulus program that is started anew between blocks; decoding goes on meanwhile."""
    name = f"{source_id}-stimuli"
    outlet: Any = marker_outlet(name, name)
    options = RunOptions(selection={"source_id": source_id}, markers=name)
    with ExitStack() as stack:
        running = Running(open_session(model, options, stack))
        stack.callback(running.stop)
        wait_for(lambda: outlet.have_consumers() and amplifier.outlet.have_consumers())
        outlet.push_sample(["1"], amplifier.time(100))
        running.counts("markers_received", 1)
        amplifier.send(0, 400)
        running.counts("readouts", 1)
        outlet = None
        running.counts("markers_stream_lost")
        amplifier.send(400, 900)
        running.has(900)
        outlet = marker_outlet(name, f"{name}-again")
        wait_for(outlet.have_consumers)
        outlet.push_sample(["2"], amplifier.time(1000))
        running.counts("markers_received", 2)
        amplifier.send(900, 1400)
        running.counts("readouts", 2)
    assert [(a.label, a.index) for a in running.answers] == [("word0", 100), ("word1", 1000)]


# --- the stream is lost


def test_loss_without_a_way_back_is_an_error(amplifier, run) -> None:
    running = run(amplifier)
    amplifier.send(0, 100)
    running.has(100)
    amplifier.close()
    assert "is lost" in running.fails()
    assert running.session.counts["lost"] == 1


def test_loss_may_be_the_end(amplifier, run) -> None:
    running = run(amplifier, LiveOptions(RULES, until_lost=True))
    amplifier.send(0, 100)
    running.has(100)
    amplifier.close()
    wait_for(lambda: running.ended)
    assert running.error is None
    assert running.footer["n_samples"] == 100


def shuffled() -> SignalInfo:
    """The recording's channels in another order."""
    return RECORDING.info.pick(np.random.default_rng(3).permutation(RECORDING.info.n_channels))


@pytest.mark.parametrize("trigger", [False, True])
def test_a_stream_that_comes_back_permuted_is_put_in_order(
    model, source_id, stimuli, tmp_path: Path, trigger: bool
) -> None:
    outlet, markers = stimuli
    first = Amplifier(source_id)
    record = Recorder(tmp_path / "record.xdf", first.info, "amplifier", "stimuli")
    rules = RULES._replace(trigger="TRIG" if trigger else "")
    session = Session(
        model, LslSource(resolve(source_id=source_id)), LiveOptions(rules),
        markers=[] if trigger else [markers], streams=back(source_id),
        sinks=Sinks(recorder=record),
    )  # fmt: skip
    running = Running(session)
    wait_for(first.outlet.have_consumers)
    events = [("1", 200), ("2", 590)]
    if not trigger:
        wait_for(outlet.have_consumers)
        for label, row in events:  # the second one's window will never be whole
            outlet.push_sample([label], first.time(row))
        running.counts("markers_received", len(events))
    first.send(0, 600)
    running.has(600)
    first.close()
    running.counts("lost")
    second = Amplifier(source_id, shuffled())
    wait_for(second.outlet.have_consumers)
    if not trigger:
        outlet.push_sample(["4"], second.time(300))
        running.counts("markers_received", len(events) + 1)
    second.send(0, 1200)
    running.has(1800)
    footer = running.stop()
    second.close()
    record.close()
    assert footer["counts"]["returned"] == 1
    if trigger:
        expected = [
            *by_trigger(model, first, slice(0, 600)), *by_trigger(model, second, slice(0, 1200))
        ]  # fmt: skip
    else:
        expected = [
            *offline(model, first, slice(0, 600), [("1", 200)]),
            *offline(model, second, slice(0, 1200), [("4", 300)]),
        ]
        assert footer["counts"]["markers_lost"] == 1
    live = timeless(running.answers)
    assert len(live) >= 2
    assert [row[1:] for row in live] == [row[1:] for row in expected]  # but for the number
    assert [a.seq for a in running.answers] == list(range(len(live)))
    assert decoded(model, tmp_path / "record.xdf") == live


def by_trigger(model: Model, amplifier: Amplifier, rows: slice) -> list[tuple[Any, ...]]:
    stamps = np.array([amplifier.time(row) for row in range(rows.start, rows.stop)])
    recording = replace(RECORDING, data=RECORDING.data[rows], stamps=stamps)
    options = PipelineOptions(RULES._replace(trigger="TRIG"))
    return timeless(list(decode_recording(model, recording, (), options)))


def decoded(model: Model, path: Path, chunk: int = 7) -> list[tuple[Any, ...]]:
    """Readouts of a session record, as `decode` gives them."""
    record = read_recording(path)
    started = recorded_start(record)
    assert started is not None
    options = PipelineOptions(started.rules, started.continuous)
    decoder = Decoder(model, record.info, options)
    answers = decode_recording(model, record, record.markers, chunk=chunk, decoder=decoder)
    return timeless(list(answers))


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (replace(RECORDING.info, sfreq=500.0), "500 Hz"),
        (RECORDING.info.pick(range(3, 13)), "no Fz, no Cz, no Pz"),
        (replace(RECORDING.info, units=("T", *RECORDING.info.units[1:])), "Fz in T instead of V"),
    ],
)
def test_a_stream_that_comes_back_changed_is_refused(
    amplifier, run, source_id: str, info: SignalInfo, why: str
) -> None:
    running = run(amplifier, streams=back(source_id))
    amplifier.send(0, 100)
    running.has(100)
    amplifier.close()
    running.counts("lost")
    other = data_outlet("amplifier", info, source_id)
    assert why in running.fails()
    assert isinstance(running.error, ModelMismatch)
    del other


@pytest.mark.slow
def test_a_stop_is_heard_while_the_stream_is_away(amplifier, run, source_id: str) -> None:
    running = run(amplifier, streams=back(source_id))
    amplifier.send(0, 100)
    running.has(100)
    amplifier.close()
    running.counts("lost")
    assert running.stop()["n_samples"] == 100


# --- scale


@pytest.mark.parametrize(("gain", "n_off"), [(1e6, 8), (1e-3, 8), (1e6, 1), (1.0, 0)])
def test_the_scale_of_calibration_is_asked_for(
    model, source_id: str, monkeypatch, tmp_path: Path, gain: float, n_off: int
) -> None:
    monkeypatch.setattr("rt_decoder.cleaning.scale.CHECK_SECONDS", 1.0)
    amplifier = Amplifier(source_id)
    amplifier.gain = np.where(np.arange(RECORDING.info.n_channels) < n_off, gain, 1.0)
    log = JsonlLog(tmp_path / "log.jsonl")
    running = Running(Session(model, LslSource(resolve(source_id=source_id)), sinks=Sinks(log=log)))
    wait_for(amplifier.outlet.have_consumers)
    amplifier.send(0, 600)
    if n_off == 8:
        said = running.fails()
        assert "need the scale of calibration" in said
        assert "--units" in said
    else:
        running.has(600)
    running.stop()
    log.close()
    amplifier.close()
    written = lines(tmp_path / "log.jsonl")
    scale = [line["channels"] for line in written if line.get("event") == "scale"]
    assert len(scale) == (n_off == 1)
    assert written[-1]["type"] == "footer"


# --- arrival


def test_a_record_obeys_when_a_marker_came(model, amplifier, stimuli, run, tmp_path) -> None:
    """The later word was read out first, because its marker came first; so from the record."""
    outlet, markers = stimuli
    record = Recorder(tmp_path / "record.xdf", amplifier.info, "amplifier", "stimuli")
    running = run(amplifier, CONTINUOUS, markers=[markers], sinks=Sinks(recorder=record))
    wait_for(outlet.have_consumers)
    outlet.push_sample(["2"], amplifier.time(300))
    amplifier.send(0, 10)
    running.counts("markers_received", 1)
    amplifier.send(10, 600)
    running.has(600)
    outlet.push_sample(["1"], amplifier.time(200))
    running.counts("markers_received", 2)
    amplifier.send(600, 1000)
    running.has(1000)
    running.stop()
    record.close()
    events = [a.index for a in running.answers if a.kind == "event"]
    assert events == [300, 200]
    for chunk in (1, 64, 1000):
        assert decoded(model, tmp_path / "record.xdf", chunk) == timeless(running.answers)


def test_a_reference_that_rails_is_an_event_and_so_is_its_return(source_id: str) -> None:
    recording = scene()
    data = recording.data.copy()
    column = recording.info.ch_names.index("ECG")
    outlet: Any = data_outlet("amplifier", recording.info, source_id)
    running = Running(
        Session(fitted()[0], LslSource(resolve(source_id=source_id)), LiveOptions(RULES))
    )
    wait_for(outlet.have_consumers)
    start, row = local_clock(), 0

    def send_until(event: str, rails: bool) -> None:
        nonlocal row
        end = row + 10 * 250
        while running.session.counts[event] == 0 and row < end and not running.ended:
            part = data[row : row + 10].copy()
            if rails:
                part[:, column] = 0.3
            stamps = [start + (row + i) / 250.0 for i in range(10)]
            wait_for(lambda at=stamps[-1]: local_clock() >= at)
            outlet.push_chunk(part, stamps)
            row += 10
        running.counts(event)

    send_until("reference_unusable", rails=True)
    send_until("reference_usable", rails=False)
    assert running.session.counts["reference_unusable"] == 1  # the belt is well
    running.stop()
