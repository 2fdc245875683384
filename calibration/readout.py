"""Fit what turns predictions into answers: the posterior, and the threshold of abstention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from calibration.abstention import fit_abstention
from calibration.confidence import (
    Evidence,
    extrapolate,
    fit_posterior,
    log_posterior,
    log_prior_from_counts,
)
from calibration.heard import scores_among
from calibration.scores import finite, summarize
from calibration.sets import fit_cutoffs
from calibration.targets import Targets
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.recipe import Recipe

__all__ = ["fit_readout", "prior_of"]


def fit_readout(
    model: Model,
    evidence: tuple[Evidence, Evidence],
    targets: Targets,
    recipe: Recipe,
    answered: np.ndarray,
    groups: np.ndarray,
) -> tuple[Model, dict[str, Any]]:
    """Fit posterior and threshold on the training events.

    Parameters
    ----------
    model : Model
        With a map.
    evidence : tuple of Evidence
        Out of fold, of `mapping.fit_map`.
    targets : Targets
    recipe : Recipe
    answered : array of shape (n_train,), bool
        Events that a live session would answer; the others are left out.
    groups : array of shape (n_train,)
        Groups held out together.

    Returns
    -------
    model : Model
        With posterior, prior and biases.
    scores : dict
        Out of fold, for the certificate; `heard` of `heard.scores_among`, where it is not empty.
    """
    out_of_fold, wider = (one.of(answered) for one in evidence)
    truth, groups = targets.truth[answered], groups[answered]
    log_prior = prior_of(targets, recipe)
    fitted = fit_posterior(out_of_fold, truth, log_prior, groups)
    # The threshold is found at the sharpness that these trials have, not at the final map's.
    posterior = log_posterior(out_of_fold, fitted, log_prior, fitted.item_bias)
    abstention = fit_abstention(
        np.exp(posterior.max(axis=1)),
        posterior.argmax(axis=1) == truth,
        recipe.readout.precision,
        groups=groups,
        above=max(np.exp(log_prior.max()), np.bincount(truth).max() / len(truth)),
    )
    scores = summarize(out_of_fold.cosines, truth, np.exp(log_prior))
    scores |= {
        "bits_per_word": fitted.bits_per_word,
        "calibration_error": fitted.ece,
        "precision": abstention.precision,
        "coverage": abstention.coverage,
        "wanted_precision": abstention.wanted,
    }
    known = np.bincount(targets.truth, minlength=len(targets.items)) > 0
    heard = scores_among(known, out_of_fold.cosines, posterior, log_prior, truth)
    fitted = extrapolate(fitted, out_of_fold, wider, truth)
    model = replace(
        model,
        log_prior=log_prior,
        set_cutoffs=fit_cutoffs(posterior, truth, groups),
        item_bias=fitted.item_bias if np.any(fitted.item_bias) else np.zeros(0),
        posterior=PosteriorParameters(
            fitted.tau, abstention.threshold, recipe.readout.min_quality, fitted.length,
            fitted.floor,
        ),
    )  # fmt: skip
    return model, finite(scores) | ({"heard": heard} if heard else {})


def prior_of(targets: Targets, recipe: Recipe) -> np.ndarray:
    """Log prior (V,) that the recipe asks for."""
    if recipe.readout.prior == "wordfreq":
        from calibration.language.words import word_log_prior

        return word_log_prior(targets.items, recipe.target.spoken)
    counts = np.zeros(len(targets.items))
    if recipe.readout.prior == "training":
        counts = np.bincount(targets.truth, minlength=len(counts)).astype(float)
    return log_prior_from_counts(counts)
