"""Probabilities against scipy, and the rule for abstaining."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from rt_decoder.decoding.readout import Posterior
from tests.contract import allocated


def cosines(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


@given(
    n=st.integers(1, 300),
    tau=st.sampled_from([0.0, 0.5, 20.0, 1e4]),
    spread=st.sampled_from([0.0, 1.0, 300.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_is_the_softmax_over_the_whole_vocabulary(n, tau, spread, seed):
    scores = cosines(n, seed)
    log_prior = spread * np.random.default_rng(seed + 1).standard_normal(n)
    k = min(5, n)
    want = special.softmax(tau * scores.astype(float) + log_prior)
    best = np.argsort(-(tau * scores.astype(float) + log_prior), kind="stable")[:k]
    posterior = Posterior(log_prior, tau)
    decision = posterior.decide(scores, k)
    assert np.array_equal(decision.idx, best)
    assert np.allclose(decision.prob, want[best], rtol=1e-9, atol=1e-300)
    assert np.array_equal(decision.cos, scores[best])
    assert decision.bits == pytest.approx(np.log2(n) - stats.entropy(want, base=2), abs=1e-9)
    assert np.allclose(posterior.probabilities(scores), want, rtol=1e-12)
    assert (decision.abstained, decision.reasons) == (False, ())


def oracle(scores, log_prior, tau, length, shape, floor, bias):
    """The posterior once more, in plain numpy."""
    gain = 1.0 if shape == 0 else length / np.sqrt(length**2 + shape**2)
    soft = special.softmax(tau * gain * scores.astype(float) + bias + log_prior)
    return (1 - floor) * soft + floor * special.softmax(log_prior)


@given(
    n=st.integers(1, 200),
    tau=st.sampled_from([0.0, 0.5, 20.0, 1e4, 1e12]),
    length=st.sampled_from([0.0, 1e-30, 0.3, 7.0, 1e30]),
    shape=st.sampled_from([0.0, 1e-9, 0.5, 1e9]),
    floor=st.sampled_from([0.0, 1e-9, 0.02, 0.7, 1.0]),
    spread=st.sampled_from([0.0, 1.0, 300.0]),
    biased=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=120, deadline=None)
def test_lengths_floor_and_biases_are_as_written(
    n, tau, length, shape, floor, spread, biased, seed
):
    rng = np.random.default_rng(seed)
    scores = cosines(n, seed)
    log_prior = spread * rng.standard_normal(n)
    bias = rng.standard_normal(n) if biased else np.zeros(n)
    want = oracle(scores, log_prior, tau, length, shape, floor, bias)
    posterior = Posterior(
        log_prior, tau, length=shape, floor=floor, item_bias=bias if biased else None
    )
    found = posterior.decide(scores, n, length=length)
    assert np.allclose(found.prob, want[found.idx], rtol=1e-6, atol=1e-12)
    assert (np.diff(found.prob) <= 0).all()
    assert sorted(found.idx) == list(range(n))
    assert found.prob.sum() == pytest.approx(1)
    assert found.bits == pytest.approx(np.log2(n) - stats.entropy(want, base=2), abs=1e-6)
    assert np.allclose(posterior.probabilities(scores, length), want, rtol=1e-6, atol=1e-12)


def test_the_order_is_that_of_the_mixture():
    """The prior's favourite outweighs a more likely other item once enough of it is mixed in."""
    prior, scores = np.array([0.9, 0.1]), np.array([0.0, 1.0], np.float32)
    sharp = Posterior(np.log(prior), 4.0).decide(scores, 2)
    assert sharp.idx[0] == 1
    mixed = Posterior(np.log(prior), 4.0, floor=0.6).decide(scores, 2)
    assert mixed.idx[0] == 0


def test_a_short_prediction_says_little_and_a_long_one_more():
    posterior = Posterior(np.zeros(3), 5.0, length=1.0)
    scores = np.array([0.9, 0.0, -0.9], np.float32)
    best = [posterior.decide(scores, 1, length=r).prob[0] for r in (0.0, 0.1, 1.0, 10.0, 1e9)]
    assert best[0] == pytest.approx(1 / 3)
    assert (np.diff(best) > 0).all()
    assert best[-1] == pytest.approx(special.softmax(5 * scores.astype(float))[0])


@pytest.mark.parametrize("length", [np.nan, np.inf])
def test_a_length_that_is_no_number_abstains(length):
    answer = Posterior(np.zeros(3), 5.0, length=1.0).decide(cosines(3), 2, length=length)
    assert answer.reasons == ("nonfinite",)


def test_words_are_ordered_by_probability_not_cosine():
    posterior = Posterior(np.log([0.98, 0.01, 0.01]), tau=1.0)
    decision = posterior.decide(np.array([0.1, 0.9, 0.2], np.float32), 3)
    assert list(decision.idx) == [0, 1, 2]


def test_no_temperature_leaves_the_prior():
    prior = np.array([0.2, 0.5, 0.3])
    decision = Posterior(np.log(prior) + 40.0, tau=0.0).decide(cosines(3), 3)
    assert list(decision.idx) == [1, 2, 0]
    assert np.allclose(decision.prob, [0.5, 0.3, 0.2])


def test_bits_run_from_none_to_all():
    assert Posterior(np.zeros(64), 0.0).decide(cosines(64), 1).bits == pytest.approx(0, abs=1e-12)
    scores = np.zeros(64, np.float32)
    scores[5] = 1.0
    assert Posterior(np.zeros(64), 1e4).decide(scores, 1).bits == pytest.approx(6.0)


def test_excluded_items_never_win():
    log_prior = np.array([-np.inf, 0.0, 0.0])
    decision = Posterior(log_prior, 50.0).decide(np.array([1.0, 0.2, 0.1], np.float32), 3)
    assert list(decision.idx) == [1, 2, 0]
    assert decision.prob[2] == 0.0
    assert np.isfinite(decision.bits)


def test_ties_go_to_the_lower_index():
    assert list(Posterior(np.zeros(9), 3.0).decide(np.zeros(9, np.float32), 4).idx) == [0, 1, 2, 3]


def test_scores_shifted_by_a_constant_change_nothing():
    posterior, scores = Posterior(np.zeros(40), 8.0), cosines(40)
    before = posterior.decide(scores, 40).prob.copy()
    assert np.allclose(posterior.decide(scores + np.float32(0.25), 40).prob, before, rtol=1e-5)


@pytest.mark.parametrize(
    ("quality", "tau", "reasons"),
    [
        (1.0, 30.0, ()),
        (1.0, 0.0, ("uncertain",)),
        (0.4, 30.0, ("quality",)),
        (np.nan, 30.0, ("quality",)),
        (0.4, 0.0, ("uncertain", "quality")),
    ],
)
def test_abstains_with_reasons(quality, tau, reasons):
    posterior = Posterior(np.zeros(4), tau, threshold=0.5, quality_floor=0.5)
    decision = posterior.decide(np.array([0.9, 0.1, 0.0, 0.2], np.float32), 2, quality)
    assert decision.reasons == reasons
    assert decision.abstained is bool(reasons)
    assert len(decision.idx) == 2


def test_a_threshold_above_one_always_abstains():
    decision = Posterior(np.zeros(1), 1.0, threshold=1.01).decide(cosines(1), 1)
    assert decision.prob[0] == 1.0
    assert decision.reasons == ("uncertain",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_abstains(value):
    scores = cosines(30)
    scores[17] = value
    decision = Posterior(np.zeros(30), 0.0).decide(scores, 5)
    assert decision.abstained
    assert decision.reasons == ("nonfinite",)
    assert len(decision.idx) == len(decision.cos) == len(decision.prob) == 0
    assert decision.bits == 0.0


@pytest.mark.parametrize("mixed", [{}, {"length": 1.0, "floor": 0.01}])
def test_no_allocation(mixed):
    posterior, scores = Posterior(np.zeros(5000), 8.0, **mixed), cosines(5000)
    stays, peak = allocated(lambda: posterior.decide(scores, 10, 1.0, 2.0), 500)
    assert stays < 512
    assert peak < 4096


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"log_prior": np.full(3, -np.inf)}, "log prior"),
        ({"log_prior": np.array([0.0, np.nan])}, "log prior"),
        ({"log_prior": np.array([0.0, np.inf])}, "log prior"),
        ({"log_prior": np.zeros((2, 2))}, "log prior"),
        ({"tau": -1.0}, "tau"),
        ({"tau": np.inf}, "tau"),
        ({"threshold": -0.1}, "threshold"),
        ({"quality_floor": np.nan}, "quality_floor"),
        ({"length": -1.0}, "length"),
        ({"length": np.inf}, "length"),
        ({"floor": 1.1}, "floor"),
        ({"floor": np.nan}, "floor"),
        ({"item_bias": np.zeros(2)}, "bias"),
        ({"item_bias": np.array([0.0, np.nan, 0.0])}, "bias"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Posterior(**{"log_prior": np.zeros(3), "tau": 1.0, **settings})


def test_bad_calls_are_refused():
    posterior = Posterior(np.zeros(3), 1.0)
    with pytest.raises(ValueError, match="need 3 scores"):
        posterior.decide(cosines(4), 1)
    for k in (0, 4):
        with pytest.raises(ValueError, match="k between 1 and 3"):
            posterior.decide(cosines(3), k)
