"""The log and the session record: whole lines, counted drops, full disks, and back again."""

from __future__ import annotations

import json
import math
import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rt_decoder.files.decisions import MarkerCame, Restart, Start
from rt_decoder.files.read import read_recording
from rt_decoder.signal import Marker, Readout, SignalInfo
from rt_decoder.sinks import worker
from rt_decoder.sinks.log import JsonlLog, parse_readout, readout_line
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.worker import Worker
from rt_decoder.source import Received
from rt_decoder.timing.markers import MarkerRules
from tests.lsl_loopback import wait_for
from tests.small import lines

INFO = SignalInfo(100.0, ("Cz", "TRIG"), ("eeg", "stim"), ("microvolts", "n/a"))


def readout(seq: int = 0, **changes) -> Readout:
    answer = Readout(
        seq=seq, kind="event", label="Säge", index=7, onset=0.1, time=0.3, words=("axe", "bee"),
        scores=(0.5, -0.25), probabilities=(0.75, 0.25), abstained=False, bits=0.1875,
        quality=1.0, reasons=(), latency_ms=0.123456, late=False,
    )  # fmt: skip
    return answer._replace(**changes)


class Blocked:
    """Holds a log's writer until it is let go, as a disk that hangs does."""

    def __init__(self, log: JsonlLog | Recorder) -> None:
        self.gate, self.held = threading.Event(), threading.Event()
        log.put(self._hold)
        wait_for(self.held.is_set)

    def _hold(self) -> None:
        self.held.set()
        self.gate.wait(10.0)


def test_a_readout_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = JsonlLog(path)
    log.write({"type": "header"})
    log.write(Marker("axe\n", 0.5, 50))
    log.write(readout())
    log.write(readout(1, latency_ms=math.nan, words=(), scores=(), probabilities=()))
    log.close()
    header, marker, first, second = lines(path)
    assert header == {"type": "header"}
    assert marker == {"type": "marker", "label": "axe\n", "time": 0.5, "index": 50}
    assert first["top"] == [["axe", 0.5, 0.75], ["bee", -0.25, 0.25]]
    assert (first["word"], first["label"], first["latency_ms"]) == ("axe", "Säge", 0.1235)
    assert (second["word"], second["latency_ms"]) == ("", None)
    assert first == json.loads(json.dumps(readout_line(readout())))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_hangs_costs_counted_lines_and_no_time(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl", max_lines=10)
    blocked = Blocked(log)
    for seq in range(25):
        log.write(readout(seq))  # returns at once, or this test hangs
    assert log.n_dropped == 15
    blocked.gate.set()
    log.close()
    assert [line["seq"] for line in lines(tmp_path / "log.jsonl")] == list(range(10))


def test_offline_the_log_waits_for_the_disk(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl", max_lines=10, drop=False)
    for seq in range(500):
        log.write(readout(seq))
    log.close()
    assert log.n_dropped == 0
    assert len(lines(tmp_path / "log.jsonl")) == 500


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_ends_the_log_and_nothing_else() -> None:
    log = JsonlLog("/dev/full")
    log.write(readout())
    wait_for(lambda: log.error is not None)
    for seq in range(5):
        log.write(readout(seq))
    log.close()
    log.close()
    assert log.n_dropped == 6
    assert "space" in str(log.error)


def fill(record: Recorder) -> tuple[np.ndarray, np.ndarray]:
    """Three pulls of 4 samples, a marker and a restart between them."""
    rng = np.random.default_rng(0)
    data, stamps = rng.standard_normal((12, 2)), 50 + np.arange(12) / 100 + rng.normal(0, 1e-3, 12)
    data[5, 0] = np.nan
    record.decision(49.0, Start(0, MarkerRules(), True))
    for i, first in enumerate((0, 4, 8)):
        rows = slice(first, first + 4)
        record.pulled(Received(data[rows], stamps[rows], 51.0 + i, 1e-3 * i))
        data[rows] += 0.0  # the caller's memory may be used again at once
        if i == 1:
            record.marker(Marker("axe", stamps[2] + 1e-3), 52.5, 8)
            record.decision(52.6, Restart(8))
    return data, stamps


def test_a_record_gives_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier", "stimuli")
    data, stamps = fill(record)
    record.close()
    read = read_recording(path)
    np.testing.assert_array_equal(read.data, data)
    np.testing.assert_array_equal(read.stamps, stamps)
    np.testing.assert_array_equal(read.correction, np.repeat([0.0, 1e-3, 2e-3], 4))
    assert (read.info.ch_names, read.info.units) == (INFO.ch_names, INFO.units)
    assert [(m.label, m.time) for m in read.markers] == [("axe", stamps[2] + 1e-3)]
    np.testing.assert_array_equal(read.pulls[:, 0], [4, 4, 4])
    np.testing.assert_array_equal(read.pulls[:, 1], [51.0, 52.0, 53.0])
    assert read.decisions == (
        Start(0, MarkerRules(), True), MarkerCame(8, "axe", stamps[2] + 1e-3), Restart(8),
    )  # fmt: skip
    assert (record.n_dropped, record.error) == (0, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_memory_of_a_pull_may_be_used_again(tmp_path: Path) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier")
    blocked = Blocked(record)
    data, stamps = np.ones((4, 2)), np.arange(4) / 100
    record.pulled(Received(data, stamps, 1.0, 0.0))
    data[:], stamps[:] = 9.0, 9.0
    blocked.gate.set()
    record.close()
    read = read_recording(path)
    assert (read.data == 1.0).all()
    assert read.stamps[-1] == 0.03


def test_a_record_that_cannot_keep_up_counts_what_it_drops(tmp_path: Path) -> None:
    record = Recorder(tmp_path / "record.xdf", INFO, "amplifier", max_jobs=5)
    blocked = Blocked(record)
    for i in range(8):
        record.pulled(Received(np.zeros((1, 2)), np.array([i / 100]), float(i), 0.0))
    assert record.n_dropped == 3
    blocked.gate.set()
    record.close()
    assert len(read_recording(tmp_path / "record.xdf").data) == 5


def test_a_full_disk_ends_the_record_and_keeps_what_is_there(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier")
    record.pulled(Received(np.ones((4, 2)), np.arange(4) / 100, 1.0, 0.0))
    wait_for(record._jobs.empty)
    full = OSError(28, "No space left on device")

    def write(fd: int, block: bytes) -> int:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        record.pulled(Received(np.ones((4, 2)), 0.04 + np.arange(4) / 100, 2.0, 0.0))
        wait_for(lambda: record.error is not None)
    record.pulled(Received(np.ones((4, 2)), 0.08 + np.arange(4) / 100, 3.0, 0.0))
    record.close()
    assert record.n_dropped == 2
    assert len(read_recording(path).data) == 4


def test_a_disk_that_hangs_at_the_end_is_an_error_and_waited_for_once(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(worker, "CLOSE_TIMEOUT", 0.05)
    log = JsonlLog(tmp_path / "log.jsonl", max_lines=10)
    blocked = Blocked(log)
    for seq in range(4):
        log.write(readout(seq))
    log.close()
    assert log.reason == "the disk hung for 0.05 s when the file was closed"
    assert log.n_dropped == 5  # the one that hangs, and four that wait
    monkeypatch.setattr(worker, "CLOSE_TIMEOUT", 60.0)
    log.close()  # returns at once, or this test hangs
    blocked.gate.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_ends_the_work_and_is_told() -> None:
    class Writer(Worker):
        finished = False

        def _finish(self) -> None:
            self.finished = True

    worker = Writer("a test", max_jobs=10)
    worker.put(lambda: [][0])
    wait_for(lambda: worker.has_ended)
    assert not worker.put(lambda: None)
    worker.close()
    assert worker.finished
    assert worker.reason == "IndexError: list index out of range"
    assert isinstance(worker.take_error(), RuntimeError)
    assert worker.take_error() is None
    assert worker.n_dropped == 2


@pytest.mark.parametrize("changes", [
    {}, {"latency_ms": math.nan, "onset": math.nan, "late": None},
    {"words": (), "scores": (), "probabilities": (), "item": -1, "abstained": True},
    {"kind": "pooled", "n_repeats": 3, "posterior": (0.75, 0.25), "before": (0.5, 0.5)},
])  # fmt: skip
def test_a_readout_is_read_from_its_json(changes: dict[str, Any]) -> None:
    one_readout = Readout(
        3, "event", "word", 120, 99.5, 100.25, ("axe", "saw"), (0.5, 0.25), (0.75, 0.25), False,
        1.5, 0.875, ("gap", "eye"), 0.5, False, (0.0, 0.25, 0.0, 0.5), item=1,
    )._replace(**changes)  # fmt: skip
    line = readout_line(one_readout)
    for one in (line, json.dumps(line)):
        assert repr(parse_readout(one)) == repr(one_readout)  # NaN is NaN
    with pytest.raises(ValueError, match="type 'list'"):
        parse_readout("[]")
