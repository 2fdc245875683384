"""Maps of windows that end early: sub-blocks of one fit, kept in the model, scored beside chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.design import Design, draft_model
from calibration.evaluate import evaluate
from calibration.fit import fit_model
from calibration.frontier import earliest, frontier
from calibration.gram import RidgeGram
from calibration.report.text import certificate_lines
from calibration.splits import leave_group_out
from calibration.targets import Targets
from calibration.windows import map_of_window, window_ends
from rt_decoder.commands.describe import model_lines
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.files.model_file import load_model, model_hash, save_model
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from tests.small import VECTORS, WORDS, fake_embedder, small_recipe, small_recording

N, N_BINS, N_CHANNELS = 240, 8, 8
RECORDING = small_recording(seconds=4.0)
TRUTH = np.random.default_rng(5).integers(0, len(WORDS), N)


def design_of(seed: int = 0, first: int = 3) -> Design:
    """Words are in the bins from `first` on: before .3 s there is noise alone."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((VECTORS.shape[1], N_CHANNELS))
    X = rng.standard_normal((N, N_BINS, N_CHANNELS))
    X[:, first:] += 0.3 * (VECTORS[TRUTH] @ mix)[:, None]
    return Design(
        (1e-6 * X.reshape(N, -1)).astype(np.float32), tuple(WORDS[i] for i in TRUTH),
        np.arange(N) * 1.5, ("",) * N, None, np.zeros(N, int), 0, np.ones(N, bool),
    )  # fmt: skip


def fitted(anytime: object = 0.1, features: dict | None = None, **fit: object) -> Model:
    recipe = small_recipe(
        features={"tmax": 0.8, "decim": 25, "anytime": anytime, **(features or {})},
        fit={"n_permutations": 199, "purge": 1.0, **fit},
    )
    return fit_model(draft_model([RECORDING], recipe), design_of(), embedder=fake_embedder)


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted()


def training(model: Model) -> tuple[np.ndarray, Targets, list]:
    """Scaled features of the training events, their targets, and folds."""
    design, n = design_of(), model.certificate["split"]["n_train"]
    X = scale_features(design.X[:n], *robust_scale(design.X[:n]), model.recipe.features.clamp)
    truth = np.array([model.items.index(label) for label in design.labels[:n]])
    vectors = np.stack([VECTORS[WORDS.index(item)] for item in model.items])
    targets = Targets(model.items, vectors, vectors[truth], truth)
    return X, targets, leave_group_out(np.arange(n) * 4 // n, design.onsets[:n], 1.0)


def test_the_map_of_the_full_window_is_the_models(model: Model) -> None:
    X, targets, folds = training(model)
    np.testing.assert_array_equal(robust_scale(design_of().X[: len(X)])[0], model.center)
    weights, offset = map_of_window(model, X, targets, folds, X.shape[1])
    size = np.abs(model.weights).max()
    np.testing.assert_allclose(weights, model.weights, atol=1e-5 * size)
    np.testing.assert_allclose(offset, model.offset, atol=1e-5 * size)


def test_a_shorter_window_is_what_the_fit_keeps(model: Model) -> None:
    X, targets, folds = training(model)
    for one in model.windows:
        weights, offset = map_of_window(model, X, targets, folds, len(one.weights))
        np.testing.assert_array_equal(weights, one.weights)
        np.testing.assert_array_equal(offset, one.offset)


@pytest.mark.parametrize("n", [30, 120])
def test_a_gram_matrix_that_is_known_changes_nothing(n: int) -> None:
    rng = np.random.default_rng(n)
    X, Y = rng.standard_normal((n, 60)), rng.standard_normal((n, 3))
    centred = X - X.mean(axis=0)
    gram = centred.T @ centred if n >= 60 else centred @ centred.T
    found, expected = RidgeGram(X, gram=gram).coef(Y, 2.0), RidgeGram(X).coef(Y, 2.0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    with pytest.raises(ValueError, match="Gram"):
        RidgeGram(X, gram=gram[:-1])


def test_accuracy_over_latency_follows_the_signal(model: Model) -> None:
    anytime = model.certificate["anytime"]
    rows = anytime["windows"]
    assert [row["end"] for row in rows] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert rows[-1]["rank"] == model.certificate["final"]["rank_accuracy"]
    assert all(row["p"] > 0.05 for row in rows[:2])
    assert rows[-1]["p"] < 0.05
    assert rows[-1]["rank_out_of_fold"] > rows[0]["rank_out_of_fold"] + 0.1
    assert anytime["earliest"] >= 0.4
    assert all(row["chance"] == 0.5 and row["low"] < row["rank"] < row["high"] for row in rows)
    told = "\n".join(certificate_lines(model))
    assert "window end   0.2   0.3   0.4   0.5   0.6   0.7   0.8" in told
    assert "tested from the longest on" in told


def test_windows_are_scored_on_new_events_as_well(model: Model) -> None:
    new = design_of(seed=1)
    X = scale_features(new.X, model.center, model.scale, model.recipe.features.clamp)
    found = frontier(model, X, new.labels)["anytime"]
    whole = evaluate(model, X, new.labels)
    rows = found["windows"]
    assert [row["end"] for row in rows] == [*(one.end for one in model.windows), 0.8]
    assert (rows[-1]["rank"], rows[-1]["bits"]) == (whole["rank_accuracy"], whole["bits_per_word"])
    assert earliest([{"end": 1, "p": 0.5}, {"end": 2, "p": 0.01}, {"end": 3, "p": 0.01}]) == 2
    assert earliest([{"end": 1, "p": 0.01}, {"end": 2, "p": None}]) is None
    assert frontier(replace(model, windows=()), X, new.labels) == {}


def test_windows_are_kept_in_the_model_and_neutral_when_absent(model, tmp_path: Path) -> None:
    path = tmp_path / "m.rtd.safetensors"
    digest = save_model(model, path)
    found = load_model(path)
    assert model_hash(found) == digest
    assert len(found.windows) == 6
    for one, other in zip(found.windows, model.windows, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.offset, other.offset)
        assert (one.end, one.posterior) == (other.end, other.posterior)
    assert any("window end" in line for line in model_lines(found))
    without = fitted(0)
    assert without.windows == ()
    assert "anytime" not in without.certificate
    np.testing.assert_array_equal(without.weights, model.weights)
    assert without.posterior == model.posterior
    assert not any("window end" in line for line in model_lines(without))


@pytest.mark.parametrize("wrong", ["order", "size", "nan"])
def test_windows_that_do_not_fit_are_refused(model: Model, wrong: str, tmp_path: Path) -> None:
    first, second, *_ = model.windows
    windows = {
        "order": (second, first),
        "size": (replace(first, end=0.9, weights=model.weights.copy()),),
        "nan": (replace(first, offset=np.full_like(first.offset, np.nan)),),
    }[wrong]
    path = tmp_path / "m.rtd.safetensors"
    with pytest.raises(ValueError, match="window"):
        save_model(replace(model, windows=windows), path)


@pytest.mark.parametrize(
    ("anytime", "ends"),
    [(0, []), (0.3, [0.6]), ([0.25, 0.5], [0.2, 0.5]), ([0.05, 0.8, 2.0], []), (0.4, [])],
)
def test_ends_are_whole_bins(model: Model, anytime: object, ends: list[float]) -> None:
    features = replace(
        model.recipe.features, anytime=tuple(anytime) if isinstance(anytime, list) else anytime
    )  # type: ignore[arg-type]
    asked = replace(model, recipe=replace(model.recipe, features=features))
    assert [end for end, _ in window_ends(asked)] == pytest.approx(ends)


@pytest.mark.parametrize("value", [-0.1, [0.3, 0.2], [], "soon", True])
def test_a_wrong_key_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="anytime"):
        Recipe.from_dict({"features": {"anytime": value}})


@pytest.mark.slow
@pytest.mark.parametrize("features", [{"whiten": 1.0}, {"whiten": 0.0}])
@pytest.mark.parametrize("rank", [0, 3])
def test_the_law_holds_for_every_map(features: dict, rank: int) -> None:
    model = fitted([0.4], features, rank=rank)
    X, targets, folds = training(model)
    weights, _ = map_of_window(model, X, targets, folds, X.shape[1])
    np.testing.assert_allclose(weights, model.weights, atol=1e-5 * np.abs(model.weights).max())
