"""Maximise the likelihood of the posterior's numbers: sharpness, floor, and a bias an item.

This module knows nothing of embeddings: a score is what sharpness multiplies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Sharpness", "kept_share", "log_mixture", "maximise", "maximise_tau"]

_TAU_MAX = 1e4  # a cosine 0.01 higher is then e^100 times as likely: no data need more
_BIAS_SD = 3.0  # of the prior of a bias, in nats
_FLOOR_MAX = 0.05  # it is for trials that went wrong; a larger one imitates a low sharpness
# Out-of-fold scores agree in pairs, which doubles their variance, and the penalty was chosen by
# them. The discounts were set on simulated sessions without signal; of their seeds it is only known
# that they are none of the default ones of `scripts/eval_posterior.py`, 5000 to 5239, so a judgement
# with another `--seed` may meet them again.
_DISCOUNT, _DISCOUNT_FEW = 4.0, 3200.0
_PRETENDED = 200  # trials over which the pretended one is averaged, at most


class Sharpness(NamedTuple):
    """What turns scores into a posterior."""

    tau: float
    floor: float
    bias: np.ndarray  # (n_items,)


def log_mixture(energy: np.ndarray, log_prior: np.ndarray, floor: float) -> np.ndarray:
    """Compute the log of ``(1 - floor) * softmax(energy) + floor * prior``.

    Parameters
    ----------
    energy : array of shape (n_trials, n_items)
    log_prior : array of shape (n_items,)
    floor : float

    Returns
    -------
    array of shape (n_trials, n_items)
    """
    energy = energy - energy.max(axis=1, keepdims=True)
    log_p = energy - np.log(np.exp(energy).sum(axis=1, keepdims=True))
    if floor == 0:
        return log_p
    with np.errstate(divide="ignore"):  # a floor of 1 is the prior
        return np.logaddexp(np.log1p(-floor) + log_p, np.log(floor) + log_prior)


def maximise(
    scores: np.ndarray, truth: np.ndarray, log_prior: np.ndarray, *, biased: bool = False
) -> Sharpness:
    """Fit sharpness, floor and, if `biased`, a bias an item by penalised maximum likelihood.

    One trial is pretended beside the real ones, whose item is drawn from the prior whatever its
    scores. So separable trials end at a finite sharpness, and the floor at one in n or more: that
    nothing went wrong in n trials says no more.

    Parameters
    ----------
    scores : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int
    log_prior : array of shape (n_items,)
    biased : bool

    Returns
    -------
    Sharpness
        Of tau 0 where the true items score no better than the prior predicts.
    """
    from scipy.optimize import minimize

    n, n_items = scores.shape
    none = np.zeros(n_items)
    start = maximise_tau(scores, truth, log_prior)
    if start == 0 and not biased:
        return Sharpness(0.0, 0.0, none)
    pretended = scores[:: -(-n // _PRETENDED)]
    prior = np.exp(log_prior)
    step = scores.std() or 1.0  # tau in units that suit the scores
    least, most = min(1.0 / n, 0.5 * _FLOOR_MAX), _FLOOR_MAX

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        tau, floor, bias = theta[0] / step, np.exp(theta[1]), theta[2:] if biased else none
        value, slope = _at_truth(scores, truth, tau, floor, bias, log_prior)
        extra, more = _at_prior(pretended, tau, floor, bias, log_prior, prior)
        slope = slope + more
        penalty = 0.5 * np.sum((bias / _BIAS_SD) ** 2)
        found = np.r_[slope[0] / step, slope[1] * floor, slope[2:] - bias / _BIAS_SD**2]
        return -(value + extra - penalty) / n, -found[: len(theta)] / n

    theta = np.r_[min(start * step, 50.0), np.log(max(least, 0.01)), none if biased else []]
    bounds = [(0.0, _TAU_MAX * step), (np.log(least), np.log(most))] + [(-20.0, 20.0)] * (
        len(theta) - 2
    )
    stop = {"ftol": 1e-13, "gtol": 1e-9}
    best = minimize(loss, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=stop).x
    if best[0] <= 0:
        return Sharpness(0.0, 0.0, none)
    return Sharpness(float(best[0] / step), float(np.exp(best[1])), best[2:] if biased else none)


def _softmax(scores: np.ndarray, tau: float, bias: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    energy = tau * scores + (bias + log_prior)
    energy -= energy.max(axis=1, keepdims=True)
    weight = np.exp(energy, out=energy)
    weight /= weight.sum(axis=1, keepdims=True)
    return weight


def _at_truth(
    scores: np.ndarray, truth: np.ndarray, tau: float, floor: float, bias: np.ndarray,
    log_prior: np.ndarray,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """Log likelihood, and its slope by tau, floor and biases."""
    p = _softmax(scores, tau, bias, log_prior)
    at = np.arange(len(truth)), truth
    own, prior = p[at], np.exp(log_prior)[truth]
    mixture = (1 - floor) * own + floor * prior
    share = (1 - floor) * own / mixture
    by_bias = np.bincount(truth, share, minlength=len(bias)) - share @ p
    by_tau = np.sum(share * (scores[at] - np.einsum("ij,ij->i", p, scores)))
    slope = np.concatenate([[by_tau, np.sum((prior - own) / mixture)], by_bias])
    return float(np.log(mixture).sum()), slope


def _at_prior(
    scores: np.ndarray, tau: float, floor: float, bias: np.ndarray, log_prior: np.ndarray,
    prior: np.ndarray,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """Return the same of one trial whose item is drawn from the prior, averaged over `scores`."""
    p = _softmax(scores, tau, bias, log_prior)
    mixture = (1 - floor) * p + floor * prior
    share = prior * (1 - floor) * p / mixture
    slope = share - share.sum(axis=1, keepdims=True) * p
    value = np.log(mixture) @ prior
    by_floor = ((prior - p) / mixture) @ prior
    by_tau = np.einsum("ij,ij->i", slope, scores)
    n = len(scores)
    return float(value.mean()), np.concatenate(
        [[by_tau.sum(), by_floor.sum()], slope.sum(axis=0)]
    ) / n


def maximise_tau(scores: np.ndarray, truth: np.ndarray, log_prior: np.ndarray) -> float:
    """Fit the sharpness alone: the root of the log likelihood's slope, by bracketed Newton steps.

    Parameters
    ----------
    scores : array of shape (n_trials, n_items)
    truth : array of shape (n_trials,), int
    log_prior : array of shape (n_items,)

    Returns
    -------
    float
        From 0 to 1e4.
    """
    at_truth = scores[np.arange(len(truth)), truth].mean()

    def slope(tau: float) -> tuple[float, float]:
        """First derivative of the mean log likelihood, and minus its second."""
        weight = _softmax(scores, tau, np.zeros(1), log_prior)
        weighted = weight * scores
        expected = weighted.sum(axis=1)
        variance = np.einsum("ij,ij->i", weighted, scores) - expected**2
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


def kept_share(
    energy: np.ndarray, truth: np.ndarray, log_prior: np.ndarray, groups: np.ndarray
) -> float:
    """Share of the energies that noise does not explain, ``1 - c / z**2`` or 0.

    Here z is that of the score test that the energies say nothing. Its variance is the larger one
    of the trials' and of the groups': slow noise and runs of similar items make the trials of a
    group agree by chance. The discount c grows where few independent trials are left, as the bits
    that a trial can lose by noise do.

    Parameters
    ----------
    energy : array of shape (n_trials, n_items)
        What is added to the log prior.
    truth : array of shape (n_trials,), int
    log_prior : array of shape (n_items,)
    groups : array of shape (n_trials,)

    Returns
    -------
    float
        0 where the true items have no more energy than the prior predicts, near 1 where they
        clearly have.
    """
    prior = np.exp(log_prior)
    expected = energy @ prior
    gains = energy[np.arange(len(truth)), truth] - expected
    total, of_trials = gains.sum(), np.sum((energy - expected[:, None]) ** 2 @ prior)
    if not (total > 0 and of_trials > 0):
        return 0.0
    codes = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(codes, gains - gains.mean())
    of_groups = np.sum(sums**2) * len(sums) / max(len(sums) - 1, 1)
    alike = max(1.0, float(of_groups / of_trials))
    discount = _DISCOUNT + _DISCOUNT_FEW * alike / len(truth)
    return float(max(0.0, 1 - discount * alike * of_trials / total**2))
