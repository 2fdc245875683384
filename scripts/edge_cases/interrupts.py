"""Ctrl-C, SIGTERM and a closed terminal, in every phase of a program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from edge_cases.calls import REPO, small, write_inputs
from edge_cases.case import Ran, case


def _interrupted(
    *arguments: str | Path, program: str = "rt_decoder",
    ready: Callable[[subprocess.Popen[str], float], bool], number: int = signal.SIGINT, times: int = 1,
    **variables: str,
) -> tuple[Ran, float, float]:  # fmt: skip
    """Run a program, send it signals once it is ready; what it left.

    Also after how many s it said that it was interrupted (or ended), and after how many it ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", program, *map(str, arguments)], cwd=REPO, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPO)} | variables,
    )  # fmt: skip
    begin = time.monotonic()
    while not ready(process, time.monotonic() - begin):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    sent = time.monotonic()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.02)
    assert process.stderr is not None
    said, line = "", " "
    while line and "interrupted" not in line:
        line = process.stderr.readline()
        said += line
    heard = time.monotonic() - sent
    out, err = process.communicate(timeout=240.0)
    return Ran(process.returncode, out, said + err), heard, time.monotonic() - sent


def _after(text: str) -> Callable[[subprocess.Popen[str], float], bool]:
    def ready(process: subprocess.Popen[str], _: float) -> bool:
        assert process.stdout is not None
        return text in process.stdout.readline()

    return ready


def _searching(folder: Path, number: int, times: int = 1) -> str:
    write_inputs(folder)
    ran, heard, ended = _interrupted(
        "run", "--force", "--model", folder / "m.safetensors", "--name", "no-such", "--timeout", "30",
        "--log", folder / "s.jsonl", ready=_after("looking for"), number=number, times=times,
    )  # fmt: skip
    assert ran.code == 130, ran
    assert "error: interrupted; nothing was written" in ran.err, ran.err
    assert "Traceback" not in ran.err
    assert not (folder / "s.jsonl").exists()
    return f"heard after {heard:.2f} s, ended after {ended:.2f} s, exit 130"


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
    write_inputs(folder)
    before = sorted(folder.iterdir())
    ran, *_ = _interrupted(
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

    write_inputs(folder)
    ran, *_ = _interrupted(
        "decode", "--force", folder / "rec.xdf", "--model", folder / "m.safetensors",
        "--jsonl", folder / "l.jsonl", ready=ready,
    )  # fmt: skip
    # Python ends itself by the signal if an import in C was interrupted; for a shell that is 130, too
    assert ran.code in (130, -signal.SIGINT), ran
    assert "Traceback" not in ran.err, ran
    assert not (folder / "l.jsonl").exists()
    return "interrupted; nothing was written; exit 130"


@contextmanager
def _sender(name: str, *, silent: bool = False) -> Iterator[None]:
    """A stream of the small participant, in real time; or one that is there and sends nothing."""
    import threading

    from pylsl import local_clock

    from rt_decoder.sinks.outlets import data_outlet

    recording, ended = small(), threading.Event()
    outlet = data_outlet(name, recording.info, name)
    if silent:
        yield
        return

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


def _maps(library: str) -> Callable[[subprocess.Popen[str], float], bool]:
    """Whether a process has loaded a library (where that can be seen), or is a second old."""

    def ready(process: subprocess.Popen[str], seconds: float) -> bool:
        maps = Path(f"/proc/{process.pid}/maps")
        return seconds > 1.0 if not maps.exists() else library in maps.read_text()

    return ready


def _compiles(process: subprocess.Popen[str], seconds: float) -> bool:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return seconds > 5.0 if not children.exists() else bool(children.read_text())


_PHASES = {  # of a cold start, and how each is told
    "numpy is imported": _maps("numpy"),
    "numba is imported": _maps("llvmlite"),
    "kernels compile": _compiles,
    "a stream is sought": _after("looking for"),
    "the stream is opened": _after("waiting for the first sample"),
}


def _starting(phase: str) -> Callable[[Path], str]:
    def interrupted(folder: Path) -> str:
        write_inputs(folder)
        before, name = sorted(folder.iterdir()), f"edges-{os.getpid()}-{phase.replace(' ', '-')}"
        is_there, is_cold = phase == "the stream is opened", phase == "kernels compile"
        with _sender(name, silent=True) if is_there else nullcontext():
            ran, heard, ended = _interrupted(
                "run", "--force", "--model", folder / "m.safetensors", "--source-id", name,
                "--outlet", "", "--log", folder / "s.jsonl", "--record", folder / "s.xdf",
                ready=_PHASES[phase], number=signal.SIGTERM,
                **({"NUMBA_CACHE_DIR": str(folder / "cold")} if is_cold else {}),
            )  # fmt: skip
        assert ran.code in (130, -signal.SIGINT), ran  # as of the import above
        assert "error: interrupted; " in ran.err, ran
        assert "Traceback" not in ran.err, ran
        assert [one for one in sorted(folder.iterdir()) if one.name != "cold"] == before
        return f"heard after {heard:.2f} s, ended after {ended:.2f} s, exit 130"

    return interrupted


for _phase in _PHASES:
    case("refusals", f"SIGTERM while {_phase}", "heard after .3 to 2 s")(_starting(_phase))


def _live(folder: Path, number: int, times: int) -> str:
    write_inputs(folder)
    name = f"edges-{os.getpid()}-{number}-{times}"

    def ready(_process: subprocess.Popen[str], _: float) -> bool:
        log = folder / "s.jsonl"
        return log.exists() and b'"readout"' in log.read_bytes()

    with _sender(name):
        ran, *_ = _interrupted(
            "run", "--force", "--model", folder / "m.safetensors", "--source-id", name, "--outlet", "",
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
