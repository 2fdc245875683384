"""Large vocabularies are scanned in 16 bits: what is named is exact all the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from rt_decoder.decoding.readout import ContinuousPosterior, Posterior
from rt_decoder.decoding.vocabulary import Vocabulary
from tests.contract import allocated

K = 10


def make(n_items, rank, seed=0, *, spread=1.0, compact=True):
    """Vocabulary in `rank` of 48 directions, and its float64 coordinates; a low spread is crowded."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal(48) + spread * rng.standard_normal((n_items, 48))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((48, rank)))[0].T
    items = tuple(map(str, range(n_items)))
    words = Vocabulary(items, vectors, basis, compact=compact)
    return words, (vectors.astype(np.float64) @ basis.T).astype(np.float32)


def cosines(rows, z):
    """In float64, of coordinates that are kept as float32."""
    length = np.linalg.norm(z.astype(np.float64))
    return rows.astype(np.float64) @ (z.astype(np.float64) / length)


@given(
    n_items=st.integers(K, 700),
    rank=st.integers(1, 40),
    spread=st.sampled_from([1.0, 1e-2, 1e-4, 1e-6]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_cosines_keep_to_their_bound_and_the_best_are_the_exact_ones(n_items, rank, spread, seed):
    words, rows = make(n_items, rank, seed, spread=spread)
    z = np.random.default_rng(seed + 1).standard_normal(rank, np.float32)
    want, scores = cosines(rows, z), words.scores(z)
    assert np.abs(scores - want).max() <= words.exact.slack < 1e-4
    order = words.top(scores, K)
    assert np.abs(scores[order] - want[order]).max() < 2e-7
    # the best by float32, ties by lower index: no item that is left out is better than the last
    assert np.delete(want, order).max(initial=-1.0) <= want[order].min() + 2e-7
    assert (np.diff(scores[order]) <= 0).all()


@example(n_items=1755, tau=400.0, floor=0.0, spread=1.0, biased=True, seed=95)
@given(
    n_items=st.integers(K, 3000),
    tau=st.sampled_from([0.0, 8.0, 50.0, 400.0]),
    floor=st.sampled_from([0.0, 0.02, 0.5]),
    spread=st.sampled_from([1.0, 1e-2]),
    biased=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_a_posterior_is_that_of_exact_cosines(n_items, tau, floor, spread, biased, seed):
    rng = np.random.default_rng(seed)
    words, rows = make(n_items, 24, seed, spread=spread)
    z = rng.standard_normal(24, np.float32)
    log_prior = rng.standard_normal(n_items) if biased else np.zeros(n_items)
    if biased:
        log_prior[rng.random(n_items) < 0.2] = -np.inf
        log_prior[0] = 0.0
    want = (1 - floor) * special.softmax(tau * cosines(rows, z) + log_prior)
    want += floor * special.softmax(log_prior)
    posterior = Posterior(log_prior, tau, floor=floor)
    got = posterior.decide(words.scores(z), K, exact=words.exact)
    most = 1e-6 * max(1.0, tau / 50.0)  # a cosine in float32 is off by 6e-8 itself
    assert np.abs(got.prob - want[got.idx]).max() < most
    assert np.delete(want, got.idx).max(initial=0.0) <= want[got.idx].min() + most
    assert np.abs(got.cos - cosines(rows, z)[got.idx])[got.prob > 0].max() < 2e-7
    assert got.bits == pytest.approx(np.log2(n_items) - stats.entropy(want, base=2), abs=1e-4)


def test_words_are_those_of_float32_where_many_are_alike():
    words, _ = make(4000, 32, spread=1e-3)
    plain, _ = make(4000, 32, spread=1e-3, compact=False)
    posterior = Posterior(np.zeros(4000), 2000.0)
    rng = np.random.default_rng(3)
    n_same = 0
    for _ in range(50):
        z = rng.standard_normal(32, np.float32)
        a = posterior.decide(words.scores(z), K, exact=words.exact).idx.copy()
        b = posterior.decide(plain.scores(z), K).idx
        n_same += list(a) == list(b)
    assert n_same >= 45  # float32 sums of the plain table tie where the exact ones do not


def test_nothing_is_one_hypothesis_more():
    words, rows = make(1000, 24)
    inner = Posterior(np.append(np.zeros(1000), 5.0), 40.0)
    z = np.random.default_rng(1).standard_normal(24, np.float32)
    want = special.softmax(np.append(40.0 * cosines(rows, z), 5.0))
    got = ContinuousPosterior(inner, 0.0, 0.0).decide(words.scores(z), K, exact=words.exact)
    assert np.abs(got.prob - want[got.idx]).max() < 1e-6
    assert list(got.idx) == list(np.argsort(-want[:1000], kind="stable")[:K])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_hidden(value):
    words, _ = make(500, 16)
    z = np.ones(16, np.float32)
    z[3] = value
    answer = Posterior(np.zeros(500), 9.0).decide(words.scores(z), K, exact=words.exact)
    assert answer.reasons == ("nonfinite",)


def test_no_prediction_gives_zero():
    words, _ = make(500, 16)
    scores = words.scores(np.zeros(16, np.float32))
    assert not scores.any()
    assert list(words.top(scores, 3)) == [0, 1, 2]


@pytest.mark.parametrize("floor", [0.0, 0.01])
def test_no_allocation(floor):
    words, _ = make(5000, 24)
    posterior, z = Posterior(np.zeros(5000), 30.0, floor=floor), np.ones(24, np.float32)
    stays, peak = allocated(lambda: posterior.decide(words.scores(z), K, exact=words.exact), 300)
    assert stays < 512
    assert peak < 4096


def test_a_large_table_is_compact_and_a_small_one_is_not():
    assert not make(1000, 24, compact=None)[0].compact
    large = make(24_000, 24, compact=None)[0]
    assert large.compact
    assert large.table_bytes < 24_000 * 24 * 4 * 0.51
