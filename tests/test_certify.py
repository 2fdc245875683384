"""What slows a computer down is found and named, with its fix."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pylsl import local_clock

from rt_decoder.commands import machine_parts as parts
from rt_decoder.commands.certify import marker_delays
from rt_decoder.commands.machine_verdict import found_problems, picture, verdict_lines
from rt_decoder.sinks.outlets import marker_outlet
from tests.lsl_loopback import wait_for
from tests.small import call

ROW = {"p50": 0.1, "p95": 0.1, "p99": 0.2, "p99.9": 0.3, "max": 0.4}
STAGE = {"p50": 100.0, "p95": 150.0, "p99": 200.0, "max": 300.0}  # us
HEALTHY: dict[str, Any] = {
    "parts": {
        "wake": ROW, "wake_here": ROW, "disk": ROW, "loopback": ROW, "markers": ROW,
        "end_to_end": ROW,
    },
    "machine": {
        "memory_gb_s": 20.0, "clock": {"read_us": 0.05, "source": "tsc"}, "blas_threads": 1,
        "processors": {"n": 4, "others": 0.2, "stolen": 0.0},
    },
    "stages_us": {"filter": STAGE, "vocabulary": STAGE, "readout": STAGE},
    "made": 500, "asked": 500, "budget_ms": 50.0, "hop_ms": 10.0, "limit_ms": 0.5,
    "n_items": 1000, "n_channels": 64, "sfreq": 1000.0, "keeps": True,
}  # fmt: skip
CHANGES: dict[str, tuple[tuple[str, ...], Any]] = {
    "budget": (("parts", "end_to_end", "p99"), 60.0),
    "readouts": (("made",), 100),
    "vocabulary": (("stages_us", "vocabulary", "p50"), 12_000.0),
    "stages": (("stages_us", "filter", "p50"), 12_000.0),
    "no_markers": (("parts", "markers", "p50"), None),
    "scheduler": (("parts", "wake", "p99"), 5.0),
    "stolen": (("machine", "processors", "stolen"), 0.1),
    "clock": (("machine", "clock", "read_us"), 2.0),
}


def names(told: dict[str, Any]) -> set[str]:
    return {one["name"] for one in found_problems(told)}


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(HEALTHY))  # rows are not shared
    at = told
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return told


def test_a_healthy_computer_has_no_problem() -> None:
    assert found_problems(HEALTHY) == []


@pytest.mark.parametrize("name", CHANGES)
def test_each_problem_is_named_with_its_fix(name: str) -> None:
    told = changed(*CHANGES[name])
    assert names(told) == {name}
    (one,) = found_problems(told)
    assert one["fix"]
    assert one["what"] in "\n".join(verdict_lines(told | {"problems": [one]}))


def test_a_vocabulary_that_is_too_large_is_told_how_large_it_may_be() -> None:
    told = changed(("stages_us", "vocabulary", "p50"), 12_000.0)
    (one,) = found_problems(told)
    assert one["breaks"]
    assert "the scan of 1000 words takes 12.10 ms of each hop of 10 ms" in one["what"]
    assert "about 404 here" in one["fix"]


def test_busy_processors_are_found() -> None:
    spin = [sys.executable, "-c", "import sys\nprint(1, flush=True)\nwhile True: pass"]
    busy = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)]
    try:
        for one in busy:
            assert one.stdout is not None
            one.stdout.readline()
        watch = parts.processors()
        parts.wakes(300)
        load = watch()
    finally:
        for one in busy:
            one.kill()
            one.communicate()
    if load["others"] is None:
        pytest.skip("this system does not tell what its processors do")
    assert "busy" in names(changed(("machine", "processors"), load))


@contextmanager
def held_interpreter() -> Iterator[None]:
    """A thread that holds the GIL for 200 ms at a time."""
    ended, hold = threading.Event(), ctypes.PyDLL(None).usleep

    def run() -> None:
        while not ended.wait(0.001):
            hold(200_000)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.skipif(os.name == "nt", reason="needs usleep")
def test_a_thread_that_holds_the_interpreter_is_found() -> None:
    with held_interpreter():
        here = parts.percentiles(parts.wakes(5))
    assert "interpreter" in names(changed(("parts", "wake_here"), here))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
def test_several_threads_of_blas_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for n in (1, 4):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, str(n))
        found = names(changed(("machine", "blas_threads"), parts.blas_threads()))
        assert found == (set() if n == 1 or os.cpu_count() == 1 else {"blas"})


def test_a_slow_disk_is_found(tmp_path: Path) -> None:
    assert names(changed(("parts", "disk"), parts.percentiles(parts.disk(tmp_path, 2)))) <= {"disk"}
    slow = parts.disk(tmp_path, 2, lambda number: time.sleep(0.25))
    assert names(changed(("parts", "disk"), parts.percentiles(slow))) == {"disk"}


@pytest.mark.lsl
def test_markers_that_come_late_are_found(source_id: str) -> None:
    outlet, ended = marker_outlet(source_id, source_id), threading.Event()

    def send() -> None:
        while not ended.wait(0.02):
            outlet.push_sample(["axe"], local_clock() - 0.3)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        late = wait_for(lambda: marker_delays(source_id, 0.5))
    finally:
        ended.set()
        thread.join()
    assert names(changed(("parts", "markers"), parts.percentiles(late))) == {"markers"}


def test_what_was_measured_is_drawn() -> None:
    told = HEALTHY | {"problems": []}
    root = ElementTree.fromstring(picture(told))
    texts = {one.text for one in root.iter() if one.text}
    assert {"budget", "limit", "vocabulary", "filter", "newest sample to scores"} <= texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 9


@pytest.mark.slow
@pytest.mark.lsl
def test_the_command_measures_everything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran = call(
        capsys, "certify", "--channels", "4", "--rate", "250", "--words", "20", "--seconds", "3",
        "--folder", tmp_path, "--picture", tmp_path / "here.svg", "--json",
    )  # fmt: skip
    told = json.loads(ran.out.splitlines()[-1])
    assert ran.code == (0 if told["keeps"] else 1)
    assert told["made"] > 0
    assert set(told["parts"]) == {"wake", "wake_here", "disk", "loopback", "end_to_end"}
    assert told["parts"]["end_to_end"]["p50"] > 0
    assert (tmp_path / "here.svg").stat().st_size > 1000
