"""The examples run, against a simulated person who hears what they say; the speller's figures, too."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pylsl
import pytest

from rt_decoder.sinks.outlets import marker_outlet
from tests.lsl_loopback import wait_for
from tests.small import REPO, finish, start

EXAMPLES = REPO / "scripts" / "examples"
PERSON = ("--words", "12", "--channels", "8", "--seed", "3")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    recording, path = folder / "person.xdf", folder / "person.rtd.safetensors"
    for program, *arguments in (
        ("rt_decoder", "simulate", *PERSON, "--seconds", "150", "--save", recording),
        ("calibration", "fit", recording, "--events", recording.with_suffix(".tsv"), "-o", path),
    ):
        ran = finish(start(*arguments, program=str(program)), 600.0)
        assert ran.code == 0, ran.err
    return path


@contextmanager
def listening(name: str, markers: str) -> Iterator[None]:
    """A person who is there, and hears the markers."""
    hears = start(
        "simulate", *PERSON, "--seconds", "600", "--session", "2", "--name", name, "--hear", markers
    )
    try:
        wait_for(lambda: pylsl.resolve_byprop("name", name, 1, 1.0))
        yield
    finally:
        hears.terminate()
        finish(hears)


def run_example(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
@pytest.mark.lsl
def test_a_copy_speller_copies(model: Path, source_id: str) -> None:
    cues = f"{source_id}-cues"
    with listening(source_id, cues):
        told = run_example(
            "copy_speller.py", model, "--name", source_id, "--cues", cues, "--words", "the,and,you"
        )
    decided = [line for line in told.splitlines() if "->" in line]
    assert [line.split()[0] for line in decided] == ["the", "and", "you"]
    summary = ast.literal_eval(told.splitlines()[-2])
    assert summary["n"] == 3
    assert summary["error_rate"] < 1.0  # guesses are right in one of twelve


@pytest.mark.slow
@pytest.mark.lsl
def test_words_with_markers_are_shown_without_psychopy(model: Path, source_id: str) -> None:
    with listening(source_id, "Stimuli"):
        told = run_example(
            "psychopy_words.py", model, "--name", source_id, "--words", "the,and", "--n", "6"
        )
    assert told.splitlines()[0] == "the"
    assert "chance" in told.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.lsl
def test_words_of_a_calibration_are_shown_without_psychopy(source_id: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("axe\nbee\n")
    told = run_example(
        "psychopy_present.py", tmp_path / "words.txt", "--markers", source_id, "--no-cues",
        "--save", tmp_path / "run.tsv",
    )  # fmt: skip
    assert told.splitlines()[0] == "Press a key to begin"
    assert "2 words shown" in told
    rows = (tmp_path / "run.tsv").read_text().splitlines()
    assert sorted(row.split("\t")[3] for row in rows[1:] if "\tword\t" in row) == ["axe", "bee"]


@pytest.mark.slow
@pytest.mark.lsl
def test_feedback_goes_out_at_every_tenth_of_a_second(model: Path, source_id: str) -> None:
    cues, ended = marker_outlet(f"{source_id}-cues", f"{source_id}-cues"), threading.Event()

    def say() -> None:
        while not ended.wait(0.7):
            cues.push_sample(["the"])

    with listening(source_id, f"{source_id}-cues"):
        saying = threading.Thread(target=say)
        saying.start()
        told = run_example(
            "neurofeedback.py", model, "--name", source_id, "--item", "the", "--seconds", "4"
        )
        ended.set()
        saying.join()
    bars = [float(line.split()[0]) for line in told.splitlines()]
    assert 20 <= len(bars) <= 40
    assert all(0 <= bar <= 1 for bar in bars)
    assert len(set(bars)) > 1


@pytest.mark.slow
@pytest.mark.lsl
def test_a_person_hears_words_and_nothing_else(source_id: str) -> None:
    cues = marker_outlet(f"{source_id}-cues", f"{source_id}-cues")
    hears = start("simulate", *PERSON, "--seconds", "8", "--name", source_id, "--hear",
                  f"{source_id}-cues")  # fmt: skip
    wait_for(cues.have_consumers)
    for text in ("the", "and", "nonsense", ""):
        cues.push_sample([text])
    ran = finish(hears, 120.0)
    assert ran.code == 0, ran.err
    assert "heard 2 words; left out 2 markers of no word" in ran.out
    both = start("simulate", "--hear", "x", "--save", "x.xdf", "--words", "4")
    assert finish(both).code == 2


@pytest.mark.slow
def test_the_figures_of_a_speller() -> None:
    command = [sys.executable, str(REPO / "scripts" / "eval_speller.py"), "--json"]
    ran = subprocess.run(
        [*command, "--people", "1", "--minutes", "6", "--error-rate", "0.2"], check=False,
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["error_rate"] <= 0.2
    assert told["bits_per_minute"] > told["fixed_bits_per_minute"] > 0
