"""The program that fits noise again and again, run on a handful of sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_eval_nulls_runs_end_to_end() -> None:
    program = [sys.executable, ROOT / "scripts" / "eval_nulls.py", "--json"]
    command = [*program, "--nulls", "3", "--leaks", "1", "--canaries", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr  # three sessions may miss a goal by chance
    result = json.loads(ran.stdout.splitlines()[-1])
    assert [row["case"] for row in result["nulls"]][:2] == [
        "iid words, white noise",
        "iid words, AR(.9) noise",
    ]
    assert len(result["leaks"]) == 10
    assert all(row.keys() >= {"name", "found", "as_expected"} for row in result["canaries"])
    worst = next(row for row in result["leaks"] if row["purge"] == 0)
    assert worst["refused"] == 1
    assert all(row["n"] + row["refused"] == 1 for row in result["leaks"])
