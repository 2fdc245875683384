"""A place for the cases of outputs: a recording, a model, a small disk, a live stream."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from edge_cases.case import Ran, rt_decoder

REPO = Path(__file__).resolve().parents[2]


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


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk with little room; a system that mounts none gets a folder where writing fails."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    can = shutil.which("mount") is not None
    if can and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
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
        "run", "--force", "--model", model, "--source-id", sent.name, "--outlet", "", "--timeout", "60",
        "--seconds", seconds, *options,
    )  # fmt: skip


def started(sent: Sent, model: Path, *options: str | Path, **kwargs: Any) -> subprocess.Popen[str]:
    """Decode it live in another process."""
    command = [
        sys.executable, "-m", "rt_decoder", "run", "--force", "--model", model, "--source-id", sent.name,
        "--outlet", "", "--timeout", "60", *options,
    ]  # fmt: skip
    return subprocess.Popen(
        [str(part) for part in command], cwd=REPO, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **kwargs,
    )  # fmt: skip


def full(folder: Path) -> list[Path]:
    """Records that hold half a second or more."""
    return [path for path in folder.glob("*.xdf") if path.stat().st_size > 20_000]


def stopped(running: list[subprocess.Popen[str]], ready: Callable[[], object]) -> None:
    """Wait for something, then end the sessions as Ctrl-C does; none has complained."""
    from tests.lsl_loopback import wait_for

    try:
        wait_for(ready)
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            out, err = process.communicate(timeout=120)
            assert (process.returncode, err) == (0, ""), (process.returncode, out, err)
    finally:
        for process in running:
            process.kill()
