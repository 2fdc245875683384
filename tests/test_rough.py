"""Penalties chosen with the help of float32 are those that float64 chooses, and nothing else differs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.gram import RidgeGram
from calibration.ridge import alphas_default, select_alpha
from calibration.rough import maybe_best, mixture
from calibration.scores import cosine, rank_accuracy
from calibration.splits import blocks, leave_group_out

SHAPES = [(320, 260), (260, 400)]


def problem(n, p, noise=1.0, n_targets=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.logspace(0, -1, p) + 5
    Y = X @ rng.normal(size=(p, n_targets)) + noise * rng.normal(size=(n, n_targets))
    return X, Y, leave_group_out(blocks(n, 20))


def closeness(Y):
    centred = Y - Y.mean(axis=0)
    return lambda predictions: -float(np.mean((centred - predictions) ** 2))


def choices(X, Y, folds, alphas, score, backend="numpy", **options):
    """Chosen with float32 first, and without."""
    return [
        select_alpha(RidgeGram(X, backend), Y, folds, alphas, score, every=every, **options)
        for every in (False, True)
    ]


def same(found, exact):
    assert found.alpha == exact.alpha
    np.testing.assert_allclose(found.predictions, exact.predictions, rtol=1e-7, atol=1e-9)
    told = np.isfinite(found.scores)
    np.testing.assert_allclose(found.scores[told], exact.scores[told], rtol=1e-9, atol=1e-12)
    assert np.isfinite(exact.scores).all()


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_float32_finds_the_few_that_may_be_best(n, p, backend):
    X, Y, folds = problem(n, p)
    alphas = alphas_default(X, 20)
    found, exact = choices(X, Y, folds, alphas, closeness(Y), backend)
    same(found, exact)
    assert np.isfinite(found.scores).sum() <= 4
    near, scores, doubt = maybe_best(RidgeGram(X, backend), Y, folds, alphas, closeness(Y))
    assert np.argmax(exact.scores) in near
    assert np.all(np.abs(scores - exact.scores) < doubt)


@settings(max_examples=10, deadline=None)
@given(
    n=st.integers(257, 300),
    p=st.integers(256, 300),
    noise=st.floats(-1, 3),
    lowest=st.floats(-9, 1),
    seed=st.integers(0, 2**16),
)
def test_float32_changes_no_choice(n, p, noise, lowest, seed):
    X, Y, folds = problem(n, p, 10**noise, seed=seed)
    alphas = alphas_default(X, 1) * np.logspace(lowest, 5, 12) * 1e3
    same(*choices(X, Y, folds, alphas, closeness(Y)))


@settings(max_examples=10, deadline=None)
@given(noise=st.floats(-1, 3), seed=st.integers(0, 2**16))
def test_float32_changes_no_choice_by_ranks(noise, seed):
    X, Y, folds = problem(260, 300, 10**noise, seed=seed)
    words = np.arange(260) % 12
    items = np.array([Y[words == k].mean(axis=0) for k in range(12)]) - Y.mean(axis=0)
    score = lambda predictions: float(rank_accuracy(cosine(predictions, items), words).mean())  # noqa: E731
    same(*choices(X, Y, folds, alphas_default(X, 20), score))


def test_alphas_too_small_for_float32_are_all_exact():
    X, Y, folds = problem(*SHAPES[1])
    largest = RidgeGram(X, "numpy").eigenvalues.max()
    found, exact = choices(X, Y, folds, largest * np.logspace(-8, 1, 12), closeness(Y))
    np.testing.assert_array_equal(found.scores, exact.scores)
    same(found, exact)


def test_a_runner_up_that_float32_cannot_tell_is_exact():
    X, Y, folds = problem(*SHAPES[0])
    alphas = alphas_default(X, 20)
    _, exact = choices(X, Y, folds, alphas, closeness(Y))
    close = np.sort([*alphas, exact.alpha * (1 + 1e-9)])
    found, exact = choices(X, Y, folds, close, closeness(Y))
    same(found, exact)
    best = np.argsort(exact.scores)[-2:]
    assert np.isfinite(found.scores[best]).all()
    assert np.isnan(found.scores).any()


def test_many_that_float32_cannot_tell_are_all_exact():
    X, Y, folds = problem(*SHAPES[0])
    alphas = alphas_default(X, 3)[1] * (1 + 1e-9 * np.arange(8))
    found, exact = choices(X, Y, folds, alphas, closeness(Y))
    same(found, exact)
    assert np.isfinite(found.scores).all()


def test_a_score_that_float32_misleads_is_taken_exactly():
    X, Y, folds = problem(*SHAPES[0])
    truth, calls = closeness(Y), []

    def misled(predictions):
        calls.append(1)
        return truth(predictions) * (-1 if len(calls) <= 20 else 1)

    alphas = alphas_default(X, 20)
    found = select_alpha(RidgeGram(X, "numpy"), Y, folds, alphas, misled)
    _, exact = choices(X, Y, folds, alphas, truth)
    same(found, exact)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("of_features", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("of_targets", [1e-30, 1.0, 1e30])
def test_units_do_not_matter(of_features, of_targets):
    X, Y, folds = problem(*SHAPES[1])
    _, plain = choices(X, Y, folds, alphas_default(X, 20), closeness(Y))
    X, Y = of_features * X, of_targets * Y
    found, _ = choices(X, Y, folds, alphas_default(X, 20), closeness(Y))
    assert np.isfinite(found.scores).sum() <= 4
    assert found.alpha / of_features**2 == pytest.approx(plain.alpha)
    np.testing.assert_allclose(found.predictions / of_targets, plain.predictions, atol=1e-7)


@pytest.mark.parametrize(("n", "p"), [(320, 260), (260, 300)])
def test_a_prior_is_in_float32_too(n, p):
    X, Y, folds = problem(n, p)
    others, Y_others, _ = problem(90, p, seed=1)
    others, Y_others = others - others.mean(axis=0), Y_others - Y_others.mean(axis=0)
    found, exact = (
        select_alpha(
            RidgeGram(X, "numpy", prior=others.T @ others), Y, folds, alphas_default(X, 20),
            closeness(Y), others.T @ Y_others, every,
        )
        for every in (False, True)
    )  # fmt: skip
    same(found, exact)
    assert np.isnan(found.scores).any()


def test_a_decomposed_ridge_is_rounded_not_decomposed_again():
    X, Y, folds = problem(*SHAPES[1])
    gram, alphas = RidgeGram(X, "numpy"), alphas_default(X, 20)
    assert len(gram.eigenvalues) == 259
    found = select_alpha(gram, Y, folds, alphas, closeness(Y))
    assert np.isnan(found.scores).any()
    same(found, choices(X, Y, folds, alphas, closeness(Y))[1])


def test_targets_that_do_not_vary_are_a_tie():
    X, Y, folds = problem(300, 260)
    found, exact = choices(X, 0 * Y + 3, folds, [1.0, 2.0, 4.0, 8.0, 16.0], lambda _: 0.0)
    assert found.alpha == exact.alpha == 4


def test_mixtures_shrink_as_all_penalties_do():
    shares = np.logspace(-5, 4, 20)
    few, weights = mixture(shares)
    assert len(few) < len(shares)
    w = np.linspace(1e-6, 1, 1000)[:, None]
    shrunk = w / (w + shares)
    mixed = shrunk[:, few] @ weights
    np.testing.assert_allclose(mixed / shrunk[-1], shrunk / shrunk[-1], atol=2e-5)
