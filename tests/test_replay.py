"""Replay over real LSL: every sample, every stamp, every marker, at its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.replay.plan import ReplayOptions, plan_of
from rt_decoder.replay.replay import Replayed, replay
from rt_decoder.signal import Marker, SignalInfo, StreamLost
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from tests.lsl_loopback import wait_for
from tests.small import small_recording

pytestmark = pytest.mark.lsl


def make_recording(n: int, sfreq: float, *, jitter: float = 0.0, gap_at: int = 0) -> Recording:
    """Sample numbers in the last channel; stamps with jitter that may run back, and a gap."""
    rng = np.random.default_rng(5)
    data = rng.normal(size=(n, 3)) * 1e-5
    data[:, 2] = np.arange(n)
    stamps = 5e5 + np.arange(n) / sfreq + rng.normal(size=n) * jitter
    if gap_at:
        stamps[gap_at:] += 0.15
    info = SignalInfo(sfreq, ("a", "b", "number"), ("eeg", "eeg", "misc"), ("V", "uV", "n/a"))
    rows = [0, 1, n // 2, n // 2, n - 1]
    markers = tuple(Marker(f"w{i}", float(stamps[row]), row) for i, row in enumerate(rows))
    return Recording(data, stamps, info, markers)


class Sender(threading.Thread):
    """`replay` in a thread; its result or its error is kept."""

    def __init__(
        self, recording: Recording, source_id: str, *, markers: Any = None, progress: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stop = threading.Event()
        self.result: Replayed | None = None
        self.error: BaseException | None = None
        self._work = lambda: replay(
            recording, markers, ReplayOptions(**kwargs), name="rec", source_id=source_id,
            should_stop=self.stop.is_set, progress=progress,
        )  # fmt: skip

    def run(self) -> None:
        try:
            self.result = self._work()
        except (TimeoutError, ValueError) as error:
            self.error = error


@contextmanager
def sending(recording: Recording, source_id: str, **kwargs: Any) -> Iterator[Sender]:
    sender = Sender(recording, source_id, **kwargs)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop.set()
        wait_for(lambda: not sender.is_alive())


class Reader:
    """Takes all that comes from a replay until it ends."""

    def __init__(self, source_id: str, *, with_markers: bool = True) -> None:
        self.source = LslSource(resolve(source_id=source_id, timeout=10))
        self.source.open()
        self.markers = None
        if with_markers:
            self.markers = LslMarkers(resolve(source_id=f"{source_id}-markers", timeout=10))
            self.markers.open()
        self.data: list[np.ndarray] = []
        self.stamps: list[np.ndarray] = []
        self.arrivals: list[float] = []
        self.marks: list[Marker] = []

    def step(self) -> int:
        data, stamps, arrival = self.source.pull(0.02)
        self.data.append(data.copy())
        self.stamps.append(stamps.copy())
        self.arrivals.extend([arrival] * len(stamps))
        if self.markers is not None:
            self.marks.extend(self.markers.pull())
        return len(self.arrivals)

    def until(self, n_samples: int, n_markers: int = 0) -> tuple[np.ndarray, np.ndarray]:
        wait_for(lambda: self.step() >= n_samples and len(self.marks) >= n_markers)
        return np.concatenate(self.data), np.concatenate(self.stamps)


@pytest.mark.parametrize(
    ("kwargs", "jitter"), [({}, 0.004), ({"chunk": 7}, 0.0), ({"speed": 5.0}, 0.004)]
)
def test_everything_arrives_as_recorded(source_id: str, kwargs: dict, jitter: float) -> None:
    recording = make_recording(128, 256.0, jitter=jitter, gap_at=100)
    told: list[int] = []
    with sending(recording, source_id, progress=told.append, **kwargs) as sender:
        reader = Reader(source_id)
        data, stamps = reader.until(128, len(recording.markers))
    np.testing.assert_array_equal(data, recording.data)  # bit for bit
    assert sender.result is not None
    assert sender.result[:3] == (128, 5, 0)
    assert told[-1] == 128
    assert stamps[0] == sender.result.start
    np.testing.assert_allclose(
        stamps - stamps[0], recording.stamps - recording.stamps[0], rtol=0, atol=1e-9
    )
    assert sorted(m.label for m in reader.marks) == [m.label for m in recording.markers]
    # of a marker at a sample's stamp the very stamp, not one near it
    assert sorted(m.time for m in reader.marks) == sorted(
        stamps[m.index] for m in recording.markers
    )
    if not kwargs:  # at its time: never early, and on average hardly late
        late = np.array(reader.arrivals) - np.maximum.accumulate(stamps)
        assert late.min() > -1e-6
        assert np.median(late) < 0.02
    if "speed" in kwargs:
        assert reader.arrivals[-1] - reader.arrivals[0] < 0.5 * (stamps[-1] - stamps[0])


@pytest.mark.slow
def test_sample_numbers_show_no_loss_and_no_duplicate(source_id: str) -> None:
    """Two seconds at 1 kHz, three streams at once that are pushed in chunks of 1, 10 and 37."""
    recording = make_recording(2000, 1000.0)
    ids = {chunk: f"{source_id}-{chunk}" for chunk in (1, 10, 37)}
    senders = [Sender(recording, name, chunk=chunk, linger=5.0) for chunk, name in ids.items()]
    for sender in senders:
        sender.start()
    try:
        readers = [Reader(name) for name in ids.values()]
        wait_for(lambda: all([reader.step() >= 2000 for reader in readers]))  # noqa: C419
    finally:
        for sender in senders:
            sender.stop.set()
        wait_for(lambda: not any(sender.is_alive() for sender in senders))
    for reader in readers:
        numbers = np.concatenate(reader.data)[:, 2]
        np.testing.assert_array_equal(numbers, np.arange(2000))


def test_it_waits_for_both_streams(source_id: str) -> None:
    recording = make_recording(50, 250.0)
    with sending(recording, source_id) as sender:
        reader = Reader(source_id, with_markers=False)
        assert all(reader.step() == 0 for _ in range(10))  # data alone is not enough
        reader.markers = LslMarkers(resolve(source_id=f"{source_id}-markers"))
        reader.markers.open()
        data, _ = reader.until(50, 5)
    np.testing.assert_array_equal(data, recording.data)
    assert sender.result is not None


def test_without_markers_it_waits_for_the_data_only(source_id: str) -> None:
    recording = make_recording(50, 250.0)
    with sending(recording, source_id, markers=()):
        data, _ = Reader(source_id, with_markers=False).until(50)
    np.testing.assert_array_equal(data, recording.data)


def test_after_the_wait_a_consumer_of_the_data_is_enough(source_id: str) -> None:
    recording = make_recording(50, 250.0)
    with sending(recording, source_id, wait=1.0) as sender:
        data, _ = Reader(source_id, with_markers=False).until(50)
    np.testing.assert_array_equal(data, recording.data)
    assert sender.result is not None


def test_a_stream_without_consumers_times_out(source_id: str) -> None:
    recording = make_recording(50, 250.0)
    with pytest.raises(TimeoutError, match="need a consumer of stream 'rec'"):
        replay(recording, options=ReplayOptions(wait=0.05), name="rec", source_id=source_id)
    stopped = replay(recording, name="rec", source_id=source_id, should_stop=lambda: True)
    assert stopped[:2] == (0, 0)


def test_markers_keep_their_own_time(source_id: str) -> None:
    recording = make_recording(50, 250.0)
    times = recording.stamps[[0, 20, 20]] + np.array([-9.0, 0.0011, -0.0019])
    markers = [Marker(str(i), float(t)) for i, t in enumerate(times)]
    with sending(recording, source_id, markers=markers) as sender:
        reader = Reader(source_id)
        _, stamps = reader.until(50, 2)
    assert [m.label for m in reader.marks] == ["2", "1"]  # in order of time
    np.testing.assert_allclose(
        [m.time - stamps[20] for m in reader.marks], [-0.0019, 0.0011], rtol=0, atol=1e-9
    )
    assert sender.result is not None
    assert sender.result.n_outside == 1


def test_a_marker_follows_the_newest_sample_at_once(source_id: str, monkeypatch) -> None:
    """On the wire no other sample comes between, however many were due together."""
    pushed: list[int | str] = []

    class Outlet:
        def have_consumers(self) -> bool:
            return True

        def push_chunk(self, data: np.ndarray, stamps: list[float]) -> None:
            assert len(data) == len(stamps)
            pushed.extend(int(row[2]) for row in data)

        def push_sample(self, sample: list[str], stamp: float) -> None:
            pushed.append(sample[0])

    monkeypatch.setattr("rt_decoder.replay.replay.data_outlet", lambda *_: Outlet())
    monkeypatch.setattr("rt_decoder.replay.replay.marker_outlet", lambda *_: Outlet())
    recording = make_recording(6, 1000.0)
    options = ReplayOptions(chunk=4, linger=0.0)
    replay(recording, options=options, name="rec", source_id=source_id)
    assert pushed == [0, "w0", 1, "w1", 2, 3, "w2", "w3", 4, 5, "w4"]


@pytest.mark.slow
def test_it_closes_only_after_all_is_read(source_id: str) -> None:
    recording = make_recording(50, 500.0)
    with sending(recording, source_id, linger=0.5):
        reader = Reader(source_id)
        data, _ = reader.until(50, 5)
        ended = time.monotonic()
        with pytest.raises(StreamLost):
            wait_for(lambda: reader.step() < 0)
        assert time.monotonic() - ended > 0.3
    np.testing.assert_array_equal(data, recording.data)


@pytest.mark.parametrize(("kwargs", "why"), [({"speed": 0.0}, "speed"), ({"chunk": 0}, "sample")])
def test_bad_calls(source_id: str, kwargs: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ReplayOptions(**kwargs)
    empty = make_recording(50, 100.0)
    empty = Recording(empty.data[:0], empty.stamps[:0], empty.info)
    with pytest.raises(ValueError, match="empty"):
        replay(empty, name="rec", source_id=source_id)


@pytest.mark.realdata
def test_a_real_run_with_its_jitter(data_dir, source_id: str) -> None:
    path = data_dir / "muse" / "SSVEP" / "data_2017-09-14-21.20.04.csv"
    whole = read_recording(path, units="microvolts")
    n = 1024
    markers = tuple(m for m in whole.markers if m.index < n)
    recording = Recording(whole.data[:n], whole.stamps[:n], whole.info, markers)
    with sending(recording, source_id, speed=8.0) as sender:
        reader = Reader(source_id)
        data, stamps = reader.until(n, len(markers))
    np.testing.assert_array_equal(data, recording.data)
    np.testing.assert_allclose(np.diff(stamps), np.diff(recording.stamps), rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        [m.time - stamps[0] for m in reader.marks],
        [m.time - recording.stamps[0] for m in markers], rtol=0, atol=1e-9,
    )  # fmt: skip
    assert sender.result is not None


@pytest.mark.slow
def test_two_replays_begin_together(source_id: str) -> None:
    """As streams of one laboratory do: the second one waits for the readers of the first."""
    recording = make_recording(100, 500.0)
    began: list[float] = []
    together = threading.Barrier(2, lambda: began.append(local_clock()), timeout=30.0)

    def begin() -> float:
        together.wait()
        return began[0]

    with ExitStack() as stack:
        senders = [
            stack.enter_context(sending(recording, f"{source_id}-{i}", begin=begin))
            for i in range(2)
        ]
        readers = [Reader(f"{source_id}-{i}") for i in range(2)]
        for reader in readers:
            _, stamps = reader.until(len(recording.data))
            assert stamps[0] == began[0]
        wait_for(lambda: not any(sender.is_alive() for sender in senders))
        for sender in senders:
            assert sender.result is not None
            assert sender.result.start == began[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1.7e12, 5e8, 0.0])
@pytest.mark.parametrize("row", [0, 500, 999])
def test_an_odd_stamp_is_sent_in_its_turn(value: float, row: int) -> None:
    recording = small_recording(seconds=4.0)
    stamps = recording.stamps + 1e3
    stamps[row] = value
    markers = [Marker("axe", 1e3 + at) for at in (0.5, 2.5, 3.5)]
    plan, n_outside = plan_of(replace(recording, stamps=stamps), markers)
    if 0 < row < 999 or not abs(value) < 1e10:  # at an end, nothing tells a stray from a pause
        assert n_outside == 0
        assert plan.rows.tolist() == [125, 625, 875]
        assert np.abs(plan.due - np.arange(1000) / 250).max() < 0.01
        assert np.isnan(value) or plan.since[row] == pytest.approx(value - 1e3)
