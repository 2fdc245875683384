"""scripts/eval_references.py on one simulated person, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "eval_references.py"


def run(*args):
    call = [sys.executable, str(SCRIPT), *args]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def test_a_dead_lead_and_too_strong_ones_do_no_harm_and_are_told():
    done = run("--people", "1", "--faults", "dead,gain", "--of", "ECG,both", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    rows = result["rows"]
    assert len(rows) == 1 + 2 * 2 * 3
    assert all(goal["pass"] for goal in result["goals"].values())
    healthy = [row for row in rows if row["when"] == "never"]
    assert all(row["minute"] < 0.7 and row["told"] == [] for row in healthy)
    dead = [row for row in rows if row["fault"] == "dead" and row["of"] == "ECG"]
    assert [row["told"] for row in dead] == [["ECG"]] * 3


def test_what_it_refuses():
    assert "need names among dead" in run("--faults", "deaf").stderr
    assert "need a strength above 0" in run("--strength", "0").stderr
    assert "need at least one person" in run("--people", "0").stderr
