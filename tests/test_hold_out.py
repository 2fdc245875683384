"""What is held out: measured memory, whole sentences, and leaks that are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.design import Design, draft_model
from calibration.fit import fit_model
from calibration.hold_out import hold_out, split_again
from calibration.memory import (
    N_CONFIRM,
    Leak,
    check_folds,
    joint_memory,
    leak_by_shifts,
    memory_seconds,
)
from calibration.scores import cosine, rank_accuracy
from calibration.sentences import merge_groups, sentence_numbers, whole_sentences
from calibration.splits import blocks, leave_group_out, split_events
from rt_decoder.model import Model
from rt_decoder.recipe import Fit
from tests.small import small_recipe, small_recording

RECORDING = small_recording(seconds=4.0)


def slow(rng: np.random.Generator, n: int, p: int, memory: float, pace: float = 1.0) -> np.ndarray:
    """Noise (n, p) whose autocorrelation falls to 1/e in `memory` s."""
    keep = np.exp(-pace / memory)
    rows = rng.normal(size=(n, p))
    for i in range(1, n):
        rows[i] = keep * rows[i - 1] + np.sqrt(1 - keep**2) * rows[i]
    return rows


@pytest.mark.parametrize("memory", [3.0, 10.0])
def test_memory_is_where_an_exponential_has_fallen_to_a_hundredth(memory: float) -> None:
    rng = np.random.default_rng(0)
    onsets, run = np.arange(1500) * 0.5, np.zeros(1500)
    found = [memory_seconds(slow(rng, 1500, 20, memory, 0.5), onsets, run) for _ in range(3)]
    assert np.mean(found) == pytest.approx(memory * np.log(100), rel=0.2)
    assert memory_seconds(rng.normal(size=(1500, 20)), onsets, run) == 0
    assert memory_seconds(np.ones((1500, 3)), onsets, run) == 0


def test_memory_does_not_reach_over_recordings() -> None:
    rng = np.random.default_rng(0)
    X = slow(rng, 200, 10, 5.0)
    alone = np.arange(200)  # each event is a recording
    assert memory_seconds(X, np.arange(200.0), alone) == 0


def test_a_leak_needs_the_memory_of_both() -> None:
    rng = np.random.default_rng(0)
    onsets, run = np.arange(600.0), np.zeros(600)
    X, Y, white = slow(rng, 600, 20, 10.0), slow(rng, 600, 10, 5.0), rng.normal(size=(600, 10))
    assert joint_memory(X, Y, onsets, run) == memory_seconds(Y, onsets, run)
    assert joint_memory(Y, X, onsets, run) == memory_seconds(Y, onsets, run)
    assert joint_memory(X, white, onsets, run) == 0


def test_shifts_find_a_leak_and_no_signal() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 8))
    truth = rng.integers(0, 30, 300)
    onsets = np.arange(300.0)

    def leak(X: np.ndarray, Y: np.ndarray, purge: float, n_shifts: int = 8) -> Leak:
        folds = leave_group_out(blocks(300, 20), onsets, purge)

        def score(predicted: np.ndarray) -> float:
            return float(
                rank_accuracy(cosine(predicted, Y - Y.mean(axis=0)), np.arange(300)).mean()
            )

        return leak_by_shifts(X, Y, folds, score, n_shifts)

    X = slow(rng, 300, 12, 10.0)
    story = slow(rng, 300, 8, 50.0)
    assert leak(X, story, 0.0).found
    assert not leak(X, story, 45.0).found
    signal = vectors[truth] @ rng.normal(size=(8, 12))
    clean = leak(signal, vectors[truth], 0.0, N_CONFIRM)
    assert not clean.found
    assert clean.excluded
    assert not leak(X, story, 0.0, N_CONFIRM).excluded


def test_events_split_in_sentences() -> None:
    texts = [("I am", 0), ("I am", 1), ("You", 0), ("You are", 1), ("I am", 0)]
    run = np.zeros(5, int)
    assert sentence_numbers(texts, run).tolist() == [0, 0, 1, 1, 0]  # type: ignore[union-attr]
    assert sentence_numbers(None, run) is None
    assert whole_sentences(np.array([0, 0, 0, 1, 1]), np.array([4, 4, 5, 5, 6])).tolist() == [
        0, 0, 0, 0, 1,
    ]  # fmt: skip
    names = np.array(["b", "b", "a", "c", "c", "d"])
    assert merge_groups(names, np.array([1, 2, 3, 2, 4, 5])).tolist() == list("bbabbd")
    with pytest.raises(ValueError, match="share no sentence"):
        merge_groups(names, np.zeros(6, int))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=6, max_size=25),
    repeats=st.integers(0, 3),
    n_blocks=st.integers(2, 8),
    seed=st.integers(0, 2**16),
)
def test_a_sentence_is_on_one_side_of_every_cut(
    lengths: list[int], repeats: int, n_blocks: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    said = np.arange(len(lengths))
    said[rng.integers(0, len(said), repeats)] = said[rng.integers(0, len(said), repeats)]
    sentences = np.repeat(said, lengths)
    n = len(sentences)
    rules = Fit(n_blocks=n_blocks, purge=0.0)
    try:
        groups, train, final = split_events(
            [""] * n, np.zeros(n, int), np.arange(n, dtype=float), rules, sentences
        )
    except ValueError:  # repeated sentences join all groups, or there is but one cut
        return
    assert not set(sentences[train]) & set(sentences[final])
    for one in np.unique(sentences[train]):
        assert len(set(groups[train][sentences[train] == one])) == 1


def test_folds_without_training_events_are_refused_with_the_likely_reason() -> None:
    onsets = np.arange(60.0)
    scattered = np.random.default_rng(0).permutation(np.arange(60) % 6)
    folds = leave_group_out(scattered, onsets, 4.0)
    with pytest.raises(ValueError, match="column 'block' are scattered in time"):
        check_folds(folds, 4.0, "block")
    with pytest.raises(ValueError, match="record longer"):
        check_folds(folds, 4.0, "")
    check_folds(leave_group_out(blocks(60, 6), onsets, 4.0), 4.0, "block")


def story_design(
    seed: int, n: int = 600, repeated: bool = False
) -> tuple[Design, Callable[..., Any]]:
    """Words of a drifting story on noise that remembers 10 s; nothing can be decoded."""
    rng = np.random.default_rng(seed)
    X = slow(rng, n, 12, 10.0, 0.5)
    sentence = np.arange(n) // 6
    story = np.cumsum(rng.normal(size=(n // 6, 8)), axis=0) / np.sqrt(n / 6)
    meaning, words = rng.normal(size=(80, 8)), rng.integers(0, 80, n)

    def embedder(texts: Any, contexts: Any = None, **_: Any) -> np.ndarray:
        own = 0.5 * meaning[[int(text) for text in texts]]
        if contexts is None:
            return np.hstack([np.zeros_like(own), own])
        return np.hstack([2 * story[[int(text) for text, _ in contexts]], own])

    shown = sentence % 20 if repeated else sentence
    design = Design(
        (1e-6 * X).astype(np.float32), tuple(map(str, words)), 0.5 * np.arange(n),
        tuple(f"0/{i}" for i in sentence), tuple((str(i), 0) for i in shown),
        np.zeros(n, int), 0, np.ones(n, bool),
    )  # fmt: skip
    return design, embedder


def fitted(design: Design, embedder: Callable[..., Any], **fit: Any) -> Model:
    fit = {"n_blocks": 10, "alphas": [100.0, 1e4]} | fit
    recipe = small_recipe(target={"context": "sentence", "names": {}}, fit=fit)
    return fit_model(draft_model([RECORDING], recipe), design, embedder=embedder)


def test_contextual_vectors_on_slow_noise_are_purged() -> None:
    """Canary: words of a story on autocorrelated noise, sentences held out."""
    design, embedder = story_design(0, n=360)
    with pytest.raises(ValueError, match="need folds in which noise is not decoded"):
        fitted(design, embedder, groups="sentence", purge=0.0)
    model = fitted(design, embedder)
    split = model.certificate["split"]
    assert model.recipe.fit.purge == -1
    assert 10 < split["purge_s"] < 0.9 + split["memory_s"]
    assert split["n_purged"] > 0


def test_who_comes_later_splits_as_the_fit_did() -> None:
    """Whole sentences, too: a cut elsewhere would show locked events to what is fitted later."""
    design, embedder = story_design(1, n=361)  # blocks that sentences do not divide
    recipe = small_recipe(target={"context": "sentence", "names": {}}, fit={"n_blocks": 7})
    found = hold_out(design, recipe, embedder)
    groups, train, locked = split_again(design, recipe.fit, found.purge)
    np.testing.assert_array_equal(train, found.train)
    np.testing.assert_array_equal(locked, found.locked)
    np.testing.assert_array_equal(groups, found.groups)
    plain = split_events(design.groups, design.run, design.onsets, recipe.fit, purge=found.purge)
    assert len(plain[2]) != len(locked)  # or the test would not see sentences


@pytest.mark.slow
def test_contextual_vectors_on_slow_noise_are_at_chance_or_refused() -> None:
    parts = []
    for seed in range(4):
        try:
            parts.append(fitted(*story_design(seed, n=1000), groups="sentence").certificate)
        except ValueError as refused:
            parts.append({"refused": str(refused)})
    parts = [part for part in parts if "refused" not in part]
    assert len(parts) >= 2
    assert np.mean([part["out_of_fold"]["rank_accuracy"] for part in parts]) < 0.53
    assert np.mean([part["final"]["bits_per_word"] for part in parts]) > -0.01


def test_scattered_groups_and_repeated_sentences_are_refused() -> None:
    design, embedder = story_design(0)
    order = np.random.default_rng(0).permutation(len(design.labels)) % 10
    scattered = replace(design, groups=tuple(f"0/{i}" for i in order))
    with pytest.raises(ValueError, match=r"sentence|splits no group|scattered"):
        fitted(scattered, embedder, groups="part")
    with pytest.raises(ValueError, match=r"scattered in time|share no sentence"):
        fitted(scattered, embedder, groups="part", final_block=0.0)
    with pytest.raises(ValueError, match="need sentences that only the training events have"):
        fitted(*story_design(0, repeated=True))


def test_a_fast_recording_of_few_events_keeps_its_events() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(8, 6))
    truth = rng.integers(0, 8, 80)
    X = slow(rng, 80, 20, 3.0) + 2 * vectors[truth] @ rng.normal(size=(6, 20))
    design = Design(
        (1e-6 * X).astype(np.float32), tuple(map(str, truth)), np.arange(80.0), ("",) * 80, None,
        np.zeros(80, int), 0, np.ones(80, bool),
    )  # fmt: skip
    recipe = small_recipe(target={"names": {}}, fit={"n_blocks": 10})
    draft = draft_model([RECORDING], recipe)
    told: list[str] = []
    model = fit_model(
        draft, design, embedder=lambda texts, **_: vectors[[int(t) for t in texts]], say=told.append
    )
    assert model.certificate["split"]["n_train"] >= 60
    assert model.certificate["final"]["p"] <= 0.05
    assert any("no event within 0.8 s of a held-out one trains" in line for line in told)
