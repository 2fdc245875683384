"""The commands of the guides, run as they are written."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calibration.demo import save_recording
from tests.documents import in_lines
from tests.fieldtrip_server import FieldTripServer, names_chunk
from tests.lsl_loopback import wait_for
from tests.small import REPO, command_line, small_recording
from tests.test_documents import in_a_shell

GUIDES = REPO / "scripts" / "examples" / "README.md"


def guide(title: str) -> list[str]:
    """Commands of the first block of a guide, a line each."""
    text = GUIDES.read_text("utf-8")
    (block,) = re.findall(rf"^### {title}\n(?:(?!^###).)*?```sh\n(.*?)```", text, re.DOTALL | re.M)
    return in_lines(block)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_people_on_dask_go_as_they_are_told(tmp_path: Path) -> None:
    """On this computer, then on a cluster of one worker, which goes on where the first call was."""
    distributed = pytest.importorskip("distributed")
    for session in (1, 2):
        save_recording(small_recording(session=session), tmp_path / f"rec{session}.xdf")
    (tmp_path / "people.tsv").write_text(
        "person\trecordings\tevents\nS1\trec1.xdf\trec1.tsv\nS2\trec2.xdf\trec2.tsv\n"
    )
    alone, cluster = [line for line in guide("Many people, on Dask") if "--people" in line]
    assert "--jobs 4" in alone
    in_a_shell(alone, tmp_path, 900.0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as workers:
        told = cluster.replace("tcp://head:8786", workers.scheduler_address)
        assert told != cluster
        out = in_a_shell(told, tmp_path, 900.0)
    assert ": fitted" in out
    rows = (tmp_path / "study" / "people.tsv").read_text().splitlines()
    assert {row.split("\t")[0] for row in rows[1:]} >= {"S1", "S2"}
    assert len([row for row in rows if row.startswith("S1\t")]) == 3  # layers 0, 3, 6


N_BLOCK = 25  # samples that the buffer gets at once


def start_session(command: str, server: FieldTripServer, folder: Path) -> subprocess.Popen[str]:
    """The guide's `rt-decoder run`, with the buffer of a test."""
    assert "localhost:1972" in command
    words = shlex.split(command.replace("localhost:1972", server.address), comments=True)
    words += ["--units", "uV"]  # this buffer has no Neuromag header, which would tell them
    return subprocess.Popen(
        command_line(*words[1:]), cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is over when the test is."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answered(log: Path) -> list[str]:
    """Lines of a log that are readouts; none while there is no log."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [line for line in lines if '"type": "readout"' in line or '"type":"readout"' in line]


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.timeout(900)
def test_meg_over_fieldtrip_goes_as_it_is_told(tmp_path: Path) -> None:
    """A buffer in real time, whose events are the words; Ctrl-C ends the session in order."""
    recording = small_recording(session=1)
    save_recording(recording, tmp_path / "run1.xdf")
    fit, run = guide("MEG over FieldTrip")
    in_a_shell(f"rt-decoder convert run1.xdf -o run1.fif\n{fit}", tmp_path, 600.0)
    names, sfreq = recording.info.ch_names, recording.info.sfreq
    rows = recording.data * 1e6  # V to uV
    words = {round(one.index / N_BLOCK): one.label for one in recording.markers}
    with FieldTripServer() as server, ended(start_session(run, server, tmp_path)) as process:
        server.put_header(sfreq, len(names), "float64", names_chunk(names))
        begin, number = time.monotonic(), 0

        def has_answered() -> bool:
            """A block at each look for which it is time: stamps come from arrivals."""
            nonlocal number
            if time.monotonic() >= begin + number * N_BLOCK / sfreq:
                at = number * N_BLOCK % (len(rows) - N_BLOCK)
                server.put_data(rows[at : at + N_BLOCK])
                if number in words:
                    server.put_event("word", words[number])
                number += 1
            assert process.poll() is None, process.communicate()[1]
            return len(answered(tmp_path / "meg.jsonl")) > 3

        wait_for(has_answered)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120.0)
    assert (process.returncode, err) == (0, "")
    assert "ended: " in out
