"""What turns cosines into answers: as the model says, or as an experiment chooses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rt_decoder.decoding.evidence import EvidencePool, make_pool
from rt_decoder.decoding.readout import Answer, ContinuousPosterior, Posterior, make_continuous
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.model import Model, Pooling, PosteriorParameters
from rt_decoder.signal import Choice, Readout

__all__ = ["NOT_FITTED", "Answering", "decide", "expect", "make_answering", "whole", "with_whole"]

NOT_FITTED = "not fitted"  # why a model without a posterior for it abstains at every hop


class Answering(NamedTuple):
    """Posteriors of events and of every hop, and the pool of repeats."""

    posterior: Posterior
    continuous: ContinuousPosterior | None
    pool: EvidencePool | None
    n_top: int  # items in a readout
    told: float  # bits that the choice of candidates has told beforehand
    choice: Choice
    items: bytes  # which can be answered, the same for the same items
    vocabulary: tuple[str, ...]  # of the model
    windows: tuple[Posterior, ...] = ()  # of windows that end earlier, as of `Model.windows`


def expect(model: Model, usual: Answering, log_prior: np.ndarray) -> Answering:
    """Make what answers an event of which a prior of its own is known, such as a language's.

    Parameters
    ----------
    model : Model
        With a map; where it has rules for a language, their threshold holds.
    usual : Answering
        What answers otherwise: items that it excludes stay excluded.
    log_prior : array of shape (n_items,)
        Up to a constant.

    Returns
    -------
    Answering

    Raises
    ------
    ValueError
        If there is not one number an item, or no item is possible.
    """
    log_prior, before = np.asarray(log_prior, np.float64), usual.posterior
    if log_prior.shape != before.log_prior.shape:
        raise ValueError(
            f"need a log prior of {len(before.log_prior)} items, got shape {log_prior.shape}"
        )
    single, rules, threshold = model.posterior, model.language, usual.choice.threshold
    if threshold is None:
        threshold = single.threshold if rules is None else rules.threshold
    log_prior = np.where(np.isfinite(before.log_prior), log_prior, -np.inf)
    posterior = _posterior(log_prior, replace(single, threshold=threshold), model.item_bias)
    told = usual.told + before.entropy - posterior.entropy
    windows = _windows(model, log_prior, usual.choice.threshold)
    return usual._replace(posterior=posterior, told=told, windows=windows)


def make_answering(model: Model, choice: Choice = Choice()) -> Answering:  # noqa: B008  (immutable)
    """Make what answers as is chosen; the prior of items that are no candidates is 0.

    Parameters
    ----------
    model : Model
        With a map.
    choice : Choice
        What is to be otherwise than in the model.

    Returns
    -------
    Answering

    Raises
    ------
    ValueError
        If the model has no map or not one of the items, or the prior excludes all candidates.
    """
    if not model.has_map:
        raise ValueError("need a model with a map to choose answers, got one that only cleans")
    prior = _log_prior(model, choice)
    possible = np.isfinite(prior)
    n_items, n_candidates = len(model.items), int(possible.sum())
    single, pooling, hops = model.posterior, model.pooling, model.continuous
    if (threshold := choice.threshold) is not None:
        single = replace(single, threshold=threshold)
        pooling = replace(pooling or Pooling(), threshold=threshold)
        hops = None if hops is None else replace(hops, threshold=threshold)
    model = replace(model, log_prior=prior, posterior=single, pooling=pooling, continuous=hops)
    posterior = _posterior(prior, single, model.item_bias)
    n_top = min(choice.top or model.recipe.readout.top, n_candidates)
    told = math.log2(n_items / n_candidates)
    items = np.packbits(possible).tobytes()
    continuous, pool = make_continuous(model), make_pool(model)
    windows = _windows(model, prior, choice.threshold)
    return Answering(posterior, continuous, pool, n_top, told, choice, items, model.items, windows)


def _posterior(log_prior: np.ndarray, fitted: PosteriorParameters, bias: np.ndarray) -> Posterior:
    return Posterior(
        log_prior,
        fitted.tau,
        fitted.threshold,
        fitted.min_quality,
        length=fitted.length,
        floor=fitted.floor,
        item_bias=bias,
    )


def _windows(model: Model, log_prior: np.ndarray, threshold: float | None) -> tuple[Posterior, ...]:
    """Posteriors of the windows that end earlier, each with its own threshold if none is chosen."""
    fitted = [one.posterior for one in model.windows]
    if threshold is not None:
        fitted = [replace(one, threshold=threshold) for one in fitted]
    return tuple(
        _posterior(log_prior, one, window.item_bias)
        for one, window in zip(fitted, model.windows, strict=True)
    )


def whole(
    by: Answering, kind: str, scores: np.ndarray, length: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of every item, and what it was before the signal.

    Parameters
    ----------
    by : Answering
        What answered.
    kind : str
        Of the readout; "pooled" takes the pool's newest answer.
    scores : array of shape (n_items,), float32
        Cosines of the newest prediction.
    length : float
        Its length.

    Returns
    -------
    posterior, prior : array of shape (n_items,)
        Both sum to less than 1 where nothing may have been said.
    """
    if kind == "pooled" and by.pool is not None:
        return by.pool.probabilities(), by.posterior.prior
    if kind == "continuous" and by.continuous is not None:
        inner = by.continuous.posterior
        scores, n_items = np.append(scores, np.float32(0.0)), len(inner.log_prior) - 1
    else:
        inner, n_items = by.posterior, len(by.posterior.log_prior)
    return inner.probabilities(scores, length)[:n_items], inner.prior[:n_items]


def decide(
    by: Answering,
    scores: np.ndarray,
    good: float,
    vocabulary: Vocabulary,
    *,
    is_hop: bool,
    force: bool,
) -> Answer:
    """Answer a window.

    Parameters
    ----------
    by : Answering
        What answers.
    scores : array of shape (n_items,), float32
        Cosines; those that matter become exact.
    good : float
        Share of good samples in the window.
    vocabulary : Vocabulary
        That computed the cosines.
    is_hop : bool
        Whether it is read out because a hop has ended, not of an event.
    force : bool
        Whether a posterior that is fitted on events alone answers hops, too.

    Returns
    -------
    Answer
        Its arrays are valid until the next one.
    """
    exactly = vocabulary.length, vocabulary.exact
    if is_hop and by.continuous is not None:
        return by.continuous.decide(scores, by.n_top, good, *exactly)
    answer = by.posterior.decide(scores, by.n_top, good, *exactly)
    if force or not is_hop:
        return answer
    return answer._replace(abstained=True, reasons=(*answer.reasons, NOT_FITTED))


def with_whole(readout: Readout, by: Answering, scores: np.ndarray, length: float) -> Readout:
    """Return a readout with the probability of every item.

    Parameters
    ----------
    readout : Readout
    by : Answering
        What answered.
    scores : array of shape (n_items,), float32
        As of `whole`.
    length : float
        As of `whole`.

    Returns
    -------
    Readout
    """
    posterior, before = whole(by, readout.kind, scores, length)
    return readout._replace(posterior=tuple(posterior.tolist()), before=tuple(before.tolist()))


def _log_prior(model: Model, choice: Choice) -> np.ndarray:
    """Log prior (n_items,); its sum is the model's, against which "nothing" is weighed."""
    named = {*choice.candidates, *(choice.prior or ())}
    if unknown := named.difference(model.items):
        raise ValueError(f"need candidates among the model's items, got {sorted(unknown)[0]!r}")
    if not named:
        return model.log_prior
    prior = model.log_prior
    if choice.prior is not None:
        weights = np.array([choice.prior.get(item, 0.0) for item in model.items])
        prior = np.full(len(weights), -np.inf)
        np.log(weights, out=prior, where=weights > 0)
    if choice.candidates:
        prior = np.where(np.isin(model.items, list(choice.candidates)), prior, -np.inf)
    if not np.isfinite(prior).any():
        raise ValueError("need a candidate that the prior does not exclude, got none")
    total, wanted = np.logaddexp.reduce(prior), np.logaddexp.reduce(model.log_prior)
    shift: np.ndarray = prior + (wanted - total)
    return shift
