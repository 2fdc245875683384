"""Faults: their grammar, their effects on a timeline, and on real processes over LSL."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylsl import local_clock

from calibration.demo import save_recording
from rt_decoder.files.recording import Recording
from rt_decoder.replay.fault_plan import Schedule, corrupt, lives, schedule
from rt_decoder.replay.faults import Fault, parse_faults
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import Replayed, replay
from rt_decoder.signal import Marker, SignalInfo, StreamLost
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from rt_decoder.timing.matching import match_channels
from tests.lsl_loopback import wait_for
from tests.small import call, finish, start

SFREQ = 250.0
MANY = (
    "loss=0.1s@10,stall=2s@20,step=+0.5s@30,nan=50ms@50,rail=1s@55,kill=5s@60,permute@80,"
    "jitter=4ms,burst=16,drift=200ppm"
)

# --- the grammar


def test_many_faults_in_one_text() -> None:
    assert {fault.kind: fault[1:] for fault in parse_faults(MANY)} == {
        "loss": (0.1, 10.0), "stall": (2.0, 20.0), "step": (0.5, 30.0), "nan": (0.05, 50.0),
        "rail": (1.0, 55.0), "kill": (5.0, 60.0), "permute": (1.0, 80.0), "jitter": (0.004, 0.0),
        "burst": (16.0, 0.0), "drift": (pytest.approx(2e-4), 0.0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("step=-20ms@1.5", Fault("step", -0.02, 1.5)),
        (" drift=-5ppm ", Fault("drift", pytest.approx(-5e-6))),  # type: ignore[arg-type]
        ("hang=2s@4s", Fault("hang", 2.0, 4.0)),
        ("silent=.5s@0", Fault("silent", 0.5, 0.0)),
        ("rate@3", Fault("rate", 0.0, 3.0)),
        ("rate=500Hz@3", Fault("rate", 500.0, 3.0)),
        ("unit@3", Fault("unit", 1.0, 3.0)),
    ],
)
def test_each_form_of_a_fault(spec: str, fault: Fault) -> None:
    assert parse_faults(spec) == (fault,)


def test_faults_come_in_order_of_time_and_may_repeat() -> None:
    assert [fault.at for fault in parse_faults("loss=1s@9,nan=1s@3,loss=1s@1")] == [1, 3, 9]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "need a fault, got ''"),
        ("los=1s@2", "did you mean loss"),
        ("Kill=1s@2", "did you mean kill"),
        ("loss=1s@2,", "need a fault"),
        ("loss@2", "need an amount"),
        ("loss=1s", "need a time"),
        ("loss=1@2", "with unit s or ms"),
        ("loss=-1s@2", "above 0"),
        ("loss=1s@-2", "0 s or later"),
        ("loss=1s@2ms", "need a number"),
        ("loss=1es@2", "need a number"),
        ("loss=٣s@2", "need a number"),
        ("loss=1s@2@3", "need a number"),
        ("step=0s@2", "other than 0"),
        ("permute=1s@2", "no amount"),
        ("jitter=4ms@2", "no time"),
        ("jitter=4ms,jitter=5ms", "at most once"),
        ("burst=1.5", "whole number"),
        ("drift=20000ppm", "at most 10000ppm"),
        ("loss=" + "9" * 400 + "s@1", "need a number"),
        ("kill=5s@60,permute@62", "need kill@60 to end before permute@62"),
        ("permute@60,hang=1s@60.5", "need permute@60 to end before hang@60.5"),
    ],
)
def test_a_bad_spec_is_refused(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("'", ".")):
        parse_faults(spec)


PIECES = ["loss", "kill", "burst", "permute", "drift", "=", "@", ",", "1", "9" * 20, "s", "ms", "-"]


@settings(max_examples=300)
@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_parsed_or_refused_in_one_sentence(spec: str) -> None:
    try:
        faults = parse_faults(spec)
    except ValueError as error:
        said = str(error)
    else:
        said = "need" if all(np.isfinite(fault[1:]).all() for fault in faults) else "not finite"
    assert "need" in said
    assert len(said) < 700


# --- the schedule

durations = st.floats(0.001, 2.0)
times = st.floats(0.0, 7.9)
anything = st.lists(
    st.builds(Fault, st.sampled_from(["loss", "silent", "stall", "step"]), durations, times)
    | st.builds(Fault, st.just("jitter"), st.floats(0.0, 0.02), st.just(0.0))
    | st.builds(Fault, st.just("burst"), st.integers(1, 40).map(float), st.just(0.0))
    | st.builds(Fault, st.just("drift"), st.floats(-1e-3, 1e-3), st.just(0.0)),
    max_size=6,
    unique_by=lambda fault: fault.kind if fault.at == 0 else fault,
)
deaths = st.lists(
    st.tuples(st.sampled_from(["kill", "permute", "hang"]), st.floats(0.1, 1.0)), max_size=3
).map(lambda list_: [Fault(kind, d, 2.0 * i + 1) for i, (kind, d) in enumerate(list_)])


def since(n: int = 2000) -> np.ndarray:
    return np.arange(n) / SFREQ


def stamps_of(plan: Schedule) -> np.ndarray:
    return plan.stamps - plan.clock[plan.rows]


@settings(max_examples=150)
@given(anything, deaths, st.none() | st.integers(1, 50), st.integers(0, 9))
def test_every_sample_is_sent_once_in_order_or_lost_by_a_fault(
    faults: list[Fault], dead: list[Fault], chunk: int | None, seed: int
) -> None:
    faults = sorted([*faults, *dead], key=lambda fault: fault.at)
    kinds = {fault.kind for fault in faults}
    plan = schedule(since(), faults, chunk=chunk, seed=seed)
    assert (np.diff(plan.rows) > 0).all()
    assert (np.diff(plan.due) >= 0).all()
    assert (np.diff(plan.life) >= 0).all()
    assert (plan.due >= since()[plan.rows]).all()  # nothing is sent before it was taken
    lost = np.setdiff1d(np.arange(2000), plan.rows)
    losing = [fault for fault in faults if fault.death or fault.kind in ("loss", "silent")]
    if not losing:
        assert len(lost) == 0
    if not kinds & {"burst", "jitter", "stall", "hang"} and chunk is None:
        expected = [any(f.at <= t < f.end for f in losing) for t in since()]
        np.testing.assert_array_equal(lost, np.flatnonzero(expected))
    for fault in faults:  # the dead and the stopped send nothing
        if fault.process:
            assert not ((plan.due >= fault.at) & (plan.due < fault.end)).any()
    if "jitter" not in kinds:
        assert (stamps_of(plan) == 0).all()
    if not kinds & {"step", "drift"}:
        np.testing.assert_array_equal(plan.clock, since())
    again = schedule(since(), faults, chunk=chunk, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(plan, again, strict=True))


def planned(spec: str, **kwargs: Any) -> Schedule:
    return schedule(since(), parse_faults(spec), **kwargs)


def test_loss_and_silence_are_never_sent() -> None:
    for kind in ("loss", "silent"):
        plan = planned(f"{kind}=0.1s@2")
        np.testing.assert_array_equal(plan.rows, np.delete(np.arange(2000), np.arange(500, 525)))
        np.testing.assert_array_equal(plan.stamps, since()[plan.rows])
        np.testing.assert_array_equal(plan.due, since()[plan.rows])


def test_a_stall_is_late_with_the_stamps_it_had() -> None:
    for kind in ("stall", "hang"):
        plan = planned(f"{kind}=2s@2")
        np.testing.assert_array_equal(plan.stamps, since())
        expected = np.where((since() >= 2) & (since() < 4), 4.0, since())
        np.testing.assert_array_equal(plan.due, expected)


def test_a_step_and_a_drift_move_stamps_and_not_arrivals() -> None:
    plan = planned("step=-0.5s@3,drift=200ppm")
    np.testing.assert_array_equal(plan.due, since())
    np.testing.assert_allclose(
        plan.stamps, since() * 1.0002 - 0.5 * (since() >= 3), rtol=0, atol=1e-12
    )


def test_jitter_has_the_sigma_asked_for_and_one_error_a_burst() -> None:
    plan = planned("jitter=4ms", seed=3)
    error = stamps_of(plan)
    assert np.std(error) == pytest.approx(0.004, rel=0.1)
    assert abs(np.mean(error)) < 0.0005
    assert (plan.due >= plan.stamps).all()  # not before the time it bears
    assert (stamps_of(planned("jitter=4ms", seed=4)) != error).all()
    error = stamps_of(planned("jitter=4ms,burst=16"))
    np.testing.assert_allclose(np.diff(error.reshape(-1, 16), axis=1), 0, rtol=0, atol=1e-12)
    assert np.std(error) > 0.002
    np.testing.assert_array_equal(
        planned("jitter=4ms", chunk=16).stamps, planned("jitter=4ms").stamps
    )


def test_a_burst_is_sent_when_its_last_is_due() -> None:
    plan = planned("burst=16", chunk=3)
    np.testing.assert_array_equal(plan.due.reshape(-1, 16), since()[15::16, None].repeat(16, 1))
    np.testing.assert_array_equal(plan.stamps, since())
    np.testing.assert_array_equal(planned("unit@1", chunk=7).due[:8], [*[6 / 250] * 7, 13 / 250])


def test_each_death_starts_another_process() -> None:
    plan = planned("kill=1s@2,permute@4,hang=1s@6")
    assert np.bincount(plan.life).tolist() == [500, 250, 750]


def test_a_fault_after_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match=r"within the recording's 7\.996 s, got loss@8"):
        planned("loss=1s@8")


# --- values and lives

INFO = SignalInfo(
    SFREQ, ("a", "b", "c", "TRIG"), ("eeg", "eeg", "grad", "stim"), ("uV", "V", "T/m", "n/a")
)


def test_values_go_bad_where_and_only_where_asked() -> None:
    data = np.random.default_rng(0).normal(size=(2000, 4))
    before = data.copy()
    bad = corrupt(data, since(), INFO, parse_faults("nan=40ms@2,rail=1s@3,loss=1s@5,invert=1s@6"))
    np.testing.assert_array_equal(data, before)
    assert np.isnan(bad[500:510, :3]).all()
    np.testing.assert_array_equal(
        bad[750:1000, :3], np.tile(10 * abs(data[:, :3]).max(0), (250, 1))
    )
    np.testing.assert_array_equal(bad[:, 3], data[:, 3])
    np.testing.assert_array_equal(bad[1500:1750, :3], -data[1500:1750, :3])
    good = np.r_[0:500, 510:750, 1000:1500, 1750:2000]
    np.testing.assert_array_equal(bad[good], data[good])


def test_values_are_of_another_size_or_channel_where_asked() -> None:
    data = np.random.default_rng(0).normal(size=(2000, 4))
    bad = corrupt(data, since(), INFO, parse_faults("gain=1s@2,swap=1s@4"))
    np.testing.assert_array_equal(bad[500:750, :3], 6.0 * data[500:750, :3])
    np.testing.assert_array_equal(bad[1000:1250, :3], data[1000:1250][:, [1, 2, 0]])
    np.testing.assert_array_equal(bad[:, 3], data[:, 3])
    good = np.r_[0:500, 750:1000, 1250:2000]
    np.testing.assert_array_equal(bad[good], data[good])
    with pytest.raises(ValueError, match="need two channels"):
        corrupt(data[:, [0, 3]], since(), INFO.pick([0, 3]), parse_faults("swap=1s@4"))


def test_each_life_builds_on_the_one_before() -> None:
    first, second, third, fourth, fifth = lives(
        INFO, parse_faults("kill=1s@1,permute@3,rate@5,unit@7"), seed=1
    )
    assert first.info is INFO
    assert (second.info.ch_names, second.info.units) == (INFO.ch_names, INFO.units)
    np.testing.assert_array_equal(second.picks, np.arange(4))
    assert all(a != b for a, b in zip(third.info.ch_names, INFO.ch_names, strict=True))
    assert [INFO.ch_names[i] for i in third.picks] == list(third.info.ch_names)
    picks, _ = match_channels(third.info, INFO)
    np.testing.assert_array_equal(third.picks[picks], np.arange(4))
    assert (fourth.info.sfreq, fourth.info.ch_names) == (500.0, third.info.ch_names)
    units = dict(zip(fifth.info.ch_names, fifth.info.units, strict=True))
    assert units == {"a": "V", "b": "uV", "c": "fT/cm", "TRIG": "n/a"}
    others = [lives(INFO, parse_faults("permute@3"), seed=seed)[1].picks for seed in range(9)]
    assert len({tuple(picks) for picks in others}) > 1
    assert lives(INFO, parse_faults("rate=300@3"))[1].info.sfreq == 300.0


def test_a_fault_that_the_channels_do_not_allow_is_refused() -> None:
    with pytest.raises(ValueError, match="two channels"):
        lives(INFO.pick([0]), parse_faults("permute@3"))
    with pytest.raises(ValueError, match="need a unit to change"):
        lives(INFO.pick([3]), parse_faults("unit@3"))


# --- over real LSL


def make_recording(seconds: float = 3.0) -> Recording:
    n = round(seconds * SFREQ)
    data = np.random.default_rng(5).normal(size=(n, 4))
    data[:, 3] = np.arange(n)  # the trigger channel counts samples
    rows = range(50, n, 100)
    markers = tuple(Marker(f"w{row}", row / SFREQ, row) for row in rows)
    return Recording(data, np.arange(n) / SFREQ, INFO, markers, name="rec")


class Reader:
    """Takes what a replay with faults sends; connects anew after each loss."""

    def __init__(self, source_id: str, recording: Recording, spec: str, **kwargs: Any) -> None:
        self.recording, self.source_id = recording, source_id
        self.stop = threading.Event()
        self.results: list[Replayed] = []
        self._thread = threading.Thread(
            target=lambda: self.results.append(
                replay(
                    recording, options=ReplayOptions(faults=parse_faults(spec), **kwargs),
                    name="faulty", source_id=source_id, should_stop=self.stop.is_set,
                )
            )
        )  # fmt: skip
        self._thread.start()
        self.infos: list[SignalInfo] = []
        self.source: LslSource | None = None
        self.rows: list[int] = []
        self.stamps: list[float] = []
        self.arrivals: list[float] = []
        self.lost: list[float] = []
        self.marks: list[Marker] = []
        wait_for(self._connect)
        self.markers = LslMarkers(resolve(source_id=f"{source_id}-markers", timeout=20))
        self.markers.open()

    def _connect(self) -> bool:
        found = pylsl.resolve_byprop("source_id", self.source_id, 1, 0.3)
        if not found:
            return False
        try:
            source = LslSource(found[0])
            source.open()
        except (TimeoutError, StreamLost):
            return False
        self.infos.append(source.info)
        self.source = source
        return True

    def step(self) -> bool:
        """Whether the replay is over; checks each value that came."""
        if self.source is None:
            self._connect()
        else:
            self._take(self.source)
        with suppress(StreamLost):  # the replay is over
            self.marks.extend(self.markers.pull())
        return not self._thread.is_alive()

    def _take(self, source: LslSource) -> None:
        try:
            data, stamps, arrival = source.pull(0.02)
        except StreamLost:
            self.lost.append(local_clock())
            self.source = None
            return
        picks, _ = match_channels(source.info, INFO)
        rows = data[:, picks[3]].astype(int)
        np.testing.assert_array_equal(data[:, picks], self.recording.data[rows])
        self.rows += rows.tolist()
        self.stamps += stamps.tolist()
        self.arrivals += [arrival] * len(stamps)

    def finish(self, deadline: float = 120.0) -> Replayed:
        """Read to the last sample and marker; the replay need not linger then."""
        wait_for(lambda: self.step() or self._has_all(), deadline)
        self.stop.set()
        wait_for(self.step, deadline)
        self._thread.join()
        assert self.results, "the replay failed"
        return self.results[0]

    def _has_all(self) -> bool:
        last, n_marks = len(self.recording.data) - 1, len(self.recording.markers)
        return self.rows[-1:] == [last] and len(self.marks) == n_marks

    def close(self) -> None:
        self.stop.set()
        wait_for(lambda: not self._thread.is_alive())


def processes_of(source_id: str) -> list[str]:
    """Processes that bear the id in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if source_id.encode() in line and b"outlet_process" in line:
            found.append(folder.name)
    return found


@pytest.fixture
def reading(source_id: str) -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def begin(spec: str, seconds: float = 3.0, **kwargs: Any) -> Reader:
        kwargs.setdefault("linger", 60.0)  # until all has been read: see `Reader.finish`
        readers.append(Reader(source_id, make_recording(seconds), spec, **kwargs))
        return readers[-1]

    yield begin
    for reader in readers:
        reader.close()
    assert processes_of(source_id) == []


@pytest.mark.slow
@pytest.mark.lsl
def test_the_planned_samples_and_stamps_arrive(reading: Callable[..., Reader]) -> None:
    spec = "loss=0.1s@0.5,stall=0.4s@1,step=+0.5s@2,jitter=1ms"
    reader = reading(spec, seed=7)
    result = reader.finish()
    plan = schedule(since(750), parse_faults(spec), seed=7)
    np.testing.assert_array_equal(reader.rows, plan.rows)
    np.testing.assert_array_equal(reader.stamps, plan.stamps + result.start)
    late = np.array(reader.arrivals) - result.start - plan.due
    assert late.min() > -1e-6
    assert np.median(late) < 1.0  # a machine under load is late by a part of that
    assert result[1:3] == (7, 0)
    assert 700 < result.n_samples <= 725  # ended by `finish`, it may not hear of its last chunk
    assert [mark.time for mark in reader.marks] == [
        plan.clock[row] + result.start for row in range(50, 750, 100)
    ]
    told = {fault["fault"]: fault for fault in result.faults}
    assert (told["loss"]["index"], told["loss"]["n_lost"]) == (125, 25)
    assert told["stall"]["n_lost"] == 0
    assert told["step"]["time"] == result.start + 2


@pytest.mark.slow
@pytest.mark.lsl
def test_a_killed_process_comes_back(reading: Callable[..., Reader]) -> None:
    # time enough after each to find the stream again on a loaded machine
    reader = reading("kill=0.5s@0.6,permute@8", seconds=16.0)
    result = reader.finish()
    kill, permute = result.faults
    assert len(reader.infos) == 3
    assert reader.infos[1].ch_names == INFO.ch_names
    assert set(reader.infos[2].ch_names) == set(INFO.ch_names)
    assert all(a != b for a, b in zip(reader.infos[2].ch_names, INFO.ch_names, strict=True))
    assert reader.rows == sorted(set(reader.rows))  # none twice, none mixed up
    # before the death without a hole; with it LSL drops what the reader has not pulled yet
    before = [row for row in reader.rows if row < 275]
    assert before == list(range(len(before)))
    assert 0 < len(before) <= 150
    assert not set(reader.rows) & {*range(150, 275), *range(2000, 2250)}
    assert reader.rows[-1] == 3999
    assert result.n_samples == 4000 - 125 - 250
    assert (kill["n_lost"], permute["n_lost"]) == (125, 250)
    for fault, lost in zip((kill, permute), reader.lost[:2], strict=True):
        assert -0.05 < lost - fault["time"] < 60.0
        assert fault["until"] > fault["time"]
    assert len(reader.marks) == result.n_markers == 40


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_stopped_process_goes_on(reading: Callable[..., Reader]) -> None:
    reader = reading("hang=3s@1", seconds=5.0)
    result = reader.finish()
    assert reader.rows == list(range(1250))
    assert len(reader.infos) == 1
    (hang,) = result.faults
    assert hang["until"] - hang["time"] > 2.9
    # what was sent before may be read late, and nothing comes before it wakes
    arrivals = np.array(reader.arrivals)
    assert not np.any((arrivals > hang["until"] - 1.0) & (arrivals < hang["until"] - 0.05))


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.parametrize("spec", ["hang=60s@1", "kill=60s@1"])
def test_a_stopped_replay_leaves_no_process(
    reading: Callable[..., Reader], spec: str, source_id: str
) -> None:
    reader = reading(spec)
    wait_for(lambda: reader.step() or len(reader.rows) >= 40)
    if sys.platform == "linux":
        assert processes_of(source_id)
    reader.stop.set()
    result = reader.finish(10.0)
    assert result.n_samples < 750


@pytest.mark.lsl
def test_bad_calls(source_id: str) -> None:
    recording = make_recording(1.0)
    call: dict[str, Any] = {"name": "faulty", "source_id": source_id}
    with pytest.raises(ValueError, match="within the recording"):
        replay(recording, options=ReplayOptions(faults=parse_faults("loss=1s@8")), **call)
    hang = ReplayOptions(faults=parse_faults("hang=1s@0"), wait=0.05)
    with pytest.raises(TimeoutError, match="need a consumer of stream 'faulty'"):
        replay(recording, options=hang, **call)
    assert processes_of(source_id) == []


@pytest.mark.lsl
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a stopped process may outlive it")
def test_no_process_outlives_a_replay_that_is_killed(tmp_path: Path, source_id: str) -> None:
    """Not even one that is stopped at that moment."""
    save_recording(make_recording(6.0), tmp_path / "rec.xdf")
    process = start(
        "replay", tmp_path / "rec.xdf", "--name", source_id, "--faults", "hang=60s@0.1",
        "--wait", "0",
    )  # fmt: skip
    stopped: list[str] = []
    try:
        stopped = wait_for(lambda: [p for p in processes_of(source_id) if _state(p) == "T"], 60.0)
        process.kill()
        wait_for(lambda: not processes_of(source_id))
    finally:
        for one in stopped:
            with suppress(ProcessLookupError):
                os.kill(int(one), signal.SIGKILL)
        finish(process)


def _state(process: str) -> str:
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.lsl
@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.slow
def test_the_command_line(tmp_path: Path, source_id: str, to_file: bool) -> None:
    save_recording(make_recording(6.0), tmp_path / "rec.xdf")
    log = tmp_path / "faults.json"
    process = start(
        "replay", tmp_path / "rec.xdf", "--name", source_id, "--faults", "loss=0.1s@0.5,nan=1s@1",
        "--seed", "3", "--wait", "0", "--speed", "10", *(("--faults-log", str(log)) if to_file else ()),
    )  # fmt: skip
    ran = finish(process)
    assert ran.code == 0, ran.err
    account = json.loads(log.read_text() if to_file else ran.out.splitlines()[-1])
    assert account["seed"] == 3
    assert [fault["fault"] for fault in account["faults"]] == ["loss", "nan"]
    assert account["faults"][0]["n_lost"] == 25
    assert account["n_samples"] + 25 == 250 * 6


@pytest.mark.parametrize(
    ("options", "why"),
    [(["--faults", "los=1s@2"], "did you mean loss"), (["--faults-log", "x"], "need --faults")],
)
def test_a_wrong_call_is_code_2(
    capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    ran = call(capsys, "replay", "rec.xdf", *options)
    assert ran.code == 2
    assert why in ran.err
