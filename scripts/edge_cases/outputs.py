"""Outputs that would destroy something."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from edge_cases.case import Ran, case, rt_calibrate, rt_decoder

REPO = Path(__file__).resolve().parents[2]


# --- a place to work in: everything of it is made once


@cache
def _made() -> dict[str, bytes]:
    """Bytes of a recording, its events, a model and a FIF file, by name."""
    import tempfile

    import mne

    from tests.small import save_small, small_recording

    with tempfile.TemporaryDirectory() as folder:
        recording = small_recording(seconds=20.0)
        info, path = recording.info, Path(folder)
        kinds = ["eeg" if kind == "resp" else kind for kind in info.ch_types]
        described = mne.create_info(list(info.ch_names), info.sfreq, kinds, verbose="error")
        raw = mne.io.RawArray(recording.data.T.copy(), described, verbose="error")
        onsets = [marker.index / info.sfreq for marker in recording.markers]
        labels = [marker.label for marker in recording.markers]
        raw.set_annotations(mne.Annotations(onsets, 0, labels))
        raw.save(path / "rec_raw.fif", fmt="double", verbose="error")
        rows = [f"{onset!r}\t0\tword\t{word}" for onset, word in zip(onsets, labels, strict=True)]
        table = "\n".join(["onset\tduration\ttrial_type\tword", *rows, ""])
        save_small(path / "m.rtd.safetensors")
        return {p.name: p.read_bytes() for p in path.iterdir()} | {"e.tsv": table.encode()}


def place(folder: Path) -> Path:
    """Fill a folder."""
    for name, content in _made().items():
        (folder / name).write_bytes(content)
    return folder


@contextmanager
def untouched(*paths: Path) -> Iterator[None]:
    """Assert that files have the bytes and modes that they had."""
    before = [(p.read_bytes(), p.lstat().st_mode) for p in paths]
    yield
    assert [(p.read_bytes(), p.lstat().st_mode) for p in paths] == before, "a file was destroyed"


def refused(ran: Ran, why: str) -> str:
    """The sentence with which a call was refused."""
    assert ran.code == 2, ran
    sentence = ran.err.strip().removeprefix("error: Invalid value: ")
    assert re.search(why, sentence), sentence
    assert ran.err.count("\n") == 1, ran.err
    return f"refused: {sentence}"


IS_READ = "need another file for .* than one that is read"


# --- an output that is an input


@case("outputs", "a model over the recording it is fitted on", "the recording became a model")
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    with untouched(rec):
        return refused(rt_calibrate("fit", rec, "-o", rec, "--overwrite"), IS_READ)


@case("outputs", "a cleaning model over the recording", "the recording became a model")
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    with untouched(rec):
        return refused(rt_calibrate("cleaning", rec, "-o", rec), IS_READ)


@case("outputs", "a log over the recording", "the recording became a log")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with untouched(rec):
        return refused(rt_decoder("decode", rec, "--model", model, "--jsonl", rec), IS_READ)


@case("outputs", "a log over the model", "the model became a log")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with untouched(model):
        return refused(rt_decoder("decode", rec, "--model", model, "--jsonl", model), IS_READ)


@case("outputs", "a log over the events table", "the table became a log")
def _(folder: Path) -> str:
    rec, model, table = (
        place(folder) / name for name in ("rec_raw.fif", "m.rtd.safetensors", "e.tsv")
    )
    with untouched(table):
        return refused(
            rt_decoder("decode", rec, "--model", model, "--events", table, "--jsonl", table),
            IS_READ,
        )


@case("outputs", "a link to the recording as output", "the link became a log, the recording stayed")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    link = folder / "log.jsonl"
    link.symlink_to(rec)
    with untouched(rec, link):
        call = ("decode", rec, "--model", model, "--jsonl", link, "--overwrite")
        return refused(rt_decoder(*call), IS_READ)


@case("outputs", "a hard link to the events table as output", "the link became a log")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    table, link = folder / "e.tsv", folder / "log.jsonl"
    link.hardlink_to(table)
    with untouched(table, link):
        call = ("decode", rec, "--model", model, "--events", table, "--jsonl", link, "--overwrite")
        return refused(rt_decoder(*call), IS_READ)


@case("outputs", "words over the list of words", "the list became vectors")
def _(folder: Path) -> str:
    words = folder / "words.txt"
    words.write_text("axe\nbee\n")
    with untouched(words):
        return refused(rt_calibrate("embed", words, "-o", words), IS_READ)


@case("outputs", "vectors over the language model that makes them", "the language model was lost")
def _(folder: Path) -> str:
    llm, words = folder / "llm", folder / "words.txt"
    llm.mkdir()
    (llm / "model.safetensors").write_bytes(b"weights")
    words.write_text("axe\nbee\n")
    with untouched(llm / "model.safetensors"):
        out = llm / "model.safetensors"
        call = ("embed", words, "--embedding", llm, "-o", out, "--overwrite")
        return refused(rt_calibrate(*call), IS_READ)


@case("outputs", "a converted file over a part of a split FIF", "the second part was replaced")
def _(folder: Path) -> str:
    import mne

    place(folder)
    raw = mne.io.read_raw(folder / "rec_raw.fif", verbose="error")
    long = mne.concatenate_raws([raw.copy() for _ in range(8)], verbose="error")
    long.save(folder / "long_raw.fif", split_size="2MB", fmt="double", verbose="error")
    part = folder / "long_raw-1.fif"
    with untouched(part):
        call = ("convert", folder / "long_raw.fif", "-o", part, "--overwrite")
        return refused(rt_decoder(*call), IS_READ)


@case("outputs", "a live log over the model", "the model became a log")
def _(folder: Path) -> str:
    model = place(folder) / "m.rtd.safetensors"
    with untouched(model):
        return refused(rt_decoder("run", "--model", model, "--log", model), IS_READ)


@case(
    "outputs", "a list of faults over the recording that is replayed", "the recording became JSON"
)
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    call = ("replay", rec, "--faults", "loss=1s@1", "--faults-log", rec, "--wait", "0")
    with untouched(rec):
        return refused(rt_decoder(*call, "--speed", "100"), IS_READ)


# --- two outputs, other files, endings, folders


@case("outputs", "log and record in one file", "taken, exit 0: each destroys the other")
def _(folder: Path) -> str:
    model, out = place(folder) / "m.rtd.safetensors", folder / "a.xdf"
    log = folder / "a.jsonl"
    log.symlink_to(out)
    call = ("run", "--model", model, "--record", out, "--log")
    said = refused(rt_decoder(*call, log), "two files")
    refused(rt_decoder(*call, out), "need a file named .jsonl")
    assert not out.exists()
    return said


@case("outputs", "model and report in one file", "the report replaced the model")
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    (folder / "here").symlink_to(folder)
    (folder / "a.html").symlink_to(folder / "a.safetensors")
    call = ("fit", rec, "-o", folder / "a.safetensors", "--report", folder / "here" / "a.html")
    return refused(rt_calibrate(*call), "two files")


@case("outputs", "a recording over an older one", "the older one was replaced")
def _(folder: Path) -> str:
    old = folder / "v.xdf"
    old.write_bytes(b"XDF: a year of work")
    with untouched(old):
        return refused(
            rt_decoder("simulate", "--seconds", "6", "--save", old), "v.xdf, which exists"
        )


@case("outputs", "a recording over another's events table", "the table was replaced")
def _(folder: Path) -> str:
    old = folder / "w.tsv"
    old.write_text("onset\tduration\n")
    with untouched(old):
        call = ("simulate", "--seconds", "6", "--save", folder / "w.xdf")
        said = refused(rt_decoder(*call), "its events, got w.tsv, which exists")
        assert not (folder / "w.xdf").exists()
        refused(rt_decoder(*call[:-1], old), "need a file named .xdf")
    return said


@case("outputs", "the same decoding typed twice", "the first log was replaced")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    log = folder / "log.jsonl"
    call = ("decode", rec, "--model", model, "--jsonl", log)
    assert rt_decoder(*call).code == 0
    with untouched(log):
        said = refused(rt_decoder(*call), "--overwrite replaces it")
    assert rt_decoder(*call, "--overwrite").code == 0
    return f"{said}; and so it did"


@case("outputs", "a folder that nothing can be written to", "a bare errno after the decoding")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    call = ("decode", rec, "--model", model, "--jsonl", "/proc/log.jsonl")
    return refused(rt_decoder(*call), "cannot write log.jsonl in /proc")


@case("outputs", "/dev/null as output", "run as root, it became a file")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    ran = rt_decoder("decode", rec, "--model", model, "--jsonl", os.devnull)
    assert ran.code == 0, ran
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    return "decoded, /dev/null is what it was"


# --- full disks, and what was planted


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk with little room; a system that mounts none gets a folder where writing fails."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if mounted.returncode == 0:
        try:
            yield disk
        finally:
            subprocess.run(["umount", disk], check=True)
        return
    write, sync = os.write, os.fsync

    def full(call: Callable[..., Any]) -> Callable[..., Any]:
        def tried(fd: int, *rest: Any) -> Any:
            if Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(disk):
                raise OSError(28, "No space left on device")
            return call(fd, *rest)

        return tried

    os.write, os.fsync = full(write), full(sync)
    try:
        yield disk
    finally:
        os.write, os.fsync = write, sync


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@case("outputs", "no space for the model of a fit", "the fit was lost: [Errno 28]")
def _(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model, model_hash

    rec = place(folder) / "rec_raw.fif"
    with small_disk(folder, "4k") as disk, inside(folder):
        ran = rt_calibrate(
            "cleaning", rec, "-o", disk / "new.rtd.safetensors", "--stages", "eye,repair"
        )
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran
    assert "cannot write new.rtd.safetensors in" in ran.err
    kept = Path(ran.err.rpartition("kept as ")[2].strip())
    assert model_hash(load_model(kept)), kept
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    return f"the model is kept in another folder: ...No space left...; it is kept as {kept.name}"


@case("outputs", "no space for a cleaned recording", "the work was lost: [Errno 28]")
def _(folder: Path) -> str:
    from rt_decoder.files.read import read_recording

    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with small_disk(folder, "64k") as disk, inside(folder):
        ran = rt_decoder("clean", rec, "--model", model, "-o", disk / "c_raw.fif")
    assert ran.code == 1, ran
    kept = Path(ran.err.rpartition("kept as ")[2].strip())
    assert len(read_recording(kept).data) == 5000
    return "cannot write c_raw.fif: No space left; kept in another folder, all 5000 samples"


@case("outputs", "no space for an offline log", "[Errno 28], no file named")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with small_disk(folder, "4k") as disk:
        ran = rt_decoder("decode", rec, "--model", model, "--jsonl", disk / "log.jsonl")
        left = [path.name for path in disk.iterdir()]
    assert (ran.code, left) == (1, []), ran
    assert re.search(r"cannot write log\.jsonl in .*: No space left", ran.err), ran.err
    return "exit 1, cannot write log.jsonl in ...: No space left on device; nothing half-written"


@case("outputs", "a link planted at the temporary name", "followed: another file was overwritten")
def _(folder: Path) -> str:
    from rt_decoder.files.atomic import replacing, write_whole

    victim, out = folder / "victim", folder / "m.rtd.safetensors"
    victim.write_bytes(b"precious")
    enter = replacing.__enter__

    def planted(self: replacing) -> Path:
        path = enter(self)
        if not kept:
            path.symlink_to(victim)
            kept.append(path)
        return path

    kept: list[Path] = []
    replacing.__enter__ = planted  # type: ignore[method-assign]
    try:
        (folder / "other").mkdir()
        with untouched(victim), inside(folder / "other"), suppress(OSError):
            write_whole(out, b"a model")
            raise AssertionError("the link was taken")
    finally:
        replacing.__enter__ = enter  # type: ignore[method-assign]
    assert not out.exists()
    assert (folder / "other" / out.name).read_bytes() == b"a model"
    return "refused, and the model kept in another folder"


@case(
    "outputs", "an open file planted at the temporary name", "the model was readable by all: 0666"
)
def _(folder: Path) -> str:
    from rt_decoder.files.atomic import replacing

    out = folder / "m.rtd.safetensors"
    out.write_bytes(b"old")
    out.chmod(0o666)
    with replacing(out, overwrite=True) as path:
        path.write_bytes(b"a model, by a writer that keeps what it finds")
        path.chmod(0o666)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    return "mode 0600 whatever lay there"


# --- live


class Sent:
    """A live stream of noise with the channels of the model, from a thread of its own."""

    def __init__(self) -> None:
        from rt_decoder.sinks.outlets import data_outlet
        from tests.small import small_recording

        recording = small_recording(seconds=4.0)
        self.name = f"edge-{uuid.uuid4().hex[:10]}"
        self._rows = np.ascontiguousarray(recording.data)
        self._sfreq = recording.info.sfreq
        self._outlet = data_outlet(self.name, recording.info, self.name)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        from pylsl import local_clock

        begin, row = local_clock(), 0
        while not self._stop.wait(0.02):
            n = int((local_clock() - begin) * self._sfreq) - row
            if n > 0:
                rows = self._rows[np.arange(row, row + n) % len(self._rows)]
                stamps = (begin + np.arange(row, row + n) / self._sfreq).tolist()
                self._outlet.push_chunk(np.ascontiguousarray(rows), stamps)
                row += n

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        del self._outlet


def live(sent: Sent, model: Path, *options: str | Path, seconds: str = "1") -> Ran:
    """Decode it live for a second, in this process."""
    return rt_decoder(
        "run", "--model", model, "--source-id", sent.name, "--outlet", "", "--timeout", "60",
        "--seconds", seconds, *options,
    )  # fmt: skip


def started(sent: Sent, model: Path, *options: str | Path, **kwargs: Any) -> subprocess.Popen[str]:
    """Decode it live in another process."""
    command = [
        sys.executable, "-m", "rt_decoder", "run", "--model", model, "--source-id", sent.name,
        "--outlet", "", "--timeout", "60", *options,
    ]  # fmt: skip
    return subprocess.Popen(
        [str(part) for part in command], cwd=REPO, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **kwargs,
    )  # fmt: skip


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
        last = (folder / f"session{number}.jsonl").read_text().splitlines()[-1]
        assert json.loads(last)["n_samples"] == len(
            read_recording(folder / f"session{number}.xdf").data
        )
    return "session-002.jsonl and session-002.xdf, said at the start; then -003 for both"


@case("outputs", "the same session typed twice at once", "the running one's files were deleted")
def _(folder: Path) -> str:
    from rt_decoder.files.read import read_recording

    model = place(folder) / "m.rtd.safetensors"
    call = ("--log", folder / "s.jsonl", "--record", folder / "s.xdf", "--seconds", "4")
    with Sent() as sent:
        running = [started(sent, model, *call) for _ in range(2)]
        for process in running:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, (out, err)
    for stem in ("s", "s-002"):
        footer = json.loads((folder / f"{stem}.jsonl").read_text().splitlines()[-1])
        assert footer["n_samples"] == len(read_recording(folder / f"{stem}.xdf").data)
    assert len(list(folder.glob("s*.*"))) == 4
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
    with Sent() as sent, small_disk(folder, "64k") as disk:
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
    assert lines, ran
    assert all(re.match(r"[A-Z_]+ at sample", line) for line in lines), lines
    assert "log full: No space left on device" in ran.err
    return f"events only: {lines[-1]}; exit 3"


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
    ran = rt_decoder("decode", rec, "--model", model, "--jsonl", log)
    reader.join(60)
    assert ran.code == 0, ran
    assert stat.S_ISFIFO(log.stat().st_mode)
    assert json.loads(got[-1])["type"] == "footer"
    return f"{len(got)} lines came through the FIFO"


@case("outputs", "no descriptor left for a file", "a bare [Errno 24]; a folder was left behind")
def _(folder: Path) -> str:
    import resource

    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    call = ("decode", rec, "--model", model, "--jsonl")
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
        process = started(sent, model, "--log", log, "--seconds", "4", preexec_fn=few)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    footer = json.loads(log.read_text().splitlines()[-1])
    assert (process.returncode, err, footer["errors"]) == (0, "", [])
    assert footer["n_samples"] > 100
    return f"{footer['n_samples']} samples, log whole"


# --- names of people


@case("outputs", "file names of a person in log and converted file", "both held marie_curie")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    person = rec.rename(folder / "marie_curie_raw.fif")
    log, xdf = folder / "log.jsonl", folder / "curie.xdf"
    assert rt_decoder("decode", person, "--model", model, "--jsonl", log).code == 0
    ran = rt_decoder("convert", person, "-o", xdf)
    assert ran.code == 0, ran
    for path in (log, xdf):
        assert b"curie" not in path.read_bytes().lower(), path.name
    said = next(line for line in ran.out.splitlines() if "read before you share" in line)
    return f"neither holds the name; {said[:90]}..."


@case("outputs", "a name in an annotation that convert carries over", "carried over, not said")
def _(folder: Path) -> str:
    import mne

    raw = mne.io.read_raw(place(folder) / "rec_raw.fif", verbose="error")
    raw.set_annotations(raw.annotations + mne.Annotations([1.0], [0.0], ["Dr Curie: pause"]))
    raw.save(folder / "noted_raw.fif", fmt="double", verbose="error")
    for command, out in (("convert", "a.xdf"), ("clean", "a_raw.fif")):
        extra = ("--model", folder / "m.rtd.safetensors") if command == "clean" else ()
        ran = rt_decoder(command, folder / "noted_raw.fif", *extra, "-o", folder / out)
        assert ran.code == 0, ran
        assert "'Dr Curie: pause'" in ran.out, ran
    return "convert and clean: texts of markers 'Dr Curie: pause', ...: read before you share"
