"""Score a finished model on events that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.confidence import Evidence, expected_calibration_error, log_posterior
from calibration.detail import detail, judged
from calibration.heard import heard_scores
from calibration.nulls import NullTest, matching_test
from calibration.scores import bits_beyond_prior, finite, rank_accuracies, summarize, top_k
from calibration.sets import set_scores
from calibration.unseen import scored_events, seen_items, unseen_scores
from rt_decoder.decoding.alignment import LEAST_EVENTS, Aligned, align, whitened_weights
from rt_decoder.decoding.features import scale_features
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.decoding.vocabulary import Vocabulary
from rt_decoder.model import Model

__all__ = ["aligned_evidence", "evaluate", "evidence", "rank_scores", "similarity"]


def evidence(model: Model, X: np.ndarray) -> Evidence:
    """Compute cosines and lengths from scaled features (n, p), with the live readout's kernels."""
    mapping = LinearMap(model.weights, model.offset)
    vocabulary = Vocabulary(model.items, model.vectors, model.basis)
    found = [(vocabulary.scores(mapping.process(row)).copy(), vocabulary.length) for row in X]
    cosines, lengths = zip(*found, strict=True)
    return Evidence(np.stack(cosines), np.array(lengths))


def aligned_evidence(model: Model, X: np.ndarray, run: np.ndarray) -> Evidence:
    """Compute the same of a model that adapts, aligned as `rt-decoder decode` does.

    Each event is decoded by the map as aligned by events before it, in every recording anew.

    Parameters
    ----------
    model : Model
        With `alignment`.
    X : array of shape (n, p)
        Unscaled features, in the order of time.
    run : array of shape (n,), int
        Number of the recording.

    Returns
    -------
    Evidence

    Raises
    ------
    ValueError
        If the model cannot be aligned, or `X` does not fit.
    """
    if model.alignment is None:
        raise ValueError("need a model with alignment, got one without; pool again")
    whitened, vocabulary = (
        whitened_weights(model),
        Vocabulary(model.items, model.vectors, model.basis),
    )
    rules, clamp = model.alignment, model.recipe.features.clamp
    X = np.asarray(X, np.float64)
    cosines, lengths = np.empty((len(X), len(model.items))), np.empty(len(X))
    for number in np.unique(run):
        parts, n_begun = Aligned(model.center, model.scale, model.weights, model.offset), 0
        events = np.flatnonzero(run == number)
        for n, event in enumerate(events):
            if n >= max(LEAST_EVENTS, n_begun + rules.every):
                parts, n_begun = align(model, X[events[max(0, n - rules.most) : n]], whitened), n
            row = scale_features(X[event : event + 1], parts.center, parts.scale, clamp)[0]
            mapping = LinearMap(parts.weights, parts.offset)
            cosines[event] = vocabulary.scores(mapping.process(row))
            lengths[event] = vocabulary.length
    return Evidence(cosines, lengths)


def similarity(model: Model, X: np.ndarray) -> np.ndarray:
    """Compute the cosines alone, (n, V)."""
    return evidence(model, X).cosines


def evaluate(
    model: Model,
    X: np.ndarray,
    labels: Sequence[str],
    *,
    memory: int = 0,
    groups: np.ndarray | None = None,
    found: Evidence | None = None,
    in_detail: bool = False,
) -> dict[str, Any]:
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
    memory, groups : int, array of shape (n,) or None
        What `nulls.matching_test` needs to know of the order of the events.
    found : Evidence or None
        What the model makes of `X`, where it is not the map as stored (`aligned_evidence`).
    in_detail : bool
        Whether intervals, curves and tables by word and block are wanted.

    Returns
    -------
    dict
        The scores of `scores.summarize`, and those below; undefined scores are None.

        ==================  ===========================================================
        n, n_outside        events scored, events left out
        n_unseen, unseen    events with unseen items; of `unseen.unseen_scores`, if there are any
        n_items             size of the vocabulary
        p                   of `rank_accuracy`, by permutation of whole units
        p_smallest          the smallest p that so many events and units can give
        null_unit           events that a unit has at least
        null_rank_accuracy  mean `rank_accuracy` under permutation
        null_spread         its standard deviation
        posterior_top1      share of events whose true item is the most probable one
        posterior_top10     share of events whose true item is among the ten most probable
        bits_per_word       information beyond the prior
        calibration_error   of the winner's probability
        answered            share of events that are answered
        precision           share of these that are right
        heard               of `heard.heard_scores`, where some items had no training event
        sets, detail        of `sets.set_scores` and `detail.detail`, where detail is asked for
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
    found = evidence(model, X[known]) if found is None else found.of(known)
    unseen, apart = _apart(model, found.cosines, truth)
    scored = scored_events(model, truth)
    found, truth = found.of(scored), truth[scored]
    groups = None if groups is None else groups[known][scored]
    null = matching_test(
        rank_accuracies(found.cosines), truth, model.recipe.fit.n_permutations,
        model.recipe.fit.seed, memory, groups,
    )  # fmt: skip
    scores = summarize(found.cosines, truth, np.exp(model.log_prior)) | {
        "n": len(truth),
        "n_unseen": int(unseen.sum()),
        "n_outside": int((~known).sum()),
        "n_items": len(model.items),
    }
    scores |= _null_scores(null) | _posterior_scores(model, found, truth)
    told = finite(scores) | ({"unseen": apart} if apart else {})
    if heard := heard_scores(model, seen_items(model), found, truth, memory, groups):
        told["heard"] = heard
    if in_detail:
        events = judged(model, found, truth)
        told["sets"] = set_scores(model, found, truth)
        told["detail"] = detail(model, events, unit=null.unit, groups=groups, null=null.null)
    return told


def _null_scores(null: NullTest) -> dict[str, float]:
    return {
        "p": null.p,
        "p_smallest": null.p_smallest,
        "null_unit": null.unit,
        "null_rank_accuracy": float(null.null.mean()),
        "null_spread": float(null.null.std()),
    }


def _posterior_scores(model: Model, found: Evidence, truth: np.ndarray) -> dict[str, float]:
    """Score posterior and abstention on events of true items (n,)."""
    log_prior = model.log_prior
    posterior = log_posterior(found, model.posterior, log_prior, model.item_bias)
    confidence, winner = np.exp(posterior.max(axis=1)), posterior.argmax(axis=1)
    answered = confidence >= model.posterior.threshold
    right = winner == truth
    return {
        "posterior_top1": float(right.mean()),
        "posterior_top10": float(top_k(posterior, truth, 10).mean()),
        "bits_per_word": float(bits_beyond_prior(posterior, log_prior, truth).mean()),
        "calibration_error": expected_calibration_error(confidence, right),
        "answered": float(answered.mean()),
        "precision": float(right[answered].mean()) if answered.any() else float("nan"),
    }


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


def rank_scores(model: Model, X: np.ndarray, labels: tuple[str, ...] | list[str]) -> np.ndarray:
    """Compute the rank accuracy of the events that `evaluate` scores.

    Parameters
    ----------
    model : Model
        With a map.
    X : array of shape (n, p), float32
        Scaled features.
    labels : sequence of str
        True item of each event.

    Returns
    -------
    array of shape (n_known,)
        In [0, 1]; chance is .5.
    """
    place = {item: i for i, item in enumerate(model.items)}
    known = np.array([i for i, label in enumerate(labels) if label in place])
    truth = np.array([place[labels[i]] for i in known])
    scored = scored_events(model, truth)
    table = rank_accuracies(evidence(model, X[known[scored]]).cosines)
    return np.asarray(table[np.arange(len(table)), truth[scored]])
