"""Calibrated probabilities: compared with scipy, harmless without signal, bounded with too much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from calibration.confidence import (
    expected_calibration_error,
    fit_posterior,
    log_posterior,
    log_prior_from_counts,
)
from calibration.scores import bits_beyond_prior


def trials(signal, n=600, n_items=50, seed=0, prior=None):
    """Cosine-like noise, raised by `signal` at the true item."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(n_items, n, p=prior)
    similarity = 0.1 * rng.normal(size=(n, n_items))
    similarity[np.arange(n), truth] += signal
    return similarity, truth


@settings(max_examples=25, deadline=None)
@given(signal=st.floats(0.01, 0.15), seed=st.integers(0, 2**16), skew=st.floats(0, 2))
def test_tau_maximises_the_likelihood(signal, seed, skew):
    prior = np.arange(1, 51.0) ** -skew
    prior /= prior.sum()
    similarity, truth = trials(signal, n=200, seed=seed, prior=prior)

    def loss(tau):
        energy = tau * similarity + np.log(prior)
        return -log_softmax(energy, axis=1)[np.arange(200), truth].mean()

    oracle = minimize_scalar(loss, bounds=(0, 500), method="bounded", options={"xatol": 1e-9})
    tau = fit_posterior(similarity, truth, np.log(prior)).tau
    assert loss(tau) <= oracle.fun + 1e-12
    assert tau == pytest.approx(oracle.x, rel=1e-4, abs=1e-3)


def test_tau_is_recovered_from_trials_drawn_from_the_posterior():
    """Truth drawn with probability proportional to prior * exp(tau cos); calibration holds."""
    rng = np.random.default_rng(1)
    log_prior = log_prior_from_counts(rng.integers(0, 40, 30))
    similarity = rng.uniform(-1, 1, (20_000, 30))
    p = np.exp(log_posterior(similarity, 4.0, log_prior))
    truth = (p.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    fit = fit_posterior(similarity, truth, log_prior)
    assert fit.tau == pytest.approx(4.0, abs=0.15)
    assert fit.ece < 0.015
    assert fit.bits_per_word > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_without_signal_new_data_lose_no_bits(seed):
    similarity, truth = trials(0.0, n=2000, seed=seed)
    later, later_truth = trials(0.0, n=2000, seed=100 + seed)
    log_prior = log_prior_from_counts(np.zeros(50))
    fit = fit_posterior(similarity, truth)
    posterior = log_posterior(later, fit.tau, log_prior)
    assert bits_beyond_prior(posterior, log_prior, later_truth).mean() > -0.002
    assert fit.bits_per_word >= 0


def test_tau_is_exactly_zero_where_the_truth_is_not_closer():
    similarity, truth = trials(-0.1)
    assert fit_posterior(similarity, truth).tau == 0
    assert fit_posterior(similarity, truth).bits_per_word == 0
    for constant in np.linspace(-1, 1, 41):  # rounding errors of either sign
        assert fit_posterior(np.full((9, 7), constant), np.arange(9) % 7).tau == 0


def test_separable_data_and_large_energies_stay_finite():
    truth = np.arange(40) % 8
    fit = fit_posterior(np.eye(8)[truth], truth)
    assert np.isfinite(fit.tau)
    assert fit.bits_per_word == pytest.approx(3)
    posterior = log_posterior(np.array([[1.0, -1.0]]), 1e6, np.log([1e-300, 1.0]))
    np.testing.assert_allclose(posterior, [[0, -2e6 + np.log(1e300)]])


def test_log_posterior_is_normalised_and_tau_zero_is_the_prior():
    similarity, _ = trials(0.1, n=20)
    log_prior = log_prior_from_counts(np.arange(50))
    np.testing.assert_allclose(np.exp(log_posterior(similarity, 9, log_prior)).sum(axis=1), 1)
    np.testing.assert_array_equal(log_posterior(similarity, 0, log_prior), [log_prior] * 20)


def test_prior_from_counts():
    np.testing.assert_allclose(np.exp(log_prior_from_counts([3, 0, 1])), [4 / 7, 1 / 7, 2 / 7])
    np.testing.assert_allclose(np.exp(log_prior_from_counts(np.zeros(4))), 0.25)


def test_calibration_error():
    confidence = np.repeat([0.2, 0.7], 500)
    correct = np.concatenate([np.arange(500) < 100, np.arange(500) < 350])
    assert expected_calibration_error(confidence, correct, 2) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error(confidence + 0.1, correct, 2) == pytest.approx(0.1)
    assert expected_calibration_error(np.ones(8), np.zeros(8)) == 1
    flipped = expected_calibration_error(confidence[::-1], correct[::-1], 2)
    assert flipped == pytest.approx(0, abs=1e-12)


def test_calibration_error_resolves_the_low_confidences_of_a_large_vocabulary():
    """All confidences below 0.1: bins of equal width would average the two halves away."""
    confidence = np.repeat([0.01, 0.05], 1000)
    correct = np.concatenate([np.arange(1000) < 50, np.arange(1000) < 10])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: fit_posterior(np.full((2, 2), np.inf), np.zeros(2, int)), "finite"),
        (lambda: log_prior_from_counts([-1, 2]), "0 or more"),
        (lambda: log_prior_from_counts([1, 2], smoothing=0), "smoothing above 0"),
        (lambda: expected_calibration_error(np.ones(2), np.ones(3)), "one outcome"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, match):
    with pytest.raises(ValueError, match=match):
        call()
