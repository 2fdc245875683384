"""The LSL source against outlets on loopback: values, selection, markers, loss."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest
from pylsl import local_clock

from rt_decoder.signal import Readout, SignalInfo, StreamLost
from rt_decoder.sinks.loopback import configure_loopback
from rt_decoder.sinks.outlets import ReadoutOutlets, data_outlet, marker_outlet
from rt_decoder.source import Pulled
from rt_decoder.sources.auxiliary.joined import JoinedSource
from rt_decoder.sources.lsl.find import find_streams, resolve
from rt_decoder.sources.lsl.inlet import Inlet, may_destroy
from rt_decoder.sources.lsl.marker_search import MarkerSearch
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from rt_decoder.sources.streams import LslStreams, ReferenceChoice, parse_reference
from rt_decoder.timing.markers import trigger_markers
from tests.lsl_loopback import wait_for

pytestmark = pytest.mark.lsl

REPO = Path(__file__).resolve().parents[1]
INFO = SignalInfo(250.0, ("Cz", "EOG1", "TRIG"), ("eeg", "eog", "stim"), ("microvolts", "V", "n/a"))
EXTREMES = {
    "double64": [np.nan, -np.inf, 5e-324, np.pi, -0.0, 2.0**53],
    "float32": [np.nan, np.inf, 1e-45, np.float32(np.pi), -0.0, 16777216.0],
    "int8": [-128, 127, 0, 1, -1, 7],
    "int16": [-32768, 32767, 0, 1, -1, 7],
    "int32": [-(2**31), 2**31 - 1, 2**24 + 1, 1, -1, 7],
    "int64": [-(2**53), 2**53 - 1, 2**24 + 1, 1, -1, 7],
}


def pull_rows(source: LslSource, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The next `n` samples at least, copied."""
    got: list[tuple[np.ndarray, np.ndarray]] = []

    def enough() -> bool:
        data, stamps, _ = source.pull(0.2)
        got.append((data.copy(), stamps.copy()))
        return sum(len(stamps) for _, stamps in got) >= n

    wait_for(enough)
    return np.concatenate([d for d, _ in got]), np.concatenate([s for _, s in got])


def connected(outlet: pylsl.StreamOutlet, source_id: str, **kwargs) -> LslSource:
    source = LslSource(resolve(source_id=source_id), **kwargs)
    source.open()
    wait_for(outlet.have_consumers)
    return source


def plain_outlet(source_id: str, *, kind="EEG", sfreq=250.0, fmt="float32", channels=()):
    """An outlet that describes `channels` (dicts), as other programs do: well or badly."""
    stream = pylsl.StreamInfo(source_id, kind, 2, sfreq, fmt, source_id)
    if channels:
        node = stream.desc().append_child("channels")
        for channel in channels:
            child = node.append_child("channel")
            for key, value in channel.items():
                child.append_child_value(key, value)
    return pylsl.StreamOutlet(stream)


@pytest.mark.parametrize("fmt", EXTREMES)
def test_every_format_arrives_exactly(source_id: str, fmt: str) -> None:
    outlet = data_outlet("formats", INFO, source_id, fmt)
    source = connected(outlet, source_id)
    values = np.array(EXTREMES[fmt], outlet.np_dtype).reshape(2, 3)
    stamps = [1000.25, 1000.125]  # raw: neither sorted nor evened out
    outlet.push_chunk(values, stamps)
    data, got = pull_rows(source, 2)
    assert source.format == fmt
    assert data.dtype == np.float64
    np.testing.assert_array_equal(data, values.astype(np.float64))
    np.testing.assert_array_equal(got, stamps)


def test_the_description_arrives_unchanged(source_id: str) -> None:
    outlet = data_outlet("described", INFO, source_id)
    source = LslSource(resolve(source_id=source_id))
    for field in ("sfreq", "ch_names", "ch_types", "units"):
        assert getattr(source.info, field) == getattr(INFO, field)
    (summary,) = [s for s in find_streams(1.0) if s.source_id == source_id]
    assert summary[:2] == ("described", "EEG")
    assert summary[3:6] == (3, 250.0, "microvolts, V, n/a")
    assert summary.format == "double64"
    del outlet


def test_nothing_to_pull_is_an_empty_answer(source_id: str) -> None:
    outlet = data_outlet("silent", INFO, source_id)
    source = connected(outlet, source_id)
    began = local_clock()
    data, stamps, arrival = source.pull(0.05)
    assert data.shape == (0, 3)
    assert stamps.shape == (0,)
    assert arrival - began >= 0.049


def test_backlog_comes_in_bounded_pieces(source_id: str) -> None:
    outlet = data_outlet("backlog", INFO, source_id)
    source = connected(outlet, source_id)
    numbers = np.arange(600.0)
    sent = 1000 + numbers / 250
    outlet.push_chunk(np.tile(numbers[:, None], 3), sent.tolist())
    wait_for(lambda: source._inlet.ask("samples_available") == 600)
    pieces: list[tuple[np.ndarray, np.ndarray]] = []
    while sum(len(stamps) for _, stamps in pieces) < 600:
        data, stamps, _ = source.pull(1.0)
        pieces.append((data[:, 2].copy(), stamps.copy()))
    assert [len(stamps) for _, stamps in pieces] == [250, 250, 100]  # a second's worth at most
    np.testing.assert_array_equal(np.concatenate([d for d, _ in pieces]), numbers)
    np.testing.assert_array_equal(np.concatenate([s for _, s in pieces]), sent)


def test_a_pull_waits_for_as_many_samples_as_are_wanted(source_id: str) -> None:
    outlet = data_outlet("wanted", INFO, source_id)
    source = connected(outlet, source_id)
    rows = np.tile(np.arange(12.0)[:, None], 3)
    outlet.push_chunk(rows[:3], 1.0)
    later = threading.Timer(0.1, outlet.push_chunk, (rows[3:7], 1.0))
    later.start()
    data, stamps, _ = source.pull(5.0, 5)
    assert len(stamps) in (5, 6, 7)  # those that have come meanwhile, too
    got = data[:, 0].tolist()
    later.join()
    wait_for(lambda: take(source, got, 1) or len(got) == 7)
    outlet.push_chunk(rows[7:9], 1.0)
    began = local_clock()
    take(source, got, 4)  # a timeout: what there is
    assert local_clock() - began >= 0.049
    assert got == list(range(9))


def take(source: LslSource, got: list[float], n: int) -> None:
    """Pull, and add the samples' numbers."""
    got += source.pull(0.05, n)[0][:, 0].tolist()


def test_pull_reuses_its_memory_and_lets_other_threads_run(source_id: str) -> None:
    outlet = data_outlet("memory", INFO, source_id)
    source = connected(outlet, source_id)
    answers: list[Pulled] = []
    waiting = threading.Thread(target=lambda: answers.append(source.pull(5.0)))
    waiting.start()
    for _ in range(1000):  # impossible while a blocked pull holds the interpreter
        time.sleep(0)
    assert not answers
    outlet.push_chunk(np.ones((1, 3)), [7.0])
    wait_for(lambda: not waiting.is_alive())
    assert answers
    outlet.push_chunk(np.full((1, 3), 2.0), [8.0])
    again = source.pull(5.0)
    assert np.shares_memory(answers[0].data, again.data)
    assert np.shares_memory(answers[0].stamps, again.stamps)


def test_clock_of_this_machine_needs_no_correction(source_id, monkeypatch) -> None:
    outlet = data_outlet("clock", INFO, source_id)
    source = connected(outlet, source_id)
    assert source.correction() == 0.0
    monkeypatch.setattr("socket.gethostname", lambda: "another machine")
    remote = connected(outlet, source_id)
    assert remote.correction() != 0.0
    assert abs(remote.correction()) < 0.1


# --- which stream


def test_no_stream_lists_what_is_there(source_id: str) -> None:
    outlet = data_outlet("there", INFO, source_id)
    with pytest.raises(
        LookupError, match=rf"(?s)need a stream with name='absent'.*{source_id}"
    ) as e:
        resolve(name="absent", timeout=0.2)
    assert "'there' (type EEG" in str(e.value)
    assert "3 channels, 250 Hz" in str(e.value)
    with pytest.raises(ValueError, match=r"need an XPath 1\.0 condition"):
        resolve(predicate="((", timeout=0.1)
    del outlet


def test_several_streams_say_what_separates_them(source_id: str) -> None:
    outlets = [data_outlet(source_id, INFO, f"{source_id}-{i}") for i in range(2)]
    with pytest.raises(LookupError, match=r"got 2: choose by source-id:\n  '.*\n  '"):
        resolve(name=source_id)
    assert resolve(source_id=f"{source_id}-1").source_id() == f"{source_id}-1"
    found = resolve(name=source_id, predicate=f"source_id='{source_id}-0'")
    assert found.source_id() == f"{source_id}-0"
    del outlets


def test_a_name_with_an_apostrophe(source_id: str) -> None:
    outlet = data_outlet("Ada's cap", INFO, source_id)
    assert resolve(name="Ada's cap", source_id=source_id).source_id() == source_id
    with pytest.raises(ValueError, match="both kinds of quotes"):
        resolve(name="""Ada's "cap\"""")
    del outlet


# --- which streams are refused, which need help


@pytest.mark.parametrize(
    ("kind", "sfreq", "fmt", "why"),
    [
        ("EEG", 0.0, "float32", "irregular rate"),
        ("Markers", 0.0, "string", "of text"),
        ("EEG", 250.0, "float32", "channel ch1 .*need a known unit"),
    ],
)
def test_refusals(source_id: str, kind: str, sfreq: float, fmt: str, why: str) -> None:
    outlet = plain_outlet(source_id, kind=kind, sfreq=sfreq, fmt=fmt)
    with pytest.raises(ValueError, match=why):
        LslSource(resolve(source_id=source_id))
    del outlet


def test_unit_by_hand(source_id: str) -> None:
    outlet = plain_outlet(source_id)
    info = LslSource(resolve(source_id=source_id), units="millivolts").info
    assert info.ch_names == ("ch1", "ch2")
    assert info.ch_types == ("eeg", "eeg")
    assert info.units == ("millivolts", "millivolts")
    with pytest.raises(ValueError, match="need a known unit, got 'parsecs'"):
        LslSource(resolve(source_id=source_id), units="parsecs")
    del outlet


def test_description_of_other_length_is_refused(source_id: str, tmp_path: Path) -> None:
    outlet = plain_outlet(source_id, channels=[{"label": "Cz", "unit": "microvolts"}])
    with pytest.raises(ValueError, match="need 2 channels described, got 1"):
        LslSource(resolve(source_id=source_id))
    table = tmp_path / "channels.tsv"
    table.write_text("stream name\tmodel name\ttype\tunit\nch1\tPz\teeg\tuV\nch2\tOz\teeg\tuV\n")
    info = LslSource(resolve(source_id=source_id), channels=table).info
    assert info.ch_names == ("Pz", "Oz")
    del outlet


# --- markers


def marker_stream(
    source_id: str, fmt: str, sfreq: float = 0.0, n: int = 1, labels: tuple[str, ...] = ()
):
    stream = pylsl.StreamInfo("marks", "Markers", n, sfreq, fmt, source_id)
    if labels:
        stream.set_channel_labels(list(labels))
    outlet = pylsl.StreamOutlet(stream)
    markers = LslMarkers(resolve(source_id=source_id))
    markers.open()
    wait_for(outlet.have_consumers)
    return outlet, markers


def pull_markers(markers: LslMarkers, n: int) -> list:
    got: list = []

    def enough() -> bool:
        got.extend(markers.pull())
        return len(got) >= n

    wait_for(enough)
    return got


def test_text_markers(source_id: str) -> None:
    outlet, markers = marker_stream(source_id, "string", n=2)
    sent = ["axe", "", "Säge", b"caf\xe9", "last"]
    for i, label in enumerate(sent):
        outlet.push_sample([label, "second channel"], 100.0 + i)
    got = pull_markers(markers, 5)
    assert [m.label for m in got] == ["axe", "second channel", "Säge", "café", "last"]
    assert [m.time for m in got] == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert {m.index for m in got} == {-1}
    assert markers.pull() == []


@pytest.mark.parametrize("fmt", ["int32", "double64"])
def test_numeric_markers(source_id: str, fmt: str) -> None:
    outlet, markers = marker_stream(source_id, fmt)
    values = [3, 3, 0, 16777217] + ([2.5, np.nan] if fmt == "double64" else []) + [9]
    for i, value in enumerate(values):
        outlet.push_sample([value], 100.0 + i)
    expected = ["3", "3", "0", "16777217"] + (["2.5"] if fmt == "double64" else []) + ["9"]
    assert [m.label for m in pull_markers(markers, len(expected))] == expected


def test_numbers_at_a_regular_rate_are_a_trigger_channel(source_id: str) -> None:
    outlet, markers = marker_stream(source_id, "int16", sfreq=100.0)
    line = np.array([0, 0, 4, 4, 4, 0, 4, 5, 5, 0], np.int16)
    outlet.push_chunk(line[:, None], (100 + np.arange(10) / 100).tolist())
    got = pull_markers(markers, 3)
    assert [(m.label, round(100 * (m.time - 100))) for m in got] == [("4", 2), ("4", 6), ("5", 7)]


def test_a_trigger_channel_is_read_as_in_a_file(source_id: str) -> None:
    """A code that is there already, NaN within one, and fractions: one rule, live and offline."""
    outlet, markers = marker_stream(source_id, "float32", sfreq=100.0)
    line = np.array([7, 7, 0, 4, np.nan, 4, 2.2, 2.9, 0, 5], np.float32)
    stamps = 100 + np.arange(10) / 100
    for row, stamp in zip(line, stamps.tolist(), strict=True):
        outlet.push_sample([row], stamp)
    got = [m.label for m in pull_markers(markers, 4)]
    assert got == [m.label for m in trigger_markers(line, stamps)] == ["4", "2", "3", "5"]


@pytest.mark.parametrize(
    ("fmt", "sfreq", "type_"),
    [("float32", 250, "EEG"), ("double64", 0, "ECG"), ("int16", 500, "eeg")],
)
def test_a_signal_is_no_marker_stream(source_id: str, fmt: str, sfreq: float, type_: str) -> None:
    """Named for markers it is refused; beside one of the same name it is left out."""
    info = pylsl.StreamInfo(source_id, type_, 1, sfreq, fmt, f"{source_id}-signal")
    amplifier = pylsl.StreamOutlet(info)
    said = f"need a marker stream .*, got '{source_id}', {fmt} of type {type_}"
    with pytest.raises(ValueError, match=said):
        MarkerSearch(source_id).find(30.0)
    beside = marker_outlet(source_id, f"{source_id}-words")
    wait_for(lambda: len(pylsl.resolve_byprop("name", source_id, 2, 1.0)) == 2)
    search = MarkerSearch(source_id)
    assert search.find(30.0).source_id == f"{source_id}-words"
    assert wait_for(search.again).source_id == f"{source_id}-words"
    del amplifier, beside


def test_channels_of_numbers_say_their_own_labels(source_id: str) -> None:
    """As mne-lsl sends annotations: a channel a description, in it the duration, or -1."""
    outlet, markers = marker_stream(source_id, "double64", n=3, labels=("rest", "axe", "dog"))
    for i, row in enumerate(([0, 1.5, 0], [-1, 0, 0], [0, 0, 0], [0, 2, 3], [np.nan, 0, 1])):
        outlet.push_sample(row, 100.0 + i)
    got = pull_markers(markers, 5)
    assert [(m.label, m.time) for m in got] == [
        ("axe", 100.0), ("rest", 101.0), ("axe", 103.0), ("dog", 103.0), ("dog", 104.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sfreq", "labels"), [(0, ()), (0, ("axe", "axe")), (0, ("axe", "")), (100, ("axe", "dog"))]
)
def test_channels_whose_labels_are_unknown_are_refused(source_id: str, sfreq, labels) -> None:
    with pytest.raises(ValueError, match=r"got 2 channels of numbers in 'marks'"):
        marker_stream(source_id, "float32", sfreq, 2, labels)


def test_more_markers_than_one_pull_takes(source_id: str) -> None:
    outlet = marker_outlet("many", source_id)
    markers = LslMarkers(resolve(source_id=source_id))
    markers.open()
    wait_for(outlet.have_consumers)
    for i in range(200):
        outlet.push_sample([str(i)], 100.0 + i)
    assert [m.label for m in pull_markers(markers, 200)] == [str(i) for i in range(200)]


# --- loss


def test_a_closed_outlet_is_lost(source_id: str) -> None:
    outlet = data_outlet("closing", INFO, source_id)
    source = connected(outlet, source_id)
    mark_outlet, markers = marker_stream(f"{source_id}-m", "string")
    del outlet, mark_outlet
    with pytest.raises(StreamLost, match="'closing' is lost"):
        wait_for(lambda: source.pull(0.05).stamps.size)
    with pytest.raises(StreamLost, match="'marks' is lost"):
        wait_for(markers.pull)
    for _ in range(2):  # and stays so
        with pytest.raises(StreamLost):
            source.pull(0.0)
        with pytest.raises(StreamLost):
            markers.pull()
    source.close()
    with pytest.raises(StreamLost):
        source.open()


KILLED = """
import pylsl, sys, time
outlet = pylsl.StreamOutlet(pylsl.StreamInfo("killed", "EEG", 2, 100, "float32", sys.argv[1]))
while True:
    outlet.push_sample([1, 2])
    time.sleep(0.01)
"""
# A decoder that loses its stream and ends: liblsl used to abort such a process.
VICTIM = """
import sys
from rt_decoder.signal import StreamLost
from rt_decoder.sources.lsl.source import LslSource, resolve
source = LslSource(resolve(source_id=sys.argv[1], timeout=20), units="uV")
source.open()
print("open", len(source.pull(10).stamps), flush=True)
try:
    while True:
        source.pull(0.05)
except StreamLost:
    print("lost", flush=True)
"""


def test_a_killed_sender_is_noticed_and_its_reader_ends_well(source_id: str) -> None:
    sender = subprocess.Popen([sys.executable, "-c", KILLED, source_id], cwd=REPO)
    try:
        source = LslSource(resolve(source_id=source_id, timeout=20), units="uV")
        source.open()
        wait_for(lambda: source.pull(0.5).stamps.size)
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, source_id], cwd=REPO, stdout=subprocess.PIPE, text=True
        ) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline().startswith("open")
            sender.kill()
            killed = time.monotonic()
            with pytest.raises(StreamLost):
                wait_for(lambda: source.pull(0.05).stamps.size == -1)
            assert time.monotonic() - killed < 2.0  # liblsl's own watchdog needs 15 to 30 s
            assert victim.stdout.read() == "lost\n"
        assert victim.returncode == 0
    finally:
        sender.kill()
        sender.wait()


def in_the_place_of(stream: pylsl.StreamInfo) -> pylsl.StreamInfo:
    """What a search found before this outlet took the port of one that has ended."""
    xml = stream.as_xml().replace(stream.uid(), "00000000-0000-4000-8000-000000000000")
    read = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(
        ("lsl_streaminfo_from_xml", pylsl.lib.lib)
    )
    return pylsl.StreamInfo(handle=read(xml.encode()))


def test_another_outlet_in_the_same_place_is_not_taken_for_it(source_id: str, monkeypatch) -> None:
    outlet, marks = plain_outlet(source_id, fmt="int8"), marker_outlet(source_id, f"{source_id}-m")
    streams = LslStreams({"source_id": source_id}, units="uV")
    source = streams.samples()
    stale = in_the_place_of(resolve(source_id=source_id))
    stale_marks = in_the_place_of(resolve(source_id=f"{source_id}-m"))
    for kind, stream in ((LslSource, stale), (LslMarkers, stale_marks)):
        with pytest.raises(StreamLost, match="is gone: another outlet"):
            kind(stream)
    monkeypatch.setattr("rt_decoder.sources.streams.resolve", lambda **_: stale)
    assert streams.reopen(0.1) is None
    assert "another outlet" in streams.why_not
    monkeypatch.undo()
    again = streams.reopen(1.0)
    assert again is not None
    assert again.uid == source.uid
    del outlet, marks


def test_lost_streams_leave_nothing_behind(source_id: str) -> None:
    """Each used to leave seven descriptors and a thread until the process ended."""
    here = Path("/proc/self")
    if not (here / "fd").is_dir():
        pytest.skip("needs /proc")
    had: list[tuple[int, int]] = []
    for number in range(5):
        outlet = data_outlet("losing", INFO, f"{source_id}-{number}")
        source = connected(outlet, f"{source_id}-{number}")
        del outlet
        with pytest.raises(StreamLost):
            wait_for(lambda: source.pull(0.05).stamps.size)  # noqa: B023
        had.append((len(list((here / "fd").iterdir())), len(list((here / "task").iterdir()))))
    assert had[-1][0] <= had[0][0] + 2
    assert had[-1][1] <= had[0][1] + 1


@pytest.mark.parametrize(
    ("version", "info", "may"),
    [
        (118, "git:d7f892d/branch:refs/tags/v1.18.0.b6/build:Release", True),
        (118, "git:xxx/branch:refs/tags/v1.18.0.b5/build:Release", False),
        (118, "git:xxx/branch:refs/tags/v1.18.0/build:Release", True),
        (117, "git:xxx/branch:refs/tags/v1.17.5", False),
        (116, "", False),
    ],
)
def test_which_liblsl_may_destroy_a_dead_inlet(version: int, info: str, may: bool) -> None:
    assert may_destroy(version, info) is may


# --- a source_id that several streams have


@pytest.mark.slow
def test_of_streams_with_one_source_id_the_kind_is_taken(source_id: str) -> None:
    """The programs of some amplifiers give their markers the id of their data."""
    data = data_outlet(f"{source_id}-data", INFO, source_id)
    marks = marker_outlet(f"{source_id}-marks", source_id)
    streams = LslStreams({"source_id": source_id}, (f"{source_id}-marks",), timeout=20.0)
    assert streams.samples().name == f"{source_id}-data"
    assert streams.reopen(1.0).name == f"{source_id}-data"
    assert [one.name for one in streams.markers()] == [f"{source_id}-marks"]
    twin = data_outlet(f"{source_id}-twin", INFO, source_id)
    with pytest.raises(LookupError, match=r"need just .*got 2: .*choose by name"):
        streams.samples()
    again = streams.reopen(1.0)  # of the two it is the one that it was
    assert again is not None
    assert again.name == f"{source_id}-data"
    same = data_outlet(f"{source_id}-data", INFO, source_id)
    assert streams.reopen(1.0) is None  # which of two cannot be known
    assert "need just" in streams.why_not
    del data, marks, twin, same


# --- a connection that is half open


def sending(source_id: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", KILLED, source_id], cwd=REPO)


@pytest.mark.slow
def test_a_silent_stream_is_replaced_only_by_another_outlet(source_id: str) -> None:
    """SIGSTOP looks like a pulled cable: connected, and silent."""
    streams = LslStreams({"source_id": source_id}, units="uV", timeout=20.0)
    senders = [sending(source_id)]
    try:
        source = streams.samples()
        source.open()
        wait_for(lambda: source.pull(0.5).stamps.size)
        os.kill(senders[0].pid, signal.SIGSTOP)
        wait_for(lambda: not source.pull(0.3).stamps.size)
        end = time.monotonic() + 2.0
        while time.monotonic() < end:  # it hangs, and nothing else is there
            asked = time.perf_counter()
            assert streams.replacement() is None
            assert time.perf_counter() - asked < 0.2  # 0.3 ms; never a wait for the network
            time.sleep(0.02)
        os.kill(senders[0].pid, signal.SIGCONT)
        wait_for(lambda: source.pull(0.5).stamps.size)  # it goes on, by the same connection
        for _ in range(25):
            assert streams.replacement() is None
            source.pull(0.02)
        streams.stop_looking()
        os.kill(senders[0].pid, signal.SIGSTOP)
        senders.append(sending(source_id))
        found = wait_for(streams.replacement)
        assert found.source_id() == source_id
        assert found.uid() != source.uid
        again = streams.reopen(1.0)
        assert again is not None
        assert again.uid == found.uid()
        again.open()
        wait_for(lambda: again.pull(0.5).stamps.size)
        with pytest.raises(StreamLost):  # the old connection is closed
            source.pull(0.0)
        os.kill(senders[0].pid, signal.SIGCONT)  # one that wakes up later is the other one now
        assert wait_for(streams.replacement).uid() == source.uid
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()


@pytest.mark.slow
def test_only_the_same_stream_replaces_a_silent_one(source_id: str) -> None:
    """Whatever is selected: a replacement has the name of what it replaces."""
    outlet = data_outlet(source_id, INFO, source_id)
    streams = LslStreams({"predicate": f"starts-with(source_id,'{source_id}')"})
    source = streams.samples()
    source.open()
    other = data_outlet(f"{source_id}-other", INFO, f"{source_id}-other")
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        assert streams.replacement() is None
        time.sleep(0.02)
    del other
    twins = [data_outlet(source_id, INFO, f"{source_id}-{i}") for i in range(2)]
    end = time.monotonic() + 2.0
    while time.monotonic() < end:  # which of two cannot be known
        assert streams.replacement() is None
        time.sleep(0.02)
    twins.pop()
    assert wait_for(streams.replacement).uid() != source.uid
    del outlet


# --- references on streams of their own

BELT = SignalInfo(100.0, ("RESP", "SYNC"), ("resp", "stim"), ("n/a", "n/a"))


class Belt:
    """An outlet of `BELT` that a test feeds: RESP is the time since `start` in s."""

    def __init__(self, source_id: str, info: SignalInfo = BELT) -> None:
        self.info = info
        self.outlet: pylsl.StreamOutlet | None = data_outlet(f"{source_id}-belt", info, source_id)

    def send(self, start: float, first: float, stop: float) -> None:
        assert self.outlet is not None
        ends = (np.ceil(round(100 * end, 6)) for end in (first, stop))  # .07 * 100 is above 7
        times = np.arange(*ends) / 100
        values = {"RESP": times, "SYNC": np.floor(times)}
        data = np.column_stack([values.get(name, times) for name in self.info.ch_names])
        self.outlet.push_chunk(data, (start + times).tolist())


def joined_streams(source_id: str, **kwargs) -> tuple[pylsl.StreamOutlet, Belt, LslStreams]:
    outlet, belt = data_outlet(source_id, INFO, source_id), Belt(f"{source_id}-r")
    choice = ReferenceChoice(f"{source_id}-r-belt", **kwargs)
    return outlet, belt, LslStreams({"source_id": source_id}, references=(choice,))


def pull_joined(source, outlet, start: float, first: int, stop: int) -> np.ndarray:
    """Send main samples and take them back, joined."""
    numbers = np.arange(first, stop, dtype=float)
    outlet.push_chunk(np.tile(numbers[:, None], 3), (start + numbers / 250).tolist())
    got: list[np.ndarray] = []

    def enough() -> bool:
        got.append(source.pull(0.2)[0].copy())
        return sum(map(len, got)) >= stop - first

    wait_for(enough)
    data = np.concatenate(got)
    np.testing.assert_array_equal(data[:, 0], numbers)
    return data


def test_a_reference_joins_and_may_go_and_come_back(source_id: str) -> None:
    outlet, belt, streams = joined_streams(source_id, delay=0.1)
    source = streams.samples()
    assert isinstance(source, JoinedSource)
    assert source.info.ch_names == (*INFO.ch_names, "RESP", "SYNC")
    assert source.info.units[-2:] == ("n/a", "n/a")
    source.open()
    (reference,) = source.references
    wait_for(lambda: outlet.have_consumers() and belt.outlet.have_consumers())
    start = local_clock()
    waits = reference._source._inlet
    belt.send(start, 0.0, 4.0)
    wait_for(lambda: waits.ask("samples_available") == 400)
    data = pull_joined(source, outlet, start, 0, 1000)
    asked = np.arange(1000) / 250 - 0.1
    known = asked > 1e-6
    np.testing.assert_array_equal(np.isnan(data[:, 3]), ~known & (asked < -1e-6))
    np.testing.assert_allclose(data[known, 3], asked[known], atol=1e-4)
    sharp = known & (np.abs(asked - np.rint(asked)) > 1e-3)
    np.testing.assert_array_equal(data[sharp, 4], np.floor(asked[sharp]))
    assert source.take_events() == []

    belt.outlet = None
    row = 1000

    def told() -> list[str]:
        """Main samples flow on; what is said of the reference meanwhile."""
        nonlocal row
        pull_joined(source, outlet, start, row, row + 25)
        row += 25
        return [event for event, _ in source.take_events()]

    assert "reference_lost" in wait_for(told)
    wrong = replace(BELT, units=("volts", "n/a"), ch_types=("eog", "stim"))
    belt = Belt(f"{source_id}-r", wrong)
    assert "reference_refused" in wait_for(told)
    belt = Belt(f"{source_id}-r", BELT.pick([1, 0]))  # the other one is destroyed only then
    assert "reference_returned" in wait_for(told)
    wait_for(belt.outlet.have_consumers)
    since = row / 250 - 1
    belt.send(start, since, since + 3)
    wait_for(lambda: reference._source._inlet.ask("samples_available") == 300)
    data = pull_joined(source, outlet, start, row, row + 250)
    asked = np.arange(row, row + 250) / 250 - 0.1
    np.testing.assert_allclose(data[:, 3], asked, atol=1e-4)
    source.close()
    with pytest.raises(StreamLost):
        source.pull(0.0)


@pytest.mark.slow
def test_a_main_stream_that_comes_back_keeps_its_references(source_id: str) -> None:
    outlet, belt, streams = joined_streams(source_id)
    source = streams.samples()
    source.open()
    (reference,) = source.references
    wait_for(lambda: outlet.have_consumers() and belt.outlet.have_consumers())
    del outlet
    with pytest.raises(StreamLost):
        wait_for(lambda: source.pull(0.05)[1].size)
    start = local_clock()
    belt.send(start - 3.0, 0.0, 5.0)
    wait_for(lambda: reference._source._inlet.ask("samples_available") == 500)
    assert streams.reopen(0.2) is None
    outlet = data_outlet(source_id, INFO, source_id)
    again = wait_for(lambda: streams.reopen(1.0))
    assert again.references == source.references
    again.open()
    wait_for(outlet.have_consumers)
    data = pull_joined(again, outlet, start, 0, 250)
    np.testing.assert_allclose(data[:, 3], np.arange(250) / 250 - 0.04 + 3.0, atol=1e-4)
    again.close()


@pytest.mark.slow
def test_a_silent_reference_is_replaced(source_id: str) -> None:
    script = KILLED.replace('"killed", "EEG"', '"belt-" + sys.argv[1], "Respiration"')
    senders = [subprocess.Popen([sys.executable, "-c", script, source_id], cwd=REPO)]
    outlet = data_outlet(f"{source_id}-main", INFO, f"{source_id}-main")
    choice = ReferenceChoice(f"belt-{source_id}")
    streams = LslStreams({"name": f"{source_id}-main"}, references=(choice,), timeout=20.0)
    try:
        source = streams.samples()
        source.open()
        wait_for(outlet.have_consumers)
        told: list[str] = []

        def heard(event: str) -> bool:
            outlet.push_sample([0.0] * 3, local_clock())
            source.pull(0.1)
            told.extend(event for event, _ in source.take_events())
            time.sleep(0.004)
            return event in told

        wait_for(lambda: heard("") or source.references[0]._state[0] > 0)
        os.kill(senders[0].pid, signal.SIGSTOP)
        wait_for(lambda: heard("reference_stale"))
        senders.append(subprocess.Popen([sys.executable, "-c", script, source_id], cwd=REPO))
        wait_for(lambda: heard("reference_returned"))
        assert told[-3:] == ["reference_stale", "reference_lost", "reference_returned"]
        source.close()
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()


@pytest.mark.slow
def test_references_that_cannot_be_joined(source_id: str) -> None:
    outlet = data_outlet(source_id, INFO, source_id)
    same = data_outlet(f"{source_id}-2", INFO, f"{source_id}-2")
    twice = (ReferenceChoice("belt"), ReferenceChoice("belt", 0.1))
    with pytest.raises(ValueError, match="need each reference once, got belt, belt"):
        LslStreams({"source_id": source_id}, references=twice)
    streams = LslStreams({"source_id": source_id}, references=(ReferenceChoice(f"{source_id}-2"),))
    with pytest.raises(ValueError, match="need channel names that differ between streams, got Cz"):
        streams.samples()
    absent = LslStreams(
        {"source_id": source_id}, references=(ReferenceChoice("absent"),), timeout=0.3
    )
    with pytest.raises(LookupError, match="need a stream with name='absent'"):
        absent.samples()
    del outlet, same


@pytest.mark.parametrize("text", ["", "=40", "belt=", "belt=-1", "belt=fast", "belt=6000", "b=nan"])
def test_a_bad_reference_option_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="need --reference NAME or NAME=DELAY_MS with 0 to 5000"):
        parse_reference(text)


# --- what goes out


def test_readouts_go_out_as_numbers_and_text(source_id: str) -> None:
    items = ("saw", "axe", "b<e>\x07e")
    outlets = ReadoutOutlets("decoder", source_id, {"model_hash": "abc123"}, items)
    scores = pylsl.StreamInlet(resolve(source_id=f"{source_id}-scores"))
    text = pylsl.StreamInlet(resolve(source_id=f"{source_id}-readout"))
    for inlet in (scores, text):
        inlet.open_stream(5.0)
    wait_for(lambda: outlets._scores.have_consumers() and outlets._readout.have_consumers())
    readout = Readout(
        3, "event", "word", 120, 99.5, 100.25, ("axe", "saw"), (0.5, 0.25), (0.75, 0.125),
        False, 1.5, 0.875, ("gap",), 0.5, False, item=1, fit="doubtful",
    )  # fmt: skip
    outlets.push_scores(readout)
    outlets.push_text(readout._replace(latency_ms=0.625))  # known once the scores have left
    numbers, stamp = scores.pull_sample(5.0)
    assert numbers == [0.5, 0.75, 0.875, 0.5, 3, 1, 0, 2, 0]
    outlets.push_scores(
        readout._replace(words=(), scores=(), probabilities=(), abstained=True, item=-1, seq=4)
    )  # fmt: skip
    numbers, _ = scores.pull_sample(5.0)
    assert numbers[3:] == [0.5, 4, -1, 1, 2, 0]
    assert stamp == 100.25
    line, stamp = text.pull_sample(5.0)
    told = json.loads(line[0])
    assert (told["word"], told["latency_ms"]) == ("axe", 0.625)
    assert stamp == 100.25
    info = scores.info(5.0)
    assert info.name() == "decoder-scores"
    assert info.get_channel_labels() == [
        "cosine", "probability", "quality", "latency", "seq", "item", "abstained", "state", "kind",
    ]  # fmt: skip
    item, named = info.desc().child("items").child("item"), []
    while not item.empty():
        named.append(item.child_value())
        item = item.next_sibling()
    assert named[:2] == ["saw", "axe"]
    assert named[2].startswith("b<e>")
    assert info.desc().child_value("states") == "unchecked,fits,doubtful,unlike"
    assert info.get_channel_units()[3] == "milliseconds"
    assert info.desc().child("decoder").child_value("model_hash") == "abc123"


def test_sensors_are_described_with_their_positions(source_id: str) -> None:
    where = np.array([[0.01, -0.02, 0.0935], [np.nan] * 3])
    info = SignalInfo(100.0, ("Cz", "REF"), ("eeg", "eeg"), ("uV", "uV"), where)
    outlet = data_outlet(source_id, info, source_id)
    channel = resolve(source_id=source_id)
    channel = pylsl.StreamInlet(channel).info(5.0).desc().child("channels").child("channel")
    location = channel.child("location")
    assert [location.child_value(axis) for axis in "XYZ"] == ["10.000", "-20.000", "93.500"]
    assert channel.next_sibling().child("location").empty()
    del outlet


def test_loopback_keeps_the_users_configuration(tmp_path, monkeypatch) -> None:
    ours = configure_loopback()
    assert ours == Path(os.environ["LSLAPICFG"])  # set by the plugin, before any test
    monkeypatch.setenv("LSLAPICFG", str(tmp_path / "lab.cfg"))
    assert configure_loopback() == tmp_path / "lab.cfg"
    monkeypatch.delenv("LSLAPICFG")
    fresh = configure_loopback()
    assert "ResolveScope = machine" in fresh.read_text()
    assert fresh != ours


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_worker_of_the_tests_hears_its_own_streams_only(is_ours, source_id, tmp_path) -> None:
    """Processes that a test starts are of its LSL session; other workers are of another."""
    outlet = data_outlet(source_id, SignalInfo(100.0, ("Cz",), ("eeg",), ("uV",)), source_id)
    ours = Path(os.environ["LSLAPICFG"]).read_text()
    if "SessionID = tests-" not in ours:
        pytest.skip("LSLAPICFG names a configuration of the user's")
    other = tmp_path / "other.cfg"
    other.write_text(ours.replace("SessionID = tests-", "SessionID = another-"))
    code = (
        "from rt_decoder.sources.lsl.find import find_streams; "
        "print(*(one.source_id for one in find_streams(2.0)))"
    )
    environment = os.environ if is_ours else os.environ | {"LSLAPICFG": str(other)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (source_id in ran.stdout) == is_ours
    del outlet


@pytest.mark.parametrize(("measured", "used"), [(3e-3, 0.0), (-0.04, 0.0), (2.5, 2.5)])
def test_a_busy_machine_does_not_make_two_clocks_of_its_own(measured, used, monkeypatch):
    """Samples and markers, measured apart, would differ by a sample or more."""
    source_id = uuid4().hex
    outlet = pylsl.StreamOutlet(
        pylsl.StreamInfo("busy", "EEG", 1, 100.0, pylsl.cf_float32, source_id)
    )
    inlet = Inlet(resolve(source_id=source_id), 10.0)
    monkeypatch.setattr(pylsl.StreamInlet, "time_correction", lambda *_, **__: measured)
    assert inlet.correction(1.0) == used
    inlet.close()
    del outlet
