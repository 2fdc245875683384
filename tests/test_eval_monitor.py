"""The measurement of the monitor runs, and says what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_person() -> None:
    command = [sys.executable, str(REPO / "scripts" / "eval_monitor.py"), "--json"]
    ran = subprocess.run(
        [*command, "--people", "1", "--minutes", "4", "--hours", "0.02", "--seconds", "60"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)},
        check=False,
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    shares = {one["fault"]: one["detected_share"] for one in told["faults"]}
    for fault in (
        "inverted",
        "late markers",
        "early markers",
        "left and right",
        "off by one",
        "gain",
    ):
        assert shares[fault] == 1.0, shares
    assert told["false_alarms_per_hour"] == {"same": 0.0, "other": 0.0}
    assert told["answers"]["unlike"]["wrong"] < 0.3 * told["answers"]["unlike"]["wrong_before"]
