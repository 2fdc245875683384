"""Whitening by a shrunk covariance, against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import inv, sqrtm

from rt_decoder.decoding.whitening import whitener


def covariance(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) * rng.uniform(0.1, 10, p)
    return np.cov(X, rowvar=False).reshape(p, p)


def shrunk(S, shrink):
    return S + shrink * np.trace(S) / len(S) * np.eye(len(S))


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 40),
    p=st.integers(1, 12),
    log_shrink=st.floats(-3, 3),
    seed=st.integers(0, 2**16),
)
def test_whitens_the_shrunk_covariance(n, p, log_shrink, seed):
    S, shrink = covariance(n, p, seed), 10**log_shrink
    W = whitener(S, shrink)
    np.testing.assert_array_equal(W, W.T)
    np.testing.assert_allclose(W @ shrunk(S, shrink) @ W, np.eye(p), atol=1e-8)


def test_equals_scipys_matrix_square_root():
    S = covariance(50, 6)
    np.testing.assert_allclose(whitener(S, 0.3), inv(sqrtm(shrunk(S, 0.3))), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("unit", [1e-120, 1e-6, 1e6, 1e120])
def test_whitened_features_have_no_unit(unit):
    S = covariance(30, 5)
    np.testing.assert_allclose(whitener(unit**2 * S, 1.0) * unit, whitener(S, 1.0), rtol=1e-9)


def test_rotated_features_are_whitened_to_rotated_ones():
    S = covariance(60, 7)
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0]
    np.testing.assert_allclose(whitener(Q @ S @ Q.T, 0.5), Q @ whitener(S, 0.5) @ Q.T, atol=1e-10)


def test_constant_features_and_few_events_stay_finite():
    S = covariance(4, 10)  # rank 3
    S[2], S[:, 2] = 0, 0
    W = whitener(S, 1e-3)
    assert np.isfinite(W).all()
    assert np.linalg.eigvalsh(W).min() > 0
    mean = np.trace(S) / 10
    assert W[2, 2] == pytest.approx(1 / np.sqrt(1e-3 * mean))


def test_large_shrinkage_only_scales():
    S = covariance(60, 4)
    W = whitener(S, 1e9)
    np.testing.assert_allclose(W / W[0, 0], np.eye(4), atol=1e-6)


def test_equal_input_gives_equal_bits_and_is_not_changed():
    S = covariance(60, 20).astype(np.float32)
    S.setflags(write=False)
    np.testing.assert_array_equal(whitener(S, 1.0), whitener(S.copy(), 1.0))


@pytest.mark.parametrize(
    ("S", "shrink", "match"),
    [
        (np.zeros((2, 3)), 1.0, "square"),
        (np.zeros((0, 0)), 1.0, "square"),
        (np.full((2, 2), np.nan), 1.0, "finite covariance"),
        (np.zeros((3, 3)), 1.0, "vary"),
        (np.eye(2), 0.0, "above 0"),
        (np.eye(2), np.inf, "above 0"),
    ],
)
def test_bad_input_is_refused_with_its_reason(S, shrink, match):
    with pytest.raises(ValueError, match=match):
        whitener(S, shrink)
