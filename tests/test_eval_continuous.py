"""The measurement of false alarms runs, and says what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_two_short_sessions() -> None:
    command = [sys.executable, str(REPO / "scripts" / "eval_continuous.py"), "--json"]
    ran = subprocess.run(
        [*command, "--sessions", "2", "--minutes", "4", "--asked", "120"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)},
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert [one["snr"] for one in told["sessions"]] == [0.0, 0.35]
    assert set(told["pooled"]) == {"0", "0.35"}
    assert told["kept"] == 1.0
