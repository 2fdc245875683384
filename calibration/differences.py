"""Tell whether layers differ: their largest difference against resampling without any."""

from __future__ import annotations

import numpy as np

__all__ = ["LEVEL", "alike", "spread_test"]

LEVEL = 0.05


def alike(
    each: np.ndarray, counted: tuple[list[np.ndarray], np.ndarray], by_text: np.ndarray
) -> tuple[np.ndarray, float]:
    """Tell which layers differ from the best one by no more than chance.

    Parameters
    ----------
    each : array of shape (L, n)
        Score of each event by each layer.
    counted : (list of array of shape (n_unit,), array of shape (n_draws, n_units))
        As from `units.bootstrap_counts`.
    by_text : array of shape (L, K)
        Part of each text in the sum of scores, as the true one and as one of the others. Texts are
        resampled, too: a layer that is better for the very texts shown need not be better.

    Returns
    -------
    alike : array of shape (L,), bool
        The best one, and those less far from it than the largest difference between any two layers
        in 95 % of draws in which none differs.
    p : float
        Share of these draws with a difference as large as the observed one, the larger of events
        and texts.
    """
    units, counts = counted
    sums = np.stack([each[:, rows].sum(axis=1) for rows in units], axis=1)
    same, p = spread_test(sums, np.array([len(rows) for rows in units], float), counts)
    n_texts = by_text.shape[1]
    drawn = np.random.default_rng(0).multinomial(
        n_texts, np.full(n_texts, 1 / n_texts), size=len(counts)
    )
    mean = each.mean(axis=1)
    parts = by_text * n_texts / each.shape[1]
    same_texts, p_texts = _compared(mean, _spread(parts, np.ones(n_texts), drawn))
    return same | same_texts, max(p, p_texts)


def spread_test(
    sums: np.ndarray, sizes: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, float]:
    """Test the largest difference between layers as `alike`, from sums.

    Parameters
    ----------
    sums : array of shape (L, n_units)
        Of each unit's scores.
    sizes : array of shape (n_units,)
        Events of each unit.
    counts : array of shape (n_draws, n_units)
        How often each unit was drawn.

    Returns
    -------
    alike : array of shape (L,), bool
    p : float
    """
    return _compared(sums.sum(axis=1) / sizes.sum(), _spread(sums, sizes, counts))


def _spread(sums: np.ndarray, sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Largest difference between layers in every draw, all having the same mean."""
    paired = sums - sums.mean(axis=0)  # only differences count
    mean = paired.sum(axis=1) / sizes.sum()
    drawn = counts @ (paired - np.outer(mean, sizes)).T / (counts @ sizes)[:, None]
    return np.ptp(drawn, axis=1)


def _compared(mean: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, float]:
    """Tell which layers are no further from the best than draws without a difference, and p."""
    away = mean.max() - mean
    p = (1 + np.sum(spread >= away.max() - 1e-12)) / (1 + len(spread))
    return away <= max(np.quantile(spread, 1 - LEVEL), 1e-12), float(p)
