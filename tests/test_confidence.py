"""Calibrated probabilities: compared with scipy, harmless without signal, bounded with too much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from calibration.confidence import (
    Evidence,
    expected_calibration_error,
    extrapolate,
    fit_posterior,
    log_posterior,
    log_prior_from_counts,
)
from calibration.likelihood import maximise
from calibration.scores import bits_beyond_prior
from rt_decoder.decoding.readout import Posterior
from rt_decoder.model import PosteriorParameters


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


def blocked(n, n_blocks=10):
    return np.arange(n) * n_blocks // n


@pytest.mark.parametrize("n", [40, 320, 2000])
def test_separable_trials_end_at_a_bounded_loss(n):
    """New trials of which one in 250 is another item's: nobody can have seen it coming."""
    rng = np.random.default_rng(n)
    truth = rng.integers(0, 60, n)
    similarity = 0.05 * rng.normal(size=(n, 60))
    similarity[np.arange(n), truth] = 0.9
    fit = fit_posterior(Evidence(similarity, np.ones(n)), truth, groups=blocked(n))
    assert fit.tau < 1000
    assert fit.floor >= min(1 / n, 0.025) * (1 - 1e-9)
    later = 0.05 * rng.normal(size=(5000, 60))
    said = rng.integers(0, 60, 5000)
    later[np.arange(5000), said] = 0.9
    wrong = rng.random(5000) < 0.004
    truth = np.where(wrong, rng.integers(0, 60, 5000), said)
    log_prior = log_prior_from_counts(np.zeros(60))
    posterior = log_posterior(Evidence(later, np.ones(5000)), fit, log_prior)
    gained = bits_beyond_prior(posterior, log_prior, truth)
    assert gained.mean() > 5.5
    assert gained.min() > np.log2(fit.floor) - 1e-9  # what one trial can lose


def test_sharpness_and_floor_are_those_of_a_general_optimiser():
    rng = np.random.default_rng(3)
    similarity, truth = trials(0.25, n=300, n_items=12, seed=3)
    truth[rng.random(300) < 0.03] = 0  # some trials went wrong
    log_prior = log_prior_from_counts(rng.integers(1, 9, 12))
    prior, own = np.exp(log_prior), (np.arange(300), truth)

    def loss(theta):
        floor = np.exp(theta[1])
        p = (1 - floor) * np.exp(log_softmax(theta[0] * similarity + log_prior, axis=1))
        log_p = np.log(p + floor * prior)
        return -log_p[own].sum() - (log_p[::2] @ prior).mean()  # the pretended trial

    best = minimize(
        loss, [10.0, -4.0], method="Nelder-Mead", bounds=[(0, 1e4), (-5.7, np.log(0.05))],
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000},
    )  # fmt: skip
    found = maximise(similarity, truth, log_prior)
    assert found.tau == pytest.approx(best.x[0], rel=1e-3)
    assert found.floor == pytest.approx(np.exp(best.x[1]), rel=1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_blocks_that_agree_by_chance_are_no_evidence(seed):
    """Ten blocks of one item and one offset each: ten trials, however long they are."""
    rng = np.random.default_rng(seed)
    groups = blocked(1000)
    similarity = (0.2 * rng.normal(size=(10, 5)))[groups] + 0.02 * rng.normal(size=(1000, 5))
    truth = rng.integers(0, 5, 10)[groups]
    fit = fit_posterior(Evidence(similarity, np.ones(1000)), truth, groups=groups)
    assert fit.tau == 0
    assert fit.bits_per_word == 0
    assert fit.floor == fit.length == 0


def test_lengths_count_where_they_tell_how_sure_a_prediction_is():
    """The signal is in long predictions; where lengths are noise, cosines stay."""
    rng = np.random.default_rng(5)
    n, n_items = 900, 20
    truth, lengths = rng.integers(0, n_items, n), rng.gamma(1.0, size=n)
    similarity = 0.1 * rng.normal(size=(n, n_items))
    similarity[np.arange(n), truth] += 0.25 * (lengths > 1)
    log_prior = log_prior_from_counts(np.zeros(n_items))
    aware = fit_posterior(Evidence(similarity, lengths), truth, groups=blocked(n))
    blind = fit_posterior(similarity, truth, groups=blocked(n))
    assert aware.length > 0
    assert aware.bits_per_word > blind.bits_per_word + 0.1
    noise = fit_posterior(Evidence(similarity, rng.permutation(lengths)), truth, groups=blocked(n))
    assert noise.bits_per_word > blind.bits_per_word - 0.002
    assert np.isfinite(log_posterior(Evidence(similarity, 0 * lengths), aware, log_prior)).all()


def test_offline_is_the_live_posterior():
    rng = np.random.default_rng(6)
    cosines, lengths = rng.uniform(-1, 1, (50, 30)), rng.gamma(2.0, size=50)
    log_prior, bias = log_prior_from_counts(rng.integers(0, 9, 30)), rng.normal(size=30)
    parameters = PosteriorParameters(tau=6.0, length=1.5, floor=0.03)
    offline = np.exp(log_posterior(Evidence(cosines, lengths), parameters, log_prior, bias))
    live = Posterior(log_prior, 6.0, length=1.5, floor=0.03, item_bias=bias)
    for one, scores, length in zip(offline, cosines, lengths, strict=True):
        np.testing.assert_allclose(live.probabilities(scores, length), one, rtol=1e-9)


def test_the_final_map_is_trusted_as_its_learning_curve_promises():
    """Sharpness 8 with half of the events, 10 with two thirds: more with all of them."""
    rng = np.random.default_rng(7)

    def evidence(tau, share):
        cosines = rng.uniform(-1, 1, (4000, 10))
        p = np.exp(log_posterior(cosines, tau, np.full(10, -np.log(10))))
        truth = (p.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
        order = np.argsort(truth, kind="stable")
        return Evidence(cosines[order], np.ones(4000), share), truth[order]

    (near, truth), (far, other) = evidence(10.0, 2 / 3), evidence(8.0, 1 / 2)
    same = truth == other  # the same trials, but for a few
    near, far, truth = near.of(same), far.of(same), truth[same]
    fit = fit_posterior(near, truth, groups=blocked(len(truth)))
    final = extrapolate(fit, near, far, truth)
    assert final.tau / fit.tau == pytest.approx(10 / 8, abs=0.12)  # as far as from 2/3 to 1/2
    assert extrapolate(fit, near, far._replace(share=near.share), truth) == fit
    silent = fit._replace(tau=0.0)
    assert extrapolate(silent, near, far, truth) == silent


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
