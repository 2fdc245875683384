r"""Fit how much evidence of an item there is in a window, whether something is said or not.

Near an event many windows cannot be read: they begin a little early or late, or the response is too
weak. Such a window looks like one in which nothing is said. So the evidence is either readable or
not, and which is not known:

.. math:: A_w \propto p(w) \exp(\tau g(|y|) \cos(y, v_w)), \quad U \propto e^\nu, \quad
    \sum_w A_w + U = 1

.. math:: p(w \mid y) = A_w + s U p(w), \quad p(\text{nothing} \mid y) = (1 - s) U

with :math:`g` as in `confidence`, and *s* the share of unreadable windows in which an item is said
all the same. Sharpness, length, :math:`\nu` and *s* are fitted together by maximum likelihood. A
live readout shows :math:`A_w`; what is left to 1, U, says that nothing can be read.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

__all__ = ["Presence", "fit_presence"]

_STARTS = ((5.0, 4.0), (20.0, 10.0))  # sharpness and log weight of nothing
_LONG = (0.3, 50.0)  # lengths to choose from, times the root mean square
_SHARP = (1e-2, 1e4)
_MOST = 700.0  # log weight of nothing


class Presence(NamedTuple):
    """Parameters of a posterior over the items and nothing."""

    tau: float
    length: float
    nothing: float  # log weight of nothing that can be read
    unread: float  # share of windows without evidence that are of an event all the same


def fit_presence(
    cosines: np.ndarray,
    lengths: np.ndarray,
    said: np.ndarray,
    log_prior: np.ndarray,
    weights: np.ndarray | None = None,
) -> Presence:
    """Fit the posterior of windows at any time by the likelihood of what is said in them.

    Parameters
    ----------
    cosines : array of shape (n, n_items)
    lengths : array of shape (n,)
        Of the predictions.
    said : array of shape (n,), int
        Item of each window; -1 where nothing is said. There must be windows of both kinds.
    log_prior : array of shape (n_items,)
        With the biases of the items, if there are any.
    weights : array of shape (n,), optional
        Windows that each one stands for; 1 by default.

    Returns
    -------
    Presence

    Raises
    ------
    ValueError
        If all windows are of an item, or none is.
    """
    from scipy.optimize import minimize

    weights = np.ones(len(said)) if weights is None else np.asarray(weights, float)
    is_said = said >= 0
    share = float(np.average(is_said, weights=weights)) if len(said) else 0.0
    if not 0 < share < 1:
        raise ValueError(
            f"need windows with an item and windows with none, got {100 * share:.0f} % with one"
        )
    rms = math.sqrt(np.average(np.square(lengths), weights=weights)) or 1.0
    weights = weights / weights.sum()

    def loss(x: np.ndarray) -> float:
        likely = _log_likelihood(_presence(x, rms), cosines, lengths, said, log_prior)
        return -float(weights @ likely)

    unread = math.log(share / (1 - share))
    bounds = [
        tuple(map(math.log, _SHARP)), tuple(map(math.log, _LONG)),
        (-_MOST, _MOST), (unread - 8.0, unread + 2.0),
    ]  # fmt: skip
    found = [
        minimize(loss, [math.log(tau), 0.5, nothing, unread], method="L-BFGS-B", bounds=bounds)
        for tau, nothing in _STARTS
    ]
    return _presence(min(found, key=lambda one: one.fun).x, rms)


def _log_likelihood(
    fitted: Presence,
    cosines: np.ndarray,
    lengths: np.ndarray,
    said: np.ndarray,
    log_prior: np.ndarray,
) -> np.ndarray:
    """Log probability of what is said in each window (n,)."""
    gain = lengths / np.hypot(lengths, fitted.length)
    energy = fitted.tau * gain[:, None] * cosines + log_prior
    peak = np.maximum(energy.max(axis=1), fitted.nothing)
    total = np.exp(energy - peak[:, None]).sum(axis=1)
    norm = peak + np.log(total + np.exp(fitted.nothing - peak))
    empty = fitted.nothing - norm
    likely = empty + math.log1p(-fitted.unread)
    rows = np.flatnonzero(said >= 0)
    item, base = said[rows], log_prior - math.log(np.exp(log_prior).sum())
    likely[rows] = np.logaddexp(
        energy[rows, item] - norm[rows], empty[rows] + math.log(fitted.unread) + base[item]
    )
    return np.asarray(likely)


def _presence(x: np.ndarray, rms: float) -> Presence:
    sharp, long, nothing, unread = map(float, x)
    return Presence(math.exp(sharp), rms * math.exp(long), nothing, 1 / (1 + math.exp(-unread)))
