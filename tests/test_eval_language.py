"""The program that judges languages and sets: its sessions, its goals, and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.small import REPO

sys.path.insert(0, str(REPO / "scripts"))
from eval_language import GOALS, LEVELS, missed_goals, plan


def found(**changes: Any) -> dict[str, Any]:
    sets = [{"level": 0.1, "wanted": 0.9, "coverage": 0.915}]
    return {
        "both_better": 1.0, "wrong_loss": -0.001, "silent_loss": -0.001, "sets": sets,
        "late": {"wrong": 0, "n": 9}, "spoken_sets": sets,
    } | changes  # fmt: skip


def test_sessions_cover_levels_languages_and_contexts() -> None:
    sessions = plan(120, 0)
    assert len({(s.level, s.right, s.shown) for s in sessions}) == len(LEVELS) * 4
    assert len({s.seed for s in sessions}) == 120


@pytest.mark.parametrize(
    ("changes", "n_missed"),
    [
        ({}, 0),
        ({"both_better": 0.9}, 1),
        ({"wrong_loss": -0.02, "silent_loss": -0.02}, 2),
        ({"late": {"wrong": 2, "n": 9}}, 1),
        ({"sets": [{"level": 0.1, "wanted": 0.9, "coverage": 0.93}]}, 1),
        ({"sets": [{"level": 0.8, "wanted": 0.9, "coverage": 0.99}]}, 0),
        ({"sets": [{"level": 0.8, "wanted": 0.9, "coverage": 0.87}]}, 1),
        ({"spoken_sets": [{"level": 0.8, "wanted": 0.9, "coverage": 0.87}]}, 1),
        ({"spoken_sets": [{"level": 0.1, "wanted": 0.9, "coverage": 0.95}]}, 0),
    ],
)
def test_what_is_missed_is_told(changes: dict[str, Any], n_missed: int) -> None:
    assert len(missed_goals(found(**changes))) == n_missed


@pytest.mark.slow
def test_a_small_run_ends_in_one_json_object() -> None:
    command = [sys.executable, "scripts/eval_language.py", "--sessions", "24", "--json"]
    ran = subprocess.run(
        [*command, "--trials", "200"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert ran.returncode == bool(result["missed"])
    assert result["goals"] == GOALS
    assert result["both_better"] > 0.8
    assert result["late"] == {"n": 24, "n_late": 12, "n_told": 12, "wrong": 0}
