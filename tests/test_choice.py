"""Whitening, target power and prior: folded into the map exactly, chosen where they help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.choice import KAPPAS, Candidate, Choices, MapFit, choices_of, choose_map, pick
from calibration.design import draft_model
from calibration.gram import RidgeGram
from calibration.mapping import fit_map
from calibration.prior import Prior, covariance, prior_from_events
from calibration.ridge import likeliest
from calibration.scores import cosine, rank_accuracy
from calibration.splits import blocks, leave_group_out
from calibration.targets import Targets
from calibration.whitened import own_penalty, total_variance
from rt_decoder.decoding.whitening import whitener
from rt_decoder.recipe import Recipe
from tests.small import small_recipe, small_recording

V, D, P = 15, 10, 20
FOLDS = leave_group_out(blocks(300, 10))
DRAFT = draft_model([small_recording(seconds=4.0)], small_recipe())


def session(seed: int, signal: float = 1.0, pattern: np.ndarray | None = None, n: int = 300):
    """Features that follow a word's pattern, plus noise that channels share."""
    rng = np.random.default_rng(seed)
    vectors = np.random.default_rng(99).normal(size=(V, D)) * 0.7 ** np.arange(D)
    if pattern is None:
        pattern = vectors @ np.random.default_rng(98).normal(size=(D, P))
    mix = np.linalg.qr(np.random.default_rng(97).normal(size=(P, P)))[0] * np.logspace(0, 1, P)
    words = rng.integers(0, V, n)
    X = signal * pattern[words] + rng.normal(size=(n, P)) @ mix.T + 3
    items = tuple(f"word{i}" for i in range(V))
    return X, Targets(items, vectors, vectors[words], words)


def fitted(X, targets, prior=None, **sections):
    recipe = Recipe.from_dict(sections | {"fit": {"purge": 2.0} | sections.get("fit", {})})
    groups, onsets = blocks(len(X), 10), 3.0 * np.arange(len(X))
    lines: list[str] = []
    model, evidence = fit_map(DRAFT, X, targets, groups, onsets, recipe, lines.append, prior)
    return model, evidence, lines


def explicit(X, targets, shrink, power, alpha):
    """Whitened features, powered targets and ridge, step by step."""
    mean = targets.Y.mean(axis=0)
    u, s, vt = np.linalg.svd(targets.item_vectors - mean, full_matrices=False)
    items = u * s**power @ vt
    W = whitener(covariance(X), shrink)
    Z = X @ W
    Zc, Y = Z - Z.mean(axis=0), items[targets.truth]
    B = np.linalg.solve(Zc.T @ Zc + alpha * np.eye(P), Zc.T @ (Y - Y.mean(axis=0)))
    return lambda new: (new @ W - Z.mean(axis=0)) @ B, items


def test_whitening_and_power_are_part_of_the_map() -> None:
    X, targets = session(0)
    model, _, _ = fitted(
        X, targets, features={"whiten": 0.5}, target={"power": 0.25},
        fit={"alphas": [3.0], "rank": 0},
    )  # fmt: skip
    predict, items = explicit(X, targets, 0.5, 0.25, 3.0)
    new, _ = session(1)
    got = (new @ model.weights + model.offset) @ model.basis
    np.testing.assert_allclose(got, predict(new), atol=1e-4)
    lengths = np.linalg.norm(items, axis=1, keepdims=True)
    np.testing.assert_allclose(model.vectors, items / lengths, atol=1e-5)
    np.testing.assert_allclose(model.basis @ model.basis.T, np.eye(len(model.basis)), atol=1e-5)
    assert (model.recipe.features.whiten, model.recipe.target.power) == (0.5, 0.25)
    np.testing.assert_array_equal(model.covariance, covariance(X))


def test_plain_settings_make_the_plain_map() -> None:
    X, targets = session(0)
    model, (evidence, wider), lines = fitted(
        X, targets, features={"whiten": 0.0}, target={"power": 1.0},
        fit={"alphas": [3.0], "rank": 0},
    )  # fmt: skip
    Xc, Y = X - X.mean(axis=0), targets.Y - targets.Y.mean(axis=0)
    W = np.linalg.solve(Xc.T @ Xc + 3.0 * np.eye(P), Xc.T @ Y)
    np.testing.assert_allclose(model.weights @ model.basis, W, atol=1e-5)
    assert evidence.cosines.shape == wider.cosines.shape == (300, V)
    assert wider.share < evidence.share < 1
    assert model.covariance.shape == (P, P)  # `realign` needs it
    assert "whitened" not in lines[0]


@pytest.mark.parametrize("rank", [0, 4])
def test_held_out_predictions_are_those_of_maps_without_the_group(rank: int) -> None:
    X, targets = session(0)
    sections = {"features": {"whiten": 1.0}, "target": {"power": 0.5}}
    model, (evidence, _), _ = fitted(X, targets, **sections, fit={"alphas": [30.0], "rank": rank})
    assert model.weights.shape[1] == (rank or D)
    held, train = np.arange(30), np.arange(30, 300)  # the first block of ten
    penalty, less = own_penalty(30.0, 1.0, X)
    mean = targets.Y.mean(axis=0)
    u, s, vt = np.linalg.svd(targets.item_vectors - mean, full_matrices=False)
    Y = less * (u * s**0.5 @ vt)[targets.truth]
    Xc = X[train] - X[train].mean(axis=0)
    B = np.linalg.solve(Xc.T @ Xc + penalty * np.eye(P), Xc.T @ (Y[train] - Y[train].mean(axis=0)))
    wanted = (X[held] - X[train].mean(axis=0)) @ B
    if rank:
        values = np.vstack([Xc @ B, np.sqrt(penalty) * B])
        _, _, directions = np.linalg.svd(values, full_matrices=False)
        wanted = wanted @ directions[:rank].T @ directions[:rank]
    found = evidence.of(held)
    np.testing.assert_allclose(found.cosines, cosine(wanted, u * s**0.5 @ vt), atol=1e-6)
    np.testing.assert_allclose(found.lengths, np.linalg.norm(wanted, axis=1), atol=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 30.0, 3e4])
@pytest.mark.parametrize("shrink", [0.1, 1.0])
def test_whitening_is_a_penalty_of_the_features(alpha: float, shrink: float) -> None:
    X, targets = session(3)
    Xc, Y = X - X.mean(axis=0), targets.Y - targets.Y.mean(axis=0)
    W = whitener(covariance(X), shrink)
    Z = Xc @ W
    whitened = W @ np.linalg.solve(Z.T @ Z + alpha * np.eye(P), Z.T @ Y)
    penalty, factor = own_penalty(alpha, shrink, X)
    plain = factor * np.linalg.solve(Xc.T @ Xc + penalty * np.eye(P), Xc.T @ Y)
    np.testing.assert_allclose(plain, whitened, rtol=1e-4, atol=1e-6 * np.abs(plain).max())


@pytest.mark.parametrize("n", [15, 300])  # fewer and more than the features
@pytest.mark.parametrize("shrink", [0.0, 0.3, 1.0])
def test_the_variance_of_whitened_features(n: int, shrink: float) -> None:
    X, _ = session(4, n=n)
    white = X @ whitener(covariance(X), shrink) if shrink else X
    assert total_variance(RidgeGram(X), shrink) == pytest.approx(white.var(axis=0).sum(), rel=1e-5)


@pytest.mark.parametrize("with_others", [False, True])
def test_held_out_rows_have_no_part_in_the_whitening(with_others: bool) -> None:
    X, targets = session(0)
    prior = others((5, 6)) if with_others else None
    choices = Choices((1.0,), (1.0,), (0.0, 0.3) if prior else (0.0,), (30.0,))
    train, held = FOLDS[0]
    noisy = X.copy()  # the first fold is far noisier along one line
    line = np.random.default_rng(1).normal(size=P)
    noisy[held] += 5 * np.random.default_rng(2).normal(size=(len(held), 1)) * line
    fit = choose_map(noisy, targets, FOLDS, choices, prior)
    W = whitener(covariance(noisy[train]), 1.0)
    Z, Y = noisy @ W - (noisy[train] @ W).mean(axis=0), targets.Y - targets.Y[train].mean(axis=0)
    gram, cross = Z[train].T @ Z[train] + 30.0 * np.eye(P), Z[train].T @ Y[train]
    if prior:
        assert fit.chosen.kappa == 0.3
        gram, cross = gram + 0.3 * prior.gram, cross + 0.3 * prior.cross(fit.items)
    wanted = Z[held] @ np.linalg.solve(gram, cross)
    got = fit.out_of_fold(FOLDS)[held]
    # without a prior, the penalty is that of all rows: the mean variance has the noisy ones in it
    tolerance = 1e-6 if prior else 0.05
    np.testing.assert_allclose(cosine(got, fit.items), cosine(wanted, fit.items), atol=tolerance)


def test_powers_share_one_ridge() -> None:
    X, targets = session(0)
    together = choose_map(X, targets, FOLDS, Choices((1.0,), (1.0, 0.5, 0.25)))
    for one in together.tried:
        alone = choose_map(X, targets, FOLDS, Choices((1.0,), (one.power,)))
        assert alone.chosen.alpha == pytest.approx(one.alpha)
        np.testing.assert_allclose(alone.chosen.by_alpha, one.by_alpha, atol=1e-6)
    assert [one.power for one in together.tried] == [1.0, 0.5, 0.25]


def test_whitening_is_chosen_where_channels_share_their_noise() -> None:
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=(V, P))  # every word its own: no meaning
    X, targets = session(0, 0.5, pattern)
    model, _, lines = fitted(X, targets)
    facts = model.certificate["map"]
    assert facts["whiten"] == 1.0
    assert facts["power"] < 1.0
    assert facts["bits_per_word"] > facts["plain_bits_per_word"]
    assert "features whitened (shrinkage 1), targets to the power" in lines[0]


def test_the_unit_of_the_features_changes_no_choice() -> None:
    X, targets = session(2, 0.5)
    one, two = choose_map(X, targets, FOLDS, Choices((0.0, 1.0))), None
    two = choose_map(1e-6 * X, targets, FOLDS, Choices((0.0, 1.0)))
    assert one.chosen[:2] == two.chosen[:2]
    assert two.chosen.bits == pytest.approx(one.chosen.bits, abs=1e-6)


def others(seeds, signal=0.5, pattern=None) -> Prior:
    people = [session(seed, signal, pattern) for seed in seeds]
    sums = [prior_from_events(X, targets.truth, V, 1.0) for X, targets in people]
    total = sums[0]
    for one in sums[1:]:
        total = total.plus(one)
    return total


def test_sums_are_those_of_whitened_centred_events() -> None:
    X, targets = session(5)
    prior = prior_from_events(X, targets.truth, V, 1.0)
    white = (X - X.mean(axis=0)) @ whitener(covariance(X), 1.0)
    vectors = np.random.default_rng(0).normal(size=(V, 3)) + 2
    Y = vectors[targets.truth]
    np.testing.assert_allclose(prior.gram, white.T @ white)
    np.testing.assert_allclose(prior.cross(vectors), white.T @ (Y - Y.mean(axis=0)), atol=1e-8)
    twice = prior.plus(prior)
    np.testing.assert_allclose(twice.cross(vectors), 2 * prior.cross(vectors))
    W = next(prior.weights(vectors, [4.0]))
    np.testing.assert_allclose((prior.gram + 4 * np.eye(P)) @ W, prior.cross(vectors), atol=1e-8)


def rank_on_new(fit: MapFit, seed: int, pattern: np.ndarray | None = None) -> float:
    """Rank accuracy on new trials of the same person."""
    X, targets = session(seed, 0.5, pattern, n=3000)
    X, words = X[300:], targets.truth[300:]
    white = X if fit.whitener is None else X @ fit.whitener
    return float(
        rank_accuracy(cosine((white - fit.ridge.x_mean) @ fit.weights(), fit.items), words).mean()
    )


def own_and_shared(seed: int, prior: Prior) -> tuple[MapFit, MapFit]:
    X, targets = session(seed, 0.5, n=3000)
    X, targets = X[:300], targets._replace(Y=targets.Y[:300], truth=targets.truth[:300])
    choices = Choices((0.0, 1.0), (1.0, 0.25), alphas=(30.0, 300.0, 3000.0))
    own = choose_map(X, targets, FOLDS, choices)
    return own, choose_map(X, targets, FOLDS, choices._replace(kappas=KAPPAS), prior)


def test_other_people_help_where_structure_is_shared_and_cost_nothing_where_not() -> None:
    shared = others(range(100, 104))
    strange = [
        others(range(200, 204), pattern=3 * np.random.default_rng(s).normal(size=(V, P)))
        for s in range(3)
    ]
    gains, costs = [], []
    for seed in range(3):
        own, helped = own_and_shared(seed, shared)
        gains.append(rank_on_new(helped, seed) - rank_on_new(own, seed))
        own, misled = own_and_shared(seed, strange[seed])
        costs.append(rank_on_new(misled, seed) - rank_on_new(own, seed))
    assert np.mean(gains) > 0.02
    assert np.mean(costs) > -0.002


def test_a_gain_within_chance_is_no_reason_to_leave_the_usual_map() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=300)
    nothing = np.zeros(2)

    def candidate(whiten: float, kappa: float, gain: float) -> Candidate:
        each = noise * (whiten + kappa)
        each = each - each.mean() + gain
        return Candidate(whiten, 1.0, kappa, 1.0, gain, each, nothing)

    usual = candidate(0.0, 0.0, 0.0)
    little, much = candidate(1.0, 0.0, 1e-3), candidate(1.0, 0.0, 1.0)
    assert pick([usual, little], FOLDS) is usual
    assert pick([usual, much], FOLDS) is much
    with_prior = candidate(1.0, 0.1, 1.001)
    assert pick([usual, much, with_prior], FOLDS) is much
    assert pick([usual, much, candidate(1.0, 0.1, 2.0)], FOLDS) is not much
    assert pick([usual, usual._replace(whiten=1.0)], FOLDS) is usual  # a tie
    best = candidate(1.0, 0.0, 1.002)  # than the last one by less than a bit in all
    assert pick([usual, best, much], FOLDS) is much
    alike = usual._replace(each=np.full(300, 0.003), bits=0.003)
    assert pick([usual, alike], FOLDS) is usual  # no chance, but less than a bit in all


def test_the_usual_map_stays_where_nothing_speaks_against_it() -> None:
    X, targets = session(0, 0.0)
    chosen = choose_map(X, targets, FOLDS, choices_of(Recipe(), targets, P, None)).chosen
    assert (chosen.whiten, chosen.power) == (1.0, 0.25)


@given(st.integers(1, 12), st.floats(1e-12, 1e12))
def test_alpha_is_that_of_the_evidence_and_the_middle_one_without(n: int, unit: float) -> None:
    alphas = unit * np.logspace(-2, 3, 2 * n + 1)
    assert likeliest(alphas, np.zeros(2 * n + 1)) == n
    for best in (0, n, 2 * n):  # 2.5 decades away cost 4.5 bits
        bits = np.zeros(2 * n + 1)
        bits[best] = 5.0
        assert likeliest(alphas, bits) == best
        bits[best] = 4.0
        assert likeliest(alphas, bits) == n


def test_what_is_left_open_depends_on_the_vocabulary() -> None:
    _, targets = session(0)
    recipe = Recipe()
    assert choices_of(recipe, targets, P, None) == Choices((1.0, 0.0), (0.25, 0.5, 1.0))
    few = targets._replace(items=targets.items[:2], truth=targets.truth % 2)
    assert choices_of(recipe, few, P, None) == Choices((0.0, 1.0), (1.0, 0.5, 0.25))
    unseen = targets._replace(items=(*targets.items, "never heard"))
    assert choices_of(recipe, unseen, P, None).powers == (1.0,)
    context = replace(recipe, target=replace(recipe.target, context="sentence"))
    assert choices_of(context, targets, P, None).powers == (1.0,)
    assert choices_of(recipe, targets, 5000, None).whiten == (0.0,)
    prior = others([0])
    assert choices_of(recipe, targets, P, prior).kappas == KAPPAS
    fixed = Recipe.from_dict({"features": {"whiten": 0.5}, "target": {"power": 2.0}})
    assert choices_of(fixed, targets, P, None) == Choices((0.5,), (2.0,))
    with pytest.raises(ValueError, match="need whiten = 1, as the other people's models have it"):
        choices_of(fixed, targets, P, prior)


def test_a_power_leaves_contextual_targets_in_the_items_axes() -> None:
    """Targets that are not those of the items are projected on what items span."""
    X, targets = session(0)
    Y = targets.Y + 0.1 * np.random.default_rng(0).normal(size=targets.Y.shape)
    fit = choose_map(X, targets._replace(Y=Y), FOLDS, Choices(powers=(0.5,), alphas=(1.0,)))
    np.testing.assert_allclose(
        fit.Y @ fit.axes * 1.0,
        ((Y - Y.mean(axis=0)) @ fit.axes.T / _values(targets, Y) ** 0.5) @ fit.axes,
    )


def _values(targets: Targets, Y: np.ndarray) -> np.ndarray:
    return np.linalg.svd(targets.item_vectors - Y.mean(axis=0), compute_uv=False)


def test_equal_vectors_and_constant_features_are_refused() -> None:
    X, targets = session(0)
    same = targets._replace(item_vectors=np.ones((V, D)), Y=np.ones((300, D)))
    with pytest.raises(ValueError, match="need items with different embeddings"):
        choose_map(X, same, FOLDS, Choices())
    with pytest.raises(ValueError, match="vary"):
        choose_map(np.ones_like(X), targets, FOLDS, Choices((1.0,)))
