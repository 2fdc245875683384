r"""Turn cosines into calibrated probabilities, and find the threshold below which to abstain.

.. math:: p(w \mid y) \propto \exp\big(\tau \cos(y, v_w) + \log p(w)\big), \qquad \tau \ge 0

With :math:`\tau = 0` the posterior equals the prior, so that a fitted posterior cannot be much
worse than the prior. Fit on out-of-fold similarities, never on those of items that fitted the map.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibration.scores import bits_beyond_prior

__all__ = [
    "Abstention",
    "PosteriorFit",
    "expected_calibration_error",
    "fit_abstention",
    "fit_posterior",
    "log_posterior",
    "log_prior_from_counts",
]

_TAU_MAX = 1e4  # a cosine 0.01 higher is then e^100 times as likely: no data need more
_COVERAGES = np.arange(1.0, 0.0, -0.05)


class PosteriorFit(NamedTuple):
    """Result of `fit_posterior`; its figures are computed on the data that tau was fitted on."""

    tau: float  # >= 0; 0 is the prior alone
    bits_per_word: float  # beyond the prior
    ece: float  # expected calibration error of the winner's probability


class Abstention(NamedTuple):
    """Answer when the winner's probability is at least `threshold`."""

    threshold: float  # 0 always answers, above 1 never does
    precision: float  # share of right answers on the fitting data; NaN without answers
    coverage: float  # share of items answered


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


def log_posterior(similarity: np.ndarray, tau: float, log_prior: np.ndarray) -> np.ndarray:
    """Log posterior of each item in each trial.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
        Cosines.
    tau : float
        Sharpness, 0 or more; 0 returns the prior.
    log_prior : array of shape (n_items,)
        Natural logarithms, normalised.

    Returns
    -------
    array of shape (n_trials, n_items), float64
        Natural logarithms, normalised over items.
    """
    if tau == 0:
        return np.tile(log_prior, (len(similarity), 1))
    energy = tau * np.asarray(similarity, float) + log_prior
    energy -= energy.max(axis=1, keepdims=True)
    return energy - np.log(np.exp(energy).sum(axis=1, keepdims=True))


def fit_posterior(
    similarity: np.ndarray, truth: np.ndarray, log_prior: np.ndarray | None = None
) -> PosteriorFit:
    """Fit tau by maximum likelihood of the true items, a convex problem in one bounded number.

    Parameters
    ----------
    similarity : array of shape (n_trials, n_items)
        Out-of-fold cosines.
    truth : array of shape (n_trials,), int
        Item number of each trial.
    log_prior : array of shape (n_items,), optional
        Natural logarithms, normalised; uniform by default.

    Returns
    -------
    PosteriorFit
        `tau` is exactly 0 if the true items are, on average, no more similar than the prior
        predicts.

    Raises
    ------
    ValueError
        If a similarity is not finite.
    """
    similarity, truth = np.asarray(similarity, float), np.asarray(truth)
    if not np.isfinite(similarity).all():
        raise ValueError("need finite similarities, got NaN or infinity")
    if log_prior is None:
        log_prior = log_prior_from_counts(np.zeros(similarity.shape[1]))
    tau = _maximise(similarity, truth, log_prior)
    posterior = log_posterior(similarity, tau, log_prior)
    confidence = np.exp(posterior.max(axis=1))
    correct = posterior.argmax(axis=1) == truth
    bits = float(bits_beyond_prior(posterior, log_prior, truth).mean())
    return PosteriorFit(tau, bits, expected_calibration_error(confidence, correct))


def _maximise(similarity: np.ndarray, truth: np.ndarray, log_prior: np.ndarray) -> float:
    """Find the root of the log likelihood's slope by Newton steps inside a bracket."""
    at_truth = similarity[np.arange(len(truth)), truth].mean()

    def slope(tau: float) -> tuple[float, float]:
        """First derivative of the mean log likelihood, and minus its second."""
        energy = tau * similarity + log_prior
        weight = np.exp(energy - energy.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        weighted = weight * similarity
        expected = weighted.sum(axis=1)
        variance = np.einsum("ij,ij->i", weighted, similarity) - expected**2
        return at_truth - expected.mean(), variance.mean()

    gradient, curvature = slope(0.0)
    if gradient <= 1e-12:  # a constant similarity can round to this: no evidence
        return 0.0
    low, high, tau = 0.0, _TAU_MAX, 0.0
    while high - low > 1e-9 * high:
        newton = tau + gradient / curvature if curvature > 0 else high
        step = (newton if low < newton < high else (low + high) / 2) - tau
        tau += step
        if abs(step) <= 1e-9 * tau:
            break
        gradient, curvature = slope(tau)
        low, high = (tau, high) if gradient > 0 else (low, tau)
    return float(tau)


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, n_bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy over bins of about equally many trials.

    Bins of equal width would put every trial of a large vocabulary into the first one.

    Parameters
    ----------
    confidence : array of shape (n_trials,)
        Probability of the winner.
    correct : array of shape (n_trials,), bool
    n_bins : int

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the arrays differ in shape, are not 1-D, or are empty.

    References
    ----------
    Nixon et al. 2019, arXiv:1904.01685
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(confidence):
        raise ValueError(
            f"need one confidence and one outcome per trial, got {confidence.shape} and "
            f"{correct.shape}"
        )
    # Equal confidences share a bin, or the error would depend on the order of the trials.
    edges = np.quantile(confidence, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(edges, confidence, side="right")
    return float(np.abs(np.bincount(bins, confidence - correct)).sum() / len(confidence))


def fit_abstention(
    confidence: np.ndarray, correct: np.ndarray, precision: float, risk: float = 0.1
) -> Abstention:
    """Find the lowest threshold at which answers demonstrably reach the wanted precision.

    Test twenty thresholds, one per 5 % of coverage. Choose the widest coverage at which the
    binomial tail rejects a precision below `precision` at level ``risk / 20`` (Bonferroni over the
    thresholds). For independent trials, the precision of later answers then falls below the
    target with probability `risk` at most. If no threshold passes, the decoder always abstains.

    Parameters
    ----------
    confidence : array of shape (n_trials,)
        Out-of-fold probability of the winner.
    correct : array of shape (n_trials,), bool
    precision : float
        Wanted share of right answers, in [0, 1); 0 always answers.
    risk : float
        Accepted probability of missing the target, in (0, 1).

    Returns
    -------
    Abstention
        Threshold, and its precision and coverage on these trials.

    Raises
    ------
    ValueError
        If `precision` or `risk` is out of range.

    References
    ----------
    Angelopoulos et al. 2021, arXiv:2110.01052 (Learn then Test); Geifman, El-Yaniv 2017,
    arXiv:1705.08500
    """
    if not 0 <= precision < 1 or not 0 < risk < 1:
        raise ValueError(f"need precision in [0, 1) and risk in (0, 1), got {precision}, {risk}")
    from scipy.stats import binom

    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    if precision == 0:
        return Abstention(0.0, float(correct.mean()), 1.0)
    for coverage in _COVERAGES:
        threshold = 0.0 if coverage == 1 else float(np.quantile(confidence, 1 - coverage))
        answered = confidence >= threshold
        n, hits = int(answered.sum()), int(correct[answered].sum())
        if binom.sf(hits - 1, n, precision) <= risk / len(_COVERAGES):
            return Abstention(threshold, hits / n, n / len(correct))
    return Abstention(2.0, float("nan"), 0.0)
