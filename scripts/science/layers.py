"""Layers of simulated people: recovered in order, or no difference said when there is none.

Five layers of 24 words, 12 dimensions each, 320 events in folds of 20.

`order`: neighbouring layers share half of their variance; the brain at the k-th of five times follows
layer k, with two channels, and so do the features of decoding, from layer 2 alone.

`same`: all layers are one part that drives the brain throughout, beside an own one that does not.

Goals: in `order` the best layer rises with the time (p <= .05) in 90 % of people, and their mean rank
correlation is above .7; the layer that drives is among those as good as the best in 90 %. In `same` a
difference (p <= .05) or an order is found as rarely as asked, or less often (one-sided binomial test at
.01).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from calibration.encoding import Rules
from calibration.layer_maps import encode_layers
from calibration.layers import Layers, decode_layers
from science.encoding import split_of

N, WORDS, DIMS, LAYERS, CHANNELS = 320, 24, 12, 5, 2
DRIVES, N_PERMUTATIONS = 2, 199
TIMES = np.arange(LAYERS) * 0.1


def judge(n_people: int, seed: int) -> dict[str, Any]:
    """Simulate people; return figures and goals."""
    ordered, same = (_condition(n_people, seed, same=one) for one in (False, True))

    def rare(share: float) -> bool:
        n = round(share * n_people)
        return bool(binomtest(n, n_people, 0.05, alternative="greater").pvalue > 0.01)

    return {
        "figures": {"order": ordered, "same": same},
        "goals": {
            "order found in 90 % of people": ordered["order p <= .05"] >= 0.9,
            "rank correlation with time above .7": ordered["rank correlation with time"] > 0.7,
            "the layer that drives is as good as the best in 90 %": ordered["driver kept"] >= 0.9,
            "no difference of decoding said": rare(same["decoding differs"]),
            "no difference of encoding said": rare(same["encoding differs"]),
            "no order said": rare(same["order p <= .05"]),
        },
    }


def _condition(n_people: int, seed: int, *, same: bool) -> dict[str, float]:
    rows = []
    for one in range(n_people):
        rng = np.random.default_rng([seed, one])
        vectors = _vectors(rng, same=same)
        which = rng.integers(WORDS, size=N)
        layers = Layers(tuple(f"layer {k}" for k in range(LAYERS)), vectors, which)
        drive = [vectors[0] if same else vectors[k] for k in range(LAYERS)]
        if same:  # what all layers share
            drive = [
                np.hstack([one[:, : DIMS // 2], np.zeros((WORDS, DIMS // 2))]) for one in drive
            ]
        Y = np.stack([_noisy(rng, drive[k][which], CHANNELS, 1.0) for k in range(LAYERS)], axis=2)
        maps = encode_layers(layers, Y, TIMES, split_of(N), Rules(N_PERMUTATIONS, one))
        X = _noisy(rng, drive[DRIVES][which], 30, 0.3)
        scores = decode_layers(X, layers, split_of(N), Rules(1, one))
        order = maps.latency
        rows.append(
            {
                "rank correlation with time": order.correlation if order else 0.0,
                "order p <= .05": order is not None and order.p <= 0.05,
                "encoding differs": not maps.alike.all(),
                "decoding differs": not scores.alike.all(),
                "driver kept": scores.alike[DRIVES],
                "driver best": scores.rank_accuracy[:, 0].argmax() == DRIVES,
                "layers as good as the best": scores.alike.sum(),
                "rank accuracy, best": scores.rank_accuracy[:, 0].max(),
                "rank accuracy, chosen in inner folds": scores.nested[0],
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _vectors(rng: np.random.Generator, *, same: bool) -> list[np.ndarray]:
    """Vectors (WORDS, DIMS) of each layer."""
    if same:
        shared = rng.normal(size=(WORDS, DIMS // 2))
        return [np.hstack([shared, rng.normal(size=shared.shape)]) for _ in range(LAYERS)]
    found = [rng.normal(size=(WORDS, DIMS))]
    for _ in range(LAYERS - 1):
        found.append((found[-1] + rng.normal(size=(WORDS, DIMS))) / np.sqrt(2))
    return found


def _noisy(rng: np.random.Generator, vectors: np.ndarray, n: int, snr: float) -> np.ndarray:
    """Channels (n_events, n) that follow vectors, and noise of standard deviation 1."""
    weights = rng.normal(size=(vectors.shape[1], n)) * snr / np.sqrt(vectors.shape[1])
    return vectors @ weights + rng.normal(size=(len(vectors), n))
