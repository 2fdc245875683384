"""Other people's data as a prior of the ridge, against one refit on explicit rows a fold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.gram import RidgeGram
from calibration.ridge import low_rank, select_alpha
from calibration.splits import blocks, leave_group_out

SHAPES = [(60, 8), (40, 40), (30, 50)]  # p < n, p = n, n < p
KAPPA = 0.3


def problem(n, p, n_others=70, n_targets=4, seed=0):
    """Own rows, and centred rows of others, as a Gram matrix and cross products as well."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(p, n_targets)) / np.sqrt(p)
    X, others = rng.normal(size=(n, p)) + 5, rng.normal(size=(n_others, p))
    Y = X @ W + rng.normal(size=(n, n_targets)) - 3
    Y_others = others @ W + rng.normal(size=(n_others, n_targets))
    others -= others.mean(axis=0)
    Y_others -= Y_others.mean(axis=0)
    return X, Y, others, Y_others, np.cumsum(rng.uniform(0.2, 1.0, n))


def solve(X, Y, others, Y_others, alpha):
    """Weighted least squares on the rows themselves, both parts centred."""
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)
    gram = Xc.T @ Xc + KAPPA * others.T @ others + alpha * np.eye(X.shape[1])
    return np.linalg.solve(gram, Xc.T @ Yc + KAPPA * others.T @ Y_others)


def refit(X, Y, others, Y_others, folds, alpha, centred):
    predictions = np.empty_like(Y)
    for train, test in folds:
        W = solve(X[train], Y[train], others, Y_others, alpha)
        predictions[test] = (X[test] - X[train].mean(axis=0)) @ W
        predictions[test] += 0 if centred else Y[train].mean(axis=0)
    return predictions


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("n_others", [20, 70])  # fewer than features, and more
@pytest.mark.parametrize("purge", [0.0, 1.5])
@pytest.mark.parametrize("centred", [False, True])
def test_out_of_fold_equals_refitting_with_the_others_rows(n, p, n_others, purge, centred, backend):
    X, Y, others, Y_others, onsets = problem(n, p, n_others)
    groups = np.repeat(np.arange(7), [1, 3, 3, 5, 2, 4, n - 18])
    folds = leave_group_out(groups, onsets, purge)
    gram = RidgeGram(X, backend, KAPPA * others.T @ others)
    cross, alphas = KAPPA * others.T @ Y_others, (0.3, 30.0)
    for alpha, got in zip(alphas, gram.sweep(Y, folds, alphas, centred, cross), strict=True):
        want = refit(X, Y, others, Y_others, folds, alpha, centred)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(8, 30),
    p=st.integers(1, 40),
    n_others=st.integers(2, 40),
    log_alpha=st.floats(-2, 4),
    seed=st.integers(0, 2**16),
)
def test_out_of_fold_equals_refitting_for_any_shape(n, p, n_others, log_alpha, seed):
    X, Y, others, Y_others, _ = problem(n, p, n_others, seed=seed)
    folds = leave_group_out(np.random.default_rng(seed).permutation(blocks(n, 4)))
    gram = RidgeGram(X, "numpy", KAPPA * others.T @ others)
    got = gram.out_of_fold(Y, folds, 10**log_alpha, cross=KAPPA * others.T @ Y_others)
    want = refit(X, Y, others, Y_others, folds, 10**log_alpha, centred=False)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_coefficients_equal_a_fit_to_all_rows(n, p, backend):
    X, Y, others, Y_others, _ = problem(n, p)
    gram = RidgeGram(X, backend, KAPPA * others.T @ others)
    W, intercept = gram.coef(Y, 3.0, KAPPA * others.T @ Y_others)
    np.testing.assert_allclose(W, solve(X, Y, others, Y_others, 3.0), atol=1e-9)
    np.testing.assert_allclose(intercept, Y.mean(axis=0) - X.mean(axis=0) @ W, atol=1e-9)


@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_a_prior_of_nothing_changes_nothing(n, p):
    X, Y, _, _, onsets = problem(n, p)
    folds = leave_group_out(blocks(n, 5), onsets, 1.0)
    none, zero = RidgeGram(X, "numpy"), RidgeGram(X, "numpy", np.zeros((p, p)))
    for alpha in (1e-2, 10.0):
        got = zero.out_of_fold(Y, folds, alpha, True, np.zeros((p, 4)))
        np.testing.assert_allclose(got, none.out_of_fold(Y, folds, alpha, True), atol=1e-8)
        np.testing.assert_allclose(zero.coef(Y, alpha)[0], none.coef(Y, alpha)[0], atol=1e-8)


def test_low_rank_with_a_prior_is_optimal_in_its_criterion():
    X, Y, others, Y_others, _ = problem(50, 8, n_targets=6)
    alpha, prior = 5.0, KAPPA * others.T @ others
    cross = KAPPA * others.T @ Y_others
    W, _ = RidgeGram(X, "numpy", prior).coef(Y, alpha, cross)
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)
    gram = Xc.T @ Xc + prior + alpha * np.eye(8)

    def loss(V):
        return np.sum(V * (gram @ V)) - 2 * np.sum(V * (Xc.T @ Yc + cross))

    A, B = low_rank(W, X, alpha, 2, prior)
    rng = np.random.default_rng(0)
    for _ in range(200):
        dA, dB = 1e-3 * rng.normal(size=A.shape), 1e-3 * rng.normal(size=B.shape)
        assert loss((A + dA) @ (B + dB)) >= loss(A @ B)


def test_select_alpha_passes_the_cross_products_on():
    X, Y, others, Y_others, _ = problem(60, 8)
    folds = leave_group_out(blocks(60, 6))
    gram, cross = RidgeGram(X, "numpy", others.T @ others), others.T @ Y_others
    centred = Y - Y.mean(axis=0)
    choice = select_alpha(
        gram, Y, folds, [0.1, 10.0], lambda y: -float(np.mean((centred - y) ** 2)), cross
    )
    np.testing.assert_array_equal(
        choice.predictions, gram.out_of_fold(Y, folds, choice.alpha, True, cross)
    )


@pytest.mark.parametrize(
    ("prior", "cross", "match"),
    [
        (np.eye(4), None, "prior of shape"),
        (np.full((5, 5), np.nan), None, "finite prior"),
        (np.eye(5), np.ones((5, 3)), "cross products of shape"),
    ],
)
def test_priors_that_do_not_fit_are_refused(prior, cross, match):
    X, Y, *_ = problem(20, 5)
    with pytest.raises(ValueError, match=match):
        RidgeGram(X, "numpy", prior).coef(Y, 1.0, cross)


def test_cross_products_without_their_gram_matrix_are_refused():
    X, Y, *_ = problem(20, 30)
    with pytest.raises(ValueError, match="need a prior Gram matrix"):
        RidgeGram(X, "numpy").coef(Y, 1.0, np.ones((30, 4)))
