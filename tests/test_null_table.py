"""The table of nulls: its surrogates against their laws, and what a fit puts into it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.artifacts import with_artifacts
from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from calibration.gram import RidgeGram
from calibration.null_table import null_lines
from calibration.scores import cosine, rank_accuracies, rank_accuracy
from calibration.surrogates import circular_shift_test, phase_test, random_phases
from rt_decoder.timing.markers import MarkerRules
from tests.small import fake_embedder, small_recipe, small_recording


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_random_phases_keep_means_and_products(n: int, n_runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, run = rng.normal(size=(n * n_runs, 3)) + 2, np.repeat(np.arange(n_runs), n)
    turned = random_phases(X, run, rng)
    np.testing.assert_allclose(turned.T @ turned, X.T @ X, atol=1e-9 * len(X))
    for one in range(n_runs):
        np.testing.assert_allclose(turned[run == one].mean(axis=0), X[run == one].mean(axis=0))


def test_a_refit_of_turned_features_is_one_of_turned_targets() -> None:
    """The law by which the null needs no second decomposition."""
    rng, run = np.random.default_rng(0), np.zeros(31)
    X, Y = rng.normal(size=(31, 4)), rng.normal(size=(31, 2))
    C = random_phases(np.eye(31), run, np.random.default_rng(1))
    one, _ = RidgeGram(C @ X).coef(Y, 3.0)
    other, _ = RidgeGram(X).coef(C.T @ Y, 3.0)
    np.testing.assert_allclose(one, other, atol=1e-10)
    np.testing.assert_allclose(C @ C.T, np.eye(31), atol=1e-10)


def simulated(seed: int, signal: float):
    rng = np.random.default_rng(seed)
    items, mixing = rng.normal(size=(20, 5)), rng.normal(size=(5, 8))
    truth = rng.integers(0, 20, 260)
    X = signal * items[truth] @ mixing + rng.normal(size=(260, 8))
    return X, truth, items


def phases(seed: int, signal: float):
    X, truth, items = simulated(seed, signal)
    train, test, run = slice(0, 200), slice(200, 260), np.zeros(260)
    return phase_test(
        RidgeGram(X[train]), 5.0, (items[truth[train]], run[train]),
        (X[test], truth[test], run[test]), items, seed,
    )  # fmt: skip


def test_phases_destroy_what_is_decoded_and_nothing_else() -> None:
    found = phases(0, 0.5)
    assert found.p == found.p_smallest == 0.01
    assert found.observed > 0.7
    assert abs(found.null.mean() - 0.5) < 0.03
    ps = [phases(seed, 0.0).p for seed in range(1, 21)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.2
    assert 0.3 < np.mean(ps) < 0.7


def test_shifts_are_all_counted() -> None:
    X, truth, items = simulated(0, 0.5)
    table = rank_accuracies(
        cosine(X @ np.linalg.pinv(np.random.default_rng(0).normal(size=(5, 8))), items)
    )
    test = circular_shift_test(table, truth, memory=3)
    assert len(test.null) == 260 - 2 * 4 + 1
    assert test.p_smallest == 1 / (len(test.null) + 1)
    rolled = table[np.arange(260), np.roll(truth, 4)].mean()
    assert test.null[0] == pytest.approx(rolled)
    perfect = rank_accuracies(np.eye(20)[truth])
    assert circular_shift_test(perfect, truth).p == pytest.approx(1 / 260)
    assert (
        circular_shift_test(perfect, truth).observed
        == rank_accuracy(np.eye(20)[truth], truth).mean()
    )
    with pytest.raises(ValueError, match="2 events or more"):
        circular_shift_test(table[:1], truth[:1])


@pytest.fixture(scope="module")
def parts():
    recording = small_recording(seconds=90)
    recipe = small_recipe(stream={"picks": ["eeg"]})
    draft = draft_model([recording], recipe)
    sessions = [label_recording(recording, None, recipe, MarkerRules())]
    return draft, build_design(draft, sessions), sessions


def test_a_fit_tells_every_null(parts) -> None:
    draft, design, sessions = parts
    with_them = with_artifacts(design, draft, sessions)
    assert with_them.artifacts is not None
    assert len(with_them.artifacts) == len(design.labels)
    n_bins = design.X.shape[1] // 8
    assert with_them.artifacts.shape[1] == 4 * n_bins  # VEOG, HEOG, ECG, RESP
    nulls = fit_model(draft, with_them, embedder=fake_embedder).certificate["nulls"]
    assert list(nulls) == [
        "prior", "permutation", "circular_shift", "phases", "artifacts", "length_frequency",
    ]  # fmt: skip
    for name, row in nulls.items():
        if "note" not in row:
            assert 0 < row["p_smallest"] <= row["p"] <= 1, name
            assert 0 <= row["score"] <= 1, name
    assert nulls["artifacts"]["tests"] == "null"
    assert nulls["phases"]["tests"] == "model"
    lines = null_lines(nulls, 0.7)
    assert len(lines) == 1 + len(nulls)


def test_slow_nulls_can_be_left_out_and_none_recorded_is_said(parts) -> None:
    draft, design, _ = parts
    nulls = fit_model(draft, design, embedder=fake_embedder).certificate["nulls"]
    assert nulls["artifacts"] == {"note": "none recorded"}
    recipe = replace(draft.recipe, fit=replace(draft.recipe.fit, nulls=False))
    quick = fit_model(replace(draft, recipe=recipe), design, embedder=fake_embedder)
    assert set(quick.certificate["nulls"]) == set(nulls) - {"phases", "artifacts"}


@pytest.mark.slow
def test_the_judge_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "scripts"))
    sys.modules.pop("science", None)
    from science.nulls import judge

    result = judge(3, 0)
    assert all(result["goals"].values())
    assert {"phases", "artifacts", "prior"} <= set(result["figures"]["at random, no signal"])
