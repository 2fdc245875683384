r"""Tell how accuracy grows with training events, and how many minutes a wanted accuracy would take.

Every fold is tested by maps that trained on contiguous stretches of the other folds, several of each
length, with a penalty from folds within the stretch. The curve is a power law,

.. math:: a(n) = a_\infty - b\, n^{-c}, \qquad b \ge 0,\ a_\infty \le 1,

and refitted to resampled units of tested events, it gives the interval of the minutes. A curve is not
followed further than ten times what was recorded. This module knows nothing of words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.encoding import Rules
from calibration.gram import RidgeGram
from calibration.nested import Split, joined_groups
from calibration.ridge import alphas_default
from calibration.scores import cosine, rank_accuracy
from calibration.splits import blocks, leave_group_out
from calibration.units import bootstrap_counts, cut_units

__all__ = [
    "Curve",
    "PowerLaw",
    "fit_power_law",
    "learning_curve",
    "learning_facts",
]

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
WANTED = (0.6, 0.7, 0.8)  # rank accuracies
FURTHEST = 10.0  # times what was recorded
N_STRETCHES, N_ALPHAS, N_INNER, N_DRAWS = 3, 6, 4, 300
LEAST = 10  # training events
_RATES = np.geomspace(0.1, 2.0, 25)  # c


class PowerLaw(NamedTuple):
    """Accuracy over training events, of m curves."""

    top: np.ndarray  # (m,) accuracy without limit
    gain: np.ndarray  # (m,) b
    rate: np.ndarray  # (m,) c

    def at(self, n: np.ndarray | float) -> np.ndarray:
        """Return the accuracy (m, k) after n events, of shape (k,)."""
        return self.top[:, None] - self.gain[:, None] * np.atleast_1d(n) ** -self.rate[:, None]

    def needed(self, accuracy: float) -> np.ndarray:
        """Return the events (m,) after which this accuracy is reached; infinite where never."""
        left = self.top - accuracy
        with np.errstate(divide="ignore", over="ignore"):
            n = np.where(left > 0, (self.gain / np.where(left > 0, left, 1)) ** (1 / self.rate), 1)
        return np.where(left > 0, n, np.inf)


class Curve(NamedTuple):
    """Accuracy after each of k numbers of training events."""

    n: np.ndarray  # (k,)
    accuracy: np.ndarray  # (k, 3) value, low, high
    law: PowerLaw  # of one
    drawn: PowerLaw  # of each draw


def fit_power_law(n: np.ndarray, accuracy: np.ndarray) -> PowerLaw:
    """Fit power laws by least squares.

    Parameters
    ----------
    n : array of shape (k,)
        Training events, above 0.
    accuracy : array of shape (m, k)
        Of m curves.

    Returns
    -------
    PowerLaw
        Of m curves; one that falls is flat.

    Raises
    ------
    ValueError
        If there are fewer than three numbers of events.

    Examples
    --------
    >>> n = np.array([100, 200, 400, 800.0])
    >>> law = fit_power_law(n, 0.7 - 0.8 * n[None] ** -0.5)
    >>> bool(abs(law.at(1600)[0, 0] - 0.68) < 0.001)
    True
    """
    n, accuracy = np.asarray(n, float), np.atleast_2d(accuracy)
    if len(n) < 3 or accuracy.shape[1] != len(n):
        raise ValueError(
            f"need three numbers of events with an accuracy each, got {len(n)} and "
            f"{accuracy.shape[1]} accuracies"
        )
    best = np.full(len(accuracy), np.inf)
    found = np.empty((3, len(accuracy)))
    mean = accuracy.mean(axis=1)
    for rate in _RATES:
        falls = n**-rate
        away = falls - falls.mean()
        gain = np.maximum(-(accuracy @ away) / (away @ away), 0.0)
        top = mean + gain * falls.mean()
        over = top > 1
        gain = np.where(over, (1 - accuracy) @ falls / (falls @ falls), gain)
        top = np.where(over, 1.0, top)
        loss = np.sum((accuracy - top[:, None] + gain[:, None] * falls) ** 2, axis=1)
        better = loss < best
        best = np.where(better, loss, best)
        found = np.where(better, np.stack([top, gain, np.full(len(top), rate)]), found)
    return PowerLaw(*found)


def learning_curve(
    X: np.ndarray,
    vectors: np.ndarray,
    which: np.ndarray,
    split: Split,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    shares: Sequence[float] = SHARES,
    progress: Callable[[float], None] | None = None,
) -> Curve | None:
    """Measure accuracy over the share of training events.

    Parameters
    ----------
    X : array of shape (n, p)
        Features of n events in order of time.
    vectors : array of shape (K, D)
        Of the texts.
    which : array of shape (n,), int
        Text of each event.
    split : Split
        How events are held out.
    rules : Rules
        Its seed draws stretches and units, of at least twice its memory.
    shares : sequence of float
        Of the training events, ascending to 1.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Curve or None
        None where fewer than three shares have ten training events.

    Raises
    ------
    ValueError
        If the tables do not match or there are fewer than three groups.
    """
    if len(X) != len(which):
        raise ValueError(f"need one text an event, got {len(which)} for {len(X)} events")
    fold = joined_groups(split.groups, split.onsets)
    folds = leave_group_out(fold, split.onsets, split.purge)
    least = min(len(train) for train, _ in folds)
    shares = [share for share in shares if share * least >= LEAST]
    if len(shares) < 3:
        return None
    rng, items = np.random.default_rng(rules.seed), vectors - vectors[which].mean(axis=0)
    each = np.zeros((len(shares), len(X)))
    for k, share in enumerate(shares):
        for train, test in folds:
            n = round(share * len(train))
            for _ in range(N_STRETCHES if n < len(train) else 1):
                start = rng.integers(len(train) - n + 1)
                rows = train[start : start + n]
                predicted = _predicted(X, items, which, rows, test)
                score = rank_accuracy(cosine(predicted, items), which[test])
                each[k, test] += score / (N_STRETCHES if n < len(train) else 1)
        if progress is not None:
            progress((k + 1) / len(shares))
    units = cut_units(items[which], max(1, 2 * rules.memory), rules.groups)
    units, counts = bootstrap_counts(units, N_DRAWS, rng)
    sums = np.stack([each[:, rows].sum(axis=1) for rows in units])
    drawn = counts @ sums / (counts @ [len(rows) for rows in units])[:, None]
    n_train = np.array(shares) * np.mean([len(train) for train, _ in folds])
    value = each.mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return Curve(
        n_train, np.stack([value, low, high], axis=1),
        fit_power_law(n_train, value[None]), fit_power_law(n_train, drawn),
    )  # fmt: skip


def learning_facts(
    curve: Curve | None, minutes: float, n_events: int, wanted: Sequence[float] = WANTED
) -> dict[str, Any] | None:
    """Return the curve and the minutes to wanted accuracies as plain JSON.

    Parameters
    ----------
    curve : Curve or None
    minutes : float
        Recorded.
    n_events : int
        In these minutes.
    wanted : sequence of float
        Rank accuracies.

    Returns
    -------
    dict or None
        `minutes` of each wanted accuracy: value, low and high, each None where it is not reached
        within ten times what was recorded.
    """
    if curve is None:
        return None

    def within(n: float) -> float | None:
        return float(n * minutes / n_events) if n <= FURTHEST * n_events else None

    told = {}
    for accuracy in wanted:
        drawn = np.sort(curve.drawn.needed(accuracy))
        ends = [drawn[int(share * (len(drawn) - 1))] for share in (0.025, 0.975)]
        needed = float(curve.law.needed(accuracy)[0])
        told[f"{accuracy:g}"] = [within(n) for n in (needed, *ends)]
    return {
        "n_events": curve.n.tolist(),
        "rank_accuracy": curve.accuracy.tolist(),
        "power_law": {name: float(value[0]) for name, value in curve.law._asdict().items()},
        "recorded": minutes,
        "minutes": told,
    }


def _predicted(
    X: np.ndarray, items: np.ndarray, which: np.ndarray, rows: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Predict tested events by a map of some rows, the penalty from folds within them."""
    gram, Y = RidgeGram(X[rows]), items[which[rows]]
    inner = leave_group_out(blocks(len(rows), N_INNER))
    alphas, best, chosen = alphas_default(X[rows], N_ALPHAS), -1.0, 0.0
    for alpha, found in zip(alphas, gram.sweep(Y, inner, alphas, True), strict=True):
        score = float(rank_accuracy(cosine(found, items), which[rows]).mean())
        if score > best:
            best, chosen = score, float(alpha)
    return (X[test] - gram.x_mean) @ gram.coef(Y, chosen)[0]
