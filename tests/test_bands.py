"""Banded ridge: the share of the network beyond nuisance, and its null."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.agreement import explained
from calibration.bands import RATIOS, band_tables, unique_share
from calibration.covariates import envelope_columns, nuisance_columns
from calibration.design import RUN_GAP, Design
from calibration.encoding import Rules
from calibration.gram import RidgeGram
from calibration.nested import NestedRidge, Split, joined_groups

N, C, T = 180, 2, 2
SPLIT = Split(np.repeat(np.arange(6), 30), np.arange(N) * 0.7, 1.0)


def person(seed: int, own: float, n_dims: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors that know the nuisance, nuisance, and a brain of which `own` is the network's."""
    rng = np.random.default_rng(seed)
    nuisance = rng.normal(size=(N, 2))
    X = rng.normal(size=(N, n_dims))
    X[:, :6] += 2 * nuisance @ rng.normal(size=(2, 6))
    of_network = X[:, 6:] @ rng.normal(size=(n_dims - 6, C * T)) / np.sqrt(n_dims - 6)
    Y = nuisance @ rng.normal(size=(2, C * T)) + own * of_network + rng.normal(size=(N, C * T))
    return X, nuisance, Y.reshape(N, C, T)


def test_bands_are_ridge_with_a_penalty_each() -> None:
    X, nuisance, Y = person(0, 1.0)
    table = band_tables(nuisance, X, [0.01])[0]
    W, _ = RidgeGram(table).coef(Y.reshape(N, -1), 3.0)
    first, second = (
        band_tables(nuisance, X, [1.0])[0][:, :2],
        band_tables(nuisance, X, [1.0])[0][:, 2:],
    )
    joined, y = np.hstack([first, second]), Y.reshape(N, -1) - Y.reshape(N, -1).mean(0)
    penalty = np.diag(np.repeat([3.0, 300.0], [2, X.shape[1]]))
    oracle = np.linalg.solve(joined.T @ joined + penalty, joined.T @ y)
    np.testing.assert_allclose(joined @ oracle, table @ W, atol=1e-9)


def test_units_and_constant_columns_of_nuisance_do_not_matter() -> None:
    X, nuisance, _ = person(1, 0.0)
    other = np.column_stack([nuisance[:, 0] * 1e-6 + 5, nuisance[:, 1] * 1e3, np.full(N, 7.0)])
    for a, b in zip(band_tables(nuisance, X), band_tables(other, X), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    with pytest.raises(ValueError, match="nuisance that vary"):
        band_tables(np.ones((N, 2)), X)
    with pytest.raises(ValueError, match="ratios above 0"):
        band_tables(nuisance, X, [0.0])


def test_a_share_is_found_where_there_is_one_and_not_where_the_network_knows_nuisance() -> None:
    own = unique_share(*person(2, 1.0), SPLIT, Rules(39))
    assert own.total.mean > 0.05
    assert own.total.p <= 0.05
    assert own.total.low > 0
    assert own.both.shape == own.unique.shape == own.p.shape == (C, T)
    np.testing.assert_allclose(own.unique, own.both - own.alone, atol=1e-12)
    none = unique_share(*person(3, 0.0), SPLIT, Rules(39))
    assert none.alone.mean() > 0.2
    assert none.total.mean < 0.01
    assert none.total.p > 0.05


def test_plain_ridge_shrinks_nuisance_and_misjudges_the_share() -> None:
    wrong, right = [], []
    for seed in range(2):
        X, nuisance, Y = person(seed, 0.0, n_dims=150)
        right.append(unique_share(X, nuisance, Y, SPLIT, Rules(1)).total.mean)
        wrong.append(unique_share(X, nuisance, Y, SPLIT, Rules(1), ratios=[1.0]).total.mean)
    assert np.mean(wrong) < -0.02
    assert abs(np.mean(right)) < 0.02


@pytest.mark.bench
def test_himalaya_chooses_and_predicts_the_same() -> None:
    ridge = pytest.importorskip("himalaya.ridge")
    X, nuisance, Y = person(4, 1.0)
    Y = Y.reshape(N, -1, 1)  # a choice for each target, as himalaya makes it
    fold = joined_groups(SPLIT.groups, SPLIT.onsets)
    split = Split(SPLIT.groups, SPLIT.onsets, 0.0)
    tables = band_tables(nuisance, X)
    alphas = np.logspace(-1, 5, 7)
    first, second = tables[4][:, :2], tables[4][:, 2:]  # of ratio 1
    test = fold == 0
    ours = NestedRidge(tables, split, alphas)
    chosen = ours.choose(Y, explained)
    predicted = ours.predict(Y, chosen)[test, :, 0]
    train = ~test
    folds = [
        (np.flatnonzero(fold[train] != k), np.flatnonzero(fold[train] == k)) for k in range(1, 6)
    ]

    def within(y: np.ndarray, found: np.ndarray) -> np.ndarray:
        found, y = found - found.mean(-2, keepdims=True), y - y.mean(0)
        return -((found - y) ** 2).sum(-2)

    gammas = np.array([[1.0, ratio] for ratio in RATIOS])
    deltas, weights, _, _ = ridge.solve_group_ridge_random_search(
        [first[train], second[train]], Y[train, :, 0], n_iter=gammas, alphas=alphas, cv=folds,
        fit_intercept=True, score_func=within, return_weights=True, progress_bar=False, warn=False,
    )  # fmt: skip
    ratio = np.array(RATIOS)[chosen.table[0]]
    np.testing.assert_allclose(np.exp(deltas[0]), 1 / chosen.alpha[0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(deltas[1]), ratio / chosen.alpha[0], rtol=1e-6)
    table = np.hstack([first, second])
    oracle = (table[test] - table[train].mean(0)) @ weights
    np.testing.assert_allclose(predicted, oracle, atol=1e-6)


def design(labels: tuple[str, ...], contexts: tuple[tuple[str, int], ...] | None = None) -> Design:
    onsets = np.array([0.5, 1.0, 2.0, RUN_GAP + 3.0, RUN_GAP + 30.0])
    run = np.array([0, 0, 0, 1, 1])
    none = ("",) * 5
    return Design(np.zeros((5, 2)), labels, onsets, none, contexts, run, 0, np.ones(5, bool))


def test_nuisance_is_length_frequency_place_and_pace() -> None:
    words = ("the", "axolotl", "the", "of", "axolotl")
    contexts = (("a b c", 0), ("a b c", 1), ("a b c", 2), ("d e", 0), ("d e", 1))
    found = nuisance_columns(design(words, contexts))
    table = dict(zip(found.names, found.columns.T, strict=True))
    assert list(table) == [
        "length",
        "frequency",
        "position in run",
        "position in sentence",
        "interval",
    ]
    np.testing.assert_array_equal(table["length"], [3, 7, 3, 2, 7])
    assert table["frequency"][0] > table["frequency"][1]
    np.testing.assert_allclose(table["position in run"], [0, 0.5, 1.5, 0, 27])
    np.testing.assert_array_equal(table["position in sentence"], [0, 1, 2, 0, 1])
    np.testing.assert_allclose(table["interval"], [1, 0.5, 1, 1, 5])
    without = nuisance_columns(design(("abc",) * 5), language="")
    assert without.names == ("position in run", "interval")
    assert found.joined(without).columns.shape == (5, 7)


def test_an_envelope_is_averaged_after_each_onset() -> None:
    from calibration.events import label_recording
    from rt_decoder.timing.markers import MarkerRules
    from tests.small import small_recipe, small_recording

    recording = small_recording(seconds=6.0)
    labelled = label_recording(recording, None, small_recipe(), MarkerRules())
    made = Design(
        np.zeros((5, 2)), ("a",) * 5, np.array([0.5, 1.0, 2.0, 3.0, 4.0]), ("",) * 5, None,
        np.zeros(5, int), 0, np.ones(5, bool),
    )  # fmt: skip
    found = envelope_columns([labelled], made, "TRIG", (0.1, 0.4))
    level = recording.data[:, recording.info.ch_names.index("TRIG")]
    np.testing.assert_allclose(found.columns[1], [level[250:275].mean(), level[275:350].mean()])
    with pytest.raises(ValueError, match="need a channel among"):
        envelope_columns([labelled], made, "sound")


@pytest.mark.slow
def test_a_share_that_is_not_there_is_found_as_rarely_as_asked() -> None:
    from scipy.stats import binomtest

    hits = sum(
        unique_share(*person(seed, 0.0, 20), SPLIT, Rules(39, seed)).total.p <= 0.05
        for seed in range(60)
    )
    assert binomtest(hits, 60, 0.05).pvalue > 0.01, hits
