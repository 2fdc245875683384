"""Find the probability below which to abstain, so that answers are demonstrably right often enough.

At each of twenty thresholds, one per 5 % of coverage, the Clopper-Pearson bound says how precise the
answers are at least; the twenty bounds hold together (Learn then Test, Bonferroni). Any choice made
from such bounds keeps its promise: the threshold, and the precision too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["NEVER", "Abstention", "fit_abstention"]

NEVER = 2.0  # a threshold that no probability reaches
_COVERAGES = np.arange(1.0, 0.0, -0.05)
_LADDER = np.arange(0.95, 0.0, -0.05).round(2)  # precisions to choose from
_WORTH = 0.2  # least coverage for which a precision is chosen


class Abstention(NamedTuple):
    """Answer when the winner's probability is at least `threshold`."""

    threshold: float  # 0 always answers, above 1 never does
    precision: float  # share of right answers on the fitting data; NaN without answers
    coverage: float  # share of items answered
    wanted: float  # precision that is kept; 0 promises none, NaN if none could be chosen


def fit_abstention(
    confidence: np.ndarray,
    correct: np.ndarray,
    precision: float,
    *,
    groups: np.ndarray | None = None,
    above: float = 0.0,
    risk: float = 0.1,
) -> Abstention:
    """Find the lowest threshold at which answers demonstrably reach the wanted precision.

    For trials that are independent between groups, the precision of later answers falls below the
    target with probability `risk` at most. If no threshold passes, the decoder always abstains.

    Parameters
    ----------
    confidence : array of shape (n_trials,)
        Out-of-fold probability of the winner.
    correct : array of shape (n_trials,), bool
    precision : float
        Wanted share of right answers, in [0, 1); 0 always answers. -1 chooses the highest of .95,
        .9, ... .1 that is reached for a fifth of the trials or more and is above `above`.
    groups : array of shape (n_trials,), optional
        Trials of one group may be right or wrong together; each counts for less then.
    above : float
        Precision without any signal, which a chosen one must exceed.
    risk : float
        Accepted probability of missing the target, in (0, 1).

    Returns
    -------
    Abstention
        Threshold, and its precision and coverage on these trials.

    Raises
    ------
    ValueError
        If `precision` or `risk` is out of range.

    References
    ----------
    Angelopoulos et al. 2021, arXiv:2110.01052 (Learn then Test); Geifman, El-Yaniv 2017,
    arXiv:1705.08500
    """
    if not (precision == -1 or 0 <= precision < 1) or not 0 < risk < 1:
        raise ValueError(
            f"need precision in [0, 1) or -1 and risk in (0, 1), got {precision}, {risk}"
        )
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    if precision == 0:
        return Abstention(0.0, float(correct.mean()), 1.0, 0.0)
    groups = (
        np.arange(len(correct)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    bounds = []  # (threshold, coverage, precision, least precision), widest first
    for coverage in _COVERAGES:
        threshold = 0.0 if coverage == 1 else float(np.quantile(confidence, 1 - coverage))
        answered = confidence >= threshold
        least = _least(correct[answered], groups[answered], risk / len(_COVERAGES))
        bounds.append((threshold, answered.mean(), correct[answered].mean(), least))
    wanted = precision
    if precision == -1:
        best = max(least for _, coverage, _, least in bounds if coverage >= _WORTH)
        reached = _LADDER[(best >= _LADDER) & (above < _LADDER) & (_LADDER >= 0.1)]
        wanted = float(reached[0]) if len(reached) else float("nan")
    for threshold, coverage, share, least in bounds:
        if least >= wanted:
            return Abstention(threshold, float(share), float(coverage), wanted)
    return Abstention(NEVER, float("nan"), 0.0, wanted)


def _least(correct: np.ndarray, groups: np.ndarray, level: float) -> float:
    """Clopper-Pearson's lower bound, with as many trials as the groups leave independent."""
    from scipy.stats import beta

    n, share = len(correct), correct.mean()
    if share == 0:
        return 0.0
    apart: np.ndarray = np.bincount(groups, correct - share)
    n_groups = np.count_nonzero(np.bincount(groups))
    excess = (
        float(np.sum(apart**2))
        * n_groups
        / max(n_groups - 1, 1)
        / max(n * share * (1 - share), 1e-9)
    )
    n_free = n / max(1.0, excess)
    return float(beta.ppf(level, n_free * share, n_free * (1 - share) + 1))
