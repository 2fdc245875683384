r"""Tell whether layers differ: their largest difference against resampling without any.

Both events and texts are a sample: a layer that is better for the very texts shown need not be better.
The error of a difference has a part of each,

.. math:: \mathrm{var} \le \mathrm{var}_\mathrm{events} + \mathrm{var}_\mathrm{texts} ,

so that draws of both are added. Either alone, or the larger of both, is too narrow: of people in whom
no layer differs, 9 to 13 % show a difference then. The sum counts the noise of events partly twice, for
events belong to texts; in turn it holds that of the maps, which neither draws.

References
----------
Cameron, Gelbach, Miller 2011, doi:10.1198/jbes.2010.07136 (errors clustered twice); Clark 1973,
doi:10.1016/S0022-5371(73)80014-3 (texts are a sample).
"""

from __future__ import annotations

import numpy as np

__all__ = ["LEVEL", "alike"]

LEVEL = 0.05
N_DRAWS = 2000
LEAST = 6  # units, and texts: fewer tell no difference


def alike(
    sums: np.ndarray, sizes: np.ndarray, by_text: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, float]:
    """Tell which layers differ from the best one by no more than chance.

    Parameters
    ----------
    sums : array of shape (L, n_units)
        Sum of the scores of each unit of events (or person), by each layer.
    sizes : array of shape (n_units,)
        Events of each unit.
    by_text : array of shape (L, K)
        Part of each text in the sum of all scores.
    seed : int

    Returns
    -------
    alike : array of shape (L,), bool
        The best one, and those less far from it than the largest difference between any two layers
        in 95 % of draws in which none differs. All, with fewer than 6 units or texts.
    p : float
        Share of these draws with a difference as large as the observed one.
    """
    sums, sizes, by_text = (np.asarray(table, float) for table in (sums, sizes, by_text))
    if min(sums.shape[1], by_text.shape[1]) < LEAST:
        return np.ones(len(sums), bool), 1.0
    rng, n = np.random.default_rng(seed), sizes.sum()
    mean = sums.sum(axis=1) / n
    paired = sums - sums.mean(axis=0)  # only differences count
    away_of_units = paired - np.outer(mean - mean.mean(), sizes)
    drawn = _drawn(away_of_units, rng) + _drawn(by_text - by_text.mean(axis=0), rng)
    spread, away = np.ptp(drawn, axis=1) / n, mean.max() - mean
    p = (1 + np.sum(spread >= away.max() - 1e-12)) / (1 + N_DRAWS)
    return away <= max(np.quantile(spread, 1 - LEVEL), 1e-12), float(p)


def _drawn(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deviations of the sums of columns (L, m), drawn with replacement: (n_draws, L)."""
    m = table.shape[1]
    counts = rng.multinomial(m, np.full(m, 1 / m), size=N_DRAWS) - 1.0
    return np.sqrt(m / (m - 1)) * counts @ table.T
