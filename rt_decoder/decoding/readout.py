"""Turn cosines into words with probabilities, or abstain.

The posterior is ``p(w) ~ exp(tau * cos(w) + log prior(w))`` over the whole vocabulary. Calibration
fits `tau`, and the threshold below which the decoder abstains, out of fold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels.scan import log_posterior, softmax_bits, top_k

__all__ = ["Answer", "Posterior"]


class Answer(NamedTuple):
    """The most probable items of one prediction; the arrays are valid until the next answer."""

    idx: np.ndarray  # (k,) int64 items, most probable first; empty if not finite
    cos: np.ndarray  # (k,) float32 cosine
    prob: np.ndarray  # (k,) float64
    abstained: bool
    bits: float  # log2 of the vocabulary's size minus the posterior's entropy
    reasons: tuple[str, ...]  # why it abstained: "uncertain", "quality", "nonfinite"


class Posterior:
    """Probabilities of all items, and the rule for abstaining.

    Parameters
    ----------
    log_prior : array of shape (n_items,)
        Log prior up to a constant; -inf excludes an item.
    tau : float
        Inverse temperature, 0 or more; with 0 the posterior is the prior.
    threshold : float
        Abstain if the best probability is below; above 1 always.
    quality_floor : float
        Abstain if the share of good samples in the window is below.

    Raises
    ------
    ValueError
        If the prior excludes every item or holds NaN or +inf, or a number is out of range.
    """

    def __init__(
        self,
        log_prior: np.ndarray,
        tau: float,
        threshold: float = 0.0,
        quality_floor: float = 0.0,
    ) -> None:
        log_prior = np.ascontiguousarray(log_prior, np.float64)
        possible = np.isfinite(log_prior)
        if log_prior.ndim != 1 or not possible.any() or not (log_prior[~possible] == -np.inf).all():
            raise ValueError("need one finite log prior (or -inf) an item, at least one finite")
        if not 0 <= tau < math.inf:
            raise ValueError(f"need tau of 0 or more, got {tau}")
        if not threshold >= 0:
            raise ValueError(f"need a threshold of 0 or more (above 1 abstains), got {threshold}")
        if not 0 <= quality_floor <= 1:
            raise ValueError(f"need quality_floor between 0 and 1, got {quality_floor}")
        self.log_prior = log_prior
        self.tau = float(tau)
        self.threshold = float(threshold)
        self.quality_floor = float(quality_floor)
        self._logits = np.zeros(len(log_prior))
        self._resize(0)

    def _resize(self, k: int) -> None:
        self._indices = np.zeros(k, np.int64)
        self._top_logits = np.zeros(k)
        self._probabilities = np.zeros(k)
        self._top_scores = np.zeros(k, np.float32)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the posterior (n_items,) of cosines `scores` (n_items,), in a new array."""
        logits = self.tau * np.asarray(scores, np.float64) + self.log_prior
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    def decide(self, scores: np.ndarray, k: int, quality: float = 1.0) -> Answer:
        """Find the `k` most probable items, and decide whether to abstain.

        Parameters
        ----------
        scores : array of shape (n_items,), float32
            Cosines.
        k : int
            Between 1 and the number of items.
        quality : float
            Share of good samples in the window.

        Returns
        -------
        Answer
            Its arrays are valid until the next call.

        Raises
        ------
        ValueError
            If the number of scores or `k` does not fit.
        """
        n_items = len(self.log_prior)
        if scores.shape != (n_items,) or not 1 <= k <= n_items:
            raise ValueError(
                f"need {n_items} scores and k between 1 and {n_items}, got {scores.shape} and {k}"
            )
        if len(self._indices) != k:
            self._resize(k)
        if not log_posterior(scores, self.tau, self.log_prior, self._logits):
            none = slice(0, 0)
            return Answer(
                self._indices[none],
                self._top_scores[none],
                self._probabilities[none],
                True,
                0.0,
                ("nonfinite",),
            )
        top_k(self._logits, self._indices, self._top_logits)
        log_total, bits = softmax_bits(self._logits, float(self._top_logits[0]))
        np.subtract(self._top_logits, log_total, out=self._probabilities)
        np.exp(self._probabilities, out=self._probabilities)
        np.take(scores, self._indices, out=self._top_scores)
        reasons = self._doubts(float(self._probabilities[0]), quality)
        return Answer(
            self._indices, self._top_scores, self._probabilities, bool(reasons), bits, reasons
        )

    def _doubts(self, best: float, quality: float) -> tuple[str, ...]:
        reasons: tuple[str, ...] = ()
        if not best >= self.threshold:
            reasons += ("uncertain",)
        if not quality >= self.quality_floor:
            reasons += ("quality",)
        return reasons
