"""Encoding: held-out r of brain samples, its null, its interval."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.agreement import correlations, explained
from calibration.encoding import Rules, epoch_model, epochs_of, fit_encoding, max_p, unit_of
from calibration.gram import RidgeGram
from calibration.nested import NestedRidge, Split, joined_groups
from calibration.units import bootstrap_counts, cut_units, joint_lags, smallest_p, unit_order

N, C, T, D = 120, 3, 4, 6
SPLIT = Split(np.repeat(np.arange(6), 20), np.arange(N) * 0.7, 1.0)


def person(seed: int, snr: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (N, D), brain (N, C, T) whose last channel answers nothing, its true map (D, C, T)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, D))[rng.integers(20, size=N)]
    W = rng.normal(size=(D, C, T)) / np.sqrt(D)
    W[:, -1] = 0
    return X, snr * np.tensordot(X, W, 1) + rng.normal(size=(N, C, T)), W


def test_r_is_that_of_refitting_each_fold_with_its_nested_penalty() -> None:
    X, Y, _ = person(0)
    found = fit_encoding(X, Y, SPLIT, Rules(5))
    fold, predicted = joined_groups(SPLIT.groups, SPLIT.onsets), np.empty_like(Y)
    for k in range(6):
        test = fold == k
        near = np.abs(SPLIT.onsets[:, None] - SPLIT.onsets[test]).min(axis=1) <= 1.0
        train = ~test & ~near
        for c in range(C):
            W, b = RidgeGram(X[train]).coef(Y[train, c], found.penalties.alpha[k, c])
            predicted[test, c] = X[test] @ W + b
    np.testing.assert_allclose(found.r, correlations(predicted, Y, fold), atol=1e-10)
    ours = [np.corrcoef(predicted[fold == k, 0, 0], Y[fold == k, 0, 0])[0, 1] for k in range(6)]
    assert found.r[0, 0] == pytest.approx(np.mean(ours))


def test_penalties_do_not_depend_on_the_events_they_are_tested_on() -> None:
    X, Y, _ = person(1)
    ridge = NestedRidge([X], SPLIT)
    before = ridge.choose(Y, correlations)
    changed = Y.copy()
    changed[ridge.fold == 2] = np.random.default_rng(3).normal(size=(20, C, T)) * 50
    after = ridge.choose(changed, correlations)
    np.testing.assert_array_equal(before.alpha[2], after.alpha[2])
    assert not np.array_equal(before.alpha, after.alpha)


def test_channels_that_answer_are_found_and_silent_ones_are_not() -> None:
    X, Y, _ = person(2)
    found = fit_encoding(X, Y, SPLIT, Rules(99))
    assert found.p[:2].max() <= 0.05
    assert found.p[2].min() > 0.05
    assert found.p_smallest == 0.01
    assert (found.low < found.r).all()
    assert (found.r < found.high).all()
    assert found.low[0].min() > 0


def test_scale_and_order_of_channels_do_not_matter() -> None:
    X, Y, _ = person(3)
    found = fit_encoding(X, Y, SPLIT, Rules(9))
    other = fit_encoding(X, 1e-6 * Y[:, ::-1] + 3, SPLIT, Rules(9))
    np.testing.assert_allclose(other.r[::-1], found.r, atol=1e-8)
    np.testing.assert_allclose(other.null, found.null, atol=1e-8)


def test_a_constant_channel_has_no_r_and_no_p() -> None:
    X, Y, _ = person(4)
    Y[:, 1] = 2.0
    found = fit_encoding(X, Y, SPLIT, Rules(9))
    assert (found.r[1] == 0).all()
    assert (found.p[1] == 1).all()


@pytest.mark.parametrize(
    ("X", "Y", "rules", "said"),
    [
        (np.ones((N, D)), np.ones((N, C)), Rules(9), "need vectors"),
        (np.ones((N, D)), np.ones((N - 1, C, T)), Rules(9), "need vectors"),
        (np.ones((N, D)), np.ones((N, C, T)), Rules(9), "vary"),
        (np.eye(N), np.ones((N, C, T)), Rules(0), "at least 1 permutation"),
    ],
)
def test_what_cannot_be_encoded_is_refused(
    X: np.ndarray, Y: np.ndarray, rules: Rules, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        fit_encoding(X, Y, SPLIT, rules)


def test_two_groups_are_too_few_to_choose_nested() -> None:
    with pytest.raises(ValueError, match="at least 3 groups"):
        joined_groups(np.array([0, 0, 1]), np.arange(3.0))


def test_max_p_counts_the_permutations_that_are_as_high() -> None:
    null = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(max_p(np.array([[0.2, 0.4, 0.0]]), null, 0.0), [[0.75, 0.25, 1.0]])
    assert max_p(np.array(0.4), null, 0.5) == 0.5


def test_explained_is_one_for_truth_and_zero_for_the_mean() -> None:
    _, Y, _ = person(5)
    fold = SPLIT.groups
    np.testing.assert_allclose(explained(Y, Y, fold), 1)
    np.testing.assert_allclose(explained(np.zeros_like(Y), Y, fold), 0, atol=1e-12)


def test_units_cover_all_events_and_are_long_enough() -> None:
    X, _, _ = person(6)
    units = cut_units(X, 7, SPLIT.groups)
    np.testing.assert_array_equal(np.concatenate(units), np.arange(N))
    assert min(map(len, units)) >= 7
    starts = {int(rows[0]) for rows in units}
    assert {20, 40, 60, 80, 100} & starts
    order = unit_order(units, np.random.default_rng(0))
    assert sorted(order) == list(range(N))
    kept = np.mean(np.diff(order) == 1)
    assert kept > 0.8
    with pytest.raises(ValueError, match="unit of 1"):
        cut_units(X, 0)


def test_the_smallest_p_is_exact_where_orders_are_few() -> None:
    items = np.array([0, 1, 2])
    assert smallest_p(np.split(np.arange(3), 3), items, 999) == pytest.approx(1 / 6)
    assert smallest_p([np.arange(3)], items, 999) == pytest.approx(1 / 3)  # rotations alone
    assert smallest_p(np.split(np.arange(3), 3), np.array([0, 0, 1]), 999) == pytest.approx(1 / 3)
    assert smallest_p(np.split(np.arange(50), 50), np.arange(50), 999) == 0.001


def test_memory_needs_both_words_and_brain() -> None:
    rng = np.random.default_rng(0)
    white, runs = rng.normal(size=(200, 5)), np.repeat(rng.normal(size=(20, 5)), 10, axis=0)
    assert joint_lags(white, runs) == joint_lags(runs, white) == 0
    assert 4 <= joint_lags(runs, runs) <= 9
    assert joint_lags(np.ones((9, 2)), runs[:9]) == 0


def test_the_slowest_channel_says_how_many_events_move_together() -> None:
    rng = np.random.default_rng(0)
    runs, Y = np.repeat(rng.normal(size=(20, 5)), 10, axis=0), rng.normal(size=(200, 8, 2))
    assert unit_of(runs, Y) == 1
    Y[:, 3] = np.repeat(Y[:20, 3], 10, axis=0)
    assert unit_of(runs, Y) >= 8
    assert unit_of(runs[rng.permutation(200)], Y) == 1
    assert unit_of(runs, Y, memory=150) == 200


def test_a_bootstrap_draws_as_many_units_as_there_are() -> None:
    units, counts = bootstrap_counts(np.split(np.arange(900), 900), 10, np.random.default_rng(0))
    assert len(units) == 200
    assert (counts.sum(axis=1) == 200).all()
    np.testing.assert_array_equal(np.concatenate(units), np.arange(900))


def test_epochs_are_what_the_live_stages_make() -> None:
    from calibration.design import build_design, draft_model
    from calibration.events import label_recording
    from rt_decoder.timing.markers import MarkerRules
    from tests.small import small_recipe, small_recording

    recording, recipe = small_recording(seconds=12.0), small_recipe()
    labelled = [label_recording(recording, None, recipe, MarkerRules())]
    draft = draft_model([recording], recipe)
    model = epoch_model(draft, -0.1, 0.5, 0.1)
    design = build_design(model, labelled)
    epochs = epochs_of(design, model)
    assert epochs.Y.shape == (len(design.labels), model.n_picks, 6)
    np.testing.assert_allclose(epochs.times, np.arange(-0.05, 0.5, 0.1), atol=0.01)
    whole = build_design(epoch_model(draft, 0.0, 0.1, 0.1), labelled).X
    rows = design.X.reshape(len(design.X), 6, -1)[:, 1]
    np.testing.assert_array_equal(rows, whole[: len(rows)])
    assert np.abs(epochs.Y).max() <= model.recipe.features.clamp


@pytest.mark.slow
@pytest.mark.parametrize("slow_words", [False, True])
def test_false_positives_are_as_rare_as_asked(slow_words: bool) -> None:
    from scipy.stats import binomtest

    hits, n_people = 0, 60
    for seed in range(n_people):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(N, D))
        Y = rng.normal(size=(N, C, T))
        if slow_words:  # runs of likely words on a slow brain
            X = 0.5 * X + np.repeat(rng.normal(size=(N // 5, D)), 5, axis=0)
            for i in range(1, N):
                Y[i] = 0.8 * Y[i - 1] + 0.6 * Y[i]
        hits += fit_encoding(X, Y, SPLIT, Rules(39, seed)).p.min() <= 0.05
    assert binomtest(hits, n_people, 0.05).pvalue > 0.01, hits
