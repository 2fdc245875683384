"""Another vocabulary or model in mid-session: what may follow what, and what is carried over.

Samples go on through the stages that are there, so another model must clean and window as the one
that runs: a later fit of the same cleaning, such as of `refit`, or one of other items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rt_decoder.model import Model
from rt_decoder.signal import Choice

__all__ = ["carried", "check_follows", "grown"]

_SAME_ARRAYS = ("sos", "channel_jump")
_SAME_SECTIONS = ("stream", "filter", "clean")
_SAME_FEATURES = ("kind", "tmin", "tmax", "decim", "baseline", "bands", "band_order", "clamp")
# of [target]: how items become vectors, which may differ
_FREE = ("vocabulary", "embedding", "layer", "pooling", "vectors", "stimuli", "context", "power")


def grown(model: Model, items: Sequence[str], vectors: np.ndarray) -> Model:
    """Return a model with more items.

    A new item is as probable beforehand as the others are on average, and as biased.

    Parameters
    ----------
    model : Model
        With a map.
    items : sequence of str
        Those that it lacks.
    vectors : array of shape (n, D)
        Embeddings of the items, by the model that `[target] embedding` names; not centred.

    Returns
    -------
    Model
        Its first items are those before. It has no sets: their cutoffs hold for the items of
        calibration.

    Raises
    ------
    ValueError
        If an item is there, comes twice or is empty, or its vector is of another size, not finite, or
        the mean of all.
    """
    if not model.has_map:
        raise ValueError("need a model with a map to add items, got one that only cleans")
    items, known = tuple(items), set(model.items)
    for place, item in enumerate(items):
        if not isinstance(item, str) or not item or item in known or item in items[:place]:
            raise ValueError(f"need new items, each once, got {item!r}")
    given = np.asarray(vectors, np.float64)
    if not items or given.shape != (len(items), len(model.target_mean)):
        raise ValueError(
            f"need a vector of {len(model.target_mean)} numbers for each of 1 item or more, got "
            f"shape {given.shape} for {len(items)}"
        )
    power, transform = model.recipe.target.power, model.target_transform
    if power != 1 and not transform.size:
        raise ValueError(
            f"need a model that knows how its target power of {power:g} changes vectors, got an older "
            "one: fit it again"
        )
    centred = given - model.target_mean
    if transform.size:
        centred = centred @ transform
    lengths = np.linalg.norm(centred, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("need vectors that are finite and not the mean of all items, got others")
    unit = (centred / lengths[:, None]).astype(model.vectors.dtype)
    prior = model.log_prior
    usual = np.logaddexp.reduce(prior) - np.log(len(prior))
    log_prior = np.concatenate((prior, np.full(len(items), usual)))
    log_prior -= np.logaddexp.reduce(log_prior) - np.logaddexp.reduce(prior)
    lengths_of = model.target_lengths
    return replace(
        model,
        items=(*model.items, *items),
        vectors=np.concatenate((model.vectors, unit)),
        log_prior=log_prior.astype(prior.dtype),
        item_bias=_longer(model.item_bias, len(items)),
        target_lengths=_longer(lengths_of, len(items)),
        set_cutoffs=np.zeros(0),
        language_cutoffs=np.zeros(0),
        windows=tuple(
            replace(one, item_bias=_longer(one.item_bias, len(items))) for one in model.windows
        ),
    )


def _longer(values: np.ndarray, n: int) -> np.ndarray:
    """Values (V,) with their mean for n more; none stay none."""
    if not values.size:
        return values
    return np.concatenate((values, np.full(n, values.mean(), values.dtype)))


def check_follows(model: Model, before: Model) -> None:
    """Raise ValueError, with what differs, unless a model can follow another in mid-session."""
    if not model.has_map or model.alignment is not None or before.alignment is not None:
        raise ValueError(
            "need models with a map that is not kept aligned to swap them, got one that only cleans or "
            "adapts"
        )
    differs = []
    now, old = model.info, before.info
    if (now.ch_names, now.ch_types, now.sfreq) != (old.ch_names, old.ch_types, old.sfreq):
        differs.append("channels or rate")
    differs += [
        f"[{name}]"
        for name in _SAME_SECTIONS
        if getattr(model.recipe, name) != getattr(before.recipe, name)
    ]
    features, others = model.recipe.features, before.recipe.features
    differs += [
        f"[features] {name}"
        for name in _SAME_FEATURES
        if getattr(features, name) != getattr(others, name)
    ]
    if model.recipe.readout.repeats != before.recipe.readout.repeats:
        differs.append("[readout] repeats")
    if model.recipe.target != replace(
        before.recipe.target, **{name: getattr(model.recipe.target, name) for name in _FREE}
    ):
        differs.append("how labels become items in [target]")
    if not all(np.array_equal(getattr(model, n), getattr(before, n)) for n in _SAME_ARRAYS):
        differs.append("filters or limits of channels")
    if model.references != before.references or not _equal(model.cleaning, before.cleaning):
        differs.append("what cleaning was fitted on")
    if differs:
        raise ValueError(
            "need a model that cleans and windows as the one that runs (a refit, or other items), got "
            f"one with other {', '.join(differs)}"
        )


def _equal(one: object, other: object) -> bool:
    """Whether tables of arrays and plain values are the same."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def carried(choice: Choice, model: Model) -> Choice:
    """Return a choice as it holds for a model: without candidates or prior that it does not know."""
    named = {*choice.candidates, *(choice.prior or ())}
    if named <= set(model.items):
        return choice
    return replace(choice, candidates=(), prior=None)
