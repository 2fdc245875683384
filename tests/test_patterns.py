"""Patterns: weights turned into what the brain does."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.gram import RidgeGram
from calibration.nested import Split
from calibration.patterns import decoder_patterns, encoding_patterns, haufe_patterns, strength
from tests.small import fit_small, small_recipe, small_recording


def test_patterns_of_least_squares_are_the_regression_of_features_on_the_decoded() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    W = rng.normal(size=(5, 2))
    patterns = haufe_patterns(np.cov(X, rowvar=False), W)
    decoded = (X - X.mean(0)) @ W
    slope = np.linalg.lstsq(decoded, X - X.mean(0), rcond=None)[0].T
    np.testing.assert_allclose(patterns, slope, rtol=1e-9)


def test_a_channel_that_only_cancels_noise_has_weight_but_no_pattern() -> None:
    rng = np.random.default_rng(1)
    signal, noise = rng.normal(size=(2, 20_000))
    X = np.column_stack([signal + noise, noise])
    W, _ = RidgeGram(X).coef(signal[:, None], 1e-6)
    patterns = haufe_patterns(np.cov(X, rowvar=False), W)
    assert W[1, 0] == pytest.approx(-1, abs=0.01)
    assert patterns[0, 0] == pytest.approx(1, abs=0.02)
    assert patterns[1, 0] == pytest.approx(0, abs=0.02)


def test_dead_dimensions_have_no_pattern_and_shapes_are_checked() -> None:
    np.testing.assert_array_equal(haufe_patterns(np.eye(2), np.zeros((2, 1))), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="covariance of 3 features"):
        haufe_patterns(np.eye(2), np.zeros((3, 1)))


def test_encoding_patterns_come_back_and_their_strength_is_that_of_the_response() -> None:
    rng = np.random.default_rng(2)
    X, truth = rng.normal(size=(400, 4)), rng.normal(size=(4, 3, 2))
    Y = np.tensordot(X, truth, 1)
    split = Split(np.repeat(np.arange(4), 100), np.arange(400.0), 0.0)
    patterns = encoding_patterns(X, Y, split)
    np.testing.assert_allclose(patterns, truth, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(strength(patterns, X), Y.std(axis=0), rtol=2e-3, atol=2e-3)
    noise = rng.normal(size=Y.shape) * 100
    assert np.abs(encoding_patterns(X, noise, split)).max() < 25  # shrunk


def test_patterns_of_a_model_are_in_units_of_the_signal() -> None:
    model = fit_small(small_recording(seconds=30.0), small_recipe(fit={"rank": 3}))
    patterns = decoder_patterns(model)
    n_bins = len(model.center) // model.n_picks
    assert patterns.shape == (model.n_picks, n_bins, 3)
    first = haufe_patterns(model.covariance, model.weights) * model.scale[:, None]
    np.testing.assert_allclose(patterns[2, 1], first[model.n_picks + 2])
    X = np.random.default_rng(0).normal(size=(5000, len(model.center)))
    assert decoder_patterns(model, X).shape == patterns.shape
