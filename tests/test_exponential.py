"""kernels/exponential.py and kernels/posterior.py against numpy in more digits, at the extremes too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.kernels.exponential import exp, log
from rt_decoder.kernels.posterior import N_PARTS, N_SUMS, answer, most_probable

MORE_DIGITS = np.finfo(np.longdouble).eps < 1e-18
EDGES = [-745.1, -708.5, -708.3, -1.0, -1e-300, 0.0, 1e-17, 0.34657359, 0.3466, 1.0, 709.7]


def exact(function, x):
    with np.errstate(all="ignore"):
        return function(np.asarray(x, np.longdouble))


@pytest.mark.skipif(not MORE_DIGITS, reason="long double has no more digits here")
@pytest.mark.parametrize(("low", "high"), [(-745.0, 709.7), (-40.0, 0.0), (-1.0, 1.0)])
def test_exponential_is_exact_to_1e15(low, high):
    x = np.append(np.random.default_rng(0).uniform(low, high, 3000), EDGES)
    got, want = np.array([exp(one) for one in x]), exact(np.exp, x)
    assert (np.abs(got - want) <= 1e-15 * want + 5e-324).all()


@pytest.mark.skipif(not MORE_DIGITS, reason="long double has no more digits here")
def test_logarithm_is_exact_to_1e15():
    powers = np.random.default_rng(0).uniform(-708, 709, 3000)
    near_one = 1 + np.random.default_rng(1).uniform(-0.5, 1.0, 3000)
    x = np.concatenate([np.exp(powers), near_one, [1.0, 0.5, 2.0, 1 - 2**-53, 1 + 2**-52, 3e-308]])
    got, want = np.array([log(one) for one in x]), exact(np.log, x)
    assert (np.abs(got - want) <= 1e-15 * np.abs(want)).all()


@pytest.mark.parametrize(
    ("x", "want"),
    [(-np.inf, 0.0), (-1e300, 0.0), (-746.0, 0.0), (0.0, 1.0), (-0.0, 1.0), (710.0, np.inf),
     (1e300, np.inf), (np.inf, np.inf), (np.nan, np.nan)],
)  # fmt: skip
def test_exponential_of_extremes(x, want):
    assert exp(x) == pytest.approx(want, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("x", [0.0, 5e-324, 2.2e-308, -1.0, -np.inf])
def test_logarithm_of_next_to_nothing_is_finite(x):
    assert log(x) == pytest.approx(-708.396, abs=1e-3)


def test_logarithm_of_no_number_is_none():
    assert np.isnan(log(np.nan))


def posterior(scores, tau, log_prior, k=1):
    """Indices, probabilities and bits of the kernel."""
    indices, probabilities = np.zeros(k, np.int64), np.zeros(k)
    all_exact = np.zeros(1, np.float32), np.zeros((0, 1), np.float32), 0.0
    bits = answer(
        scores, tau, log_prior, np.zeros(len(scores)), 0.0, np.zeros(len(scores)), np.zeros(0),
        np.zeros((N_SUMS, N_PARTS)), *all_exact, indices, probabilities, np.zeros(k, np.float32),
    )  # fmt: skip
    return indices, probabilities, bits


@given(
    n=st.integers(1, 400),
    tau=st.sampled_from([0.0, 5.0, 700.0, 1e6, 1e300]),
    excluded=st.floats(0, 0.99),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_a_posterior_is_the_softmax_in_more_digits(n, tau, excluded, seed):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, n).astype(np.float32)
    log_prior = np.where(rng.random(n) < excluded, -np.inf, rng.standard_normal(n))
    log_prior[rng.integers(n)] = 0.0
    logits = np.longdouble(tau) * scores + log_prior
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    indices, probabilities, bits = posterior(scores, tau, log_prior, n)
    assert np.abs(probabilities - weights[indices]).max() < max(1e-12, 1e-15 * tau * (tau < 1e7))
    some = weights[weights > 0]
    assert bits == pytest.approx(float(np.log2(n) + (some * np.log2(some)).sum()), abs=1e-8)


@pytest.mark.parametrize("n", [1, N_PARTS - 1, N_PARTS, N_PARTS + 1, 3 * N_PARTS + 5])
def test_every_item_counts_once(n):
    probabilities = np.zeros(1)
    bits = most_probable(
        np.full(n, 3.0), np.zeros((N_SUMS, N_PARTS)), np.zeros(1, np.int64), probabilities
    )
    assert probabilities[0] == pytest.approx(1 / n)
    assert bits == pytest.approx(0, abs=1e-12)


def test_the_sum_is_in_one_order():
    """Item v is in part v % N_PARTS, and the parts are added in order: the same on each machine."""
    logits = np.random.default_rng(0).standard_normal(1000) * 20
    weights = np.array([exp(one) for one in logits - logits.max()])
    parts = np.zeros(N_PARTS)
    for v, weight in enumerate(weights):
        parts[v % N_PARTS] += weight
    total = 0.0
    for part in parts:
        total += part
    probabilities = np.zeros(1)
    most_probable(logits, np.zeros((N_SUMS, N_PARTS)), np.zeros(1, np.int64), probabilities)
    peak = logits.max()
    assert probabilities[0] == exp(peak - (peak + math.log(total)))


def test_all_far_below_the_best_is_nothing():
    scores = np.zeros(100, np.float32)
    scores[7] = 1.0
    indices, probabilities, bits = posterior(scores, 1e5, np.zeros(100))
    assert (indices[0], probabilities[0]) == (7, 1.0)
    assert bits == pytest.approx(np.log2(100))
