"""Score a finished model on events that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.confidence import expected_calibration_error, log_posterior
from calibration.nulls import permutation_p
from calibration.scores import bits_beyond_prior, finite, rank_accuracy, summarize, top_k
from calibration.unseen import seen_items, unseen_scores
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.model import Model

__all__ = ["evaluate", "similarity"]


def similarity(model: Model, X: np.ndarray) -> np.ndarray:
    """Compute cosines (n, V) from scaled features (n, p), with the kernels of the live readout."""
    mapping = LinearMap(model.weights, model.offset)
    vocabulary = Vocabulary(model.items, model.vectors, model.basis)
    return np.stack([vocabulary.scores(mapping.process(row)).copy() for row in X])


def evaluate(model: Model, X: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Score a finished model on events that it has never seen, beside chance and the prior alone.

    Parameters
    ----------
    model : Model
        With a map.
    X : array of shape (n, p), float32
        Scaled features.
    labels : sequence of str
        True item of each event. Events with an item outside the vocabulary are counted
        (`n_outside`) and left out of the scores, as are those with an item that had no training
        event (`n_unseen`), unless there are no others; they are scored apart.

    Returns
    -------
    dict
        The scores of `scores.summarize`, and those below; undefined scores are None.

        ==================  ===========================================================
        n, n_outside        events scored, events left out
        n_unseen, unseen    events with unseen items; of `unseen.unseen_scores`, if there are any
        n_items             size of the vocabulary
        p                   of `rank_accuracy`, by permutation
        null_rank_accuracy  mean `rank_accuracy` under permutation
        posterior_top1      share of events whose true item is the most probable one
        posterior_top10     share of events whose true item is among the ten most probable
        bits_per_word       information beyond the prior
        calibration_error   of the winner's probability
        answered            share of events that are answered
        precision           share of these that are right
        ==================  ===========================================================

    Raises
    ------
    ValueError
        If no label is in the vocabulary.
    """
    place = {item: i for i, item in enumerate(model.items)}
    known = np.array([label in place for label in labels])
    if not known.any():
        raise ValueError(
            "need events whose items are in the vocabulary, got none among "
            f"{len(labels)}; calibrate with --vocabulary FILE or wordfreq:N"
        )
    truth = np.array([place[label] for label in labels if label in place])
    cosines = similarity(model, X[known])
    unseen, apart = _apart(model, cosines, truth)
    if not unseen.all():
        cosines, truth = cosines[~unseen], truth[~unseen]
    log_prior = model.log_prior
    posterior = log_posterior(cosines, model.posterior.tau, log_prior)
    confidence, winner = np.exp(posterior.max(axis=1)), posterior.argmax(axis=1)
    answered = confidence >= model.posterior.threshold
    right = winner == truth
    null = permutation_p(
        lambda permuted: float(rank_accuracy(cosines, permuted).mean()),
        truth,
        model.recipe.fit.n_permutations,
        model.recipe.fit.seed,
    )
    scores = summarize(cosines, truth, np.exp(log_prior)) | {
        "n": len(truth),
        "n_unseen": int(unseen.sum()),
        "n_outside": int((~known).sum()),
        "n_items": len(model.items),
        "p": null.p,
        "null_rank_accuracy": float(null.null.mean()),
        "posterior_top1": float(right.mean()),
        "posterior_top10": float(top_k(posterior, truth, 10).mean()),
        "bits_per_word": float(bits_beyond_prior(posterior, log_prior, truth).mean()),
        "calibration_error": expected_calibration_error(confidence, right),
        "answered": float(answered.mean()),
        "precision": float(right[answered].mean()) if answered.any() else float("nan"),
    }
    return finite(scores) | ({"unseen": apart} if apart else {})


def _apart(
    model: Model, cosines: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Tell the events whose item had no training event, and score these among such items."""
    seen = seen_items(model)
    unseen, candidates = ~seen[truth], np.flatnonzero(~seen)
    if len(candidates) < 2 or not unseen.any():
        return unseen, {}
    rules = model.recipe.fit
    part = cosines[unseen][:, candidates], np.searchsorted(candidates, truth[unseen])
    return unseen, unseen_scores([part], rules.n_permutations, rules.seed)
