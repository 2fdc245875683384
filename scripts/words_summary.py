"""Figures of one map over people, for eval_words.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import sem, t, ttest_1samp, ttest_rel
from words_maps import Decoded, pooled
from words_today import against_chance, bits_of

from calibration.ideas import idea_scores

REPEATS = (2, 4, 8, 12)  # trials of one word, pooled


def summary(found: list[Decoded], before: list[Decoded] | None = None) -> dict[str, Any]:
    """Scores over people, each person's, what was chosen, and pooled repeats."""
    accuracies = [one.rank_accuracy for one in found]
    pools = {n: [pooled(one, n) for one in found] for n in REPEATS}
    scores: dict[str, Any] = against_chance(found) | {
        "each": accuracies,
        "interval": interval(accuracies),
        "bits_per_word": float(np.mean([bits_of(one) for one in found])),
        "chosen": [one.facts for one in found],
        "repeats": {
            str(n): None if None in values else float(np.mean(values))
            for n, values in pools.items()
        },
    }
    return scores | gain(scores, [one.rank_accuracy for one in before]) if before else scores


def interval(values: list[float]) -> list[float] | None:
    """Confidence interval of the mean over people, 95 %; None for one."""
    n = len(values)
    if n < 2:
        return None
    away = t.ppf(0.975, n - 1) * sem(values)
    return [float(np.mean(values) - away), float(np.mean(values) + away)]


def gain(scores: dict[str, Any], before: list[float]) -> dict[str, Any]:
    """How many people are better than by today's map, and the p of a paired t-test."""
    difference = np.subtract(scores["each"], before)
    p = None if len(before) < 2 or np.ptp(difference) == 0 else ttest_rel(scores["each"], before)
    return {"n_better": int(np.sum(difference > 0)), "p_better": p and float(p.pvalue)}


def curve(counts: list[int], found: list[list[Decoded]]) -> dict[str, float]:
    means = np.mean([[one.rank_accuracy for one in each] for each in found], axis=0)
    return {str(n): float(mean) for n, mean in zip(counts, means, strict=True)}


def unseen_summary(novel: list[tuple[float, np.ndarray]]) -> dict[str, float]:
    """Mean over people, and its null: every person's words given others' vectors."""
    observed, null = np.mean([one for one, _ in novel]), np.mean([n for _, n in novel], axis=0)
    return {
        "rank_accuracy": float(observed),
        "null": float(null.mean()),
        "null_95": float(np.quantile(null, 0.95)),
        "p": float((np.sum(null >= observed) + 1) / (len(null) + 1)),
    }


def ideas_summary(found: list[Decoded], categories: np.ndarray) -> dict[str, Any]:
    """Category from runs of words of one category, beside single words and controls."""
    each = [
        idea_scores(
            one.similarity, one.truth, one.items, categories[one.truth].tolist(), one.truth * 0
        )
        for one in found
        if one.items is not None
    ]
    if not all(each):
        return {}
    names = ("n", "events", "rank_accuracy", "single", "items", "permuted", "pooled")
    means: dict[str, Any] = {name: float(np.mean([one[name] for one in each])) for name in names}
    accuracies = [one["rank_accuracy"] for one in each]
    beyond = np.subtract(accuracies, [one["pooled"] for one in each])
    p = [
        ttest_1samp(v, m).pvalue if len(v) > 1 else None
        for v, m in ((accuracies, 0.5), (beyond, 0))
    ]
    return means | {
        "each": accuracies,
        "interval": interval(accuracies),
        "p": p[0] and float(p[0]),
        "p_beyond": p[1] and float(p[1]),
    }
