"""Add to an encoding what limits it: hidden layers, ceiling from repeats, learning curve.

Features are the scaled samples around each event, those of all channels and times together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from calibration.ceiling import ceiling_facts
from calibration.design import Design
from calibration.encode import Encoded
from calibration.encoding import Rules
from calibration.language.embeddings import embed_layers
from calibration.layer_maps import encode_layers, map_facts
from calibration.layers import Layers, decode_layers, layer_facts
from calibration.learning import learning_curve, learning_facts
from calibration.nested import Split
from rt_decoder.recipe import Target

__all__ = ["limit_facts", "text_layers"]


def text_layers(design: Design, target: Target) -> Layers:
    """Compute the vectors of all hidden layers for the events of a design, in one pass.

    Parameters
    ----------
    design : Design
    target : Target
        Language model, pooling, and whether words are read in their sentences.

    Returns
    -------
    Layers
        Of each text, or each text in its sentence.

    Raises
    ------
    ValueError
        As `language.embeddings.embed_layers`, or if there are no sentences.
    """
    if target.context and design.contexts is None:
        raise ValueError("need an events table for words in sentence context, got none")
    contexts = design.contexts if target.context and design.contexts else None
    events = list(zip(design.labels, contexts or [None] * len(design.labels), strict=True))
    texts = list(dict.fromkeys(events))
    place = {text: k for k, text in enumerate(texts)}
    vectors = embed_layers(
        [label for label, _ in texts],
        model=target.embedding,
        pooling=target.pooling,
        contexts=None if contexts is None else [context for _, context in texts if context],
        progress=lambda *_: None,
    )
    names = ["input", *(f"layer {k}" for k in range(1, len(vectors)))]
    return Layers(tuple(names), list(vectors), np.array([place[event] for event in events]))


def limit_facts(
    found: Encoded,
    design: Design,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    layers: Layers | None = None,
    positions: np.ndarray | None = None,
    learning: bool = False,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Compute what limits an encoding, as plain JSON.

    Parameters
    ----------
    found : Encoded
    design : Design
        That it was made of.
    rules : Rules
        Permutations, seed, memory.
    layers : Layers or None
        Of the same events; None leaves them out.
    positions : array of shape (c, 3), optional
        Of the channels.
    learning : bool
        Whether to measure the learning curve, which fits a hundred maps.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    dict
        `ceiling` always; `learning`, `layers` and `layer_maps` where asked for.

    Raises
    ------
    ValueError
        If a layer does not vary.
    """
    tell = progress or (lambda _: None)
    held, Y = found.held_out, found.epochs.Y
    X, which = Y.reshape(len(Y), -1), held.targets.truth
    split = Split(held.groups, design.onsets, held.purge)
    rules = rules._replace(memory=max(rules.memory, found.encoding.unit // 2), groups=held.units)
    units = np.arange(len(Y)) // found.encoding.unit
    facts: dict[str, Any] = {"ceiling": ceiling_facts(X, Y, which, units, rules.seed)}
    tell(0.2)
    if learning:
        curve = learning_curve(
            X, held.targets.item_vectors, which, split, rules,
            progress=lambda done: tell(0.2 + 0.3 * done),
        )  # fmt: skip
        facts["learning"] = learning_facts(curve, float(np.ptp(design.onsets)) / 60, len(Y))
    if layers is not None:
        facts["layers"] = layer_facts(
            decode_layers(X, layers, split, rules, progress=lambda done: tell(0.5 + 0.25 * done))
        )
        facts["layer_maps"] = map_facts(
            encode_layers(
                layers, Y, found.epochs.times, split, rules, positions=positions,
                progress=lambda done: tell(0.75 + 0.25 * done),
            )
        )  # fmt: skip
    tell(1.0)
    return facts
