"""scripts/edges.py: every case of its table passes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def _cases() -> list[Any]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module("edge_cases.case").cases()
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.filterwarnings("always")  # as in a program: what commands warn of is judged
@pytest.mark.parametrize("case", _cases(), ids=lambda case: f"{case.kind}: {case.name}")
def test_edge(case: Any) -> None:
    row = case.tried()
    assert row["pass"], row["after"]
