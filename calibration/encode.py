"""Put encoding, patterns and the share beyond nuisance together, for one model and its recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from calibration.bands import Share, unique_share
from calibration.covariates import Nuisance
from calibration.design import Design
from calibration.encoding import Encoding, Epochs, Rules, epochs_of, fit_encoding
from calibration.hold_out import HeldOut, hold_out
from calibration.nested import Split, joined_groups
from calibration.patterns import decoder_patterns, encoding_patterns, strength
from calibration.splits import check_enough
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe

__all__ = [
    "P_SHOWN",
    "Encoded",
    "brief",
    "encode",
    "encoding_facts",
    "known_only",
    "vectors_of_model",
]

P_SHOWN = 0.05


class Encoded(NamedTuple):
    """What the network predicts of a recording."""

    ch_names: tuple[str, ...]
    epochs: Epochs
    encoding: Encoding
    strength: np.ndarray  # (c, t) SI units, standard deviation of what the patterns predict
    nuisance: Nuisance
    share: Share | None  # None without nuisance that varies
    held_out: HeldOut
    n_folds: int


def vectors_of_model(model: Model) -> Callable[..., np.ndarray]:
    """Return what looks texts up among a model's items: unit vectors, centred on its training mean.

    Parameters
    ----------
    model : Model
        With a map.

    Returns
    -------
    callable
        Takes texts, returns an array of shape (n, D); KeyError for another text.
    """
    place = {item: i for i, item in enumerate(model.items)}

    def look_up(texts: Sequence[str], **_: Any) -> np.ndarray:
        return np.asarray(model.vectors[[place[text] for text in texts]], float)

    return look_up


def known_only(design: Design, items: Sequence[str]) -> Design:
    """Keep the events that a live session would answer, of known items.

    Parameters
    ----------
    design : Design
    items : sequence of str

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        If too few are left.
    """
    known = set(items)
    answered = design.answered & np.array([label in known for label in design.labels])
    if not answered.any():
        raise ValueError(
            "need events of items that the model knows, got none; --language-model gives any word "
            "its vector"
        )
    kept = replace(design, answered=answered).answered_only()
    check_enough(kept.labels)
    return kept


def encode(
    model: Model,
    design: Design,
    embedder: Callable[..., np.ndarray],
    nuisance: Nuisance,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    recipe: Recipe | None = None,
    progress: Callable[[float], None] | None = None,
) -> Encoded:
    """Predict the brain around events from the network's vectors.

    Parameters
    ----------
    model : Model
        As from `encoding.epoch_model`.
    design : Design
        Built with it.
    embedder : callable
        Turns texts into vectors, as `language.embeddings.embed`.
    nuisance : Nuisance
        Of the same events.
    rules : Rules
        Permutations; its groups are those of the split.
    recipe : Recipe or None
        How words become vectors and events are held out; the model's by default. No block is
        locked: every event is tested once, and penalties are nested.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Encoded

    Raises
    ------
    ValueError
        As `hold_out.hold_out` and `encoding.fit_encoding`.
    """
    tell = progress or (lambda _: None)
    recipe = recipe or model.recipe
    target = replace(recipe.target, vocabulary="")
    recipe = replace(recipe, target=target, fit=replace(recipe.fit, final_block=0.0))
    held = hold_out(design, recipe, embedder)
    X, epochs = held.targets.Y, epochs_of(design, model)
    split = Split(held.groups, design.onsets, held.purge)
    rules = rules._replace(groups=held.units)
    found = fit_encoding(X, epochs.Y, split, rules, progress=lambda done: tell(0.5 * done))
    share = None
    if nuisance.columns.shape[1]:
        share = unique_share(
            X,
            nuisance.columns,
            epochs.Y,
            split,
            rules,
            progress=lambda done: tell(0.5 + 0.5 * done),
        )
    patterns = encoding_patterns(X, epochs.Y, split)
    return Encoded(
        model.info.ch_names[: model.n_picks], epochs, found, strength(patterns, X) * epochs.scale,
        nuisance, share, held, len(np.unique(joined_groups(held.groups, design.onsets))),
    )  # fmt: skip


def encoding_facts(found: Encoded, model: Model | None = None) -> dict[str, Any]:
    """Return everything as plain JSON.

    Parameters
    ----------
    found : Encoded
    model : Model or None
        With a map and a covariance: its decoder's patterns are told, too.

    Returns
    -------
    dict
        Tables are lists, a channel a row, a time a column.
    """
    one, held = found.encoding, found.held_out
    channel, time = np.unravel_index(int(np.argmax(one.r)), one.r.shape)
    facts = {
        "ch_names": list(found.ch_names),
        "times": found.epochs.times.tolist(),
        "r": one.r.tolist(),
        "low": one.low.tolist(),
        "high": one.high.tolist(),
        "p": one.p.tolist(),
        "strength": found.strength.tolist(),
        "tested": one.tested.tolist(),
        "null": one.null.tolist(),
        "p_smallest": one.p_smallest,
        "null_unit": one.unit,
        "alphas": one.penalties.alpha.tolist(),
        "best": {
            "channel": found.ch_names[channel],
            "time": float(found.epochs.times[time]),
            **{
                name: float(getattr(one, name)[channel, time]) for name in ("r", "low", "high", "p")
            },
        },
        "n_channels_above_chance": int(np.sum((one.p <= P_SHOWN).any(axis=1))),
        "split": {
            "n_events": len(found.epochs.Y),
            "n_items": len(set(held.targets.truth.tolist())),
            "n_folds": found.n_folds,
            "purge_s": held.purge,
            "memory_s": held.memory,
        },
        "unique": _share_facts(found),
    }
    if model is not None and model.has_map and model.covariance.size:
        patterns = decoder_patterns(model)
        facts["decoder_pattern"] = np.sqrt(np.mean(patterns**2, axis=2)).tolist()
    return facts


def _share_facts(found: Encoded) -> dict[str, Any] | None:
    share = found.share
    if share is None:
        return None
    tables = ("unique", "low", "high", "p", "both", "alone", "ratios")
    return {
        "nuisance": list(found.nuisance.names),
        **{name: getattr(share, name).tolist() for name in tables},
        "total": share.total._asdict(),
        "p_smallest": share.p_smallest,
        "null_unit": share.unit,
    }


def brief(facts: dict[str, Any]) -> dict[str, Any]:
    """Keep of the facts what a certificate holds, to four digits: a tenth of their length.

    Parameters
    ----------
    facts : dict
        Of `encoding_facts`.

    Returns
    -------
    dict
    """
    left_out = {"low", "high", "tested", "alphas", "decoder_pattern", "unique"}
    kept = {name: value for name, value in facts.items() if name not in left_out}
    kept["tested"] = float(np.max(facts["tested"]))
    if share := facts["unique"]:
        kept["unique"] = {
            name: share[name] for name in ("nuisance", "total", "unique", "p", "p_smallest")
        } | {"alone": float(np.mean(share["alone"]))}
    return {name: _rounded(value) for name, value in kept.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
