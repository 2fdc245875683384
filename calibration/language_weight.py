"""Fit how much a language says of the next word, out of fold; 0 is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from calibration.abstention import fit_abstention
from calibration.confidence import Evidence
from calibration.design import Design
from calibration.evaluate import evidence
from calibration.hold_out import HeldOut
from calibration.next_word import (
    Text,
    energies_of,
    follow,
    fused,
    language_scores,
    side_by_side,
    text_of,
)
from calibration.sets import fit_cutoffs
from rt_decoder.decoding.language.next_word import WordModel
from rt_decoder.model import Language, Model

__all__ = ["LanguageWish", "fit_language", "weigh_language"]

WEIGHTS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.98)
_SURE = 2.0  # standard errors over groups, and nats, by which a language must help


class LanguageWish(NamedTuple):
    """A language that a fit is asked to weigh."""

    open_words: Callable[[Sequence[str]], WordModel]  # takes the items
    shown: bool  # context is what was shown, not what was decoded


def weigh_language(
    model: Model, wish: LanguageWish | None, design: Design, X: np.ndarray, held_out: HeldOut,
    out_of_fold: Evidence,
) -> tuple[Model, dict[str, Any]]:  # fmt: skip
    """Fit the weight of a language out of fold, and score it there and on the locked events.

    Parameters
    ----------
    model : Model
        With map and posterior.
    wish : LanguageWish or None
        None leaves the model as it is.
    design : Design
        All events.
    X : array of shape (n, p), float32
        Scaled features of all events.
    held_out : HeldOut
    out_of_fold : Evidence
        Of the training events.

    Returns
    -------
    model : Model
        With `language`.
    figures : dict
        ``language``: scores by ``out_of_fold`` and ``final``; empty without a wish.

    Raises
    ------
    ValueError
        If repeats are pooled: their events have one item, and no next word.
    """
    if wish is None:
        return model, {}
    if model.recipe.readout.repeats > 1:
        raise ValueError(
            f"need single events for a language prior, got repeats = {model.recipe.readout.repeats}"
        )
    text, words = text_of(design), wish.open_words(model.items)
    kept = design.answered[held_out.train]
    train, final = held_out.train[kept], held_out.locked[design.answered[held_out.locked]]
    groups = held_out.groups[train]
    model, inner = fit_language(model, out_of_fold.of(kept), text, train, groups, words, wish.shown)
    figures = {"out_of_fold": inner}
    if len(final) and model.language is not None:
        found = evidence(model, X[final])
        figures["final"] = language_scores(model, found, text.of(final), words, model.language)
    return model, {"language": figures}


def fit_language(
    model: Model, found: Evidence, text: Text, train: np.ndarray, groups: np.ndarray,
    words: WordModel, shown: bool,
) -> tuple[Model, dict[str, Any]]:  # fmt: skip
    """Fit the weight of a language, and the threshold of abstention with it, out of fold.

    The likeliest of `WEIGHTS` is taken if it is better than none by two standard errors over the
    groups and by two nats. Where words are decoded, each weight is tried with the contexts that it
    leads to itself.

    Parameters
    ----------
    model : Model
        With a posterior.
    found : Evidence
        Of n events that train, out of fold.
    text : Text
        Of all events.
    train : array of shape (n,), int
        Their numbers in the text, ascending.
    groups : array of shape (n,)
        Held out together.
    words : WordModel
        The language, over the model's items.
    shown : bool
        Whether words that were shown are the context, not those that were decoded.

    Returns
    -------
    model : Model
        With `language`.
    scores : dict
        Of `language_scores`, out of fold.

    Raises
    ------
    ValueError
        If no event that trains is in the vocabulary.
    """
    place = {item: i for i, item in enumerate(model.items)}
    truth = np.array([place.get(text.labels[i], -1) for i in train])
    if not (truth >= 0).any():
        raise ValueError("need events whose items are in the vocabulary, got none")
    rows, energies = np.full(len(text.labels), -1), energies_of(model, found)
    rows[train] = np.arange(len(train))
    asked: dict[tuple[str, ...], np.ndarray] = {}

    def priors(weight: float) -> np.ndarray:
        rules = Language(weight, shown=shown)
        return follow(model, energies, rows, text, words, rules, asked)[known]

    known = truth >= 0
    weight = _weight(model, energies[known], truth[known], groups[known], priors)
    both, energies, truth, groups = priors(weight), energies[known], truth[known], groups[known]
    posterior = fused(model, energies, both)
    right, alone = posterior.argmax(axis=1) == truth, both.argmax(axis=1) == truth
    threshold = fit_abstention(
        np.exp(posterior.max(axis=1)), right, model.recipe.readout.precision, groups=groups,
        above=float(alone.mean()),
    ).threshold  # fmt: skip
    model = replace(
        model, language=Language(weight, threshold, shown, words.identity),
        language_cutoffs=fit_cutoffs(posterior, truth, groups),
    )  # fmt: skip
    return model, {"weight": weight} | side_by_side(model, energies, truth, {"prior": both})


def _weight(
    model: Model, energies: np.ndarray, truth: np.ndarray, groups: np.ndarray,
    priors: Callable[[float], np.ndarray],
) -> float:  # fmt: skip
    at, codes = np.arange(len(truth)), np.unique(groups, return_inverse=True)[1]
    likely = [fused(model, energies, priors(weight))[at, truth] for weight in WEIGHTS]
    best, most = 0.0, _SURE
    for weight, one in zip(WEIGHTS[1:], likely[1:], strict=True):
        gains = np.bincount(codes, one - likely[0])
        spread = float(np.sum((gains - gains.mean()) ** 2))
        error = np.sqrt(spread * len(gains) / max(len(gains) - 1, 1))
        if gains.sum() > max(most, _SURE * error):
            best, most = weight, float(gains.sum())
    return best
