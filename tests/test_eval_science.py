"""The judgement of the statistics runs, and says what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[1]


def judged(part: str, people: int) -> dict[str, Any]:
    """Figures and goals of a part; only statistics of a few people may miss a goal."""
    command = [sys.executable, str(REPO / "scripts" / "eval_science.py"), "--json"]
    ran = subprocess.run(
        [*command, "--parts", part, "--people", str(people)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)},
        check=False,
    )  # fmt: skip
    told = json.loads(ran.stdout.splitlines()[-1])
    assert ran.returncode == (0 if all(told[part]["goals"].values()) else 1), ran.stderr
    return told[part]


@pytest.mark.slow
def test_encoding_is_judged() -> None:
    found = judged("encoding", 10)
    assert found["goals"]["patterns approach truth with every doubling"]
    assert list(found["figures"]["theory"]) == ["100", "200", "400", "800"]


@pytest.mark.slow
def test_bands_are_judged() -> None:
    found = judged("bands", 3)
    none = found["figures"]["none"]
    assert none["plain"] < none["banded"]


@pytest.mark.slow
def test_layers_are_judged() -> None:
    found = judged("layers", 2)
    assert found["figures"]["order"]["rank correlation with time"] > 0.7


@pytest.mark.slow
def test_ceilings_are_judged() -> None:
    found = judged("ceiling", 3)
    assert found["goals"]["none told of too many features"]
    assert list(found["figures"]) == ["40 features", "60 features"]
