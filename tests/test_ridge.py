"""The closed form compared with plain refitting, with scikit-learn, and between backends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV

from calibration.gram import RidgeGram
from calibration.ridge import alphas_default, low_rank, select_alpha
from calibration.splits import blocks, leave_group_out

SHAPES = [(60, 8), (40, 40), (30, 90)]  # p < n, p = n, n < p


def problem(n, p, n_targets=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.1, 3, p) + 5
    Y = X @ rng.normal(size=(p, n_targets)) / np.sqrt(p) + rng.normal(size=(n, n_targets)) - 3
    return X, Y, np.cumsum(rng.uniform(0.2, 1.0, n))


def refit(X, Y, folds, alpha, centred=False):
    predictions = np.empty_like(Y)
    for train, test in folds:
        model = Ridge(alpha).fit(X[train], Y[train])
        predictions[test] = model.predict(X[test]) - centred * Y[train].mean(axis=0)
    return predictions


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("purge", [0.0, 1.5])
@pytest.mark.parametrize("centred", [False, True])
def test_out_of_fold_equals_refitting_every_fold(n, p, purge, centred, backend):
    X, Y, onsets = problem(n, p)
    groups = np.repeat(np.arange(7), [1, 3, 3, 5, 2, 4, n - 18])
    folds = leave_group_out(groups, onsets, purge)
    gram = RidgeGram(X, backend)
    for alpha in (0.3, 30.0):
        got = gram.out_of_fold(Y, folds, alpha, centred)
        np.testing.assert_allclose(got, refit(X, Y, folds, alpha, centred), rtol=0, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(8, 30),
    p=st.integers(1, 40),
    n_groups=st.integers(2, 8),
    log_alpha=st.floats(-2, 4),
    seed=st.integers(0, 2**16),
)
def test_out_of_fold_equals_refitting_for_any_shape(n, p, n_groups, log_alpha, seed):
    X, Y, _ = problem(n, p, seed=seed)
    folds = leave_group_out(np.random.default_rng(seed).permutation(blocks(n, n_groups)))
    got = RidgeGram(X, "numpy").out_of_fold(Y, folds, 10**log_alpha)
    np.testing.assert_allclose(got, refit(X, Y, folds, 10**log_alpha), rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_large_and_scattered_blocks_equal_refitting(backend):
    X, Y, onsets = problem(320, 30)
    scattered = np.random.default_rng(1).permutation(blocks(320, 4))
    for groups, purge in ((blocks(320, 2), 0.0), (blocks(320, 2), 2.0), (scattered, 0.0)):
        folds = leave_group_out(groups, onsets, purge)
        got = RidgeGram(X, backend).out_of_fold(Y, folds, 3.0)
        np.testing.assert_allclose(got, refit(X, Y, folds, 3.0), rtol=0, atol=1e-10)


def test_duplicate_and_constant_features_do_no_harm():
    X, Y, _ = problem(40, 6)
    X = np.hstack([X, X, np.full((40, 2), 7.0)])
    folds = leave_group_out(blocks(40, 5))
    got = RidgeGram(X, "numpy").out_of_fold(Y, folds, 1.0)
    np.testing.assert_allclose(got, refit(X, Y, folds, 1.0), rtol=0, atol=1e-8)


def test_leave_one_out_error_equals_sklearn_generalised_cv():
    X, Y, _ = problem(50, 12)
    oracle = RidgeCV([2.0], store_cv_results=True).fit(X, Y)
    folds = leave_group_out(np.arange(50))
    got = RidgeGram(X, "numpy").out_of_fold(Y, folds, 2.0)
    np.testing.assert_allclose((Y - got) ** 2, oracle.cv_results_[..., 0], rtol=1e-8)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_one_alpha_is_solved_as_many_are(n, p, backend):
    X, Y, onsets = problem(n, p)
    folds = leave_group_out(blocks(n, 6), onsets, 1.0)
    factored, decomposed = RidgeGram(X, backend), RidgeGram(X, backend)
    assert len(decomposed.eigenvalues) >= min(n - 1, p)
    for alpha in np.logspace(-9, 4, 14):  # small ones and too many are decomposed, too
        one, all_ = (ridge.out_of_fold(Y, folds, alpha) for ridge in (factored, decomposed))
        np.testing.assert_allclose(one, all_, rtol=1e-6, atol=1e-8)
        one, all_ = (ridge.coef(Y, alpha)[0] for ridge in (factored, decomposed))
        np.testing.assert_allclose(one, all_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_coefficients_equal_sklearn(n, p, backend):
    X, Y, _ = problem(n, p)
    W, intercept = RidgeGram(X, backend).coef(Y, 3.0)
    oracle = Ridge(3.0).fit(X, Y)
    np.testing.assert_allclose(W, oracle.coef_.T, atol=1e-10)
    np.testing.assert_allclose(intercept, oracle.intercept_, atol=1e-8)


def test_columns_of_targets_are_independent():
    X, Y, _ = problem(40, 10)
    other = Y[np.random.default_rng(1).permutation(40)]
    gram, folds = RidgeGram(X, "numpy"), leave_group_out(blocks(40, 4))
    both = gram.out_of_fold(np.hstack([Y, other]), folds, 1.0)
    np.testing.assert_allclose(both[:, :4], gram.out_of_fold(Y, folds, 1.0), atol=1e-12)
    np.testing.assert_allclose(both[:, 4:], gram.out_of_fold(other, folds, 1.0), atol=1e-12)


def test_a_fold_cannot_see_its_own_targets():
    X, Y, onsets = problem(40, 10)
    folds = leave_group_out(blocks(40, 8), onsets, 1.0)
    gram = RidgeGram(X, "numpy")
    train, test = folds[3]
    hidden = np.setdiff1d(np.arange(40), train)  # the group and what was purged beside it
    assert len(hidden) > len(test)
    changed = Y.copy()
    changed[hidden] += 100
    before, after = gram.out_of_fold(Y, folds, 1.0), gram.out_of_fold(changed, folds, 1.0)
    np.testing.assert_allclose(after[test], before[test], atol=1e-9)


def test_alphas_follow_the_scale_of_the_features():
    X, _, _ = problem(40, 10)
    eigenvalues = RidgeGram(X, "numpy").eigenvalues
    alphas = alphas_default(X, n_alphas=8)
    np.testing.assert_allclose(alphas / eigenvalues.mean(), np.logspace(-3, 4, 8))
    np.testing.assert_allclose(alphas_default(1e-6 * X, 8), 1e-12 * alphas)
    wide, _, _ = problem(10, 40)
    eigenvalues = RidgeGram(wide, "numpy").eigenvalues  # the null direction is dropped
    assert len(eigenvalues) == 9
    assert alphas_default(wide, 8)[3] == pytest.approx(eigenvalues.mean())


def test_select_alpha_maximises_the_score_it_is_given():
    X, Y, _ = problem(60, 8)
    gram, folds = RidgeGram(X, "numpy"), leave_group_out(blocks(60, 6))
    alphas = [100.0, 0.01, 1.0]

    def closeness(predictions):
        return -np.mean((Y - Y.mean(axis=0) - predictions) ** 2)

    choice = select_alpha(gram, Y, folds, alphas, closeness)
    scores = [closeness(gram.out_of_fold(Y, folds, a, centred=True)) for a in sorted(alphas)]
    told = np.isfinite(choice.scores)
    np.testing.assert_allclose(choice.scores[told], np.array(scores)[told])
    assert choice.alpha == sorted(alphas)[np.argmax(scores)]
    assert told[np.argmax(scores)]
    np.testing.assert_array_equal(
        choice.predictions, gram.out_of_fold(Y, folds, choice.alpha, centred=True)
    )
    every = select_alpha(gram, Y, folds, alphas, closeness, every=True)
    np.testing.assert_allclose(every.scores, scores)


def test_select_alpha_takes_the_middle_of_a_tie():
    X, Y, _ = problem(20, 3)
    gram, folds = RidgeGram(X, "numpy"), leave_group_out(blocks(20, 4))
    assert select_alpha(gram, Y, folds, [1, 2, 3, 4, 5], lambda _: 0.0).alpha == 3


@pytest.mark.parametrize(("n", "p", "n_targets"), [(60, 8, 5), (60, 5, 20), (20, 40, 30)])
def test_full_rank_factors_multiply_to_the_map(n, p, n_targets):
    X, Y, _ = problem(n, p, n_targets)
    W, _ = RidgeGram(X, "numpy").coef(Y, 1.0)
    A, B = low_rank(W, X, 1.0)
    assert A.shape == (p, min(p, n_targets))
    np.testing.assert_allclose(A @ B, W, atol=1e-10)
    np.testing.assert_allclose(B @ B.T, np.eye(len(B)), atol=1e-10)


def test_low_rank_keeps_predictions_better_than_an_svd_of_the_weights():
    rng = np.random.default_rng(0)
    X, Y, _ = problem(200, 12, 10)
    X *= np.logspace(-2, 1, 12)  # large weights on features that hardly move
    W, _ = RidgeGram(X, "numpy").coef(Y + rng.normal(size=Y.shape), 1e-3)
    centred = X - X.mean(axis=0)
    u, s, vt = np.linalg.svd(W, full_matrices=False)
    svd_of_predictions = np.linalg.svd(centred @ W, compute_uv=False)
    for rank in (1, 3, 6):
        A, B = low_rank(W, X, rank=rank)
        error = np.linalg.norm(centred @ (A @ B - W))
        plain = np.linalg.norm(centred @ ((u[:, :rank] * s[:rank]) @ vt[:rank] - W))
        assert error == pytest.approx(np.linalg.norm(svd_of_predictions[rank:]))  # Eckart-Young
        assert error < plain


def test_low_rank_is_optimal_in_the_ridge_criterion():
    X, Y, _ = problem(50, 8, 6)
    alpha, rank = 20.0, 2
    W, _ = RidgeGram(X, "numpy").coef(Y, alpha)
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)

    def loss(V):
        return np.sum((Yc - Xc @ V) ** 2) + alpha * np.sum(V**2)

    A, B = low_rank(W, X, alpha, rank)
    rng = np.random.default_rng(0)
    for _ in range(200):
        dA, dB = 1e-3 * rng.normal(size=A.shape), 1e-3 * rng.normal(size=B.shape)
        assert loss((A + dA) @ (B + dB)) >= loss(A @ B)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda X, Y, f: RidgeGram(X[0]), "two dimensions"),
        (lambda X, Y, f: RidgeGram(np.where(X > 6, np.nan, X)), "NaN"),
        (lambda X, Y, f: RidgeGram(X, "jax"), "auto, numpy, torch"),
        (lambda X, Y, f: RidgeGram(X).coef(Y[:-1], 1.0), "targets of 20 items"),
        (lambda X, Y, f: RidgeGram(X).coef(Y, 0.0), "alpha above 0"),
        (lambda X, Y, f: RidgeGram(X).out_of_fold(Y, f[1:], 1.0), "exactly once"),
        (lambda X, Y, f: RidgeGram(X).out_of_fold(Y, [*f[1:], (f[0][0][:0], f[0][1])], 1), "none"),
        (lambda X, Y, f: RidgeGram(X).out_of_fold(Y, [(f[0][1], f[0][1]), *f[1:]], 1), "differ"),
        (lambda X, Y, f: select_alpha(RidgeGram(X), Y, f, [], lambda _: 0), "at least one"),
        (lambda X, Y, f: select_alpha(RidgeGram(X), Y, f, [1.0], lambda _: np.nan), "finite score"),
        (lambda X, Y, f: alphas_default(np.ones((4, 2))), "vary"),
        (lambda X, Y, f: low_rank(Y, X[:, :4], rank=5), "rank from 1 to"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, match):
    X, Y, _ = problem(20, 5)
    folds = leave_group_out(blocks(20, 4))
    with pytest.raises(ValueError, match=match):
        call(X, Y, folds)


@pytest.mark.gpu
def test_gpu_agrees_with_numpy():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    X, Y, onsets = problem(300, 120)
    folds = leave_group_out(blocks(300, 20), onsets, 1.0)
    got = RidgeGram(X).out_of_fold(Y, folds, 1.0)
    np.testing.assert_allclose(got, RidgeGram(X, "numpy").out_of_fold(Y, folds, 1.0), atol=1e-8)
