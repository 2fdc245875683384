r"""Choose whitening, target power, prior and penalty of the map by what the readout gains.

Features may be whitened (`decoding.whitening`), the singular values of the centred item vectors
raised to a power below 1 (weaker directions of meaning count more), and other people's sums may join
as a prior:

.. math:: (X^\top X + \kappa G + \alpha I) W = X^\top Y + \kappa C

Every candidate is judged by bits per word out of fold, on the training events only. A power only
scales the columns of :math:`Y` in the items' principal axes, so all powers share one ridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calibration.confidence import fit_posterior, log_posterior, log_prior_from_counts
from calibration.gram import RidgeGram
from calibration.prior import Prior, covariance
from calibration.ridge import alphas_default
from calibration.scores import bits_beyond_prior, cosine, unit_rows
from calibration.splits import Fold
from calibration.targets import Targets
from calibration.whitened import own_penalty, shared_sweep
from rt_decoder.decoding.whitening import whitener
from rt_decoder.recipe import Recipe

__all__ = [
    "Candidate",
    "Choices",
    "MapFit",
    "Prior",
    "choices_of",
    "choose_map",
    "pick",
]

WHITEN = (0.0, 1.0)  # plainest first, as all that follow
POWERS = (1.0, 0.5, 0.25)
KAPPAS = (0.0, 0.03, 0.1, 0.3, 1.0)
MOST_FEATURES = 4096  # of which -1 tries whitening, and a covariance is kept: 64 MiB
_NEGLIGIBLE = 1e-5  # singular values below, of the largest, are rounding


class Choices(NamedTuple):
    """What may be chosen, the plainest first; one value is no choice."""

    whiten: tuple[float, ...] = (0.0,)
    powers: tuple[float, ...] = (1.0,)
    kappas: tuple[float, ...] = (0.0,)
    alphas: tuple[float, ...] = ()  # empty: `ridge.alphas_default`


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
    tried: tuple[Candidate, ...]  # the plainest first
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
    a power fits the seen words better and unseen ones worse.

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
    whiten: tuple[float, ...] = (wanted,)
    if wanted == -1:
        whiten = WHITEN if n_features <= MOST_FEATURES else WHITEN[:1]
    if prior is not None:
        if wanted not in (-1, prior.shrink):
            raise ValueError(
                f"need whiten = {prior.shrink:g}, as the other people's models have it, "
                f"got {wanted:g}"
            )
        whiten = (0.0, prior.shrink) if wanted == -1 else whiten
    powers: tuple[float, ...] = (power,)
    if power == -1:
        every = len(set(targets.truth.tolist())) == len(targets.items)
        powers = POWERS if every and not recipe.target.context else POWERS[:1]
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
        white = X @ whitener(covariance(X), shrink) if shrink else X
        for kappa in choices.kappas if shared else (0.0,):
            alphas = choices.alphas or tuple(alphas_default(white) * _share(white, shared, kappa))
            if shared is None or not kappa:
                sweep = _own_sweep(own, X, space.Y, folds, alphas, shrink)
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


def _own_sweep(
    own: RidgeGram, X: np.ndarray, Y: np.ndarray, folds: Sequence[Fold],
    alphas: Sequence[float], shrink: float,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Predict out of fold without a prior, for alphas of whitened features."""
    found = [own_penalty(alpha, shrink, float(X.var(axis=0).mean()), len(X)) for alpha in alphas]
    sweep = own.sweep(Y, folds, [penalty for penalty, _ in found], True)
    for (_, factor), predicted in zip(found, sweep, strict=True):
        yield factor * predicted


def pick(candidates: Sequence[Candidate], folds: Sequence[Fold]) -> Candidate:
    """Choose the candidate with most bits, where it gains more than chance differences would.

    Parameters
    ----------
    candidates : sequence of Candidate
        The plainest first; it is kept unless the best without a prior gains half a standard error,
        and that one unless the best with a prior gains a whole one.
    folds : sequence of (train, test)
        Events that were held out together, by which the standard error is taken.

    Returns
    -------
    Candidate
    """
    own = max((c for c in candidates if not c.kappa), key=lambda c: c.bits)
    best = max(candidates, key=lambda c: c.bits)
    chosen = candidates[0]
    for other, margin in ((own, 0.5), (best, 1.0)):
        gain = other.each - chosen.each
        if gain.mean() > margin * _standard_error(gain, folds):
            chosen = other
    return chosen


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


def _share(white: np.ndarray, prior: Prior | None, kappa: float) -> float:
    """How much larger the Gram matrix is with a prior: alphas follow its scale."""
    if prior is None:
        return 1.0
    return float(1 + kappa * np.trace(prior.gram) / (white.var(axis=0).sum() * len(white)))


def _best(
    sweep: Iterable[tuple[float, np.ndarray]],
    space: _Space,
    truth: np.ndarray,
    powers: Sequence[float],
) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
    """Find for each power the alpha with most bits; of a tie, the middle one."""
    seen, number = np.unique(truth, return_inverse=True)
    uniform = log_prior_from_counts(np.zeros(len(seen)))
    tried: list[list[tuple[float, float, np.ndarray]]] = [[] for _ in powers]
    for alpha, coordinates in sweep:
        for power, at in zip(powers, tried, strict=True):
            factor = space.values**power
            similarity = cosine(coordinates * factor, space.items[seen] * factor)
            fitted = fit_posterior(similarity, number)
            posterior = log_posterior(similarity, fitted.tau, uniform)
            each = bits_beyond_prior(posterior, uniform, number)
            at.append((float(alpha), fitted.bits_per_word, each))
    best = []
    for at in tried:
        most = max(bits for _, bits, _ in at)
        ties = [one for one in at if one[1] == most]
        best.append((*ties[len(ties) // 2], np.array([bits for _, bits, _ in at])))
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
        variance = float(X.var(axis=0).mean())
        penalty, less = own_penalty(chosen.alpha, chosen.whiten, variance, len(X))
        return MapFit(
            chosen, tuple(tried), own, penalty, X, None, X, less * Y, None, None, items, space.axes
        )
    W = whitener(covariance(X), chosen.whiten)
    gram, cross = chosen.kappa * prior.gram, chosen.kappa * prior.cross(items)
    ridge = RidgeGram(X @ W, prior=gram)
    return MapFit(
        chosen, tuple(tried), ridge, chosen.alpha, X, W, X @ W, Y, gram, cross, items, space.axes
    )
