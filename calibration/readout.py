"""Fit what turns predictions into answers: sharpness of the posterior, threshold of abstention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.confidence import (
    fit_abstention,
    fit_posterior,
    log_posterior,
    log_prior_from_counts,
)
from calibration.scores import finite, summarize
from calibration.targets import Targets
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.recipe import Recipe

__all__ = ["fit_readout"]


def fit_readout(
    model: Model,
    out_of_fold: np.ndarray,
    targets: Targets,
    recipe: Recipe,
    answered: np.ndarray,
) -> tuple[Model, dict[str, float]]:
    """Fit tau and threshold on the training events that are `answered`, (n_train,) bool."""
    out_of_fold, truth = out_of_fold[answered], targets.truth[answered]
    n_items = len(targets.items)
    counts = np.zeros(n_items)
    if recipe.readout.prior == "training":
        counts = np.bincount(targets.truth, minlength=n_items).astype(float)
    log_prior = log_prior_from_counts(counts)
    if recipe.readout.prior == "wordfreq":
        from calibration.language.words import word_log_prior

        log_prior = word_log_prior(targets.items)
    fitted = fit_posterior(out_of_fold, truth, log_prior)
    posterior = log_posterior(out_of_fold, fitted.tau, log_prior)
    confidence = np.exp(posterior.max(axis=1))
    correct = posterior.argmax(axis=1) == truth
    abstention = fit_abstention(confidence, correct, recipe.readout.precision)
    scores = summarize(out_of_fold, truth, np.exp(log_prior))
    scores |= {
        "bits_per_word": fitted.bits_per_word,
        "calibration_error": fitted.ece,
        "precision": abstention.precision,
        "coverage": abstention.coverage,
    }
    model = replace(
        model,
        log_prior=log_prior,
        posterior=PosteriorParameters(fitted.tau, abstention.threshold, recipe.readout.min_quality),
    )
    return model, finite(scores)
