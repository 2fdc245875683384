"""Name the word in a window at any time, or say that nothing is being said.

Beside the items stands one hypothesis more, that the window belongs to no event. Its cosine is 0, so
that a window tells of it by what it does not show; calibration fits its weight on windows in which
nothing was said. With it the items' probabilities sum to less than 1.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.decoding.readout import Answer, Posterior

__all__ = ["ContinuousPosterior"]


class ContinuousPosterior:
    """Probabilities of all items and of nothing, and the rule for abstaining.

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
        self, scores: np.ndarray, k: int, quality: float = 1.0, length: float = math.nan
    ) -> Answer:
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

        Returns
        -------
        Answer
            Its arrays are valid until the next call. It abstains with "nothing" where that is more
            probable than any item, else with "uncertain"; "quality" and "nonfinite" as ever.
        """
        nothing = len(self._scores) - 1
        self._scores[:nothing] = scores
        answer = self.posterior.decide(self._scores, k + 1, 1.0, length)
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
