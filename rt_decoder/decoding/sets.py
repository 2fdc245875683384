"""Sets of items that hold the true one as often as wanted, whatever the probabilities are worth.

Calibration measures, on events that the map has not seen, how much probability stands above the true
item; half of its own counts, too. An item is in the set of a wanted share if no more stands above it
than at that share of these events (split conformal prediction). That holds for every item alike on
average, not for each item or each event by itself.

References
----------
Vovk et al. 2005, doi:10.1007/b106715; Romano et al. 2020, arXiv:2006.02544
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt_decoder.model import Model

__all__ = ["LEVELS", "cutoff_of", "mass_above", "named_set", "plausible"]

LEVELS = np.arange(1, 100) / 100  # shares for which a model knows its cutoff
_ROUNDING = 1e-9


def mass_above(probabilities: np.ndarray) -> np.ndarray:
    """Compute how much probability stands above each item, and half of its own.

    Parameters
    ----------
    probabilities : array of shape (n_items,)
        Items that are equally probable share a place.

    Returns
    -------
    array of shape (n_items,)
        From 0 to 1.

    Examples
    --------
    >>> mass_above(np.array([0.5, 0.25, 0.25])).tolist()
    [0.25, 0.75, 0.75]
    """
    values, place = np.unique(-np.asarray(probabilities, np.float64), return_inverse=True)
    own = -values * np.bincount(place)
    return np.asarray((np.cumsum(own) - own / 2)[place])


def cutoff_of(model: Model, level: float, *, spoken: bool = False) -> float:
    """Return the cutoff of a wanted share.

    Parameters
    ----------
    model : Model
        With cutoffs.
    level : float
        Share of events whose set is to hold the true item, above 0 and at most .99; it is rounded up
        to hundredths.
    spoken : bool
        Of events with a language's prior; 1 where the model has no language.

    Returns
    -------
    float
        1 where calibration was too short for so high a share: every item is in the set.

    Raises
    ------
    ValueError
        If the share is out of range, or the model was fitted without sets.
    """
    if not 0 < level <= LEVELS[-1]:
        raise ValueError(f"need a share above 0 and at most {LEVELS[-1]:g} for sets, got {level:g}")
    if not spoken and not model.set_cutoffs.size:
        raise ValueError("need a model that was fitted with sets, got an older one; fit it again")
    cutoffs = model.language_cutoffs if spoken else model.set_cutoffs
    return float(cutoffs[np.searchsorted(LEVELS, level - _ROUNDING)]) if cutoffs.size else 1.0


def plausible(probabilities: np.ndarray, cutoff: float) -> np.ndarray:
    """List the items of a set.

    Parameters
    ----------
    probabilities : array of shape (n_items,)
        Items of probability 0 are never in it.
    cutoff : float
        Of `cutoff_of`.

    Returns
    -------
    array of shape (n,), int
        The most probable first, at least one.
    """
    order = np.argsort(-probabilities, kind="stable")
    held = mass_above(probabilities) <= cutoff + _ROUNDING
    held[order[0]] = True
    return order[held[order] & (probabilities[order] > 0)]


def named_set(p: np.ndarray | None, cutoff: float, items: Sequence[str]) -> tuple[str, ...]:
    """Name the items of a set.

    Parameters
    ----------
    p : array of shape (n_items,) or None
        Probabilities; None stands for all, as where the window is bad, or among other candidates:
        calibration had neither.
    cutoff : float
        Of `cutoff_of`.
    items : sequence of str

    Returns
    -------
    tuple of str
        Empty for all.
    """
    chosen = np.zeros(0, int) if p is None else plausible(p, cutoff)
    is_all = p is None or len(chosen) == np.count_nonzero(p)
    return () if is_all else tuple(items[i] for i in chosen)
