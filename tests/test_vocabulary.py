"""Cosines and the top of them against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rt_decoder.decoding.vocabulary import Vocabulary
from tests.contract import allocated


def make(n_items, n_dims, rank, seed=0):
    """Unit vectors and an orthonormal basis."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_items, n_dims))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    basis = np.linalg.qr(rng.standard_normal((n_dims, rank)))[0].T
    items = tuple(f"w{i}" for i in range(n_items))
    return Vocabulary(items, vectors.astype(np.float32), basis), vectors, basis


def brute_force_top(scores, k):
    """Best first, ties by lower index, NaN last."""
    return np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:k]


@pytest.mark.parametrize(
    ("n_items", "n_dims", "rank"),
    [(1, 4, 1), (3, 4, 4), (100, 24, 7), (4095, 64, 30), (4097, 64, 33), (20_000, 48, 16)],
)
def test_scores_are_cosines_with_the_full_vectors(n_items, n_dims, rank):
    words, vectors, basis = make(n_items, n_dims, rank)
    z = np.random.default_rng(1).standard_normal(rank, np.float32)
    prediction = z.astype(float) @ basis
    exact = vectors @ prediction / np.linalg.norm(prediction)
    scores = words.scores(z)
    assert scores.dtype == np.float32
    assert np.abs(scores - exact).max() < 1e-6
    k = min(10, n_items)
    assert np.array_equal(words.top(scores, k), brute_force_top(scores, k))


def test_length_of_the_prediction_does_not_matter():
    words, _, _ = make(500, 24, 8)
    z = np.random.default_rng(1).standard_normal(8, np.float32)
    plain = words.scores(z).copy()
    for gain in (1e-15, 3.0, 1e15):
        assert np.allclose(words.scores(np.float32(gain) * z), plain, atol=1e-6)
    assert np.array_equal(words.scores(-z), -plain)


def test_no_prediction_gives_zero():
    words, _, _ = make(50, 24, 8)
    scores = words.scores(np.zeros(8, np.float32))
    assert np.array_equal(scores, np.zeros(50, np.float32))
    assert np.array_equal(words.top(scores, 5), np.arange(5))


def test_nan_is_not_hidden():
    words, _, _ = make(50, 24, 8)
    z = np.ones(8, np.float32)
    z[3] = np.nan
    assert np.isnan(words.scores(z)).all()


@given(
    data=st.data(),
    scores=hnp.arrays(
        np.float32,
        st.integers(1, 400),
        elements=st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, np.nan, -np.inf, np.inf]),
    ),
)
@settings(max_examples=100, deadline=None)
def test_top_with_ties_and_nan(data, scores):
    k = data.draw(st.integers(1, len(scores)))
    words, _, _ = make(len(scores), 2, 1)
    assert np.array_equal(words.top(scores, k), brute_force_top(scores, k))


def test_top_of_many():
    words, _, _ = make(30_000, 2, 1)
    for seed in range(3):
        scores = np.random.default_rng(seed).standard_normal(30_000, np.float32)
        assert np.array_equal(words.top(scores, 100), brute_force_top(scores, 100))
        assert np.array_equal(words.top(np.sort(scores), 10), np.arange(29_999, 29_989, -1))


def test_order_of_items_only_permutes():
    words, vectors, basis = make(300, 24, 8)
    order = np.random.default_rng(2).permutation(300)
    other = Vocabulary([words.items[i] for i in order], vectors[order].astype(np.float32), basis)
    z = np.random.default_rng(1).standard_normal(8, np.float32)
    assert np.array_equal(other.scores(z), words.scores(z)[order])


def test_no_allocation():
    words, _, _ = make(5000, 24, 8)
    z = np.ones(8, np.float32)
    stays, peak = allocated(lambda: words.top(words.scores(z), 10), 500)
    assert stays < 512
    assert peak < 2048


def test_bad_input_is_refused():
    eye = np.eye(3)
    for items, vectors, basis, message in (
        ((), np.zeros((0, 3)), eye, "unique items"),
        (("a", "a", "b"), eye, eye, "unique items"),
        (("a", "b"), eye, eye, "one vector"),
        (("a", "b", "c"), 2 * eye, eye, "length 1, got 2 for 'a'"),
        (("a", "b", "c"), np.full((3, 3), np.nan), eye, "length 1"),
        (("a", "b", "c"), eye, 2 * eye, "orthonormal"),
        (("a", "b", "c"), eye, np.ones((2, 2)), "need a basis"),
    ):
        with pytest.raises(ValueError, match=message):
            Vocabulary(items, vectors, basis)
    words = Vocabulary(("a", "b", "c"), eye, eye)
    with pytest.raises(ValueError, match="rank 3"):
        words.scores(np.ones(2, np.float32))
    for k in (0, 4):
        with pytest.raises(ValueError, match="k between 1 and 3"):
            words.top(np.zeros(3, np.float32), k)
