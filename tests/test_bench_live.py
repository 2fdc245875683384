"""scripts/bench_live.py: what it makes of turns, and a tiny run over LSL."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from scripts.bench_live import figures, missed_goals
from scripts.speed.scene import Case
from tests.small import REPO


def turn(ms: list[float], cpu: float = 0.05, made: int = 10) -> dict[str, Any]:
    """What a receiver tells."""
    return {"ms": ms, "cpu": cpu, "made": made, "asked": 10, "stages_us": {}, "table_bytes": 10**6}


def case(mode: str = "continuous", **turns: Any) -> dict[str, Any]:
    """A row of 64 channels, chunks of 10."""
    rows = {name: [turn(*one)] for name, one in turns.items()}
    return figures(Case(64, 10, mode, ""), rows, bytes_s=1e10)


def test_a_row_has_every_receiver_and_the_limit():
    row = case(ours=([0.2, 0.3, 0.4],), bare=([0.1],), tuned=([9.0],), peer=([40.0], 0.9))
    assert (row["p50_ms"], row["max_ms"], row["bare_p50_ms"]) == (0.3, 0.4, 0.1)
    assert (row["tuned_p50_ms"], row["peer_p50_ms"], row["peer64_p50_ms"]) == (9.0, 40.0, None)
    assert row["limit_ms"] == pytest.approx(0.2)  # 1 MB at 10 GB/s, and the bare receive
    assert (row["cpu"], row["peer_cpu"], row["made"], row["asked"]) == (0.05, 0.9, 10, 10)
    assert missed_goals([row]) == []


@pytest.mark.parametrize(
    ("mode", "turns", "told"),
    [
        ("continuous", {"ours": ([0.6],)}, "p50_ms 0.6, goal 0.5"),
        ("continuous", {"ours": ([0.3] * 50 + [4.0],)}, "p99_ms"),
        ("continuous", {"ours": ([0.3], 0.2)}, "cpu 0.2, goal 0.1"),
        ("continuous", {"ours": ([0.4],), "tuned": ([3.0],)}, "goal 0.25"),
        ("continuous", {"ours": ([0.4],), "peer": ([10.0], 1.0)}, "goal 0.2"),
        ("event", {"ours": ([0.7],)}, "p50_ms 0.7, goal 0.6"),
        ("event", {"ours": ([0.3] * 9 + [2.0],)}, "p95_ms"),
        ("event", {"ours": ([0.3], 0.05, 9)}, "9 of 10 made"),
    ],
)
def test_missed_goals_are_told(mode: str, turns: dict[str, Any], told: str):
    assert told in "; ".join(missed_goals([case(mode, **turns)]))


@pytest.mark.slow
@pytest.mark.lsl
def test_a_tiny_run_makes_every_readout():
    options = "--quick --seconds 2 --chunks 10 --words 800 --receivers ours bare tuned --json"
    ran = subprocess.run(
        [sys.executable, REPO / "scripts/bench_live.py", *options.split()],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    found = json.loads(ran.stdout.splitlines()[-1])
    continuous, event = found["cases"]
    for row in (continuous, event):
        assert row["made"] == row["asked"] > 2
        assert row["p50_ms"] > 0
    assert continuous["tuned_made"] > 10
    assert event["tuned_p50_ms"] is None
    assert {"guard", "heartbeat", "vocabulary"} <= set(continuous["stages_us"])
