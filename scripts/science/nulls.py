"""Nulls: people whose signal has nothing to do with words, and some whose signal has.

Each person has 600 events of 40 words (8 categories, vectors alike within a category); four fifths
train, the last fifth is locked, and all goes through `fit_model`. Words come at random in white noise,
or in runs of a category in AR(.9) noise; artifact channels are noise of the same kind. With signal,
the response to a word is a linear function of its vector, and artifact channels stay noise.

Goals: without signal every null has p < .05 in no more people than chance allows (99.9 %); with signal
every null of the model is rejected in half of the people, and artifact channels still are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from nulls_designs import design_of, fitted, in_runs, noise
from scipy.stats import binom

from calibration.ridge import alphas_default

N_EVENTS, N_ITEMS, N_CATEGORIES, N_DIMENSIONS, N_FEATURES = 600, 40, 8, 16, 8
SPOKEN = {"at random": (False, 0.0), "in runs": (True, 0.9)}


def judge(n_people: int, seed: int) -> dict[str, Any]:
    """Fit people without signal and with it, and count how often each null is rejected.

    Parameters
    ----------
    n_people : int
        Of each kind.
    seed : int

    Returns
    -------
    dict
        `figures` and `goals`.
    """
    figures: dict[str, Any] = {}
    goals: dict[str, bool] = {}
    most = int(binom.ppf(0.999, n_people, 0.05))
    for number, (name, (runs, memory)) in enumerate(SPOKEN.items()):
        for signal in (0.0, 0.3):
            kind = f"{name}, {'signal' if signal else 'no signal'}"
            found = [
                person([seed, number, int(signal > 0), i], runs, memory, signal)
                for i in range(n_people)
            ]
            kept = [one for one in found if one is not None]
            rows = {row for one in kept for row in one}
            below = {row: sum(one.get(row, 1.0) < 0.05 for one in kept) for row in sorted(rows)}
            figures[kind] = {row: count / max(1, len(kept)) for row, count in below.items()}
            figures[kind]["refused"] = len(found) - len(kept)
            blind = {"artifacts"} if signal else rows
            goals[f"{kind}: found no more than by chance"] = all(
                below[row] <= most for row in blind & rows
            )
            if signal:
                wanted = ("prior", "permutation", "circular_shift", "phases")
                goals[f"{kind}: found"] = all(below[row] >= len(kept) / 2 for row in wanted)
    return {"figures": figures, "goals": goals}


def person(
    seed: Sequence[int], runs: bool, memory: float, signal: float
) -> dict[str, float] | None:
    """Fit one person; the p of every null, or None where the fit is refused."""
    rng = np.random.default_rng(seed)
    category = np.arange(N_ITEMS) % N_CATEGORIES
    centres = rng.normal(size=(N_CATEGORIES, N_DIMENSIONS))
    vectors = centres[category] + 0.7 * rng.normal(size=(N_ITEMS, N_DIMENSIONS))
    words = in_runs(rng, N_EVENTS, category) if runs else rng.integers(0, N_ITEMS, N_EVENTS)
    mixing = rng.normal(size=(N_DIMENSIONS, N_FEATURES)) / 4
    X = noise(rng, N_EVENTS, N_FEATURES, memory) + signal * (vectors @ mixing)[words]
    names = [f"{'w' * int(rng.integers(1, 9))}{i}" for i in range(N_ITEMS)]
    design = design_of(X, [names[word] for word in words], 1.0)
    design = replace(design, artifacts=noise(rng, N_EVENTS, 4, memory).astype(np.float32))

    def embedder(texts: Sequence[str], **_: Any) -> np.ndarray:
        return vectors[[names.index(text) for text in texts]]

    alphas = alphas_default(X[: 4 * N_EVENTS // 5], 5).tolist()
    try:
        made = fitted(design, embedder, {"n_permutations": 199, "alphas": alphas})
    except ValueError:  # what is refused is told
        return None
    return {name: row["p"] for name, row in made.certificate["nulls"].items() if "p" in row}
