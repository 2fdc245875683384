"""The parts of the live loop, each alone; `test_session` has them together, over LSL."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import MarkerCame, Start
from rt_decoder.files.read import read_recording
from rt_decoder.live.descriptors import DescriptorCheck
from rt_decoder.live.labels import LabelCheck
from rt_decoder.live.loss import has_replacement, wait_for_return
from rt_decoder.live.marker_reader import MarkerReader
from rt_decoder.live.overrun import skip_to_newest
from rt_decoder.live.receiver import Receiver
from rt_decoder.live.record_start import begin_record
from rt_decoder.live.report import report_decisions, report_markers, report_sinks
from rt_decoder.live.undisturbed import undisturbed
from rt_decoder.live.watchdog import Watchdog
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Marker, ModelMismatch, SignalInfo, StreamLost
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Pulled, Received
from rt_decoder.timing.markers import MarkerRules
from tests.small import CODES, random_model, small_recipe, small_recording

INFO = SignalInfo(100.0, ("Fz", "Cz"), ("eeg", "eeg"), ("V", "V"))


def received(*rows: int) -> Received:
    values = np.array(rows, float)
    return Received(values[:, None], values / 100, float(len(rows)), 0.5)


class Source:
    """Gives one sample a pull at set times of arrival; its clock runs on with each question."""

    name = "amplifier"

    def __init__(self, info: SignalInfo = INFO, arrivals: tuple[float, ...] = ()) -> None:
        self.info, self._arrivals = info, list(arrivals)
        self.n_asked = 0
        self.fails: list[Exception] = []
        self.is_open = self.is_closed = False

    def open(self, timeout: float = 5.0) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.is_open = True

    def close(self) -> None:
        self.is_closed = True

    def pull(self, timeout: float, n: int = 1) -> Pulled:
        arrival = self._arrivals.pop(0)
        got = int(arrival >= 0)  # nothing came before 0
        return Pulled(np.arange(2.0)[None, :][:got], np.full(got, arrival), arrival)

    def waiting(self) -> int:
        return 0

    def correction(self, timeout: float = 5.0) -> float:
        self.n_asked += 1
        return float(self.n_asked)


class Streams:
    """Gives back what it is told to; None where that is not there yet."""

    def __init__(self, sources: list[Any] = (), markers: list[Any] = ()) -> None:  # type: ignore[assignment]
        self._sources, self._markers = list(sources), list(markers)
        self.found: object | None = None
        self.why_not = ""

    def reopen(self, wait: float) -> Any:
        return self._sources.pop(0)

    def reopen_markers(self, number: int = 0) -> Any:
        return self._markers.pop(0)

    def replacement(self) -> object | None:
        return self.found

    def stop_looking(self) -> None:
        pass


# --- pulls


def test_a_pull_has_times_and_rows_and_memory_of_its_own() -> None:
    one = received(1, 2, 3)
    np.testing.assert_array_equal(one.times, [0.51, 0.52, 0.53])
    assert one.rows(None, -1).data.ravel().tolist() == [1, 2]
    assert np.shares_memory(one.rows(1, None).data, one.data)
    assert not np.shares_memory(one.copy().data, one.data)
    assert not np.shares_memory(one.copy().stamps, one.stamps)


def test_the_correction_is_asked_for_once_a_second() -> None:
    source = Source(arrivals=(-1.0, 0.0, 0.9, 1.0, 1.9, 2.0))
    receiver = Receiver()
    corrections = [receiver.pull(source, 0.0).correction for _ in range(6)]
    assert corrections == [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]  # nothing came at first
    receiver.restart(None)
    again = Source(arrivals=(2.1,))
    assert receiver.pull(again, 0.0).correction == 1.0


def test_channels_of_another_order_are_put_right_and_what_is_gone_is_nan() -> None:
    receiver = Receiver()
    receiver.restart(np.array([1, -1, 0]))
    data = receiver.pull(Source(arrivals=(0.0,)), 0.0).data
    np.testing.assert_array_equal(data, [[1.0, np.nan, 0.0]])


# --- a backlog


def skipped(first: Received, waiting: list[Received | StreamLost]) -> tuple[Any, list[float]]:
    rows: list[float] = []

    def pull(timeout: float) -> Received:
        assert timeout == 0.0
        found = waiting.pop(0)
        if isinstance(found, StreamLost):
            raise found
        return found

    def skip(part: Received) -> int:
        rows.extend(part.data.ravel())
        return len(part.stamps)

    return skip_to_newest(first, 2, pull, skip), rows


def test_all_but_the_newest_hop_is_skipped_in_order() -> None:
    newest, rows = skipped(received(0, 1, 2), [received(3, 4, 5, 6), received(7)])
    assert rows == [0, 1, 2, 3, 4]
    assert newest.n_skipped == 5
    assert newest.hop.data.ravel().tolist() == [5, 6]
    assert newest.after.data.ravel().tolist() == [7]
    assert newest.lost is None


def test_a_stream_that_is_lost_meanwhile_leaves_its_newest_hop() -> None:
    gone = StreamLost("gone")
    newest, rows = skipped(received(0, 1, 2), [gone])
    assert rows == [0]
    assert newest.hop.data.ravel().tolist() == [1, 2]
    assert len(newest.after.stamps) == 0
    assert newest.lost is gone


# --- loss and return


def test_a_stream_that_comes_back_is_opened_and_put_in_order() -> None:
    unwilling, good = Source(), Source(INFO.pick([1, 0]))
    unwilling.fails = [TimeoutError("not yet")]
    streams = Streams([None, unwilling, good])
    back = wait_for_return(streams, INFO, {"Fz", "Cz"}, lambda: False)
    assert back is not None
    assert back.source is good
    assert good.is_open
    np.testing.assert_array_equal(back.picks, [1, 0])


def test_a_stream_that_comes_back_changed_is_left() -> None:
    other = Source(INFO.pick([0]))
    with pytest.raises(ModelMismatch, match="no Cz"):
        wait_for_return(Streams([other]), INFO, {"Cz"}, lambda: False)
    assert other.is_closed
    assert not other.is_open


def test_nobody_waits_when_asked_to_stop() -> None:
    assert wait_for_return(Streams(), INFO, (), lambda: True) is None


def test_a_replacement_counts_after_two_seconds_of_silence() -> None:
    watchdog, streams = Watchdog(0.01), Streams()
    watchdog.connected(0.0)
    streams.found = object()
    assert not has_replacement(streams, watchdog, 3.0)  # not known to be silent
    assert watchdog.silent(1.0)
    assert not has_replacement(streams, watchdog, 1.9)
    assert has_replacement(streams, watchdog, 2.1)
    streams.found = None
    assert not has_replacement(streams, watchdog, 2.1)


# --- markers


class Markers:
    """Gives its answers one by one; an exception is raised."""

    name = "stimuli"

    def __init__(self, *answers: list[Marker] | StreamLost) -> None:
        self._answers = list(answers)

    def open(self, timeout: float = 5.0) -> None:
        pass

    def close(self) -> None:
        pass

    def pull(self) -> list[Marker]:
        answer = self._answers.pop(0)
        if isinstance(answer, StreamLost):
            raise answer
        return answer


def test_markers_are_lost_told_and_taken_up_again() -> None:
    counts: Counter[str] = Counter()
    told: list[tuple[str, dict[str, Any]]] = []
    axe, bee = Marker("axe", 1.0), Marker("bee", 2.0)
    reader = MarkerReader(
        Markers([axe], StreamLost("gone")), counts, lambda event, **what: told.append((event, what))
    )
    streams = Streams(markers=[None, Markers([bee, bee])])
    reader.open()
    assert reader.pull(streams) == [axe]
    assert reader.pull(streams) == []
    assert reader.pull(None) == []  # nobody to find them
    assert reader.pull(streams) == []
    assert reader.pull(streams) == []
    assert reader.pull(streams) == [bee, bee]
    reader.close()
    assert told == [
        ("markers_stream_lost", {"reason": "gone"}),
        ("markers_stream_returned", {"stream": "stimuli"}),
    ]
    assert counts == {"markers_received": 3, "markers_stream_lost": 1}


def test_a_session_without_markers_looks_for_none() -> None:
    reader = MarkerReader(None, Counter(), pytest.fail)
    reader.open()
    assert reader.pull(Streams()) == []
    reader.close()


def test_a_marker_stream_that_cannot_be_read_is_told_and_waited_for() -> None:
    class Refusing(Streams):
        def reopen_markers(self, number: int = 0) -> Any:
            answer = super().reopen_markers(number)
            if isinstance(answer, ValueError):
                raise answer
            return answer

    told: list[str] = []
    reader = MarkerReader(
        Markers(StreamLost("gone")), Counter(), lambda event, **_: told.append(event)
    )
    streams = Refusing(markers=[ValueError("which channel?"), Markers([Marker("axe", 1.0)])])
    for _ in range(3):
        assert reader.pull(streams) == []
    assert [marker.label for marker in reader.pull(streams)] == ["axe"]
    assert told == ["markers_stream_lost", "markers_refused", "markers_stream_returned"]


def test_why_a_stream_is_not_taken_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    streams = Streams([None, None, None, Source()])
    streams.why_not = "need just one, got 2"

    def tell(event: str, reason: str) -> None:
        told.append((event, reason))

    assert wait_for_return(streams, INFO, (), lambda: False, tell) is not None
    assert told == [("not_back", "need just one, got 2")]


# --- what is told


def test_labels_that_the_model_does_not_know_are_told_once_each() -> None:
    check = LabelCheck(["axe", "dog"])
    assert check.look([Marker("axe", 0.0)]) == (0, [])
    n, events = check.look([Marker("cat", 1.0), Marker("cat", 2.0), Marker("dog", 3.0)])
    assert n == 2
    ((event, details),) = events
    assert (event, details["label"]) == ("label_unknown", "cat")
    assert details["reason"] == "labels of this stream: cat, axe; of the model: axe, dog"
    n, events = check.look([Marker(f"key {number}", 4.0) for number in range(500)])
    assert (n, len(events)) == (500, 9)
    assert "further unknown labels are only counted" in events[-1][1]["reason"]
    assert "and 1 more" not in events[0][1]["reason"]
    assert LabelCheck(()).look([Marker("any", 0.0)]) == (0, [])


def test_running_out_of_descriptors_is_told_in_time(monkeypatch) -> None:
    n_open = 100
    monkeypatch.setattr("rt_decoder.live.descriptors.descriptors", lambda: (n_open, 1000))
    check = DescriptorCheck()
    assert check.look("live") == []
    n_open = 800
    assert check.look("stale") == []
    (many,) = check.look("live")
    assert many["reason"].startswith("800 of 1000 descriptors are in use")
    assert check.look("returned") == []
    n_open = 900
    assert len(check.look("returned")) == 1


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    recording = small_recording(seconds=10.0)
    options = PipelineOptions(MarkerRules(wait=0.5), True, ["repair", "mains"])
    decoder = Decoder(random_model(recording, small_recipe()), recording.info, options)
    rows = np.r_[0:1000, 1100:2000]
    decoder.mark(Marker("axe", 1.2))
    decoder.mark(Marker("nowhere", -50.0))
    decoder.push(recording.data[rows], recording.stamps[rows])
    return decoder


def test_markers_and_lost_samples_are_told_and_counted(decoder: Decoder) -> None:
    counts: Counter[str] = Counter()
    told: list[tuple[str, dict[str, Any]]] = []

    def tell(event: str, **details: Any) -> None:
        told.append((event, details))

    report_markers(decoder, counts, None, tell)
    report_decisions(decoder, counts, tell)
    report_markers(decoder, counts, None, tell)
    report_decisions(decoder, counts, tell)
    assert [event for event, _ in told] == ["marker_lost", "gap"]
    assert told[0][1]["label"] == "nowhere"
    assert told[1][1]["n_lost"] == 100
    assert counts == {"markers": 1, "markers_lost": 1, "gap": 1, "lost_samples": 100}


def test_a_sink_that_ended_is_told_once(tmp_path) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    counts: Counter[str] = Counter()
    told: list[str] = []
    record = Recorder(tmp_path / "r.xdf", INFO, "amp")
    record.put(fail)
    record.close()
    for _ in range(2):
        report_sinks(None, record, counts, lambda event, reason: told.append(event + reason[-6:]))
    assert told == ["record_endeddevice"]
    assert counts == {"record_ended": 1}


class Belt:
    """What a record asks of an auxiliary stream."""

    name, info = "belt", SignalInfo(25.0, ("belt",), ("resp",), ("n/a",))

    def pass_on(self, on_read: Any) -> None:
        self.on_read = on_read

    def describe(self) -> dict[str, Any]:
        return {"stream": "belt"}


def test_a_record_begins_with_how_the_session_starts(decoder: Decoder, tmp_path) -> None:
    path, belt, n = tmp_path / "r.xdf", Belt(), 0
    record = Recorder(path, INFO, "amp")
    begin_record(record, decoder, [belt], lambda: n)
    for n in (2, 4):
        record.pulled(Received(np.zeros((2, 2)), np.arange(n - 2, n) / 100, n / 100, 0.0))
        belt.on_read(Received(np.full((1, 1), n), np.array([n / 25]), n / 25, 0.0))
    record.marker(Marker("axe", 0.01), 1.0, n)
    record.close()
    rules = decoder.align.rules
    assert rules == MarkerRules(names=CODES, wait=0.5, fold=True)
    start = Start(0, rules, True, ("mains", "repair"), ({"stream": "belt"},))
    assert read_recording(path).decisions == (start, MarkerCame(4, "axe", 0.01))
    beside = read_recording(path, stream="belt")
    assert beside.data.ravel().tolist() == [2, 4]
    assert beside.pulls[:, 3].tolist() == [2, 4]


def test_the_interpreter_is_as_before_afterwards() -> None:
    switching, frozen = sys.getswitchinterval(), gc.get_freeze_count()

    def lose() -> None:
        with undisturbed():
            assert sys.getswitchinterval() < switching
            assert gc.get_freeze_count() > frozen
            raise StreamLost("gone")

    with pytest.raises(StreamLost):
        lose()
    assert sys.getswitchinterval() == switching
    assert gc.get_freeze_count() == 0
