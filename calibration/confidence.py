r"""Turn cosines into calibrated probabilities.

.. math:: p(w \mid y) = (1 - f) \,\mathrm{softmax}_w\big(\tau\, g(|y|) \cos(y, v_w) + b_w
    + \log p(w)\big) + f\, p(w), \qquad g(r) = r / \sqrt{r^2 + \ell^2}, \quad \tau \ge 0

With :math:`\tau = 0` the posterior equals the prior, and the floor :math:`f` bounds what one trial
can lose, so that a fitted posterior cannot be much worse than the prior. With a length :math:`\ell`
of 0 only the direction of a prediction counts; with a long one its size does, too, as in linear
discriminant analysis. Fit on out-of-fold predictions, never on those of items that fitted the map.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibration.likelihood import (
    Sharpness,
    kept_share,
    log_mixture,
    maximise,
    maximise_tau,
)
from calibration.scores import bits_beyond_prior, expected_calibration_error
from rt_decoder.model import PosteriorParameters

__all__ = [
    "Evidence",
    "PosteriorFit",
    "expected_calibration_error",
    "extrapolate",
    "fit_posterior",
    "log_posterior",
    "log_prior_from_counts",
]

FEW = 4  # items, up to which cosines say little more than a sign
LENGTHS = (0.0, 0.5, 1.0, 2.0, 50.0)  # of the root mean square length; the last one: projections
_FEW_KEEP = 0.1  # least share of the sharpness of few items: they still rank, at 1 % of the loss
_STEEPEST = 1.5  # most that sharpness grows from the folds to the final map


class Evidence(NamedTuple):
    """What predictions of n trials say of V items."""

    cosines: np.ndarray  # (n, V)
    lengths: np.ndarray  # (n,) of the predictions
    share: float = 1.0  # of the training events that the predicting maps have seen

    def of(self, trials: np.ndarray) -> Evidence:
        """Keep some trials, by number (m,) or mask (n,)."""
        return Evidence(self.cosines[trials], self.lengths[trials], self.share)


class PosteriorFit(NamedTuple):
    """Result of `fit_posterior`; its figures are computed on the data that it was fitted on."""

    tau: float  # >= 0; 0 is the prior alone
    length: float
    floor: float
    item_bias: np.ndarray  # (n_items,)
    bits_per_word: float  # beyond the prior
    ece: float  # expected calibration error of the winner's probability


def log_prior_from_counts(counts: np.ndarray, smoothing: float = 1.0) -> np.ndarray:
    """Log probability of each item from its training count.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Occurrences of each item, 0 or more. Equal counts, even all zero, make a uniform prior.
    smoothing : float
        Added to every count, above 0.

    Returns
    -------
    array of shape (n_items,), float64
        Natural logarithms; the exponentials sum to 1.

    Raises
    ------
    ValueError
        If a count is negative or not finite, or `smoothing` is not above 0.
    """
    counts = np.asarray(counts, float)
    if counts.ndim != 1 or not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("need one count of 0 or more for each item")
    if not smoothing > 0:
        raise ValueError(f"need smoothing above 0, or unseen items are impossible, got {smoothing}")
    smoothed = counts + smoothing
    return np.log(smoothed / smoothed.sum())


def _gained(evidence: Evidence, length: float) -> np.ndarray:
    """Cosines (n, V), each trial's times g of its length."""
    if length == 0:
        return evidence.cosines
    lengths = np.asarray(evidence.lengths, float)
    return (lengths / np.hypot(lengths, length))[:, None] * evidence.cosines


def log_posterior(
    evidence: Evidence | np.ndarray,
    parameters: PosteriorFit | PosteriorParameters | float,
    log_prior: np.ndarray,
    item_bias: np.ndarray | None = None,
) -> np.ndarray:
    """Log posterior of each item in each trial.

    Parameters
    ----------
    evidence : Evidence or array of shape (n_trials, n_items)
        Cosines alone will do where the length is 0.
    parameters : PosteriorFit, PosteriorParameters or float
        Sharpness, length and floor; a number is a sharpness alone. Sharpness 0 is the prior.
    log_prior : array of shape (n_items,)
        Natural logarithms, normalised.
    item_bias : array of shape (n_items,), optional
        Empty for none.

    Returns
    -------
    array of shape (n_trials, n_items), float64
        Natural logarithms, normalised over items.
    """
    if isinstance(parameters, float | int):
        parameters = PosteriorParameters(float(parameters))
    evidence = _as_evidence(evidence)
    energy = parameters.tau * _gained(evidence, parameters.length) + log_prior
    if item_bias is not None and len(item_bias):
        energy += item_bias
    elif parameters.tau == 0:
        return np.tile(log_prior, (len(energy), 1))
    return log_mixture(energy, log_prior, parameters.floor)


def _as_evidence(evidence: Evidence | np.ndarray) -> Evidence:
    if isinstance(evidence, Evidence):
        return evidence._replace(cosines=np.asarray(evidence.cosines, float))
    return Evidence(np.asarray(evidence, float), np.ones(len(evidence)))


def fit_posterior(
    evidence: Evidence | np.ndarray,
    truth: np.ndarray,
    log_prior: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> PosteriorFit:
    """Fit the posterior by the likelihood of the true items.

    Without groups this is a quick criterion: sharpness alone, by maximum likelihood, of cosines,
    or of projections for four items or fewer.

    With groups it is what a model keeps. Sharpness and floor are fitted for several lengths;
    another length than the usual one (0, for few items the longest) must be better by two
    standard errors over the groups. Few items have a bias each, fitted beside their frequencies
    in training. Sharpness and biases are then multiplied by ``1 - c / z**2``, z that of a test
    over groups that there is no evidence, so that noise costs next to nothing; where that is
    not above 0, they are 0, or for few items a tenth, which still ranks.

    Parameters
    ----------
    evidence : Evidence or array of shape (n_trials, n_items)
        Out-of-fold predictions, or their cosines alone.
    truth : array of shape (n_trials,), int
        Item number of each trial.
    log_prior : array of shape (n_items,), optional
        Natural logarithms, normalised; uniform by default.
    groups : array of shape (n_trials,), optional
        Trials of one group may be alike by chance.

    Returns
    -------
    PosteriorFit
        `tau` is exactly 0 if the true items are not demonstrably more similar than the prior
        predicts.

    Raises
    ------
    ValueError
        If a similarity is not finite.
    """
    evidence, truth = _as_evidence(evidence), np.asarray(truth)
    if not (np.isfinite(evidence.cosines).all() and np.isfinite(evidence.lengths).all()):
        raise ValueError("need finite similarities, got NaN or infinity")
    n_items = evidence.cosines.shape[1]
    if log_prior is None:
        log_prior = log_prior_from_counts(np.zeros(n_items))
    few = n_items <= FEW
    # Few items are fitted at their frequencies, which the biases would otherwise absorb.
    base = log_prior_from_counts(np.bincount(truth, minlength=n_items)) if few else log_prior
    rms = float(np.sqrt(np.mean(evidence.lengths**2)))
    length = (LENGTHS[-1] if few else LENGTHS[0]) * rms
    if groups is None and not few:
        tau = maximise_tau(evidence.cosines, truth, log_prior)
        found = Sharpness(tau, 0.0, np.zeros(n_items))
    elif groups is None:
        found = maximise(_gained(evidence, length), truth, base, biased=True)
    else:
        length, found = _choose_length(evidence, truth, base, groups, length, rms)
        energy = found.tau * _gained(evidence, length) + found.bias
        keep = max(kept_share(energy, truth, base, groups), _FEW_KEEP if few else 0.0)
        found = Sharpness(keep * found.tau, found.floor, keep * found.bias)
    if found.tau == 0:
        length, found = 0.0, Sharpness(0.0, 0.0, np.zeros(n_items))
    return _judged(
        PosteriorFit(found.tau, length, found.floor, found.bias, 0.0, 0.0),
        evidence,
        truth,
        log_prior,
    )


def _choose_length(
    evidence: Evidence, truth: np.ndarray, log_prior: np.ndarray, groups: np.ndarray,
    usual: float, rms: float,
) -> tuple[float, Sharpness]:  # fmt: skip
    """Take the likeliest length, the usual one unless another is demonstrably better."""
    few, codes = evidence.cosines.shape[1] <= FEW, np.unique(groups, return_inverse=True)[1]

    def fitted(length: float) -> tuple[Sharpness, np.ndarray]:
        scores = _gained(evidence, length)
        found = maximise(scores, truth, log_prior, biased=few)
        log_p = log_mixture(found.tau * scores + found.bias + log_prior, log_prior, found.floor)
        return found, log_p[np.arange(len(truth)), truth]

    found, likely = fitted(usual)
    if not found.tau or not rms:
        return usual, found
    best, gained = (usual, found), 0.0
    for length in (multiple * rms for multiple in LENGTHS):
        if length != usual:
            other, likelier = fitted(length)
            by_group = np.bincount(codes, likelier - likely)
            error = np.sqrt(
                np.sum((by_group - by_group.mean()) ** 2)
                * len(by_group)
                / max(len(by_group) - 1, 1)
            )
            if by_group.sum() > max(gained, 2.0, 2 * error):
                best, gained = (length, other), by_group.sum()
    return best


def _judged(
    fit: PosteriorFit, evidence: Evidence, truth: np.ndarray, log_prior: np.ndarray
) -> PosteriorFit:
    """Compute bits and calibration error of a fit."""
    posterior = log_posterior(evidence, fit, log_prior, fit.item_bias)
    bits = float(bits_beyond_prior(posterior, log_prior, truth).mean())
    correct = posterior.argmax(axis=1) == truth
    ece = expected_calibration_error(np.exp(posterior.max(axis=1)), correct)
    return fit._replace(bits_per_word=bits, ece=ece)


def extrapolate(
    fit: PosteriorFit, evidence: Evidence, wider: Evidence, truth: np.ndarray
) -> PosteriorFit:
    """Correct the sharpness for folds that see less data than the final map.

    The logarithm of the sharpness is taken as linear in one over the training events, through the
    fold's maps and those that saw fewer.

    Parameters
    ----------
    fit : PosteriorFit
        On `evidence`.
    evidence, wider : Evidence
        Of the same trials, `wider` by maps that have seen a smaller share of the events.
    truth : array of shape (n_trials,), int

    Returns
    -------
    PosteriorFit
        With another tau and other biases; the figures stay.
    """
    if fit.tau == 0 or not wider.share < evidence.share < 1:
        return fit
    n_items = len(fit.item_bias)
    base = log_prior_from_counts(
        np.bincount(truth, minlength=n_items) if n_items <= FEW else np.zeros(n_items)
    )
    taus = [
        maximise(_gained(one, fit.length), truth, base, biased=n_items <= FEW).tau
        for one in (_as_evidence(evidence), _as_evidence(wider))
    ]
    if not min(taus) > 0:
        return fit
    run = (1 / evidence.share - 1) / (1 / wider.share - 1 / evidence.share)
    ratio = float(np.clip((taus[0] / taus[1]) ** run, 1.0, _STEEPEST))
    return fit._replace(tau=ratio * fit.tau, item_bias=ratio * fit.item_bias)
