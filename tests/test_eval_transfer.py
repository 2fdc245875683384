"""The program that judges transfer: its goals, its summaries, and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from scripts.eval_transfer import GOALS, missed_goals
from scripts.transfer_heads import interval, summarise_heads, visits
from scripts.transfer_people import N_WORDS, Who, trials
from tests.small import REPO


def found(share: float = 0.9, **changes: Any) -> dict[str, Any]:
    good = {"gain": [0.1, 0.05, 0.15], "p_bits": 0.001, "p_group_bits": 0.001,
            "p_group_rank": 0.001, "group_least_bits": 0.0}  # fmt: skip
    strangers = good | {"gain": [-0.002, -0.005, 0.0], "p_bits": 0.9, "p_group_bits": 0.9}
    heads = [
        {"channels": 64, "kind": "turn", "share": [share, share, share], "pooled": 0.9},
        {"channels": 32, "kind": "turn", "share": [0.5, 0.4, 0.6], "pooled": 0.5},
    ]
    everybody = {"0.5, 8": good, "0, 8": strangers}
    for name, one in changes.items():
        everybody["0, 8" if name == "strangers" else "0.5, 8"] |= one
    return {"people": {"all": everybody}, "heads": heads}


@pytest.mark.parametrize(
    ("changes", "n_missed"),
    [
        ({}, 0),
        ({"share": 0.79}, 1),
        ({"strangers": {"gain": [-0.02, -0.04, 0.0]}}, 1),
        ({"strangers": {"group_least_bits": -0.02}}, 1),
        ({"friends": {"p_bits": 0.2}}, 1),
        ({"friends": {"p_group_bits": 0.2, "p_group_rank": 0.2}}, 2),
    ],
)
def test_what_is_missed_is_told(changes: dict[str, Any], n_missed: int) -> None:
    assert len(missed_goals(found(**changes))) == n_missed


def test_people_are_drawn_anew_but_stay_themselves() -> None:
    who = Who(1, 3.0, 0.5)
    X, words = trials(who, 4000, 1)
    again, new = trials(who, 4000, 1), trials(who, 4000, 2)
    assert np.array_equal(X, again[0])
    assert not np.array_equal(X, new[0])
    means = [
        np.stack([part[0][part[1] == word].mean(axis=0) for word in range(N_WORDS)])
        for part in ((X, words), new)
    ]
    assert np.corrcoef(*(one.ravel() for one in means))[0, 1] > 0.95


def test_shares_are_of_what_was_lost() -> None:
    row = {"channels": 64, "kind": "turn", "found_deg": 8.0}
    rows = [row | {"lost": lost, "won": won} for lost, won in ((0.1, 0.09), (0.02, 0.014), (0, 0))]
    (one,) = [r for r in summarise_heads(rows) if r["channels"] == 64]
    assert one["share"][0] == pytest.approx(0.8)
    assert one["pooled"] == pytest.approx(0.104 / 0.12)
    assert interval(np.array([1.0, 1.0])) == [1.0, 1.0, 1.0]
    assert {visit.axis for seed in range(4) for _, visit in visits(seed)} >= {(1.0, 0.0, 0.0)}


@pytest.mark.slow
def test_a_small_run_ends_in_one_json_object() -> None:
    command = [sys.executable, "scripts/eval_transfer.py", "--people", "2", "--heads", "2"]
    ran = subprocess.run(
        [*command, "--json"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert ran.returncode == bool(result["missed"])
    assert result["goals"] == GOALS
    assert len(result["people"]["cells"]) == 16
