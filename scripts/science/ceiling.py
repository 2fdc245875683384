"""The ceiling of simulated people whose best possible decoder is known.

24 items, 12 repeats, 40 features with correlated noise; item means at four sizes, 0 among them. Halves
in order of time. The truth is the rank accuracy of 4,000 new events by the true means and the true
covariance of noise, and the correlation of a channel with the true item means.

`60 features`: as many as the noise of so few events may have (two repeats a feature); of 100 no ceiling is
told.

Goals: in 90 % of people, at every size, no more than the upper end of the interval is truly reached,
and no less than the lower bound, with .01 for the sampling of new events. Of all people together, the
mean squared distance is that of truth within 3.3 standard errors at every size; and where items differ
(a root of chance is not), the ceiling of 40 features is within .03 of truth. The mean share of variance
is within .005.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

from calibration.ceiling import explainable, r_ceiling, rank_ceiling, why_none
from calibration.scores import rank_accuracy

WORDS, REPEATS, N_NEW = 24, 12, 4000
SIZES = (0.0, 0.5, 1.0, 2.0)  # distance of two items in standard deviations of noise
ROOM = 0.01


def judge(n_people: int, seed: int) -> dict[str, Any]:
    """Simulate people; return figures and goals."""
    figures = {
        name: {str(size): _condition(size, p, n_people, seed) for size in SIZES}
        for name, p in (("40 features", 40), ("60 features", 60))
    }
    every = [one for table in figures.values() for one in table.values()]
    usual = figures["40 features"].values()
    differ = [figures["40 features"][str(size)] for size in SIZES if size]
    items = np.arange(WORDS * REPEATS) % WORDS
    rows = np.array_split(np.arange(WORDS * REPEATS), 2)
    return {
        "figures": figures,
        "goals": {
            "none told of too many features": bool(why_none(100, items, (rows[0], rows[1]))),
            "the upper bound holds in 90 %": all(one["upper holds"] >= 0.9 for one in every),
            "the lower bound holds in 90 %": all(one["lower holds"] >= 0.9 for one in every),
            "the squared distance is unbiased": all(
                abs(one["squared, excess"]) <= 3.3 * one["its error"] for one in every
            ),
            "the ceiling is near truth": all(
                abs(one["ceiling of all"] - one["truth"]) < 0.03 for one in differ
            ),
            "the ceiling of r is near truth": all(
                abs(one["ceiling of r of all"] ** 2 - one["true r"] ** 2) < 0.005 for one in usual
            ),
        },
    }


def _condition(size: float, p: int, n_people: int, seed: int) -> dict[str, float]:
    rows = []
    for one in range(n_people):
        rng = np.random.default_rng([seed, one, p])
        mixing = np.linalg.qr(rng.normal(size=(p, p)))[0] * rng.uniform(0.5, 2.0, p)
        white = rng.normal(size=(WORDS, p)) * size / np.sqrt(2 * p)  # means, in whitened space
        items = rng.permutation(np.repeat(np.arange(WORDS), REPEATS))
        X = (white[items] + rng.normal(size=(len(items), p))) @ mixing
        parts = np.array_split(np.arange(len(items)), 2)
        found = rank_ceiling(X, items, (parts[0], parts[1]), seed=one)
        new = rng.integers(WORDS, size=N_NEW)
        seen = white[new] + rng.normal(size=(N_NEW, p))
        truth = rank_accuracy(seen @ white.T - 0.5 * np.sum(white**2, axis=1), new).mean()
        response = white @ mixing
        variance = response.var(axis=0)
        true_r = np.sqrt(variance / (variance + np.sum(mixing**2, axis=0)))
        share = explainable(X[:, :, None], items, (parts[0], parts[1]), seed=one)
        rows.append(
            {
                "truth": truth,
                "ceiling": found.rank_accuracy,
                "low": found.low,
                "high": found.high,
                "reached": found.reached,
                "upper holds": truth <= found.high + ROOM,
                "lower holds": truth >= found.reached - ROOM,
                "true r": np.sqrt(np.mean(true_r**2)),
                "squared": found.squared,
                "squared, excess": found.squared - _mean_squared(white),
                "share": np.mean(share[0]),
                "upper r holds": np.mean(true_r <= r_ceiling(share)[2, :, 0] + ROOM),
            }
        )
    told = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return told | {
        "its error": float(np.std([row["squared, excess"] for row in rows]) / np.sqrt(n_people)),
        "ceiling of all": float(norm.cdf(np.sqrt(max(told.pop("squared"), 0.0)) / 2)),
        "ceiling of r of all": float(np.sqrt(max(told.pop("share"), 0.0))),
    }


def _mean_squared(white: np.ndarray) -> float:
    """Mean squared distance of two items (V, p)."""
    centred = white - white.mean(axis=0)
    return float(2 * np.sum(centred**2) / (len(white) - 1))
