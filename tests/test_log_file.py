"""The log on the disk: whole lines whatever happens, parts, full disks, kills, and damage said."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.files.append_file import AppendFile
from rt_decoder.signal import Marker
from rt_decoder.sinks import worker as writer
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.log_file import log_parts, read_log, remove_parts
from tests.lsl_loopback import wait_for

REPO = Path(__file__).resolve().parents[1]
HEADER = {"type": "header", "model": "1f", "contract": {"sfreq": 250.0}}
JSON_LINES = st.lists(
    st.dictionaries(
        st.text(max_size=5),
        st.text(max_size=40) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    ),
    max_size=15,
)


def write_log(path: Path, written: list[dict[str, Any]], max_bytes: int = 0) -> None:
    log = JsonlLog(path, drop=False, max_bytes=max_bytes)
    for line in written:
        log.write(line)
    log.close()
    assert (log.n_dropped, log.error) == (0, None)


def seqs(n: int) -> list[dict[str, Any]]:
    return [HEADER, *({"type": "readout", "seq": seq} for seq in range(n))]


# --- what is written comes back


@given(written=JSON_LINES, max_bytes=st.integers(0, 300), headed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_parts_read_as_one_log(written, max_bytes, headed) -> None:
    written = [HEADER, *written] if headed else written
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        write_log(path, written, max_bytes)
        lines, n_torn_bytes = read_log(path)
        assert (list(lines), n_torn_bytes) == (written, 0)
        parts = log_parts(path)
        for number, part in enumerate(parts):
            content = part.read_bytes().splitlines(keepends=True)
            assert all(line.endswith(b"\n") for line in content)
            assert max_bytes == 0 or len(content) <= 2 or part.stat().st_size <= max_bytes
            if number:
                first = json.loads(content[0])
                assert (first["type"], first["part"]) == ("header", number)
        assert max_bytes or len(parts) == 1


def test_a_log_goes_on_in_parts_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_log(path, seqs(100), max_bytes=1000)
    parts = log_parts(path)
    assert [part.name for part in parts[:3]] == ["log.jsonl", "log.1.jsonl", "log.2.jsonl"]
    assert len(parts) > 3
    assert sorted(tmp_path.iterdir()) == sorted(parts)
    assert {stat.S_IMODE(part.stat().st_mode) for part in parts} == {0o600}
    assert json.loads(parts[2].read_text().splitlines()[0]) == HEADER | {"part": 2}


def test_odd_text_comes_back(tmp_path: Path) -> None:
    text = "a\u2028b\x85c\ud800 \U0001f9e0 \x00\r\n"
    log = JsonlLog(tmp_path / "log.jsonl")
    log.write({"type": "event", "text": text})
    log.write(Marker(text, 0.5, 1))
    log.close()
    first, second = read_log(tmp_path / "log.jsonl").lines
    assert first["text"] == second["label"] == text


@pytest.mark.parametrize("max_bytes", [0, 1000])
def test_a_new_log_leaves_the_old_one_and_all_its_parts(tmp_path: Path, max_bytes: int) -> None:
    path = tmp_path / "log.jsonl"
    write_log(path, seqs(100), max_bytes)
    before = {part: part.read_bytes() for part in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match=r"which exists|file that exists"):
        JsonlLog(path, max_bytes=max_bytes)
    assert {part: part.read_bytes() for part in tmp_path.iterdir()} == before


def test_parts_are_removed_on_request_and_other_files_stay(tmp_path: Path) -> None:
    path, other = tmp_path / "log.jsonl", tmp_path / "log.one.jsonl"
    other.write_text("mine")
    write_log(path, seqs(100), max_bytes=1000)
    (tmp_path / "log.99.jsonl").write_text('{"type": "head')  # a kill just as the part began
    remove_parts(path)
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_an_empty_file_is_taken_up_and_made_private(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.touch(0o644)
    write_log(path, seqs(3))
    assert list(read_log(path).lines) == seqs(3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_that_nobody_reads_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"need a program that reads log\.jsonl, a FIFO"):
        JsonlLog(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_log(path, seqs(3))
    assert os.read(reader, 1 << 16).count(b"\n") == 4
    os.close(reader)


@pytest.mark.parametrize("number", [1, 3])
def test_a_file_that_is_no_part_is_never_removed(tmp_path: Path, number: int) -> None:
    path, other = tmp_path / "run.jsonl", tmp_path / f"run.{number}.jsonl"
    write_log(other, seqs(3))
    content = other.read_bytes()
    if number == 1:
        with pytest.raises(FileExistsError, match=r"need the name run\.1\.jsonl .*another name"):
            JsonlLog(path)
    write_log(path, seqs(3))  # without later parts
    assert list(read_log(path).lines) == seqs(3)
    assert other.read_bytes() == content


def test_the_log_may_be_a_link_or_no_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    path, target = tmp_path / "log.jsonl", tmp_path / "disk" / "log.jsonl"
    path.symlink_to(target)
    write_log(path, seqs(2))
    assert list(read_log(target).lines) == seqs(2)
    write_log(Path(os.devnull), seqs(2))
    assert not Path(os.devnull).is_file()


# --- what a kill leaves


@given(written=JSON_LINES, share=st.floats(0, 1), max_bytes=st.sampled_from([0, 150]))
@settings(max_examples=100, deadline=None)
def test_cut_at_any_byte_gives_exactly_the_whole_lines(written, share, max_bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        write_log(path, [HEADER, *written], max_bytes)
        *whole, last = log_parts(path)
        content = last.read_bytes()
        end = round(share * len(content))
        last.write_bytes(content[:end])
        n_lines = sum(part.read_bytes().count(b"\n") - (part != path) for part in whole)
        n_lines += max(0, content[:end].count(b"\n") - (last != path))
        lines, n_torn_bytes = read_log(path)
        assert list(lines) == [HEADER, *written][:n_lines]
        assert n_torn_bytes == end - (content[:end].rfind(b"\n") + 1)


def test_a_long_torn_end_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_log(path, seqs(2))
    with path.open("ab") as file:
        file.write(bytes(200_000))  # a power cut may leave zeros
    lines, n_torn_bytes = read_log(path)
    assert (list(lines), n_torn_bytes) == (seqs(2), 200_000)


WRITE = """
import sys
from rt_decoder.sinks.log import JsonlLog
log = JsonlLog(sys.argv[1], drop=False, max_bytes=50_000)
log.write({"type": "header", "model": "1f"})
seq = 0
while True:
    log.write({"type": "readout", "seq": seq, "text": "x" * (seq * 37 % 9000)})
    seq += 1
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("n_parts", [1, 2, 4])
def test_a_killed_process_leaves_every_line_whole_but_the_last(tmp_path: Path, n_parts) -> None:
    path = tmp_path / "log.jsonl"
    process = subprocess.Popen([sys.executable, "-c", WRITE, str(path)], cwd=REPO)
    try:
        wait_for(lambda: len(list(tmp_path.iterdir())) >= n_parts and path.stat().st_size)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    header, *readouts = read_log(path).lines
    assert header == {"type": "header", "model": "1f"}
    assert [line["seq"] for line in readouts] == list(range(len(readouts)))
    assert all(len(line["text"]) == line["seq"] * 37 % 9000 for line in readouts)


def test_a_log_may_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = JsonlLog(path)
    log.write(HEADER)
    wait_for(lambda: path.stat().st_size)
    lines, n_torn_bytes = read_log(path)
    log.write({"type": "footer"})
    log.close()
    assert (list(lines), n_torn_bytes) == ([HEADER], 0)


# --- what is damaged or missing is said


DAMAGE = {
    "no JSON": b"hello\n",
    "no object": b"[1, 2]\n",
    "no UTF-8": b'{"a": "\xff"}\n',
    "no number": b'{"a": NaN}\n',
    "too deep": b"[" * 200_000 + b"\n",
    "empty": b"\n",
    "zeros": bytes(5000) + b"\n",
    "too long": b'{"a": "' + bytes(1) * (17 << 20) + b'"}\n',
}


@pytest.mark.parametrize("name", DAMAGE)
def test_garbage_in_the_middle_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "log.jsonl"
    write_log(path, seqs(100), max_bytes=1000)
    part = tmp_path / "log.2.jsonl"
    content = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join([*content[:3], DAMAGE[name], *content[3:]]))
    lines, n_torn_bytes = read_log(path)
    with pytest.raises(ValueError, match=r"^log\.2\.jsonl, line 4: need a JSON object, got"):
        list(lines)
    assert n_torn_bytes == 0


def test_a_torn_line_before_the_last_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_log(path, seqs(100), max_bytes=1000)
    part = tmp_path / "log.1.jsonl"
    n_lines = part.read_bytes().count(b"\n")
    part.write_bytes(part.read_bytes()[:-5])
    with pytest.raises(ValueError, match=rf"^log\.1\.jsonl, line {n_lines}: .*damaged there"):
        list(read_log(path).lines)


def test_parts_that_are_missing_or_of_another_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(FileNotFoundError, match=r"no such log: log\.jsonl"):
        read_log(path)
    path.write_bytes(b"")
    lines, n_torn_bytes = read_log(path)
    assert (list(lines), n_torn_bytes) == ([], 0)
    write_log(path, seqs(100), max_bytes=1000)
    first = path.read_bytes()
    path.write_bytes(first.replace(b'"1f"', b'"2f"'))
    with pytest.raises(ValueError, match=r"log\.1\.jsonl is a part of another log than log\.jso"):
        list(read_log(path).lines)
    path.write_bytes(first)
    (tmp_path / "log.2.jsonl").unlink()
    with pytest.raises(ValueError, match=r"need log\.2\.jsonl, got later parts"):
        read_log(path)


# --- disks


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from rt_decoder.signal import SignalInfo
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received
folder = Path(sys.argv[1])
log = JsonlLog(folder / "log.jsonl", max_lines=10**6)
log.write({"type": "header"})
record = Recorder(folder / "r.xdf", SignalInfo(100.0, ("Cz",), ("eeg",), ("volts",)), "amp")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for seq in range(2000):
    log.write({"type": "readout", "seq": seq})
    record.pulled(Received(np.full((1, 1), float(seq)), np.array([seq / 100]), seq / 100, 0.0))
log.close()
record.close()
print(type(log.take_error()).__name__, log.take_error(), log.n_dropped)
print(type(record.take_error()).__name__, record.take_error(), record.n_dropped)
"""


@pytest.mark.skipif(os.name == "nt", reason="limits are POSIX")
@pytest.mark.filterwarnings("ignore:r.xdf was not closed")
def test_a_full_disk_ends_log_and_record_after_a_whole_line(tmp_path: Path) -> None:
    """The limit cuts a write in the middle, as a full disk does."""
    from rt_decoder.files.read import read_recording

    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=REPO, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ran.stderr == ""
    log_said, record_said = (line.split() for line in ran.stdout.splitlines())
    assert log_said[:2] == record_said[:2] == ["OSError", "None"]
    lines, n_torn_bytes = read_log(tmp_path / "log.jsonl")
    _, *readouts = lines
    assert n_torn_bytes == 0  # it was cut back
    assert [line["seq"] for line in readouts] == list(range(len(readouts)))
    assert len(readouts) + int(log_said[2]) == 2000
    data = read_recording(tmp_path / "r.xdf").data[:, 0]
    assert data.tolist() == list(range(len(data)))
    assert len(data) + int(record_said[2]) == 2000
    assert min(len(readouts), len(data)) > 100


def test_a_line_that_cannot_be_written_ends_the_log_once(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl")
    log.write(HEADER)
    assert log.take_error() is None
    log.write({"type": "event", "time": float("nan")})
    wait_for(lambda: log.error is not None)
    log.write({"type": "footer"})
    log.close()
    assert isinstance(log.take_error(), ValueError)
    assert log.take_error() is None
    assert log.n_dropped == 2
    assert list(read_log(tmp_path / "log.jsonl").lines) == [HEADER]
    log.write({"type": "late"})
    assert log.n_dropped == 3


def test_what_was_written_is_on_the_disk_soon(tmp_path: Path, monkeypatch) -> None:
    """Also where nothing more comes."""
    synced: list[int] = []
    monkeypatch.setattr(writer, "SYNC_EVERY", 0.02)
    monkeypatch.setattr(AppendFile, "sync", lambda file: synced.append(file.size))
    log = JsonlLog(tmp_path / "log.jsonl")
    log.write(HEADER)
    wait_for(lambda: synced)
    size = (tmp_path / "log.jsonl").stat().st_size
    assert synced == [size]
    log.write({"type": "footer"})
    wait_for(lambda: len(synced) == 2)
    assert synced[1] > size
    log.close()
