"""The program that judges posteriors: its sessions, its goals, and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from scripts.eval_posterior import GOALS, KINDS, LEVELS, WANTED, Session, judge, missed_goals, plan
from tests.small import REPO


def found(**changes: Any) -> dict[str, Any]:
    return {
        "worst_bits": -0.005, "silent_bits": {"plain": -0.001}, "ece": 0.02, "worst_ece": 0.04,
        "kept_all": 0.995, "refused": 0.01,
    } | changes  # fmt: skip


def test_sessions_cover_levels_kinds_and_precisions() -> None:
    sessions = plan(240, 0)
    cells = {(s.level, s.kind, s.wanted) for s in sessions}
    assert len(cells) == len(LEVELS) * len(KINDS) * len(WANTED)
    assert len({s.seed for s in sessions}) == 240
    assert all(400 <= s.n_train <= 1000 for s in sessions)


@pytest.mark.parametrize(
    ("changes", "n_missed"),
    [
        ({}, 0),
        ({"worst_bits": -0.02}, 1),
        ({"silent_bits": {"plain": -0.001, "all": -0.003}}, 1),
        ({"ece": 0.04, "worst_ece": 0.05}, 2),
        ({"kept_all": 0.98}, 1),
        ({"refused": 0.03}, 1),
    ],
)
def test_what_is_missed_is_told(changes: dict[str, Any], n_missed: int) -> None:
    assert len(missed_goals(found(**changes))) == n_missed


@pytest.mark.parametrize("level", [0.2, 0.4])
def test_slow_noise_is_not_known_beforehand(level: float) -> None:
    """Held-out events may not tell the fit in which directions their noise goes."""
    found = judge(Session(5152, level, "slow", 450, 0.5), 3000)
    assert found["bits"] > 0.5
    assert found["bits"] == pytest.approx(found["bits_out_of_fold"], abs=0.7)
    assert found["ece"] < 0.1


@pytest.mark.slow
def test_a_small_run_ends_in_one_json_object() -> None:
    command = [sys.executable, "scripts/eval_posterior.py", "--sessions", "12", "--json"]
    ran = subprocess.run(
        [*command, "--trials", "3000"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert ran.returncode == bool(result["missed"])
    assert result["goals"] == GOALS
    assert result["events"]["worst_bits"] > GOALS["worst_bits"]
    assert result["events"]["silent_bits"].keys() == {"plain", "slow"}
