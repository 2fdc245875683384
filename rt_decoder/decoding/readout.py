"""Turn cosines into words with probabilities, or abstain.

The posterior over the whole vocabulary is a softmax with a share of the prior mixed in,
``(1 - floor) * softmax(tau * g * cos + bias + log prior) + floor * prior``. Here g grows with the
length |z| of the prediction, ``g = |z| / sqrt(|z|**2 + length**2)``; with a `length` of 0 it is 1.
Calibration fits all of it, and the threshold below which the decoder abstains, out of fold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels.memory import aligned
from rt_decoder.kernels.posterior import N_PARTS, N_SUMS, answer
from rt_decoder.model import Model

__all__ = ["ALL_EXACT", "Answer", "ContinuousPosterior", "Exact", "Posterior", "make_continuous"]


class Exact(NamedTuple):
    """How to compute cosines again that come from a compact table (`vocabulary.Vocabulary`)."""

    query: np.ndarray  # (m,) float32; the prediction, of length 1, in its first r elements
    rows: np.ndarray  # (n_items, r) float32 coordinates of the items; none where all are exact
    slack: float  # by which a cosine of the table may be off


ALL_EXACT = Exact(np.zeros(1, np.float32), np.zeros((0, 1), np.float32), 0.0)


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
    length : float
        Length of a prediction at which it has 0.7 of its full weight; 0 ignores lengths.
    floor : float
        Share of the prior in the posterior, 0 to 1.
    item_bias : array of shape (n_items,) or None
        Added to the logits; None or empty for none.

    Attributes
    ----------
    prior : array of shape (n_items,)
        Probabilities before the signal.

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
        *,
        length: float = 0.0,
        floor: float = 0.0,
        item_bias: np.ndarray | None = None,
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
        if not 0 <= length < math.inf:
            raise ValueError(f"need a length of 0 or more, got {length}")
        if not 0 <= floor <= 1:
            raise ValueError(f"need floor between 0 and 1, got {floor}")
        bias = np.zeros(0) if item_bias is None else np.asarray(item_bias, np.float64)
        if bias.size and not (bias.shape == log_prior.shape and np.isfinite(bias).all()):
            raise ValueError(f"need a finite bias for each of {len(log_prior)} items, or none")
        self.log_prior = log_prior
        self.tau = float(tau)
        self.length = float(length)
        self.floor = float(floor)
        # never read-only: the kernel is compiled once
        self._offset = log_prior + bias if bias.size else log_prior.copy()
        prior = np.exp(log_prior - log_prior.max())
        self.prior = prior / prior.sum()
        self.threshold = float(threshold)
        self.quality_floor = float(quality_floor)
        self._logits, self._parts = aligned((len(log_prior),)), aligned((N_SUMS, N_PARTS))
        self._mixed = np.zeros(0)  # as long as needed
        self._resize(0)

    @property
    def entropy(self) -> float:
        """Entropy of the prior in bits."""
        p = self.prior[self.prior > 0]
        return float(-(p @ np.log2(p)))

    def _resize(self, k: int) -> None:
        self._indices = np.zeros(k, np.int64)
        self._probabilities = np.zeros(k)
        self._top_scores = np.zeros(k, np.float32)

    def _sharpness(self, length: float) -> float:
        """Tau, weighted by the length of a prediction."""
        if self.length == 0.0:
            return self.tau
        return self.tau * (length / math.hypot(length, self.length))

    def probabilities(self, scores: np.ndarray, length: float = math.nan) -> np.ndarray:
        """Return the posterior (n_items,) of cosines `scores` (n_items,), in a new array."""
        logits = self._sharpness(length) * np.asarray(scores, np.float64) + self._offset
        weights = np.exp(logits - logits.max())
        return (1 - self.floor) * (weights / weights.sum()) + self.floor * self.prior

    def ratio(self, scores: np.ndarray, length: float = math.nan) -> np.ndarray:
        """How much more probable than before each item is (n_items,), by cosines (n_items,)."""
        gained = self.probabilities(scores, length)
        out = np.zeros_like(gained)
        return np.asarray(np.divide(gained, self.prior, out=out, where=self.prior > 0))

    def decide(
        self, scores: np.ndarray, k: int, quality: float = 1.0, length: float = math.nan,
        exact: Exact = ALL_EXACT,
    ) -> Answer:  # fmt: skip
        """Find the `k` most probable items, and decide whether to abstain.

        Parameters
        ----------
        scores : array of shape (n_items,), float32
            Cosines.
        k : int
            Between 1 and the number of items.
        quality : float
            Share of good samples in the window.
        length : float
            Length |z| of the prediction; not needed where the posterior ignores lengths.
        exact : Exact
            Of the vocabulary that computed the scores: those that matter are computed again, and
            written into `scores`.

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
        if len(exact.rows) and self.floor and not len(self._mixed):
            self._mixed = aligned(self._logits.shape)
        tau, bits = self._sharpness(length), math.nan
        if math.isfinite(tau):
            bits = answer(
                scores, tau, self._offset, self.prior, self.floor,
                self._logits, self._mixed, self._parts, *exact,
                self._indices, self._probabilities, self._top_scores,
            )  # fmt: skip
        if math.isnan(bits):
            none = slice(0, 0)
            return Answer(
                self._indices[none],
                self._top_scores[none],
                self._probabilities[none],
                True,
                0.0,
                ("nonfinite",),
            )
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


class ContinuousPosterior:
    """Name the word in a window at any time, or say that nothing is being said.

    Beside the items stands one hypothesis more, that no event can be read in the window. Its cosine
    is 0: a window tells of it by what it does not show. Calibration fits its weight, on windows
    with and without events. With it the items' probabilities sum to less than 1.

    Parameters
    ----------
    posterior : Posterior
        Over the items and, as the last one, nothing.
    threshold : float
        Abstain if the best item's probability is below; above 1 always.
    quality_floor : float
        Abstain if the share of good samples in the window is below.
    """

    def __init__(self, posterior: Posterior, threshold: float, quality_floor: float) -> None:
        self.posterior, self.threshold, self.quality_floor = posterior, threshold, quality_floor
        self._scores = np.zeros(len(posterior.log_prior), np.float32)  # the last one stays 0

    def decide(
        self, scores: np.ndarray, k: int, quality: float = 1.0, length: float = math.nan,
        exact: Exact = ALL_EXACT,
    ) -> Answer:  # fmt: skip
        """Find the `k` most probable items, and decide whether to abstain.

        Parameters
        ----------
        scores : array of shape (n_items,), float32
            Cosines.
        k : int
            Between 1 and the number of items.
        quality : float
            Share of good samples in the window.
        length : float
            Length |z| of the prediction; not needed where the posterior ignores lengths.
        exact : Exact
            Of the vocabulary that computed the scores: those that matter are computed again.

        Returns
        -------
        Answer
            Its arrays are valid until the next call. It abstains with "nothing" where that is more
            probable than any item, else with "uncertain"; "quality" and "nonfinite" as ever.
        """
        nothing = len(self._scores) - 1
        self._scores[:nothing] = scores
        answer = self.posterior.decide(self._scores, k + 1, 1.0, length, exact)
        if answer.abstained:  # not finite
            return answer
        idx, cos, prob = answer.idx, answer.cos, answer.prob
        reasons: tuple[str, ...] = ()
        is_silent = bool(idx[0] == nothing)
        for i in range(k):
            if idx[i] == nothing:  # close the rank
                for j in range(i, k):
                    idx[j], cos[j], prob[j] = idx[j + 1], cos[j + 1], prob[j + 1]
                break
        if not prob[0] >= self.threshold:
            reasons += ("nothing" if is_silent else "uncertain",)
        if not quality >= self.quality_floor:
            reasons += ("quality",)
        return Answer(idx[:k], cos[:k], prob[:k], bool(reasons), answer.bits, reasons)


def make_continuous(model: Model) -> ContinuousPosterior | None:
    """Make the posterior of readouts at every hop; None where a model was fitted on events alone."""
    fitted = model.continuous
    if fitted is None:
        return None
    bias = np.append(model.item_bias, 0.0) if model.item_bias.size else None
    posterior = Posterior(
        np.append(model.log_prior, fitted.nothing),
        fitted.tau,
        length=fitted.length,
        floor=fitted.floor,
        item_bias=bias,
    )
    return ContinuousPosterior(posterior, fitted.threshold, fitted.min_quality)
