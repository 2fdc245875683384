"""Count false alarms of continuous readouts, and score them."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.hops import Hops
from calibration.scores import expected_calibration_error
from rt_decoder.model import Model

__all__ = ["count_alarms", "poisson_interval", "score_hops"]

_LIKELY = 0.1  # probability of an item


def count_alarms(onset: np.ndarray, apart: float) -> int:
    """Count answers that lie a window or more apart: the most of them that share no sample.

    Parameters
    ----------
    onset : array of shape (n,)
        Onsets in s of the hops that were answered, ascending.
    apart : float
        Length of the window in s: answers less than that after an alarm belong to it.

    Returns
    -------
    int
        Never less for more answers: it is the largest set of answers `apart` from each other.
    """
    n, at = 0, 0
    while at < len(onset):
        n += 1
        at = max(at + 1, int(np.searchsorted(onset, onset[at] + apart - 1e-9)))
    return n


def poisson_interval(n: int, hours: float, level: float = 0.95) -> tuple[float, float]:
    """Exact confidence interval of a rate.

    Parameters
    ----------
    n : int
        Events counted.
    hours : float
        Time in which they were counted; above 0.
    level : float
        Confidence, both sides together.

    Returns
    -------
    low, high : float
        Events an hour.

    References
    ----------
    Garwood 1936, doi:10.1093/biomet/28.3-4.437
    """
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * n) / 2 if n else 0.0
    return float(low / hours), float(chi2.isf(tail, 2 * (n + 1)) / 2 / hours)


def score_hops(hops: Hops, use: np.ndarray, model: Model) -> dict[str, Any]:
    """Score continuous readouts.

    Parameters
    ----------
    hops : Hops
        As `read_hops` returns them.
    use : array of shape (n,), bool
        Hops to score.
    model : Model
        With a posterior for continuous readouts.

    Returns
    -------
    dict
        ================  =============================================================
        hours             in which nothing was said and the signal was good
        n_alarms          answers in it; those less than a window apart are one
        alarms_per_hour   their rate, and `low`, `high`: its 95 % interval; None without time
        n_events, hits    events, and those that an answer to a window on them named
        precision         share of the answers near events that named one of them
        latency_s         from the onset of a hit to the last sample of its window, median
        item_error        calibration error of the best item's probability; a window is of an
                          event if it begins within an eighth of a window from it
        likely_error      the same where that probability is at least .1, which `likely` of the
                          windows have; None if there is none
        nothing_error     the same of what the items leave to 1, that nothing is said
        ================  =============================================================

    Raises
    ------
    ValueError
        If the model has none.
    """
    fitted = model.continuous
    if fitted is None:
        raise ValueError("need a model with a posterior for continuous readouts, got one without")
    answered = use & hops.good & (hops.probability(fitted.nothing) >= fitted.threshold)
    near = hops.near()
    hours = float(np.sum(use & hops.good & ~near) * hops.hop / 3600)
    n_alarms = count_alarms(hops.onset[answered & ~near], hops.span)
    low, high = poisson_interval(n_alarms, hours) if hours else (None, None)
    right = np.zeros(len(hops.onset), bool)
    delays, n_events = [], 0
    for onset, end, item in zip(hops.event_onset, hops.event_end, hops.event_item, strict=True):
        first, last = np.searchsorted(hops.onset, [onset - hops.span + 1e-9, end])
        if not use[first:last].any():
            continue
        n_events += 1
        named = np.flatnonzero(answered[first:last] & (hops.winner[first:last] == item)) + first
        right[named] = True
        if len(named):
            delays.append(hops.onset[named[0]] + hops.delay - onset)
    n_near = int(np.sum(answered & near))
    return {
        "hours": hours,
        "n_alarms": n_alarms,
        "alarms_per_hour": n_alarms / hours if hours else None,
        "low": low,
        "high": high,
        "n_events": n_events,
        "hits": len(delays),
        "precision": float(right.sum() / n_near) if n_near else None,
        "latency_s": float(np.median(delays)) if delays else None,
        **_reliability(hops, use & hops.good & (hops.said() >= -1), fitted.nothing),
    }


def _reliability(hops: Hops, use: np.ndarray, nothing: float) -> dict[str, float | None]:
    best, said = hops.probability(nothing)[use], hops.said()[use]
    right, likely = hops.winner[use] == said, best >= _LIKELY
    rest = np.exp(nothing - np.logaddexp(hops.total[use], nothing))

    def error(probability: np.ndarray, truth: np.ndarray) -> float | None:
        return expected_calibration_error(probability, truth) if len(truth) else None

    return {
        "item_error": error(best, right),
        "likely": float(likely.mean()) if len(likely) else None,
        "likely_error": error(best[likely], right[likely]),
        "nothing_error": error(rest, said == -1),
    }
