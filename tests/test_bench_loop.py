"""The benchmark of experiments beside their sessions runs, and says what it misses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.small import REPO

sys.path.insert(0, str(REPO / "scripts"))
import bench_loop


def test_what_is_missed_is_told() -> None:
    rows = {
        f"{kind}_{state}": bench_loop.figures([(1.0, 0.2)] * 60)
        for kind in ("process", "thread") for state in ("idle", "busy")
    }  # fmt: skip
    assert bench_loop.missed_goals(rows) == []
    slower = rows | {"process_busy": bench_loop.figures([(1.2, 30.0)] * 60)}
    assert "1.20 times as long" in bench_loop.missed_goals(slower)[0]
    late = rows | {"process_idle": bench_loop.figures([(1.0, 0.4)] * 60)}
    assert "0.40 ms" in bench_loop.missed_goals(late)[0]
    few = rows | {"thread_busy": bench_loop.figures([(1.0, 0.2)] * 9)}
    assert "thread_busy" in bench_loop.missed_goals(few)[0]


@pytest.mark.slow
@pytest.mark.lsl
def test_it_runs() -> None:
    command = [sys.executable, str(REPO / "scripts" / "bench_loop.py"), "--json"]
    ran = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "6", "--turn", "1"], check=False,
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)}, timeout=600,
    )  # fmt: skip
    told = json.loads(ran.stdout.splitlines()[-1])
    assert set(told["rows"]) == {"process_idle", "process_busy", "thread_idle", "thread_busy"}
    assert (ran.returncode == 0) == (not told["missed"])
