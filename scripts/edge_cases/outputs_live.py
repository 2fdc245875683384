"""Outputs of live sessions, and outputs that are no files."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from pathlib import Path

from edge_cases.case import case, rt_decoder
from edge_cases.outputs_place import (
    Sent,
    full,
    live,
    place,
    small_disk,
    started,
    stopped,
    untouched,
)


@case("outputs", "the same session typed the next day", "yesterday's log and record were deleted")
def _(folder: Path) -> str:
    from rt_decoder.files.read import read_recording

    model = place(folder) / "m.rtd.safetensors"
    log, record = folder / "session.jsonl", folder / "session.xdf"
    with Sent() as sent:
        assert live(sent, model, "--log", log, "--record", record).code == 0
        with untouched(log, record):
            ran = live(sent, model, "--log", log, "--record", record)
            assert ran.code == 0, ran
            record.rename(folder / "moved.xdf")
            assert live(sent, model, "--log", log, "--record", record).code == 0
            (folder / "moved.xdf").rename(record)
    names = sorted(path.name for path in folder.glob("session*"))
    numbers = ("", "-002", "-003")
    assert names == sorted(f"session{n}.{e}" for n in numbers for e in ("jsonl", "xdf")), names
    assert f"log    {folder}/session-002.jsonl" in ran.out
    for number in numbers:
        last = json.loads((folder / f"session{number}.jsonl").read_text().splitlines()[-1])
        if n := last["n_samples"]:  # a machine under load may not get any within the second
            assert n == len(read_recording(folder / f"session{number}.xdf").data)
    return "session-002.jsonl and session-002.xdf, said at the start; then -003 for both"


@case("outputs", "the same session typed twice at once", "the running one's files were deleted")
def _(folder: Path) -> str:
    from rt_decoder.files.read import read_recording

    model = place(folder) / "m.rtd.safetensors"
    call = ("--log", folder / "s.jsonl", "--record", folder / "s.xdf")
    with Sent() as sent:
        running = [started(sent, model, *call) for _ in range(2)]
        stopped(running, lambda: len(full(folder)) == 2)
    for stem in ("s", "s-002"):
        footer = json.loads((folder / f"{stem}.jsonl").read_text().splitlines()[-1])
        n = len(read_recording(folder / f"{stem}.xdf").data)
        assert footer["n_samples"] == n, (stem, footer, n)
    names = sorted(path.name for path in folder.glob("s*.*"))
    assert names == ["s-002.jsonl", "s-002.xdf", "s.jsonl", "s.xdf"], names
    return "two names, two whole logs and records"


@case("outputs", "a disk that hangs when the record is closed", "exit 0, errors []")
def _(folder: Path) -> str:
    from rt_decoder.files.append_file import AppendFile
    from rt_decoder.sinks import worker

    model = place(folder) / "m.rtd.safetensors"
    log, record = folder / "s.jsonl", folder / "s.xdf"
    gate, sync, patience = threading.Event(), AppendFile.close, worker.CLOSE_TIMEOUT

    def hang(self: AppendFile) -> None:
        if threading.current_thread().name.startswith("record"):
            gate.wait(60)
        sync(self)

    AppendFile.close, worker.CLOSE_TIMEOUT = hang, 0.5  # type: ignore[method-assign]
    try:
        with Sent() as sent:
            ran = live(sent, model, "--log", log, "--record", record, "--json")
    finally:
        gate.set()
        AppendFile.close, worker.CLOSE_TIMEOUT = sync, patience  # type: ignore[method-assign]
    assert ran.code == 3, ran
    footer = json.loads(ran.out.splitlines()[-1])
    assert footer["errors"] == ["record: the disk hung for 0.5 s when the file was closed"]
    assert json.loads(log.read_text().splitlines()[-1])["errors"] == footer["errors"]
    assert "record s.xdf: the disk hung" in ran.err
    assert "RECORD_ENDED" in ran.out
    return f"exit 3, {ran.err.strip()}"


@case("outputs", "a full disk under log and record", "exit 0; the terminal names no file")
def _(folder: Path) -> str:
    model = place(folder) / "m.rtd.safetensors"
    with Sent() as sent, small_disk(folder, "16k") as disk:
        call = ("--log", disk / "s.jsonl", "--record", disk / "s.xdf", "--json", "--quiet")
        ran = live(sent, model, *call, seconds="4")
    assert ran.code == 3, ran
    assert "record s.xdf: No space left on device" in ran.err
    assert "RECORD_ENDED" in ran.out
    return f"exit 3, {ran.err.strip()}"


@case("outputs", "--quiet and a record that ends", "--quiet hid the event, too")
def _(folder: Path) -> str:
    model = place(folder) / "m.rtd.safetensors"
    with Sent() as sent:
        ran = live(sent, model, "--log", "/dev/full", "--quiet", "--continuous")
    assert ran.code == 3, ran
    lines = [line for line in ran.out.splitlines() if not line.startswith("log ")]
    events = [line for line in lines if re.match(r"[A-Z_]+ at sample", line)]
    assert any(line.startswith("LOG_ENDED") for line in events), lines
    assert not any(re.match(r" *\d+ ", line) for line in lines), lines  # a readout
    assert "log full: No space left on device" in ran.err
    return f"no readouts: {events[-1]}; exit 3"


@case("outputs", "a FIFO as log that nobody reads", "waited for ever, deaf to Ctrl-C")
def _(folder: Path) -> str:
    model, log = place(folder) / "m.rtd.safetensors", folder / "s.jsonl"
    os.mkfifo(log)
    with Sent() as sent:
        begin = time.monotonic()
        ran = live(sent, model, "--log", log)
        assert time.monotonic() - begin < 30
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran
    assert "need a program that reads s.jsonl, a FIFO" in ran.err
    return ran.err.strip()


@case("outputs", "a FIFO as offline log, read", "the FIFO was replaced by a file")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    log = folder / "s.jsonl"
    os.mkfifo(log)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.extend(log.read_text().splitlines()))
    reader.start()
    ran = rt_decoder("decode", "--force", rec, "--model", model, "--jsonl", log)
    reader.join(60)
    assert ran.code == 0, ran
    assert stat.S_ISFIFO(log.stat().st_mode)
    assert json.loads(got[-1])["type"] == "footer"
    return f"{len(got)} lines came through the FIFO"


@case("outputs", "no descriptor left for a file", "a bare [Errno 24]; a folder was left behind")
def _(folder: Path) -> str:
    import resource

    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    call = ("decode", "--force", rec, "--model", model, "--jsonl")
    assert rt_decoder(*call, folder / "warm.jsonl").code == 0
    names = sorted(path.name for path in folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    said = []
    for more in range(2):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, hard))
        try:
            ran = rt_decoder(*call, folder / "log.jsonl")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert ran.code in (1, 2), ran
        assert "cannot write log.jsonl in " in ran.err, ran
        said.append(ran.err.partition(str(folder))[2].strip(": \n"))
    assert sorted(path.name for path in folder.iterdir()) == names
    return f"cannot write log.jsonl in ...: {' / '.join(said)}"


@case("outputs", "a live session with 24 descriptors", "decoded")
def _(folder: Path) -> str:
    model, log = place(folder) / "m.rtd.safetensors", folder / "s.jsonl"

    def few() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    with Sent() as sent:
        process = started(sent, model, "--log", log, "--record", folder / "s.xdf", preexec_fn=few)
        stopped([process], lambda: full(folder))
    footer = json.loads(log.read_text().splitlines()[-1])
    assert footer["errors"] == []
    assert footer["n_samples"] > 100
    return f"{footer['n_samples']} samples, log whole"
