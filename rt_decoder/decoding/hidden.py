"""Accumulate what readouts say of one hidden item, until they say enough.

With readouts k = 1 .. n of which each has the posterior p_k and the prior q_k,
``log p(w) = log prior(w) + c * sum over k of weight_k * log(p_k(w) / q_k(w))``, normalised: no prior
counts twice. Errors of repeats are correlated, so each counts for ``c = 1 / (1 + (n - 1) *
correlation)``, as in `evidence`, which pools repeats inside a session.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.signal import Readout

__all__ = ["Decision", "Evidence"]

_LEAST = 5e-324  # a probability that underflowed is not 0
# why a readout says nothing of the item
_USELESS = frozenset({"quality", "nonfinite", "not fitted", "unlike_calibration"})


class Decision(NamedTuple):
    """What was decided of one hidden item."""

    item: str  # the most probable one; "" where nothing was heard of it
    probability: float
    is_sure: bool  # it is as probable as was asked for
    n: int  # readouts whose evidence it holds
    n_seen: int  # those left out included
    seconds: float  # from the first event to the newest sample used
    bits: float  # beyond the prior: of the truth where it was told, else as expected
    is_right: bool | None  # None where the truth was not told


class Evidence:
    """Evidence of repeats or hops on one hidden item, a rule when to stop, and a count of items.

    Parameters
    ----------
    items : sequence of str
        Of the model, in its order: ``live.items``.
    prior : mapping of str to float, or None
        Weight of items, 0 or more; those that it lacks are excluded. None takes the prior of the
        item's first readout.
    stop : float
        Posterior of the best item at which it is decided, above 0, at most 1.
    error_rate : float or None
        Wanted share of wrong decisions instead: decides at a posterior of ``1 - error_rate``. It holds
        as far as the model's probabilities are calibrated, for decisions that are sure.
    least, most : int
        Readouts to use at least, and to see at most; then the item is decided, sure or not.
    correlation : float
        Of the errors of repeats, 0 to 1: ``live.correlation`` is that of calibration.

    Raises
    ------
    ValueError
        If a number is out of range, or the prior names no item or an unknown one.

    Examples
    --------
    >>> evidence = Evidence(("no", "yes"), prior={"no": 1, "yes": 1}, stop=0.9, most=5)
    >>> evidence.probabilities
    {'no': 0.5, 'yes': 0.5}
    >>> evidence.is_done
    False
    """

    def __init__(
        self,
        items: Sequence[str],
        prior: Mapping[str, float] | None = None,
        *,
        stop: float = 0.9,
        error_rate: float | None = None,
        least: int = 1,
        most: int = 20,
        correlation: float = 0.0,
    ) -> None:
        if error_rate is not None:
            if not 0 <= error_rate < 1:
                raise ValueError(f"need an error rate of 0 or more, below 1, got {error_rate}")
            stop = 1.0 - error_rate
        if not 0 < stop <= 1 or not 1 <= least <= most or not 0 <= correlation <= 1:
            raise ValueError(
                "need stop above 0, at most 1; least from 1 to most; correlation from 0 to 1, got "
                f"{stop}, {least}, {most} and {correlation}"
            )
        self.items, self.stop, self.least, self.most = tuple(items), stop, least, most
        self.correlation = correlation
        self._given = None if prior is None else _log_weights(self.items, prior)
        self.decisions: list[Decision] = []
        self._span = math.inf, -math.inf  # s, of all that was decided
        self.begin()

    def begin(self) -> None:
        """Forget the item that is accumulated; the next readout is of another one."""
        self.n = self.n_seen = 0
        self._log_prior = self._given
        self._total = np.zeros(len(self.items))
        self._first, self._newest = math.inf, -math.inf

    def add(self, readout: Readout | None, weight: float = 1.0) -> bool:
        """Add a readout of the item.

        Parameters
        ----------
        readout : Readout or None
            With its `posterior` (``open_live(..., posterior=True)``). One that did not come (None), or
            abstained for its quality, or because it is not finite or fitted, is seen and left out; one
            of kind "pooled" or "anytime" holds what others have said, and is not seen at all.
        weight : float
            What it counts for, 0 to 1: windows of hops that overlap say the same again and again, so
            that each should count for the share of it that is new.

        Returns
        -------
        bool
            `is_done`.

        Raises
        ------
        ValueError
            If the readout has no posterior or one of other items, the items are in another order, its
            candidates lack an item that the prior has, or the weight is out of range.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"need a weight from 0 to 1, got {weight}")
        if readout is not None and readout.kind in ("pooled", "anytime"):
            return self.is_done
        self.n_seen += 1
        if readout is None:
            return self.is_done
        self._first = min(self._first, readout.onset)
        self._newest = max(self._newest, readout.onset, readout.time)
        if readout.abstained and not _USELESS.isdisjoint(readout.reasons):
            return self.is_done
        posterior, prior = self._checked(readout)
        if self._log_prior is None:
            self._log_prior = _log(prior / prior.sum())
        wanted = np.isfinite(self._log_prior)
        if (missing := wanted & ~(prior > 0)).any():
            item = self.items[int(np.argmax(missing))]
            raise ValueError(f"need readouts among the same candidates, got one without {item!r}")
        self._total[wanted] += weight * (
            np.log(np.maximum(posterior[wanted], _LEAST)) - np.log(prior[wanted])
        )
        self.n += 1
        return self.is_done

    def _checked(self, readout: Readout) -> tuple[np.ndarray, np.ndarray]:
        posterior, prior = np.array(readout.posterior), np.array(readout.before)
        if posterior.shape != (len(self.items),) or prior.shape != posterior.shape:
            raise ValueError(
                f"need readouts with the posterior of {len(self.items)} items (posterior=True), got "
                f"{len(posterior)}"
            )
        if readout.item >= 0 and self.items[readout.item] != readout.words[0]:
            raise ValueError(
                f"need the items in the model's order (live.items), got {readout.words[0]!r} for "
                f"{self.items[readout.item]!r}"
            )
        for values in (posterior, prior):
            if not ((values >= 0) & (values <= 1 + 1e-9)).all() or not values.any():
                raise ValueError("need probabilities from 0 to 1, not all 0, got others")
        return posterior, prior

    @property
    def posterior(self) -> np.ndarray:
        """Probability of each item, (n_items,); even before any readout where no prior is given."""
        if self._log_prior is None:
            return np.full(len(self.items), 1 / len(self.items))
        counts_for = 1.0 / (1.0 + max(0, self.n - 1) * self.correlation)
        logits = counts_for * self._total + self._log_prior
        weights: np.ndarray = np.exp(logits - logits.max())
        weights /= weights.sum()
        return weights

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of each item."""
        return dict(zip(self.items, self.posterior.tolist(), strict=True))

    @property
    def best(self) -> tuple[str, float]:
        """The most probable item, and its probability."""
        posterior = self.posterior
        number = int(np.argmax(posterior))
        return self.items[number], float(posterior[number])

    @property
    def is_sure(self) -> bool:
        """Whether the best item is as probable as was asked for."""
        return self.n >= self.least and self.best[1] >= self.stop

    @property
    def is_done(self) -> bool:
        """Whether no further readout is needed, or as many as were allowed are seen."""
        return self.n_seen >= self.most or self.is_sure

    def decide(self, truth: str | None = None) -> Decision:
        """Decide the item by what was added, count the decision, and begin the next item.

        Parameters
        ----------
        truth : str or None
            The true item, where it is known.

        Returns
        -------
        Decision
            Also the last of `decisions`.

        Raises
        ------
        ValueError
            If the truth is no item.
        """
        if truth is not None and truth not in self.items:
            raise ValueError(f"need the truth among the items, got {truth!r}")
        item, probability = self.best if self.n or self.is_sure else ("", 0.0)
        seconds = max(0.0, self._newest - self._first) if self.n_seen else 0.0
        decision = Decision(
            item, probability, self.is_sure, self.n, self.n_seen, seconds, self._bits(truth),
            None if truth is None else item == truth,
        )  # fmt: skip
        self.decisions.append(decision)
        self._span = min(self._span[0], self._first), max(self._span[1], self._newest)
        self.begin()
        return decision

    def _bits(self, truth: str | None) -> float:
        """Bits beyond the prior: of the truth, or their mean if the posterior is right."""
        if self._log_prior is None or self.n == 0:
            return 0.0
        posterior, log_prior = self.posterior, self._log_prior
        if truth is not None:
            number = self.items.index(truth)
            if not np.isfinite(log_prior[number]):
                return 0.0  # it could not be answered, and nothing is said of it
            gained = math.log(max(posterior[number], _LEAST)) - log_prior[number]
            return float(gained / math.log(2))
        some = posterior > 0
        gains = np.log(posterior[some]) - log_prior[some]
        return float(posterior[some] @ gains / math.log(2))

    def summary(self) -> dict[str, Any]:
        """Return how the decisions went.

        Returns
        -------
        dict
            ``n`` decisions, ``n_sure``, ``error_rate`` and ``error_rate_sure`` of those whose truth
            was told (None without), ``expected_error_rate`` by the posteriors, ``readouts`` a
            decision, ``bits`` and ``bits_per_minute`` beyond the prior, in the time from the first
            event of the first item to the newest sample of the last.
        """
        all_, sure = self.decisions, [one for one in self.decisions if one.is_sure]
        minutes = (self._span[1] - self._span[0]) / 60
        bits = sum(one.bits for one in all_)
        return {
            "n": len(all_),
            "n_sure": len(sure),
            "error_rate": _error_rate(all_),
            "error_rate_sure": _error_rate(sure),
            "expected_error_rate": _mean([1 - one.probability for one in all_]),
            "readouts": _mean([one.n_seen for one in all_]),
            "bits": bits,
            "bits_per_minute": bits / minutes if minutes > 0 else None,
        }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _error_rate(decisions: Sequence[Decision]) -> float | None:
    return _mean([float(not one.is_right) for one in decisions if one.is_right is not None])


def _log(values: np.ndarray) -> np.ndarray:
    out = np.full(len(values), -np.inf)
    np.log(values, out=out, where=values > 0)
    return out


def _log_weights(items: Sequence[str], prior: Mapping[str, float]) -> np.ndarray:
    if unknown := [item for item in prior if item not in items]:
        raise ValueError(f"need a prior of the items, got {unknown[0]!r}")
    weights = np.array([float(prior.get(item, 0.0)) for item in items])
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError("need a prior with weights of 0 or more, not all 0, got another")
    weights /= weights.max()
    return _log(weights / weights.sum())
