"""Score a finished model on events that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.confidence import Evidence, expected_calibration_error, log_posterior
from calibration.nulls import permutation_p
from calibration.scores import bits_beyond_prior, finite, rank_accuracy, summarize, top_k
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.model import Model

__all__ = ["evaluate", "evidence", "similarity"]


def evidence(model: Model, X: np.ndarray) -> Evidence:
    """Compute cosines and lengths from scaled features (n, p), with the live readout's kernels."""
    mapping = LinearMap(model.weights, model.offset)
    vocabulary = Vocabulary(model.items, model.vectors, model.basis)
    found = [(vocabulary.scores(mapping.process(row)).copy(), vocabulary.length) for row in X]
    cosines, lengths = zip(*found, strict=True)
    return Evidence(np.stack(cosines), np.array(lengths))


def similarity(model: Model, X: np.ndarray) -> np.ndarray:
    """Compute the cosines alone, (n, V)."""
    return evidence(model, X).cosines


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
        (`n_outside`) and left out of the scores.

    Returns
    -------
    dict
        The scores of `scores.summarize`, and those below; undefined scores are None.

        ==================  ===========================================================
        n, n_outside        events scored, events left out
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
    found = evidence(model, X[known])
    cosines, log_prior = found.cosines, model.log_prior
    posterior = log_posterior(found, model.posterior, log_prior, model.item_bias)
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
        "n": int(known.sum()),
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
    return finite(scores)
