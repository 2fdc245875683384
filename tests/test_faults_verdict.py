"""scripts/faults.py: which failures are those of the machine."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.faults import CASES, held_up


@pytest.mark.parametrize(
    ("fault", "noticed", "failed", "is_machine"),
    [
        ("reference-gain", ["stale 1.08 s"], ["no reference_usable"], True),
        ("reference-gain", [], ["code 1: stream 'a' does not answer: a firewall"], True),
        ("reference-gain", ["reference_unusable 0.25 s"], ["no reference_usable"], False),
        ("stall", ["stale 0.20 s"], ["no live_again"], False),  # that is the fault
        ("nan", ["nonfinite"], ["bad readouts"], False),
    ],
)
def test_a_case_is_run_again_only_where_the_machine_kept_samples_from_coming(
    fault: str, noticed: list[str], failed: list[str], is_machine: bool
) -> None:
    assert fault in CASES
    row: dict[str, Any] = {"fault": fault, "noticed": noticed, "failed": failed}
    assert held_up(row) is is_machine
