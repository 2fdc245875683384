"""Ideas: simulated people who read runs of words of one category.

Each person has 1,000 events of 60 words in 10 categories, in runs of 4 to 8; four fifths train, the
last fifth is locked, and all goes through `fit_model`. The response to a word is a linear function of
its vector, in slow noise. Where ideas exist, vectors of a category are alike; where there are none,
all vectors are independent. Scores are those of the certificate's locked block.

Goals: with ideas, the idea of a run is decoded better than the items from single events; in both
cases ideas of random items are at chance (mean within .01 and three standard errors of .5); without
ideas, ideas are not above the same items pooled in random groups (p < .05 in no more people than
chance allows, 99.9 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nulls_designs import design_of, fitted, in_runs, noise
from scipy.stats import binom

from calibration.ridge import alphas_default

N_EVENTS, N_ITEMS, N_CATEGORIES, N_DIMENSIONS, N_FEATURES = 1000, 60, 10, 16, 12


def judge(n_people: int, seed: int) -> dict[str, Any]:
    """Simulate people with ideas and without.

    Parameters
    ----------
    n_people : int
    seed : int

    Returns
    -------
    dict
        `figures` and `goals`.
    """
    figures: dict[str, Any] = {}
    goals: dict[str, bool] = {}
    for name, alike in (("ideas", 1.0), ("no ideas", 0.0)):
        found = [person([seed, int(alike), i], alike) for i in range(n_people)]
        mean = {
            key: float(np.mean([one[key] for one in found]))
            for key in ("rank_accuracy", "single", "items", "permuted", "pooled")
        }
        error = float(np.std([one["permuted"] for one in found])) / np.sqrt(n_people)
        beyond = int(np.sum([one["p_beyond"] < 0.05 for one in found]))
        figures[name] = mean | {"share_beyond": beyond / n_people}
        goals[f"{name}: random items are at chance"] = bool(
            abs(mean["permuted"] - 0.5) <= 0.01 + 3 * error
        )
        if alike:
            goals["ideas are decoded better than items"] = mean["rank_accuracy"] > mean["items"]
            goals["ideas of runs better than of events"] = mean["rank_accuracy"] > mean["single"]
        else:
            most = int(binom.ppf(0.999, n_people, 0.05))
            goals["no ideas: pooling alone is not taken for ideas"] = beyond <= most
    return {"figures": figures, "goals": goals}


def person(seed: Sequence[int], alike: float) -> dict[str, float]:
    """Scores of one person's ideas in the locked block."""
    rng = np.random.default_rng(seed)
    category = np.arange(N_ITEMS) % N_CATEGORIES
    centres = alike * rng.normal(size=(N_CATEGORIES, N_DIMENSIONS))
    vectors = centres[category] + rng.normal(size=(N_ITEMS, N_DIMENSIONS))
    words = in_runs(rng, N_EVENTS, category)
    mixing = rng.normal(size=(N_DIMENSIONS, N_FEATURES)) / 4
    X = noise(rng, N_EVENTS, N_FEATURES, 0.5) + 0.2 * (vectors @ mixing)[words]
    names = [f"category {category[word]}" for word in words]
    design = design_of(X, [f"word{i}" for i in words], 1.0, ideas=names)

    def embedder(texts: Sequence[str], **_: Any) -> np.ndarray:
        return vectors[[int(text.removeprefix("word")) for text in texts]]

    alphas = alphas_default(X[: 4 * N_EVENTS // 5], 5).tolist()
    rules = {"n_permutations": 99, "alphas": alphas, "nulls": False}
    return fitted(design, embedder, rules).certificate["ideas"]["final"]
