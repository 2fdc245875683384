"""Calls that cannot work, interrupted or not."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
from edge_cases.case import Ran, case, rt_calibrate, rt_decoder

from calibration.demo import save_recording
from rt_decoder.files.model_file import save_model
from tests.small import random_model, small_recipe, small_recording

REPO = Path(__file__).resolve().parents[2]
RAW = ("Traceback", "[Errno", "NoneType", "codec can't", "HeaderTooLarge", "header too large")


@lru_cache(maxsize=1)
def _recording():
    return small_recording(seconds=20.0)


def _inputs(folder: Path) -> None:
    save_recording(_recording(), folder / "rec.xdf")  # and rec.tsv
    save_model(random_model(_recording(), small_recipe()), folder / "m.safetensors")


def _sentence(ran: Ran, *words: str, code: tuple[int, ...] = (1, 2)) -> str:
    assert ran.code in code, ran
    assert ran.err.startswith("error: "), ran.err[-300:]
    assert ran.err.count("\n") == 1, ran.err[-600:]
    assert not any(raw in ran.err for raw in RAW), ran.err
    for word in words:
        assert word in ran.err, (word, ran.err)
    return f"refused: {ran.err.removeprefix('error: ').strip()}"


def _decode(folder: Path, *more: str | Path) -> Ran:
    return rt_decoder(
        "decode", folder / "rec.xdf", "--model", folder / "m.safetensors",
        "--jsonl", folder / "l.jsonl", *more,
    )  # fmt: skip


def _fit(folder: Path, *more: str | Path) -> Ran:
    return rt_calibrate(
        "fit", folder / "rec.xdf", "--events", folder / "rec.tsv", "-o", folder / "o.safetensors",
        *more,
    )  # fmt: skip


@contextmanager
def _no_cleaning() -> Iterator[None]:
    """Whatever is refused after minutes of cleaning fails the case."""
    with patch("calibration.cleaning.chain.fit_cleaning", side_effect=AssertionError("cleaned")):
        yield


# --- files that are none


@case("refusals", "events table that is not there", "[Errno 2] No such file or directory: '/...'")
def _(folder: Path) -> str:
    _inputs(folder)
    return _sentence(_decode(folder, "--events", folder / "none.tsv"), "no such file: none.tsv")


@case("refusals", "recipe that is a folder", "[Errno 21] Is a directory: '/...'")
def _(folder: Path) -> str:
    _inputs(folder)
    (folder / "r.toml").mkdir()
    return _sentence(_fit(folder, "--recipe", folder / "r.toml"), "the folder r.toml")


@case("refusals", "vocabulary of bytes", "'utf-8' codec can't decode byte, after the cleaning")
def _(folder: Path) -> str:
    _inputs(folder)
    (folder / "v.txt").write_bytes(bytes(range(128, 256)))
    with _no_cleaning():
        return _sentence(_fit(folder, "--vocabulary", folder / "v.txt"), "v.txt", "UTF-8")


@case("refusals", "channel table that is not there, live", "searched for the stream first")
def _(folder: Path) -> str:
    _inputs(folder)
    begin = time.monotonic()
    ran = rt_decoder(
        "run", "--model", folder / "m.safetensors", "--channels", folder / "c.tsv", "--name", "no"
    )
    assert time.monotonic() - begin < 5.0
    return _sentence(ran, "no such file: c.tsv")


@case("refusals", "model of other bytes", "Error while deserializing header: header too large")
def _(folder: Path) -> str:
    _inputs(folder)
    (folder / "m.safetensors").write_bytes(b"\xff" * 4096)
    return _sentence(_decode(folder), "m.safetensors", "no whole model file")


@case("refusals", "model without its filter, hash made anew", "__init__() missing 1 required ...")
def _(folder: Path) -> str:
    import hashlib

    from safetensors import safe_open
    from safetensors.numpy import save_file

    _inputs(folder)
    path = folder / "m.safetensors"
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["rt_decoder"]
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "sos"}  # noqa: SIM118
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode() + tensor.tobytes())
    save_file(tensors, path, {"rt_decoder": text, "sha256": digest.hexdigest()})
    said = _sentence(_decode(folder), "m.safetensors", "sos")
    assert "argument" not in said
    return said


@case("refusals", "HDF5 of MATLAB without its reader", "The h5py package is required to read ...")
def _(folder: Path) -> str:
    _inputs(folder)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
    (folder / "x.set").write_bytes(
        text.ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(512)
    )
    with patch.dict(sys.modules, {"pymatreader": None, "h5py": None}):
        ran = rt_decoder("convert", folder / "x.set", "-o", folder / "x_raw.fif")
    return _sentence(ran, "x.set", "pip install 'rt-decoder[files]'")


@case("refusals", "ANT recording without antio", "first line of several; no package named")
def _(folder: Path) -> str:
    (folder / "x.cnt").write_bytes(b"RIFF" + struct.pack("<I", 4096) + b"CNT " + bytes(4096))
    with patch.dict(sys.modules, {"antio": None}):
        ran = rt_decoder("convert", folder / "x.cnt", "-o", folder / "x_raw.fif")
    return _sentence(ran, "need antio to read x.cnt: pip install antio")


@case("refusals", "BrainVision header without its data", "[Errno 2] in the middle of a sentence")
def _(folder: Path) -> str:
    (folder / "x.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=x.eeg\nMarkerFile=x.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=1\nSamplingInterval=4000\n[Binary Infos]\nBinaryFormat=INT_16\n"
        "[Channel Infos]\nCh1=Fz,,0.1,uV\n"
    )
    return _sentence(rt_decoder("convert", folder / "x.vhdr", "-o", folder / "x_raw.fif"), "x.vhdr")


# --- before the cleaning


@case("refusals", "layer that the language model has not", "said after the cleaning")
def _(folder: Path) -> str:
    _inputs(folder)
    with _no_cleaning():
        return _sentence(_fit(folder, "--layer", "99"), "need a layer from -7 to 6, got 99")


@case(
    "refusals", "wordfreq that is not installed", "No module named 'wordfreq', after the cleaning"
)
def _(folder: Path) -> str:
    _inputs(folder)
    with _no_cleaning(), patch.dict(sys.modules, {"wordfreq": None}):
        ran = _fit(folder, "--vocabulary", "wordfreq:50")
    return _sentence(ran, "need wordfreq", "pip install 'rt-decoder[calibration]'")


@case("refusals", "matplotlib that is not installed", "the fit was lost with its report")
def _(folder: Path) -> str:
    _inputs(folder)
    with _no_cleaning(), patch.dict(sys.modules, {"matplotlib": None}):
        ran = _fit(folder, "--report", folder / "r.html")
    return _sentence(ran, "need matplotlib for --report", "rt-decoder[calibration]")


@case("refusals", "one item only", "said after the cleaning")
def _(folder: Path) -> str:
    _inputs(folder)
    rows = "".join(f"{2 + i / 2}\t0\taxe\n" for i in range(30))
    (folder / "one.tsv").write_text("onset\tduration\tword\n" + rows)
    with _no_cleaning():
        ran = rt_calibrate(
            "fit", folder / "rec.xdf", "--events", folder / "one.tsv", "-o", folder / "o"
        )
    return _sentence(ran, "2 items or more")


@case("refusals", "groups that leave nothing to train on", "said after the cleaning")
def _(folder: Path) -> str:
    _inputs(folder)
    rows = "".join(f"{2 + i / 2}\t0\tword{i % 3}\tall\n" for i in range(30))
    (folder / "g.tsv").write_text("onset\tduration\tword\tstory\n" + rows)
    with _no_cleaning():
        ran = rt_calibrate(
            "fit", folder / "rec.xdf", "--events", folder / "g.tsv", "-o", folder / "o",
            "--groups", "story",
        )  # fmt: skip
    return _sentence(ran, "group")


@case("refusals", "two tables for one recording", "exit 1")
def _(folder: Path) -> str:
    _inputs(folder)
    return _sentence(_fit(folder, "--events", folder / "rec.tsv"), "got 2", code=(2,))


# --- values


def _number_case(value: str, option: str, before: str) -> None:
    @case("refusals", f"{option} {value}", before)
    def _(folder: Path) -> str:
        _inputs(folder)
        return _sentence(_decode(folder, f"{option}={value}"), option, code=(2,))


for _value in ("inf", "nan"):
    _number_case(_value, "--marker-offset", "traceback of OverflowError or words of Python")
_number_case("1e300", "--marker-offset", "0 readouts, exit 0")
_number_case("-1e300", "--marker-offset", "0 readouts, exit 0")


@case("refusals", "a stage by its name of before", "need all or stages among ..., no word of mains")
def _(folder: Path) -> str:
    _inputs(folder)
    return _sentence(_decode(folder, "--without", "line"), "line is called mains now")


@case("refusals", "an option by its name of before", "No such option: --line")
def _(folder: Path) -> str:
    _inputs(folder)
    return _sentence(_fit(folder, "--line", "adaptive"), "need --mains")


@case("refusals", "triggers in a channel that has none", "0 readouts, exit 0, no hint")
def _(folder: Path) -> str:
    recording = _recording()
    data = recording.data.copy()
    data[:, recording.info.ch_names.index("ECG")] = 0.0
    _inputs(folder)
    save_recording(replace(recording, data=data), folder / "rec.xdf")
    ran = _decode(folder, "--markers", "channel:ECG")
    assert ran.code == 0, ran
    assert "channel ECG holds no trigger" in ran.err, ran.err
    return ran.err.strip()


@case("refusals", "an XPath that is none", "searched for 10 s, then 'got none'")
def _(folder: Path) -> str:
    _inputs(folder)
    ran = rt_decoder("run", "--model", folder / "m.safetensors", "--predicate", "name='")
    return _sentence(ran, "XPath")


# --- interrupted


def _interrupted(
    *arguments: str | Path, program: str = "rt_decoder",
    ready: Callable[[subprocess.Popen[str], float], bool], number: int = signal.SIGINT, times: int = 1,
) -> tuple[Ran, float]:  # fmt: skip
    """Run a program, send it signals once it is ready; what it left, and after how many s."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", program, *map(str, arguments)], cwd=REPO, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(REPO)},
    )  # fmt: skip
    begin = time.monotonic()
    while not ready(process, time.monotonic() - begin):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    sent = time.monotonic()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.02)
    out, err = process.communicate(timeout=60.0)
    return Ran(process.returncode, out, err), time.monotonic() - sent


def _after(text: str) -> Callable[[subprocess.Popen[str], float], bool]:
    def ready(_process: subprocess.Popen[str], _: float) -> bool:
        assert process.stdout is not None
        return text in process.stdout.readline()

    return ready


def _searching(folder: Path, number: int, times: int = 1) -> str:
    _inputs(folder)
    ran, seconds = _interrupted(
        "run", "--model", folder / "m.safetensors", "--name", "no-such", "--timeout", "30",
        "--log", folder / "s.jsonl", ready=_after("looking for"), number=number, times=times,
    )  # fmt: skip
    assert ran.code == 130, ran
    assert "error: interrupted; nothing was written" in ran.err, ran.err
    assert "Traceback" not in ran.err
    assert not (folder / "s.jsonl").exists()
    return f"interrupted after {seconds:.1f} s, process ended, exit 130"


@case("refusals", "Ctrl-C while searching", "deaf for up to 28 s, exit 0")
def _(folder: Path) -> str:
    return _searching(folder, signal.SIGINT)


@case("refusals", "Ctrl-C three times while searching", "deaf, then a traceback")
def _(folder: Path) -> str:
    return _searching(folder, signal.SIGINT, times=3)


@case("refusals", "terminal closed while searching", "ended by the signal, without a word")
def _(folder: Path) -> str:
    return _searching(folder, signal.SIGHUP)


@case("refusals", "SIGTERM during the cleaning of a fit", "ended by the signal, files half written")
def _(folder: Path) -> str:
    _inputs(folder)
    before = sorted(folder.iterdir())
    ran, _ = _interrupted(
        "fit", folder / "rec.xdf", "--events", folder / "rec.tsv",
        "-o", folder / "o.safetensors", program="calibration", ready=_after("column"),
        number=signal.SIGTERM,
    )  # fmt: skip
    assert ran.code == 130, ran
    assert "error: interrupted; nothing was written" in ran.err, ran
    assert sorted(folder.iterdir()) == before
    return "interrupted; nothing was written; exit 130"


@case("refusals", "Ctrl-C while Python imports", "traceback, exit 1")
def _(folder: Path) -> str:
    def ready(_process: subprocess.Popen[str], seconds: float) -> bool:
        return seconds > 0.35

    _inputs(folder)
    ran, _ = _interrupted(
        "decode", folder / "rec.xdf", "--model", folder / "m.safetensors",
        "--jsonl", folder / "l.jsonl", ready=ready,
    )  # fmt: skip
    assert ran.code == 130, ran
    assert "Traceback" not in ran.err, ran
    assert not (folder / "l.jsonl").exists()
    return "interrupted; nothing was written; exit 130"


@contextmanager
def _sender(name: str) -> Iterator[None]:
    """A stream of the small participant, in real time."""
    import threading

    from pylsl import local_clock

    from rt_decoder.sinks.outlets import data_outlet

    recording, ended = _recording(), threading.Event()
    outlet = data_outlet(name, recording.info, name)

    def send() -> None:
        row, begin = 0, local_clock()
        while not ended.wait(0.02):
            while row / 250.0 < local_clock() - begin:
                rows = np.arange(row, row + 10) % len(recording.data)
                stamps = [begin + i / 250.0 for i in range(row, row + 10)]
                outlet.push_chunk(np.ascontiguousarray(recording.data[rows]), stamps)
                row += 10

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _live(folder: Path, number: int, times: int) -> str:
    _inputs(folder)
    name = f"edges-{os.getpid()}-{number}-{times}"

    def ready(_process: subprocess.Popen[str], _: float) -> bool:
        log = folder / "s.jsonl"
        return log.exists() and b'"readout"' in log.read_bytes()

    with _sender(name):
        ran, _ = _interrupted(
            "run", "--model", folder / "m.safetensors", "--source-id", name, "--outlet", "",
            "--log", folder / "s.jsonl", "--record", folder / "s.xdf", ready=ready, number=number,
            times=times,
        )  # fmt: skip
    assert ran.code == 0, ran
    assert json.loads((folder / "s.jsonl").read_text().splitlines()[-1])["type"] == "footer"
    assert "ended:" in ran.out, ran.out[-500:]
    assert "s.xdf" in ran.out, ran.out[-500:]
    return next(line for line in ran.out.splitlines() if line.startswith("ended:"))


@case("refusals", "Ctrl-C in a session, and again while it closes", "the second was not heard")
def _(folder: Path) -> str:
    return _live(folder, signal.SIGINT, 4)


@case("refusals", "terminal closed in a session", "ended by the signal, no footer")
def _(folder: Path) -> str:
    return _live(folder, signal.SIGHUP, 1)
