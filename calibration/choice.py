r"""Choose whitening, target power, prior and penalty of the map by what the readout gains.

Features may be whitened (`decoding.whitening`), the singular values of the centred item vectors
raised to a power below 1 (weaker directions of meaning count more), and other people's sums may join
as a prior:

.. math:: (X^\top X + \kappa G + \alpha I) W = X^\top Y + \kappa C

Every candidate is judged by bits per word out of fold, on the training events only. A few events
judge badly, so what helped people before is a prior: the first values below are kept where others
gain no more than chance differences would, and penalties near the middle of those that are tried
are likelier. A power only scales the columns of :math:`Y` in the items' principal axes, so all
powers share one ridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.confidence import FEW, fit_posterior, log_posterior, log_prior_from_counts
from calibration.gram import RidgeGram
from calibration.prior import Prior, covariance
from calibration.ridge import alphas_of, likeliest
from calibration.scores import bits_beyond_prior, cosine, unit_rows
from calibration.splits import Fold
from calibration.targets import Targets
from calibration.whitened import own_penalty, own_sweep, shared_sweep, total_variance
from rt_decoder.decoding.whitening import whitener
from rt_decoder.recipe import Recipe

__all__ = ["Candidate", "Choices", "MapFit", "Prior", "choices_of", "choose_map", "pick"]

# The usual value first. Whitening and a power of .25 helped 28 of 28 people who read words.
WHITEN = (1.0, 0.0)
POWERS = (0.25, 0.5, 1.0)
KAPPAS = (0.0, 0.03, 0.1, 0.3, 1.0)
MOST_FEATURES = 4096  # of which -1 tries whitening, and a covariance is kept: 64 MiB
_LEAST_BITS = 1.0  # of all events, for another map than the usual: that twice as likely
_NEGLIGIBLE = 1e-5  # singular values below, of the largest, are rounding


class Choices(NamedTuple):
    """What may be chosen, the usual first; one value is no choice."""

    whiten: tuple[float, ...] = (0.0,)
    powers: tuple[float, ...] = (1.0,)
    kappas: tuple[float, ...] = (0.0,)
    alphas: tuple[float, ...] = ()  # empty: `ridge.alphas_of`


class Candidate(NamedTuple):
    """One way to fit the map, at its best alpha."""

    whiten: float
    power: float
    kappa: float
    alpha: float
    bits: float  # a word, out of fold
    each: np.ndarray  # (n,) bits of each event
    by_alpha: np.ndarray  # (n_alphas,) bits at every alpha


class MapFit(NamedTuple):
    """The chosen map, from features to coordinates of the item vectors."""

    chosen: Candidate
    tried: tuple[Candidate, ...]  # the usual one first
    ridge: RidgeGram  # with the prior
    penalty: float  # of that ridge
    features: np.ndarray  # (n, p)
    whitener: np.ndarray | None  # (p, p); None without a prior: whitening is in the penalty then
    X: np.ndarray  # (n, p) features, or whitened ones
    Y: np.ndarray  # (n, r) targets
    prior: np.ndarray | None  # (p, p) Gram matrix, times kappa
    cross: np.ndarray | None  # (p, r) cross products, times kappa
    items: np.ndarray  # (V, r) item vectors of the chosen power, not scaled to length 1
    axes: np.ndarray  # (r, D) orthonormal rows: a prediction is ``coordinates @ axes``

    def weights(self) -> np.ndarray:
        """Return the map (p, r) of `X`."""
        return self.ridge.coef(self.Y, self.penalty, self.cross)[0]

    def out_of_fold(self, folds: Sequence[Fold]) -> np.ndarray:
        """Return centred predictions (n, r) of the training events."""
        if self.prior is None or self.cross is None:
            return self.ridge.out_of_fold(self.Y, folds, self.penalty, True)
        sweep = shared_sweep(
            self.features, self.Y, folds, [self.penalty], self.chosen.whiten, self.prior, self.cross
        )
        return next(sweep)


class _Space(NamedTuple):
    """Targets in coordinates in which a power is a factor of each column."""

    Y: np.ndarray  # (n, r)
    items: np.ndarray  # (V, r)
    axes: np.ndarray  # (r, D)
    values: np.ndarray  # (r,) singular values; a power p multiplies by their p-th power


def choices_of(recipe: Recipe, targets: Targets, n_features: int, prior: Prior | None) -> Choices:
    """List what a recipe leaves open, -1 being the values that were measured to help.

    Powers are tried only where every item was seen in training and targets are those of the items:
    a power fits the seen words better and unseen ones worse. The usual values come first; of few
    items they are the plain ones, as ridge regression on two items is linear discriminant analysis.

    Parameters
    ----------
    recipe : Recipe
    targets : Targets
    n_features : int
    prior : Prior or None
        Sums of other people.

    Returns
    -------
    Choices

    Raises
    ------
    ValueError
        If the recipe whitens otherwise than the prior.
    """
    wanted, power = recipe.features.whiten, recipe.target.power
    few = len(targets.items) <= FEW
    whiten: tuple[float, ...] = (wanted,)
    if wanted == -1:
        whiten = WHITEN[:: -1 if few else 1] if n_features <= MOST_FEATURES else (0.0,)
    if prior is not None:
        if wanted not in (-1, prior.shrink):
            raise ValueError(
                f"need whiten = {prior.shrink:g}, as the other people's models have it, "
                f"got {wanted:g}"
            )
        whiten = (prior.shrink, 0.0) if wanted == -1 else whiten
    powers: tuple[float, ...] = (power,)
    if power == -1:
        every = len(set(targets.truth.tolist())) == len(targets.items)
        open_ = every and not recipe.target.context
        powers = POWERS[:: -1 if few else 1] if open_ else (1.0,)
    return Choices(whiten, powers, KAPPAS if prior is not None else (0.0,), recipe.fit.alphas)


def choose_map(
    X: np.ndarray,
    targets: Targets,
    folds: Sequence[Fold],
    choices: Choices,
    prior: Prior | None = None,
) -> MapFit:
    """Try every combination and keep the best.

    Parameters
    ----------
    X : array of shape (n, p)
        Scaled features of the training events.
    targets : Targets
        Of the same events.
    folds : sequence of (train, test)
        As from `splits.leave_group_out`.
    choices : Choices
    prior : Prior or None
        Sums of other people; used where features are whitened as theirs.

    Returns
    -------
    MapFit

    Raises
    ------
    ValueError
        If features or item vectors do not vary, or an array does not fit.
    """
    space = _space(targets, choices)
    found: list[Candidate] = []
    own = RidgeGram(X)
    for shrink in choices.whiten:
        shared = prior if prior is not None and shrink == prior.shrink else None
        variance = total_variance(own, shrink)
        for kappa in choices.kappas if shared else (0.0,):
            larger = shared.share(variance * len(X), kappa) if shared else 1.0
            alphas = choices.alphas or tuple(alphas_of(variance, X.shape) * larger)
            if shared is None or not kappa:
                sweep = own_sweep(own, X, space.Y, folds, alphas, shrink)
            else:
                gram, cross = kappa * shared.gram, kappa * shared.cross(space.items)
                sweep = shared_sweep(X, space.Y, folds, alphas, shrink, gram, cross)
            tried = zip(alphas, sweep, strict=True)
            best = _best(tried, space, targets.truth, choices.powers)
            found += [
                Candidate(shrink, power, kappa, *at)
                for power, at in zip(choices.powers, best, strict=True)
            ]
    return _map_fit(X, own, space, pick(found, folds), found, prior)


def pick(candidates: Sequence[Candidate], folds: Sequence[Fold]) -> Candidate:
    """Choose the candidate with most bits, where it gains more than chance differences would.

    Parameters
    ----------
    candidates : sequence of Candidate
        The usual one first, and of those without a prior the second choice last. The first of the
        two is kept that the best without a prior does not beat: by more than a standard error, and
        by more than one bit over all events. The best with a prior has to beat that in the same way.
    folds : sequence of (train, test)
        Events that were held out together, by which the standard error is taken.

    Returns
    -------
    Candidate
    """
    own = [one for one in candidates if not one.kappa]
    best = max(own, key=lambda one: one.bits)
    chosen = next(one for one in (own[0], own[-1], best) if not _beats(best, one, folds))
    best = max(candidates, key=lambda one: one.bits)
    return best if _beats(best, chosen, folds) else chosen


def _beats(one: Candidate, other: Candidate, folds: Sequence[Fold]) -> bool:
    gain = one.each - other.each
    return bool(gain.sum() > max(_LEAST_BITS, len(gain) * _standard_error(gain, folds)))


def _standard_error(gain: np.ndarray, folds: Sequence[Fold]) -> float:
    """Of the mean over events, where those of a fold may vary together."""
    sums = np.array([np.sum(gain[test] - gain.mean()) for _, test in folds])
    return float(np.sqrt(np.sum(sums**2)) / len(gain))


def _space(targets: Targets, choices: Choices) -> _Space:
    """Centre the targets on their mean; turn them to the items' principal axes if powers ask."""
    mean = targets.Y.mean(axis=0)
    items, Y = targets.item_vectors - mean, targets.Y - mean
    if not np.any(unit_rows(items)):
        raise ValueError("need items with different embeddings, got only one vector")
    if choices.powers == (1.0,):
        D = items.shape[1]
        return _Space(Y, items, np.eye(D), np.ones(D))
    u, values, axes = np.linalg.svd(items, full_matrices=False)
    kept = values > _NEGLIGIBLE * values[0]
    axes, values = axes[kept], values[kept]
    return _Space(Y @ axes.T / values, u[:, kept], axes, values)


def _best(
    sweep: Iterable[tuple[float, np.ndarray]],
    space: _Space,
    truth: np.ndarray,
    powers: Sequence[float],
) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
    """Find for each power the likeliest alpha, its bits, and those of all."""
    seen, number = np.unique(truth, return_inverse=True)
    counts = np.bincount(number) if len(seen) <= FEW else np.zeros(len(seen))
    log_prior = log_prior_from_counts(counts)
    tried: list[list[tuple[float, float, np.ndarray]]] = [[] for _ in powers]
    for alpha, coordinates in sweep:
        for power, at in zip(powers, tried, strict=True):
            factor = space.values**power
            similarity = cosine(coordinates * factor, space.items[seen] * factor)
            fitted = fit_posterior(similarity, number, log_prior)
            posterior = log_posterior(similarity, fitted, log_prior, fitted.item_bias)
            each = bits_beyond_prior(posterior, log_prior, number)
            at.append((float(alpha), fitted.bits_per_word, each))
    best = []
    for at in tried:
        alphas, bits = (np.array([one[k] for one in at]) for k in (0, 1))
        best.append((*at[likeliest(alphas, bits * len(truth))], bits))
    return best


def _map_fit(
    X: np.ndarray,
    own: RidgeGram,
    space: _Space,
    chosen: Candidate,
    tried: Sequence[Candidate],
    prior: Prior | None,
) -> MapFit:
    factor = space.values**chosen.power
    Y, items = space.Y * factor, space.items * factor
    if prior is None or not chosen.kappa:
        penalty, less = own_penalty(chosen.alpha, chosen.whiten, X)
        return MapFit(
            chosen, tuple(tried), own, penalty, X, None, X, less * Y, None, None, items, space.axes
        )
    W = whitener(covariance(X), chosen.whiten)
    gram, cross = chosen.kappa * prior.gram, chosen.kappa * prior.cross(items)
    ridge = RidgeGram(X @ W, prior=gram)
    return MapFit(
        chosen, tuple(tried), ridge, chosen.alpha, X, W, X @ W, Y, gram, cross, items, space.axes
    )
