"""What turns cosines into answers, for all items of a model or for some candidates among them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rt_decoder.decoding.evidence import EvidencePool, make_pool
from rt_decoder.decoding.readout import ContinuousPosterior, Posterior, make_continuous
from rt_decoder.model import Model

__all__ = ["Answering", "Expected", "expect", "make_answering"]


class Answering(NamedTuple):
    """Posteriors of events and of every hop, and the pool of repeats."""

    posterior: Posterior
    continuous: ContinuousPosterior | None
    pool: EvidencePool | None
    n_top: int  # items in a readout
    told: float  # bits that the choice of candidates has told beforehand


class Expected(NamedTuple):
    """What answers the next event alone."""

    posterior: Posterior
    told: float  # bits that its prior has told, beyond the usual prior


def expect(model: Model, usual: Posterior, log_prior: np.ndarray) -> Expected:
    """Make what answers an event of which a prior of its own is known, such as a language's.

    Parameters
    ----------
    model : Model
        With a map; where it has rules for a language, their threshold holds.
    usual : Posterior
        What answers otherwise: items that it excludes stay excluded.
    log_prior : array of shape (n_items,)
        Up to a constant.

    Returns
    -------
    Expected

    Raises
    ------
    ValueError
        If there is not one number an item, or no item is possible.
    """
    log_prior = np.asarray(log_prior, np.float64)
    if log_prior.shape != usual.log_prior.shape:
        raise ValueError(
            f"need a log prior of {len(usual.log_prior)} items, got shape {log_prior.shape}"
        )
    single, rules = model.posterior, model.language
    posterior = Posterior(
        np.where(np.isfinite(usual.log_prior), log_prior, -np.inf),
        single.tau,
        single.threshold if rules is None else rules.threshold,
        single.min_quality,
        length=single.length,
        floor=single.floor,
        item_bias=model.item_bias,
    )
    return Expected(posterior, usual.entropy - posterior.entropy)


def make_answering(model: Model, candidates: Collection[str] = ()) -> Answering:
    """Make what answers among some items; the prior of the others is 0.

    Parameters
    ----------
    model : Model
        With a map.
    candidates : collection of str
        Items of the model; empty for all.

    Returns
    -------
    Answering

    Raises
    ------
    ValueError
        If the model has no map or not one of the items, or its prior excludes them all.
    """
    if not model.has_map:
        raise ValueError("need a model with a map to choose items, got one that only cleans")
    n_items = n_candidates = len(model.items)
    if candidates:
        chosen = np.isin(model.items, list(candidates))
        if unknown := set(candidates) - set(model.items):
            raise ValueError(f"need candidates among the model's items, got {sorted(unknown)[0]!r}")
        prior = np.where(chosen, model.log_prior, -np.inf)
        n_candidates = int(np.isfinite(prior).sum())
        if not n_candidates:
            raise ValueError("need a candidate that the prior does not exclude, got none")
        model = replace(model, log_prior=prior)
    single = model.posterior
    posterior = Posterior(
        model.log_prior,
        single.tau,
        single.threshold,
        single.min_quality,
        length=single.length,
        floor=single.floor,
        item_bias=model.item_bias,
    )
    n_top = min(model.recipe.readout.top, n_candidates)
    told = math.log2(n_items / n_candidates)
    return Answering(posterior, make_continuous(model), make_pool(model), n_top, told)
