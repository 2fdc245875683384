"""Fit on simulated designs: a planted map is found, and without one the scores are at chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from calibration.confidence import log_posterior
from calibration.design import Design, draft_model
from calibration.evaluate import evidence, similarity
from calibration.fit import fit_model
from calibration.identity import hash_files
from calibration.report.text import certificate_lines
from calibration.scores import cosine, rank_accuracy
from calibration.splits import leave_group_out
from rt_decoder.commands.describe import model_lines
from rt_decoder.decoding.features import scale_features
from rt_decoder.model import Model
from tests.small import (
    VECTORS,
    WORDS,
    fake_embedder,
    random_model,
    small_recipe,
    small_recording,
)

N, P = 240, 40
RECORDING = small_recording(seconds=4.0)
RNG = np.random.default_rng(5)
MIX = RNG.standard_normal((VECTORS.shape[1], P))
TRUTH = RNG.integers(0, len(WORDS), N)


def design_of(noise: float, seed: int = 0, signal: float = 1.0) -> Design:
    """Rows that are a linear function of the word's vector, in volts, plus noise."""
    rng = np.random.default_rng(seed)
    X = signal * VECTORS[TRUTH] @ MIX / 4 + noise * rng.standard_normal((N, P))
    return Design(
        (1e-6 * X).astype(np.float32), tuple(WORDS[i] for i in TRUTH), np.arange(N) * 0.7,
        ("",) * N, None, np.zeros(N, int), 3, np.ones(N, bool),
    )  # fmt: skip


def fitted(
    design: Design,
    sections: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
    precision: float = 0.0,
    **fit: Any,
) -> Model:
    recipe = small_recipe(
        fit={"n_permutations": 199, "purge": 1.5} | fit,
        readout={"precision": precision},
        **(sections or {}),
    )
    return fit_model(draft_model([RECORDING], recipe), design, embedder=fake_embedder, say=say)


def final_rows(design: Design, n: int) -> np.ndarray:
    return np.argsort(design.onsets)[-n:]


@pytest.mark.parametrize("rank", [0, 6])
def test_a_planted_map_is_found(rank: int) -> None:
    design = design_of(noise=0.5)
    model = fitted(design, rank=rank)
    final = model.certificate["final"]
    assert final["rank_accuracy"] > 0.95
    assert final["top1"] > 0.7
    assert final["p"] == 1 / 200
    assert final["bits_per_word"] > 1.5
    assert final["chance_rank_accuracy"] == 0.5
    assert final["chance_top1"] == pytest.approx(1 / 12)
    assert model.weights.shape == (P, rank or len(WORDS) - 1)  # what centred items span
    np.testing.assert_allclose(model.basis @ model.basis.T, np.eye(len(model.basis)), atol=1e-5)
    X = scale_features(design.X, model.center, model.scale, model.recipe.features.clamp)
    predicted = (X @ model.weights + model.offset) @ model.basis
    wanted = VECTORS[TRUTH] - model.target_mean
    assert np.corrcoef(predicted.ravel(), wanted.ravel())[0, 1] > (0.9 if rank == 0 else 0.7)


def test_scores_are_at_chance_without_a_planted_map() -> None:
    finals = [fitted(design_of(1.0, seed, signal=0.0)).certificate["final"] for seed in range(6)]
    assert 0.45 < np.mean([f["rank_accuracy"] for f in finals]) < 0.55
    assert np.median([f["p"] for f in finals]) > 0.1
    assert np.mean([f["bits_per_word"] for f in finals]) < 0.02


def test_the_final_block_does_not_influence_the_fit() -> None:
    design = design_of(noise=1.0)
    model = fitted(design)
    n_final = model.certificate["split"]["n_final"]
    rows = final_rows(design, n_final)
    X, labels = design.X.copy(), np.array(design.labels)
    X[rows] = np.roll(X[rows], 5, axis=0) + 2e-6 * RNG.standard_normal((n_final, P))
    labels[rows] = np.roll(labels[rows], 5)
    other = fitted(replace(design, X=X, labels=tuple(labels.tolist())))
    for name in ("center", "scale", "weights", "offset", "basis", "target_mean", "vectors"):
        np.testing.assert_array_equal(getattr(other, name), getattr(model, name), name)
    assert other.posterior == model.posterior
    assert other.certificate["out_of_fold"] == model.certificate["out_of_fold"]
    assert other.certificate["final"] != model.certificate["final"]


def test_a_locked_block_that_contradicts_the_folds_is_refused() -> None:
    design = design_of(noise=1.0)
    rows = final_rows(design, N // 4)  # four blocks: the last one
    X = design.X.copy()
    X[rows] = 1e-6 * RNG.standard_normal((len(rows), P))
    with pytest.raises(ValueError, match="need a locked block that confirms"):
        fitted(replace(design, X=X))


def test_held_out_scores_equal_plain_refitting() -> None:
    """Refit scikit-learn's ridge for each group left out, its neighbours purged."""
    design, alpha = design_of(noise=2.0), 30.0
    plain = {"features": {"whiten": 0.0}, "target": {"power": 1.0}}
    model = fitted(design, plain, alphas=[alpha], rank=0, n_blocks=5, final_block=0.0)
    assert "final" not in model.certificate
    X = scale_features(design.X, model.center, model.scale, model.recipe.features.clamp).astype(
        float
    )
    Y = VECTORS[TRUTH]
    predicted = np.zeros_like(Y)
    for train, test in leave_group_out(np.repeat(np.arange(5), N // 5), design.onsets, 1.5):
        assert np.abs(design.onsets[train][:, None] - design.onsets[test]).min() > 1.5
        refit = Ridge(alpha).fit(X[train], Y[train])
        predicted[test] = refit.predict(X[test]) - Y[train].mean(0)
    centred = np.stack([VECTORS[WORDS.index(item)] for item in model.items]) - Y.mean(0)
    truth = np.array([model.items.index(label) for label in design.labels])
    expected = rank_accuracy(cosine(predicted, centred), truth).mean()
    assert model.certificate["out_of_fold"]["rank_accuracy"] == pytest.approx(expected, abs=1e-6)
    whole = Ridge(alpha).fit(X, Y)
    z = (X @ model.weights + model.offset) @ model.basis
    np.testing.assert_allclose(z, whole.predict(X) - Y.mean(0), atol=2e-3)


def test_similarity_is_the_cosine_of_prediction_and_item() -> None:
    design = design_of(noise=1.0)
    model = fitted(design)
    X = scale_features(design.X[:9], model.center, model.scale, model.recipe.features.clamp)
    z = (X @ model.weights + model.offset) @ model.basis
    expected = z @ model.vectors.T / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(similarity(model, X), expected, atol=1e-5)


def test_groups_stay_together_and_are_named_in_the_certificate() -> None:
    design = design_of(noise=1.0)
    groups = tuple(f"0/s{i // 8}" for i in range(N))
    model = fitted(replace(design, groups=groups), groups="sentence")
    split = model.certificate["split"]
    assert split["held_out"] == "sentence"
    assert split["n_final"] % 8 == 0
    assert split["n_final"] == pytest.approx(0.2 * N, abs=8)
    purged = N - split["n_train"] - split["n_final"]
    assert purged == 2  # two words lie within 1.5 s before the final block
    assert split["n_dropped"] == 3


def test_windows_with_muscle_train_only_the_map() -> None:
    """Posterior and certificate count only what a live session would answer."""
    design = design_of(noise=1.0)
    muscle = np.arange(N) % 5 == 2
    wild = replace(design, X=design.X.copy(), answered=~muscle)
    model = fitted(wild)
    split = model.certificate["split"]
    assert split["n_muscle"] == muscle[: split["n_train"]].sum()
    whole = fitted(design)
    np.testing.assert_array_equal(model.weights, whole.weights)
    assert model.certificate["final"]["n"] < whole.certificate["final"]["n"]
    # a test event with muscle enters no score
    last = np.flatnonzero(muscle)[-1]
    wild.X[last] = 1.0
    assert fitted(wild).certificate == model.certificate
    with pytest.raises(ValueError, match="got none to train on"):
        fitted(replace(design, answered=np.zeros(N, bool)))


def answered(model: Model, X: np.ndarray) -> float:
    """Share of unscaled rows that a live session answers."""
    found = evidence(model, scale_features(X, model.center, model.scale, 20.0))
    posterior = log_posterior(found, model.posterior, model.log_prior, model.item_bias)
    return float(np.mean(np.exp(posterior.max(axis=1)) >= model.posterior.threshold))


def test_a_good_model_answers_words_and_mostly_no_white_noise() -> None:
    design = design_of(noise=1.0)
    model = fitted(design, precision=-1.0)
    inner = model.certificate["out_of_fold"]
    assert inner["wanted_precision"] >= 0.6
    assert inner["precision"] >= inner["wanted_precision"]
    assert inner["coverage"] >= 0.2
    assert answered(model, design.X) > 0.2
    level = 1e-6 * np.sqrt(1.0 + np.sum((MIX / 4) ** 2, axis=0))  # of the design's features
    noise = RNG.standard_normal((500, P)) * level
    assert answered(model, noise.astype(np.float32)) < 0.4
    assert answered(model, noise.astype(np.float32)) < 0.5 * answered(model, design.X)
    assert answered(fitted(design, precision=0.0), noise.astype(np.float32)) == 1


@pytest.mark.parametrize("precision", [-1.0, 0.5])
def test_what_cannot_be_shown_is_never_answered(precision: float) -> None:
    said: list[str] = []
    model = fitted(design_of(1.0, signal=0.0), say=said.append, precision=precision)
    assert model.posterior.threshold > 1
    inner = model.certificate["out_of_fold"]
    assert (inner["coverage"], inner["precision"]) == (0.0, None)
    assert inner["wanted_precision"] == (None if precision == -1 else precision)
    shown = random_model(RECORDING, small_recipe())
    shown = replace(shown, posterior=model.posterior, certificate=model.certificate)
    for lines in (said, certificate_lines(model), model_lines(shown)):
        assert any("never answers" in line for line in lines)


def test_the_same_data_give_the_same_model() -> None:
    one, two = fitted(design_of(1.0)), fitted(design_of(1.0))
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.certificate == two.certificate


@pytest.mark.parametrize(
    ("n", "labels", "why"),
    [(9, WORDS * 20, "at least 10 events"), (N, ("axe",) * N, "of 2 items or more")],
)
def test_too_few_events_or_items_are_refused(n: int, labels: tuple[str, ...], why: str) -> None:
    design = design_of(1.0)
    small = Design(
        design.X[:n], labels[:n], design.onsets[:n], ("",) * n, None, design.run[:n], 0,
        np.ones(n, bool),
    )  # fmt: skip
    with pytest.raises(ValueError, match=why):
        fitted(small)


def test_hashes_depend_only_on_content(tmp_path) -> None:
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    a, b, c = hash_files([tmp_path / name for name in "abc"])
    assert a == c != b
