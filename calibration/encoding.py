r"""Encode: predict the brain from the network, held out, at every channel and time.

.. math:: \hat y_{ct} = x\, W_{ct}, \qquad r_{ct} = \mathrm{corr}(\hat y_{ct}, y_{ct})

with vectors x of the network and brain samples y around an event, as they leave the live stages.
The penalty of a channel is chosen in inner folds. Each permutation moves the brain against the words
in units as long as their common memory, and refits all. What is compared is r averaged over all
penalties, with its largest over channels and times: it needs no choice, which every permutation would
have to repeat for p to be exact.

References
----------
Naselaris et al 2011, doi:10.1016/j.neuroimage.2010.07.073 (encoding and decoding);
Nichols, Holmes 2002, doi:10.1002/hbm.1058 (maximum statistic).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from calibration.agreement import correlations, fold_scores
from calibration.design import Design
from calibration.nested import NestedRidge, Penalties, Split
from calibration.units import bootstrap_counts, cut_units, joint_lags, smallest_p, unit_order
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model

__all__ = [
    "Encoding",
    "Epochs",
    "Rules",
    "epoch_model",
    "epochs_of",
    "fit_encoding",
    "max_p",
    "unit_of",
]

N_DRAWS = 500  # of a bootstrap


class Epochs(NamedTuple):
    """Brain samples around n events."""

    Y: np.ndarray  # (n, c, t) scaled and clamped
    times: np.ndarray  # (t,) s after the onset, middle of each bin
    scale: np.ndarray  # (c, t) SI units of 1


class Rules(NamedTuple):
    """How a statistic is tested."""

    n_permutations: int = 999
    seed: int = 0
    memory: int = 0  # least memory in events, as measured elsewhere
    groups: np.ndarray | None = None  # (n,) units are cut between these


class Encoding(NamedTuple):
    """What the network predicts of the brain: c channels, t times."""

    r: np.ndarray  # (c, t) held-out correlation
    low: np.ndarray  # (c, t) 95 % interval, bootstrap over units
    high: np.ndarray  # (c, t)
    p: np.ndarray  # (c, t) against the largest over channels and times
    tested: np.ndarray  # (c, t) r averaged over penalties, which p is of
    null: np.ndarray  # (n_permutations,) its largest under permutation
    p_smallest: float  # that permutations and units allow
    unit: int  # events that are moved together, at least
    penalties: Penalties


def epoch_model(model: Model, tmin: float, tmax: float, step: float) -> Model:
    """Return a model without a map, whose features are amplitudes around the event.

    Parameters
    ----------
    model : Model
        Its stages clean the signal.
    tmin, tmax : float
        Window in s after the onset.
    step : float
        s that are averaged to one time.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the window is out of range.
    """
    features = replace(
        model.recipe.features,
        kind="amplitude", tmin=tmin, tmax=tmax, baseline=(), whiten=0.0,
        decim=max(1, round(step * model.info.sfreq)),
    )  # fmt: skip
    none = np.zeros(0)
    return replace(
        model,
        recipe=replace(model.recipe, features=features),
        center=none, scale=none, weights=np.zeros((0, 0)), covariance=np.zeros((0, 0)),
        continuous=None, pooling=None, alignment=None,
    )  # fmt: skip


def epochs_of(design: Design, model: Model) -> Epochs:
    """Scale the rows of a design robustly, clamp them, and shape them to channels and times.

    Parameters
    ----------
    design : Design
        Built with `model`.
    model : Model
        As from `epoch_model`.

    Returns
    -------
    Epochs
    """
    features, sfreq = model.recipe.features, model.info.sfreq
    center, scale = robust_scale(design.X)
    rows = scale_features(design.X, center, scale, features.clamp)
    shape = (-1, model.n_picks)  # times, channels
    Y = rows.reshape(len(rows), *np.reshape(scale, shape).shape).transpose(0, 2, 1)
    middle = (np.arange(Y.shape[2]) + 0.5) * features.decim
    times = (round(features.tmin * sfreq) + middle) / sfreq
    return Epochs(np.ascontiguousarray(Y, np.float64), times, scale.reshape(shape).T)


def fit_encoding(
    X: np.ndarray,
    Y: np.ndarray,
    split: Split,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    alphas: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> Encoding:
    """Predict the brain from the network, and test it.

    Parameters
    ----------
    X : array of shape (n, D)
        Vector of each event's item, in order of time.
    Y : array of shape (n, c, t)
        Brain samples.
    split : Split
        How events are held out.
    rules : Rules
        How r is tested.
    alphas : array of shape (n_alphas,), optional
        Penalties to choose from.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Encoding
        A channel and time that is constant has r = 0 and p = 1.

    Raises
    ------
    ValueError
        If the tables do not match, there are fewer than three groups, or the vectors do not vary.
    """
    _check(X, Y, rules)
    tell = progress or (lambda _: None)
    ridge = NestedRidge([X], split, alphas)
    penalties = ridge.choose(Y, correlations, lambda share: tell(0.3 * share))
    predicted = ridge.predict(Y, penalties)
    r = correlations(predicted, Y, ridge.fold)
    unit = unit_of(X, Y, rules.memory)
    units = cut_units(X, unit, rules.groups)
    rng = np.random.default_rng(rules.seed)
    tested, null = ridge.averaged(Y, correlations), np.empty(rules.n_permutations)
    for k in range(rules.n_permutations):
        moved = Y[unit_order(units, rng)]
        null[k] = ridge.averaged(moved, correlations).max()
        tell(0.3 + 0.7 * (k + 1) / rules.n_permutations)
    items = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    smallest = smallest_p(units, items, rules.n_permutations)
    low, high = _interval(fold_scores(predicted, Y, ridge.fold), units, rng)
    p = np.where(Y.std(axis=0) > 0, max_p(tested, null, smallest), 1.0)
    return Encoding(r, low, high, p, tested, null, smallest, unit, penalties)


def max_p(statistic: np.ndarray, null: np.ndarray, smallest: float) -> np.ndarray:
    """Compare a statistic of channels and times with the largest one of each permutation.

    Parameters
    ----------
    statistic : array of shape (c, t)
    null : array of shape (n_permutations,)
        Largest value of each.
    smallest : float
        Smallest p that is possible.

    Returns
    -------
    array of shape (c, t)
        (b + 1) / (m + 1), b of m at least as high; never below `smallest`.
    """
    # Orders that differ only by rounding tie.
    higher = len(null) - np.searchsorted(np.sort(null), np.ravel(statistic) - 1e-12)
    return np.maximum((higher + 1) / (len(null) + 1), smallest).reshape(np.shape(statistic))


def unit_of(X: np.ndarray, Y: np.ndarray, memory: int = 0) -> int:
    """Return how many events are moved together: twice the memory of words and a channel, or 1.

    The slowest channel counts, since the largest of all channels is tested.

    Parameters
    ----------
    X : array of shape (n, D)
    Y : array of shape (n, c, t)
    memory : int
        Least memory in events.

    Returns
    -------
    int
    """
    memory = max(memory, *(joint_lags(X, Y[:, channel]) for channel in range(Y.shape[1])))
    return min(max(1, 2 * memory), len(Y))


def _interval(
    scored: tuple[np.ndarray, np.ndarray], units: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap the correlation over units, the maps and the spread of folds as they are."""
    products = scored[0] * scored[1]
    units, counts = bootstrap_counts(units, N_DRAWS, rng)
    sums = np.stack([products[rows].sum(axis=0) for rows in units])
    sizes = np.array([len(rows) for rows in units], float)
    r = counts @ sums.reshape(len(units), -1) / (counts @ sizes)[:, None]
    low, high = np.percentile(r, (2.5, 97.5), axis=0)
    return low.reshape(products.shape[1:]), high.reshape(products.shape[1:])


def _check(X: np.ndarray, Y: np.ndarray, rules: Rules) -> None:
    if X.ndim != 2 or Y.ndim != 3 or len(X) != len(Y) or 0 in Y.shape:
        raise ValueError(f"need vectors (n, D) and epochs (n, c, t), got {X.shape} and {Y.shape}")
    if rules.n_permutations < 1:
        raise ValueError(f"need at least 1 permutation, got {rules.n_permutations}")
