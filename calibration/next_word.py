"""What a language is worth that tells the next word.

Three figures stand side by side wherever a language is used: the brain alone, the language alone,
and both. What the language knows is never told as the brain's: the brain's are the bits of both less
those of the language.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from calibration.confidence import Evidence, log_posterior
from calibration.design import Design
from calibration.likelihood import log_mixture
from calibration.scores import bits_beyond_prior, top_k
from calibration.sets import SHOWN, coverages, set_lines
from rt_decoder.counted import counted
from rt_decoder.decoding.language.next_word import Beam, WordModel
from rt_decoder.decoding.sets import cutoff_of
from rt_decoder.model import Language, Model

__all__ = [
    "Text",
    "energies_of",
    "follow",
    "fused",
    "language_lines",
    "language_scores",
    "side_by_side",
    "text_of",
]


class Text(NamedTuple):
    """The events of a recording as a text: n events in order."""

    labels: tuple[str, ...]  # (n,)
    begins: np.ndarray  # (n,) bool: a sentence, a recording

    def of(self, events: np.ndarray) -> Text:
        """Keep some events (m,), which follow each other."""
        return Text(tuple(self.labels[i] for i in events), self.begins[events])


def text_of(design: Design) -> Text:
    """Read the events of a design as a text.

    Parameters
    ----------
    design : Design
        n events; sentences are known where it holds their contexts.

    Returns
    -------
    Text
    """
    begins = np.diff(design.run, prepend=-1) != 0
    if design.contexts is not None:
        begins |= np.array([bool(one) and one[1] == 0 for one in design.contexts])
    return Text(design.labels, begins)


def energies_of(model: Model, found: Evidence) -> np.ndarray:
    """Compute what evidence adds to the log prior, (n, V)."""
    log_p = log_posterior(
        found, replace(model.posterior, floor=0.0), np.zeros(len(model.items)), model.item_bias
    )
    return np.asarray(log_p)


def fused(model: Model, energies: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """Compute the log posterior of events.

    Parameters
    ----------
    model : Model
    energies : array of shape (n, V)
        Of `energies_of`.
    log_prior : array of shape (n, V) or (V,)
        Of each event, or of all.

    Returns
    -------
    array of shape (n, V)
    """
    if model.posterior.tau == 0:
        return np.broadcast_to(log_prior, energies.shape)
    return log_mixture(energies + log_prior, log_prior, model.posterior.floor)


def follow(
    model: Model, energies: np.ndarray, rows: np.ndarray, text: Text, words: WordModel,
    rules: Language, asked: dict[tuple[str, ...], np.ndarray],
) -> np.ndarray:  # fmt: skip
    """Compute the log prior of events, each by all events before it.

    Parameters
    ----------
    model : Model
    energies : array of shape (n, V)
        Of `energies_of`.
    rows : array of shape (n_events,), int
        Which row of the evidence an event has; -1 for none, as where the brain is not to be heard.
    text : Text
        Of all events.
    words : WordModel
    rules : Language
    asked : dict of arrays of shape (V,)
        Keeps what the language has said of each context.

    Returns
    -------
    array of shape (n, V)
        Of the events that have evidence; of all if none has.
    """
    beam = Beam(model.items, model.log_prior, words, rules.weight, asked)
    priors = []
    for i, label in enumerate(text.labels):
        if text.begins[i]:
            beam.begin()
        log_prior = beam.log_prior()
        priors.append(log_prior)
        if rules.shown:
            beam.shown(label)
            continue
        ratio = None
        if rows[i] >= 0:
            ratio = np.exp(fused(model, energies[rows[i]][None], log_prior)[0] - log_prior)
        beam.decoded(ratio)
    return np.array(priors)[rows >= 0] if (rows >= 0).any() else np.array(priors)


def language_scores(
    model: Model, found: Evidence, text: Text, words: WordModel, rules: Language
) -> dict[str, Any]:
    """Score brain, language and both on new events, side by side.

    Parameters
    ----------
    model : Model
    found : Evidence
        Of n events.
    text : Text
        Of the same events.
    words : WordModel
    rules : Language

    Returns
    -------
    dict
        weight, context, n, and for each of ``neural``, ``prior``, ``alone`` and ``fused``: top1,
        top10, and bits beyond the usual prior. ``prior`` is the language after the same context as
        both have; where that is decoded, it holds what the brain has told before, and ``alone`` is
        the language that hears nothing of the brain. ``brain_bits`` are those of both less those of
        ``prior``, with their standard error.
    """
    model, place = replace(model, language=rules), {one: i for i, one in enumerate(model.items)}
    truth = np.array([place.get(label, -1) for label in text.labels])
    energies, rows, known = energies_of(model, found), np.arange(len(truth)), truth >= 0
    asked: dict[tuple[str, ...], np.ndarray] = {}
    priors = {"prior": follow(model, energies, rows, text, words, rules, asked)[known]}
    if not rules.shown:
        deaf = np.full(len(truth), -1)
        priors["alone"] = follow(model, energies, deaf, text, words, rules, asked)[known]
    scores = side_by_side(model, energies[known], truth[known], priors)
    if model.language_cutoffs.size:
        both = fused(model, energies[known], priors["prior"])
        cutoffs = {level: cutoff_of(model, level, spoken=True) for level in SHOWN}
        scores["sets"] = coverages(both, truth[known], cutoffs)
    context = "shown" if rules.shown else "decoded"
    return {"weight": rules.weight, "context": context} | scores


def side_by_side(
    model: Model, energies: np.ndarray, truth: np.ndarray, priors: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Score the brain alone, a language alone, and both.

    Parameters
    ----------
    model : Model
    energies : array of shape (n, V)
    truth : array of shape (n,), int
    priors : dict of arrays of shape (n, V)
        ``prior``, with which the brain is joined, and others.

    Returns
    -------
    dict
        As `language_scores`.
    """
    usual = np.asarray(model.log_prior, float)
    rows = {
        "neural": fused(model, energies, usual),
        **priors,
        "fused": fused(model, energies, priors["prior"]),
    }
    bits = {name: bits_beyond_prior(log_p, usual, truth) for name, log_p in rows.items()}
    gained = bits["fused"] - bits["prior"]
    error = float(gained.std(ddof=1) / np.sqrt(len(gained))) if len(gained) > 1 else None
    scores: dict[str, Any] = {"n": len(truth), "n_items": len(usual)}
    for name, log_p in rows.items():
        scores[name] = {
            "top1": float(top_k(log_p, truth, 1).mean()),
            "top10": float(top_k(log_p, truth, 10).mean()),
            "bits": float(bits[name].mean()),
        }
    return scores | {"brain_bits": float(gained.mean()), "brain_error": error}


def language_lines(scores: dict[str, Any], where: str) -> list[str]:
    """Say what a language is worth, beside the brain alone and the language alone.

    Parameters
    ----------
    scores : dict
        Of `language_scores`; empty for no line.
    where : str
        What was scored.

    Returns
    -------
    list of str
    """
    if not scores:
        return []
    names = {
        "neural": "brain alone",
        "prior": "language, same context",
        "alone": "language, hears no brain",
        "fused": "both",
    }
    lines = [
        f"{where}, language prior of weight {scores['weight']:g} on {counted(scores['n'], 'event')}:",
        f"  {'':<26}{'top-1':>8}{'top-10':>8}{'bits':>8}",
    ]
    for name, told in names.items():
        if name in scores:
            row = scores[name]
            lines.append(f"  {told:<26}{row['top1']:>8.3f}{row['top10']:>8.3f}{row['bits']:>8.3f}")
    error = scores["brain_error"]
    about = "" if error is None else f" (standard error {error:.3f})"
    lines.append(f"  of the bits of both, {scores['brain_bits']:.3f} are the brain's{about}")
    n_items = scores.get("n_items", 0)
    return lines + [f"  both, {line}" for line in set_lines(scores.get("sets", []), n_items)]
