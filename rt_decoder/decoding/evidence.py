"""Pool the evidence of repeats of one item into one answer.

With n repeats of a trial the posterior is
``log p(w) = log prior(w) + c * sum over k of [log p_k(w) - log prior(w)]``, normalised, where p_k is
the posterior of repeat k, floor and all, so that the prior counts once. Errors of repeats are
correlated, so each counts for ``c = 1 / (1 + (n - 1) * correlation)``, which calibration fits.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.decoding.readout import Answer
from rt_decoder.kernels.evidence import add_evidence, pooled_logits
from rt_decoder.kernels.memory import aligned
from rt_decoder.kernels.posterior import N_PARTS, N_SUMS, most_probable
from rt_decoder.model import Model, Pooling

__all__ = ["EvidencePool", "make_pool"]


class EvidencePool:
    """Evidence over the repeats of one trial, in which one unknown item comes several times.

    Each event is a repeat: `repeats` events in a row make a trial, whatever became of them, unless
    `begin` starts one earlier. The labels of events play no part, as a session does not know them.

    Parameters
    ----------
    log_prior : array of shape (n_items,)
        Log prior up to a constant; -inf excludes an item.
    tau : float
        Sharpness of a single posterior, as `readout.Posterior` takes it.
    repeats : int
        Events in a trial, at least 1.
    length, floor : float
        Of a single posterior.
    item_bias : array of shape (n_items,) or None
        Of a single posterior; None or empty for none.
    correlation : float
        Of the errors of repeats, 0 to 1; with 1 a repeat adds nothing.
    threshold : float
        Abstain if the best probability is below; above 1 always.

    Attributes
    ----------
    n_repeats : int
        Repeats in the sum.
    n_left_out : int
        Repeats of the trial without evidence: missed, of low quality or not finite.
    quality : float
        Mean share of good samples of the repeats in the sum.

    Raises
    ------
    ValueError
        If a number or a shape is out of range, or the prior excludes every item.
    """

    def __init__(
        self,
        log_prior: np.ndarray,
        tau: float,
        repeats: int,
        *,
        length: float = 0.0,
        floor: float = 0.0,
        item_bias: np.ndarray | None = None,
        correlation: float = 0.0,
        threshold: float = 0.0,
    ) -> None:
        log_prior = np.ascontiguousarray(log_prior, np.float64)
        if log_prior.ndim != 1 or not np.isfinite(log_prior.max(initial=-np.inf)):
            raise ValueError("need one log prior an item, at least one finite")
        if repeats < 1 or not 0 <= correlation <= 1:
            raise ValueError(
                f"need 1 repeat or more and a correlation of 0 to 1, got {repeats} and {correlation}"
            )
        n_items = len(log_prior)
        bias = np.zeros(n_items) if item_bias is None or not len(item_bias) else item_bias
        if np.shape(bias) != (n_items,):
            raise ValueError(f"need a bias for each of {n_items} items, got {np.shape(bias)}")
        peak = log_prior.max()
        self._log_prior = log_prior - (peak + math.log(np.exp(log_prior - peak).sum()))
        self._bias = np.array(bias, np.float64)
        self._tau, self._length, self._floor = float(tau), float(length), float(floor)
        self._repeats, self._correlation = repeats, float(correlation)
        self.threshold = float(threshold)
        self._total, self._cosines, self._scratch = np.zeros((3, n_items))
        self._parts = aligned((N_SUMS, N_PARTS))
        self._indices, self._probabilities = np.zeros(0, np.int64), np.zeros(0)
        self._scores = np.zeros(0, np.float32)
        self.begin()

    @property
    def n_seen(self) -> int:
        """Repeats of the trial so far."""
        return self.n_repeats + self.n_left_out

    @property
    def n_open(self) -> int:
        """Repeats of a trial that goes on; 0 if it is full."""
        return self.n_seen if self.n_seen < self._repeats else 0

    def begin(self) -> None:
        """Begin a new trial."""
        self.n_repeats = self.n_left_out = 0
        self.quality = 0.0
        self._total[:] = 0.0
        self._cosines[:] = 0.0

    def leave_out(self) -> None:
        """Count a repeat that has no evidence."""
        if self.n_seen >= self._repeats:
            self.begin()
        self.n_left_out += 1

    def add(self, scores: np.ndarray, length: float = math.nan, quality: float = 1.0) -> None:
        """Add a repeat to the trial, or to a new one if that is full.

        Parameters
        ----------
        scores : array of shape (n_items,), float32
            Cosines; if one is not finite, the repeat is left out.
        length : float
            Of the prediction; not needed where the posterior ignores lengths.
        quality : float
            Share of good samples in the window.

        Raises
        ------
        ValueError
            If the number of scores does not fit.
        """
        if scores.shape != self._log_prior.shape:
            raise ValueError(f"need {len(self._log_prior)} scores, got {scores.shape}")
        if self.n_seen >= self._repeats:
            self.begin()
        tau = self._tau
        if self._length > 0.0:
            tau *= length / math.hypot(length, self._length)
        if add_evidence(
            scores, tau, self._bias, self._log_prior, self._floor,
            self._scratch, self._parts[0], self._total, self._cosines,
        ):  # fmt: skip
            self.n_repeats += 1
            self.quality += (quality - self.quality) / self.n_repeats
        else:
            self.n_left_out += 1

    def take(self, scores: np.ndarray | None, length: float, quality: float) -> None:
        """Add a repeat as `add` does; None leaves it out.

        Parameters
        ----------
        scores : array of shape (n_items,), float32, or None
            Cosines.
        length, quality : float
            As of `add`.
        """
        if scores is None:
            self.leave_out()
        else:
            self.add(scores, length, quality)

    def answer(self, k: int) -> Answer | None:
        """Find the `k` most probable items of the trial so far; None if there is no evidence yet.

        Parameters
        ----------
        k : int
            Between 1 and the number of items.

        Returns
        -------
        Answer or None
            With mean cosines. Its arrays are valid until the next call.

        Raises
        ------
        ValueError
            If `k` is out of range.
        """
        if not 1 <= k <= len(self._log_prior):
            raise ValueError(f"need k between 1 and {len(self._log_prior)}, got {k}")
        if self.n_repeats == 0:
            return None
        if len(self._indices) != k:
            self._indices, self._probabilities = np.zeros(k, np.int64), np.zeros(k)
            self._scores = np.zeros(k, np.float32)
        weight = 1.0 / (1.0 + (self.n_repeats - 1) * self._correlation)
        pooled_logits(self._total, weight, self._log_prior, self._scratch)
        bits: float = most_probable(self._scratch, self._parts, self._indices, self._probabilities)
        for place, item in enumerate(self._indices):
            self._scores[place] = self._cosines[item] / self.n_repeats
        sure = bool(self._probabilities[0] >= self.threshold)
        reasons = () if sure else ("uncertain",)
        return Answer(self._indices, self._scores, self._probabilities, not sure, bits, reasons)

    def probabilities(self) -> np.ndarray:
        """Return the posterior (n_items,) of the newest `answer`, in a new array."""
        weights: np.ndarray = np.exp(self._scratch - self._scratch.max())
        weights /= weights.sum()
        return weights


def make_pool(model: Model) -> EvidencePool | None:
    """Make what pools repeats; None if the recipe does not ask for it."""
    if (repeats := model.recipe.readout.repeats) == 1:
        return None
    single, pooling = model.posterior, model.pooling or Pooling()
    return EvidencePool(
        model.log_prior,
        single.tau,
        repeats,
        length=single.length,
        floor=single.floor,
        item_bias=model.item_bias,
        correlation=pooling.correlation,
        threshold=pooling.threshold,
    )
