"""Signals that a wrong analysis decodes, through the public `fit_model`; and what it says of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.nuisance import covariates, nuisance_line
from calibration.report.text import certificate_lines
from calibration.targets import Targets

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from nulls_canaries import CANARIES, Canary, canary_fit, canary_row

OF = {canary.name: canary for canary in CANARIES}


@pytest.mark.slow
@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_a_canary_is_found_only_where_it_should_be(canary: Canary) -> None:
    row = canary_row(canary, 8, seed=1)
    assert row["as_expected"], row
    assert row["n"] + row["refused"] == 8
    assert row["n"] > 0 or not canary.found


def test_a_signal_of_word_length_is_said_to_be_no_more() -> None:
    """Decoded it is; the certificate says by what, and the report draws the conclusion."""
    model = canary_fit(OF["length in the signal"], 3)
    found, final = model.certificate["nuisance"], model.certificate["final"]
    assert found["covariates"][0] == "length"
    assert found["n"] == final["n"]
    assert final["rank_accuracy"] > 0.65
    assert final["p"] <= 0.05
    assert found["alone"]["rank_accuracy"] > 0.65
    assert found["alone"]["p"] <= 0.05 < found["beyond"]["p"]
    assert found["beyond"]["rank_accuracy"] == pytest.approx(0.5, abs=0.08)
    assert "nothing is shown beyond length" in "\n".join(certificate_lines(model))


def test_meaning_is_shown_beyond_word_length() -> None:
    model = canary_fit(OF["meaning in the signal"], 3)
    beyond = model.certificate["nuisance"]["beyond"]
    assert beyond["rank_accuracy"] > 0.8
    assert beyond["p"] <= 0.05
    assert "nothing is shown" not in "\n".join(certificate_lines(model))


def targets_of(items: tuple[str, ...], truth: np.ndarray) -> Targets:
    vectors = np.eye(len(items))
    return Targets(items, vectors, vectors[truth], truth)


def test_covariates_are_standardised_and_vary_over_the_training_events() -> None:
    targets = targets_of(("house", "of", "unsaid"), np.array([0, 1, 1, 0, 1, 1]))
    known = covariates(targets)
    assert list(known) == ["length", "frequency", "count"]
    for values in known.values():
        assert values[targets.truth].mean() == pytest.approx(0, abs=1e-12)
        assert values[targets.truth].std() == pytest.approx(1)
    assert known["frequency"][1] > known["frequency"][0]
    assert known["count"][2] < known["count"][0] < known["count"][1]
    same = targets_of(("qqxa", "qqxb"), np.array([0, 1]))
    assert covariates(same) == {}


def test_the_line_names_what_was_regressed_out() -> None:
    shown = {"rank_accuracy": 0.6, "null_rank_accuracy": 0.5, "p": 0.01}
    scores = {"covariates": ["length", "frequency", "count"], "alone": shown, "beyond": shown}
    line = nuisance_line(scores)
    assert "by length, frequency and count in training alone: rank accuracy 0.600" in line
    assert "nothing is shown" not in line


def test_few_items_have_no_such_figures() -> None:
    few = OF["meaning in the signal"]

    def ten_words(rng: np.random.Generator, vectors: np.ndarray):
        design = few.make(rng, vectors)
        keep = np.isin(design.labels, sorted(set(design.labels))[:10])
        labels = tuple(np.array(design.labels)[keep].tolist())
        n = len(labels)
        return replace(
            design, X=design.X[keep], labels=labels, onsets=design.onsets[keep],
            groups=("",) * n, run=np.zeros(n, int), answered=np.ones(n, bool),
        )  # fmt: skip

    model = canary_fit(Canary("ten words", ten_words), 0)
    assert "nuisance" not in model.certificate
    assert "final" in model.certificate
