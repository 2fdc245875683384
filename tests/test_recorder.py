"""The session record: a readable prefix whatever ends it, and what it decodes to."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pyxdf

from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Dropped, MarkerCame, Restart, Start
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, Readout, SignalInfo
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received
from tests.lsl_loopback import wait_for
from tests.small import random_model, small_recipe, small_recording, timeless
from tests.test_sinks import INFO, Blocked, fill

REPO = Path(__file__).resolve().parents[1]
torn = pytest.mark.filterwarnings("ignore:.*is cut off", "ignore:.*was not closed")


def chunks(content: bytes) -> Iterator[tuple[int, int, int]]:
    """End, tag and stream of each chunk, as the specification of XDF has them."""
    at = 4
    while at < len(content):
        n_bytes = content[at]
        start = at + 1 + n_bytes
        at = start + int.from_bytes(content[at + 1 : start], "little")
        tag = int.from_bytes(content[start : start + 2], "little")
        yield at, tag, int.from_bytes(content[start + 2 : start + 6], "little")


@torn
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_cut_at_any_byte_gives_the_whole_pulls(tmp_path: Path, step: int) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier", "stimuli")
    data, stamps = fill(record)
    record.close()
    content = path.read_bytes()
    ends = list(chunks(content))
    assert ends[-1][0] == len(content)
    edges = {size for end, _, _ in ends for size in (end - 1, end)}
    for size in sorted({*range(0, len(content), step), *edges}, reverse=True):
        os.truncate(path, size)
        whole = [(tag, stream) for end, tag, stream in ends if end <= size]
        n = 4 * whole.count((3, Recorder.ARRIVALS))
        if n == 0:
            with pytest.raises((OSError, ValueError), match=r"^record\.xdf"):
                read_recording(path)
            continue
        read = read_recording(path)
        np.testing.assert_array_equal(read.data, data[:n])
        np.testing.assert_array_equal(read.stamps, stamps[:n])
        assert len(read.pulls) == n // 4
        assert len(read.decisions) == whole.count((3, Recorder.DECISIONS))
        assert len(read.markers) == whole.count((3, Recorder.MARKERS))
        # a marker is never there without the decision that tells when it came
        assert len(read.markers) <= sum(isinstance(one, MarkerCame) for one in read.decisions)


def test_other_readers_take_the_whole_chunks(tmp_path: Path, caplog) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier", "stimuli")
    data, _ = fill(record)
    record.close()
    content, n = path.read_bytes(), 0
    with caplog.at_level(logging.ERROR):
        for end, tag, stream in chunks(content):
            n += 4 * ((tag, stream) == (3, Recorder.DATA))
            if n:
                streams, _ = pyxdf.load_xdf(io.BytesIO(content[:end]), dejitter_timestamps=False)
                np.testing.assert_array_equal(streams[0]["time_series"], data[:n])
    assert n == 12
    assert not [said for said in caplog.records if said.levelno >= logging.ERROR]


def test_clock_offsets_are_stamped_on_the_stream_s_clock(tmp_path: Path) -> None:
    """Its clock is 1000 s behind and 1 % slow, so that the difference shows."""
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier")
    ours = 1000.0 + np.arange(4000) / 100
    theirs = ours / 1.01 - 1000.0
    for start in range(0, len(ours), 100):
        part = slice(start, start + 100)
        correction = ours[part][-1] - theirs[part][-1]
        record.pulled(Received(np.zeros((100, 2)), theirs[part], ours[part][-1], correction))
    record.close()
    streams, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False)
    np.testing.assert_allclose(streams[0]["time_stamps"], ours, atol=1e-6)


# --- killed


RECORD = """
import sys, time
import numpy as np
from rt_decoder.files.decisions import Start
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received
from rt_decoder.timing.markers import MarkerRules
info = SignalInfo(100.0, ("Cz", "Pz"), ("eeg", "eeg"), ("volts", "volts"))
record = Recorder(sys.argv[1], info, "amp", max_jobs=100)
record.decision(0.0, Start(0, MarkerRules(), True))
n = 0
while True:
    while record._jobs.qsize() > 90:
        time.sleep(1e-3)
    rows = np.arange(n, n + 1 + n % 700)
    record.pulled(Received(np.column_stack((rows, -rows)).astype(float), rows / 100, rows[-1] / 100, 0.0))
    n += len(rows)
    record.marker(Marker(str(n), n / 100), n / 100, n)
"""


@torn
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("size", [5_000, 200_000, 3_000_000])
def test_a_killed_process_leaves_a_record_that_reads(tmp_path: Path, size: int) -> None:
    path = tmp_path / "record.xdf"
    process = subprocess.Popen([sys.executable, "-c", RECORD, str(path)], cwd=REPO)
    try:
        wait_for(lambda: path.exists() and path.stat().st_size > size)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    read = read_recording(path)
    rows = np.arange(len(read.data), dtype=float)
    np.testing.assert_array_equal(read.data, np.column_stack((rows, -rows)))
    np.testing.assert_array_equal(read.stamps, rows / 100)
    assert int(read.pulls[:, 0].sum()) == len(read.data) > 0
    ends = np.cumsum(read.pulls[:, 0]).astype(int).tolist()
    assert [int(marker.label) for marker in read.markers] == ends[: len(read.markers)]
    assert len(ends) - len(read.markers) in (0, 1)


@torn
def test_an_end_that_was_no_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier")
    fill(record)
    record.close()
    content = path.read_bytes()
    path.write_bytes(content[: max(end for end, tag, _ in chunks(content) if tag != 6)])
    with pytest.warns(RuntimeWarning, match=r"record\.xdf was not closed.* 0\.1 s of samples"):
        read_recording(path)


# --- decoded


def live_session(
    path: Path, recording: Recording, decoder: Decoder
) -> tuple[list[Readout], dict[int, int]]:
    """Decode as a session does, and record it; readouts, and how many there were at each sample."""
    rng = np.random.default_rng(5)
    record = Recorder(path, recording.info, "amplifier", "stimuli")
    record.decision(0.0, Start(0, decoder.align.rules, False))
    readouts: list[Readout] = []
    n_at: dict[int, int] = {}
    markers, start, n = list(recording.markers), 0, len(recording.stamps)
    while start < n:
        stop = min(n, start + int(rng.integers(1, 40)))
        while markers and markers[0].time < recording.stamps[start] + rng.normal(-0.1, 0.3):
            marker = markers.pop(0)
            record.marker(marker, marker.time + 0.3, start)
            decoder.mark(marker)
        if start < n // 2 <= stop:
            decoder.restart()
            record.decision(99.0, Restart(start))
        data, stamps = recording.data[start:stop], recording.stamps[start:stop]
        arrival, correction = stamps[-1] + 0.004, 1e-6 * round(start / 500)
        record.pulled(Received(data, stamps, arrival, correction))
        readouts += decoder.push(data, stamps + correction, arrival)
        start = stop
        n_at[stop] = len(readouts)
    record.close()
    return readouts, n_at


@torn
def test_a_cut_record_decodes_to_what_was_read_out_up_to_there(tmp_path: Path) -> None:
    recording = small_recording(session=2, seconds=24.0)
    recording = replace(
        recording, data=np.delete(recording.data, np.s_[4000:4200], 0),
        stamps=np.delete(recording.stamps, np.s_[4000:4200]),
    )  # fmt: skip
    model = random_model(recording, small_recipe())
    options = PipelineOptions().for_target(model.recipe.target)
    path = tmp_path / "record.xdf"
    readouts, n_at = live_session(path, recording, Decoder(model, recording.info, options))
    assert len(readouts) >= 12
    content, live = path.read_bytes(), timeless(readouts)
    ends = list(chunks(content))
    around = [
        at for before, (at, tag, stream) in pairwise(ends)
        if (tag, stream) == (3, Recorder.MARKERS) for at in (before[0], at, at + 9)
    ]  # fmt: skip
    sizes = np.linspace(len(content) // 3, len(content), 8).astype(int).tolist()
    counts = set()
    for size in [*sizes, *around[::9]]:
        path.write_bytes(content[:size])
        try:
            read = read_recording(path)
        except ValueError:  # nothing but the beginning
            assert size < ends[12][0]
            continue
        decoded = timeless(list(decode_recording(model, read, read.markers, options)))
        assert decoded == live[: n_at[len(read.data)]]
        counts.add(len(decoded))
    assert len(counts) > 6


# --- what the disk could not take


def test_a_record_says_where_it_dropped_and_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier", max_jobs=3)
    blocked = Blocked(record)
    for k in range(5):  # the last two find no room
        record.pulled(Received(np.full((4, 2), float(k)), k + np.arange(4) / 100, k + 0.1, 0.0))
    record.decision(4.2, Restart(20))
    assert record.n_dropped == 3
    blocked.gate.set()
    wait_for(lambda: not record.is_full and record._jobs.empty())
    record.pulled(Received(np.full((4, 2), 5.0), 5 + np.arange(4) / 100, 5.1, 0.0))
    record.marker(Marker("axe", 5.05), 5.2, 24)
    record.close()
    assert (record.n_dropped, record.error) == (3, None)
    with pytest.warns(
        RuntimeWarning, match=r"lacks 3 entries with 8 samples, as the disk .*to sample 12$"
    ):
        read = read_recording(path)
    assert read.data[:, 0].tolist() == np.repeat([0.0, 1.0, 2.0, 5.0], 4).tolist()
    # rows are those of the samples that are here
    assert read.decisions == (Dropped(12, n_jobs=3, n_samples=8), MarkerCame(16, "axe", 5.05))


def test_what_waits_for_the_disk_is_bounded_in_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("rt_decoder.sinks.worker.MAX_WAITING", 10_000)
    record = Recorder(tmp_path / "record.xdf", INFO, "amplifier")
    blocked = Blocked(record)
    for k in range(10):
        record.pulled(
            Received(np.zeros((100, 2)), np.arange(100) / 100, float(k), 0.0)
        )  # 2400 bytes
    assert record.n_dropped == 5
    blocked.gate.set()
    record.close()


# --- references


BELT = SignalInfo(25.0, ("belt",), ("resp",), ("n/a",))


def test_reference_streams_are_beside_the_main_one(tmp_path: Path) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier", "stimuli")
    record.add_reference("belt", BELT)
    with pytest.raises(ValueError, match="got belt, which is in use"):
        record.add_reference("belt", BELT)
    with pytest.raises(ValueError, match="got amplifier, which is in use"):
        record.add_reference("amplifier", BELT)
    breath = np.arange(10.0)[:, None]
    stamps = 7000 + np.arange(10) / 25
    record.pulled_reference("belt", Received(breath[:6], stamps[:6], 50.9, -6950.0), 0)
    data, _ = fill(record)
    record.pulled_reference("belt", Received(breath[6:], stamps[6:], 53.5, -6950.001), 12)
    record.close()
    read = read_recording(path)
    np.testing.assert_array_equal(read.data, data)
    assert len(read.decisions) == 3
    belt = read_recording(path, stream="belt")
    assert (belt.info.ch_names, belt.info.sfreq) == (("belt",), 25.0)
    np.testing.assert_array_equal(belt.data, breath)
    np.testing.assert_array_equal(belt.times, stamps + np.repeat([-6950.0, -6950.001], [6, 4]))
    np.testing.assert_array_equal(belt.pulls, [[6, 50.9, -6950.0, 0], [4, 53.5, -6950.001, 12]])
    assert belt.decisions == ()


@torn
def test_a_reference_is_never_taken_for_the_main_stream(tmp_path: Path) -> None:
    path = tmp_path / "record.xdf"
    record = Recorder(path, INFO, "amplifier")
    record.add_reference("belt", BELT)
    record.pulled_reference("belt", Received(np.zeros((5, 1)), np.arange(5) / 25, 1.0, 0.0), 0)
    record.close()
    with pytest.raises(ValueError, match=r"record\.xdf: need a data stream"):
        read_recording(path)
