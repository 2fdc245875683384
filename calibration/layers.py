r"""Compare the hidden layers of language models by how well each is decoded.

Ridge is linear in its targets, and every layer gives each of K texts a vector. So the features are
decomposed once, the texts themselves are predicted, out of fold, as K columns, and those of layer l
follow from a small product:

.. math:: \hat Y_l = \hat E\, V_l, \qquad E_{tk} = [\text{event } t \text{ shows text } k]

Where more texts than dimensions are shown, as words in contexts are, the layers' own columns are
predicted. The penalty of each layer, and the layer itself, are chosen in inner folds: leaving out two
folds is a larger block of the same solve. Layers of several models compare likewise.

Layers are alike if the largest difference between any two is one that resampled units of events and
resampled texts show without a difference. The best of many is then no finding. This module knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.confidence import fit_posterior, log_posterior, log_prior_from_counts
from calibration.differences import alike
from calibration.encoding import Rules, unit_of
from calibration.gram import RidgeGram
from calibration.nested import Split, joined_groups
from calibration.nulls import NullTest, matching_test
from calibration.ridge import alphas_default
from calibration.scores import bits_beyond_prior, cosine, rank_accuracies, rank_accuracy
from calibration.splits import Fold, leave_group_out
from calibration.units import bootstrap_counts, cut_units, unit_sums

__all__ = [
    "LayerScores",
    "Layers",
    "decode_layers",
    "layer_facts",
]

N_ALPHAS, N_DRAWS = 8, 500
_NEGLIGIBLE = 1e-5  # singular values below, of the largest, are rounding


class Layers(NamedTuple):
    """Vectors of K texts at L layers, and the text of each of n events."""

    names: tuple[str, ...]  # (L,)
    vectors: Sequence[np.ndarray]  # L arrays of shape (K, D_l)
    which: np.ndarray  # (n,) int

    def coordinates(self) -> list[np.ndarray]:
        """Return each layer (K, r_l) in its principal axes, centred on the mean event.

        Raises
        ------
        ValueError
            If names, vectors and events do not match, or a layer does not vary.
        """
        n_texts = {len(vectors) for vectors in self.vectors}
        if len(self.names) != len(self.vectors) or len(n_texts) != 1:
            raise ValueError(
                f"need a name and the vectors of the same texts for each layer, got "
                f"{len(self.names)} names and {[len(v) for v in self.vectors]} vectors"
            )
        return [
            _principal(name, vectors, self.which)
            for name, vectors in zip(self.names, self.vectors, strict=True)
        ]


class LayerScores(NamedTuple):
    """How well each of L layers is decoded, out of fold, with 95 % intervals over units."""

    names: tuple[str, ...]
    rank_accuracy: np.ndarray  # (L, 3) value, low, high; chance is .5
    bits: np.ndarray  # (L, 3) a word, beyond the prior
    alike: np.ndarray  # (L,) bool, not told apart from the best one
    p_alike: float  # of the largest difference, without a difference
    nested: np.ndarray  # (3,) rank accuracy of the layer that inner folds chose
    nested_bits: np.ndarray  # (3,)
    chosen: np.ndarray  # (n_folds,) int, that layer
    test: NullTest  # of `nested`
    alphas: np.ndarray  # (n_folds, L)
    unit: int  # events that are resampled together, at least
    by_text: np.ndarray  # (L, K) part of each text in the sum of rank accuracies


class _Fold(NamedTuple):
    """One outer fold of n events: what inner folds chose for each layer."""

    score: np.ndarray  # (L,) rank accuracy in inner folds
    alpha: np.ndarray  # (L,)
    cosines: list[np.ndarray]  # (n, K) each; those of purged events mean nothing


def decode_layers(
    X: np.ndarray,
    layers: Layers,
    split: Split,
    rules: Rules = Rules(),  # noqa: B008  (immutable)
    *,
    alphas: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> LayerScores:
    """Decode every layer from brain features with one eigendecomposition.

    Parameters
    ----------
    X : array of shape (n, p)
        Features of n events in order of time.
    layers : Layers
    split : Split
        How events are held out; groups are joined to at most eight folds.
    rules : Rules
        Permutations of the nested score.
    alphas : array of shape (n_alphas,), optional
        Penalties to choose from.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    LayerScores
        Ranks are among all K texts, penalties those with the best rank in inner folds.

    Raises
    ------
    ValueError
        If the tables do not match, there are fewer than three groups, or a layer does not vary.
    """
    tell = progress or (lambda _: None)
    if len(X) != len(layers.which):
        raise ValueError(f"need one text an event, got {len(layers.which)} for {len(X)} events")
    items, which = layers.coordinates(), np.asarray(layers.which)
    fold = joined_groups(split.groups, split.onsets)
    folds = leave_group_out(fold, split.onsets, split.purge)
    gram = RidgeGram(X)
    tried = alphas_default(X, N_ALPHAS) if alphas is None else np.sort(alphas)
    (ranks, bits), chosen, penalties = np.zeros((2, len(items), len(X))), [], []
    by_text, nested = (np.zeros((m, len(items[0]))) for m in (len(items), len(X)))
    for number, (train, test) in enumerate(folds):
        found = _fold(gram, items, which, folds, number, tried)
        best = int(np.argmax(found.score))
        nested[test] = found.cosines[best][test]
        for layer, cosines in enumerate(found.cosines):
            ranks[layer, test] = rank_accuracy(cosines[test], which[test])
            bits[layer, test] = _bits(cosines, which, train, test)
            by_text[layer] += _by_text(cosines[test], which[test])
        chosen.append(best)
        penalties.append(found.alpha)
        tell((number + 1) / len(folds))
    unit = unit_of(np.hstack(items)[which], X[:, None, :], rules.memory)
    units = cut_units(items[0][which], unit, rules.groups)
    counted = bootstrap_counts(units, N_DRAWS, np.random.default_rng(rules.seed))
    same, p_alike = alike(*unit_sums(ranks, counted[0]), by_text)
    at = np.array(chosen)[fold], np.arange(len(X))
    return LayerScores(
        tuple(layers.names), _interval(ranks, counted), _interval(bits, counted), same, p_alike,
        _interval(ranks[at][None], counted)[0], _interval(bits[at][None], counted)[0],
        np.array(chosen),
        matching_test(
            rank_accuracies(nested), which, rules.n_permutations, rules.seed, rules.memory,
            rules.groups,
        ),
        np.array(penalties), unit, by_text,
    )  # fmt: skip


def layer_facts(scores: LayerScores) -> dict[str, Any]:
    """Return layer scores as plain JSON.

    Parameters
    ----------
    scores : LayerScores

    Returns
    -------
    dict
        Intervals are lists of value, low, high.
    """
    return {
        "layers": [
            {"name": name, "rank_accuracy": rank, "bits_per_word": bits, "as_good_as_best": same}
            for name, rank, bits, same in zip(
                scores.names, scores.rank_accuracy.tolist(), scores.bits.tolist(),
                scores.alike.tolist(), strict=True,
            )
        ],
        "no_difference": bool(scores.alike.all()),
        "p_no_difference": scores.p_alike,
        "nested": {
            "rank_accuracy": scores.nested.tolist(),
            "bits_per_word": scores.nested_bits.tolist(),
            "p": scores.test.p,
            "p_smallest": scores.test.p_smallest,
            "chosen": [scores.names[i] for i in scores.chosen],
        },
        "chance": 0.5,
        "unit": scores.unit,
    }  # fmt: skip


def _principal(name: str, vectors: np.ndarray, which: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, float)
    u, s, _ = np.linalg.svd(vectors - vectors[which].mean(axis=0), full_matrices=False)
    kept = s > _NEGLIGIBLE * max(s.max(), np.finfo(float).tiny)
    if not kept.any():
        raise ValueError(f"need vectors that vary at each layer, got equal ones at {name}")
    return u[:, kept] * s[kept]


def _fold(
    gram: RidgeGram,
    items: list[np.ndarray],
    which: np.ndarray,
    folds: Sequence[Fold],
    number: int,
    alphas: np.ndarray,
) -> _Fold:
    """Choose the penalty of each layer without one fold, and predict that fold."""
    train, test = folds[number]
    inner = [
        (np.intersect1d(train, other, assume_unique=True), tested) if k != number else (train, test)
        for k, (other, tested) in enumerate(folds)
    ]
    best = _Fold(np.full(len(items), -1.0), np.zeros(len(items)), [np.zeros(0)] * len(items))
    columns = _columns(items, which)
    for alpha, found in zip(alphas, gram.sweep(columns, inner, alphas, True), strict=True):
        for layer, predicted in enumerate(_of_layers(found, items)):
            cosines = cosine(predicted, items[layer])
            score = rank_accuracy(cosines[train], which[train]).mean()
            if score > best.score[layer]:
                best.score[layer], best.alpha[layer] = score, alpha
                best.cosines[layer] = cosines
    return best


def _shared(items: list[np.ndarray]) -> bool:
    """Whether texts are fewer columns than the layers' own."""
    return len(items[0]) <= sum(one.shape[1] for one in items)


def _columns(items: list[np.ndarray], which: np.ndarray) -> np.ndarray:
    return np.eye(len(items[0]))[which] if _shared(items) else np.hstack(items)[which]


def _of_layers(found: np.ndarray, items: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Predictions (n, r_l) of each layer."""
    if _shared(items):
        yield from (found @ one for one in items)
    else:
        yield from np.split(found, np.cumsum([one.shape[1] for one in items])[:-1], axis=1)


def _bits(
    cosines: np.ndarray, which: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Bits of the tested events, sharpness and prior from the training events."""
    prior = log_prior_from_counts(np.bincount(which[train], minlength=cosines.shape[1]))
    fit = fit_posterior(cosines[train], which[train], prior)
    return bits_beyond_prior(log_posterior(cosines[test], fit, prior), prior, which[test])


def _by_text(cosines: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Part of each text in the sum of rank accuracies, first-order: as the true one, as another."""
    n_texts = cosines.shape[1]
    own = cosines[np.arange(len(which)), which][:, None]
    beaten = ((own > cosines) + 0.5 * (own == cosines)) / (n_texts - 1)
    beaten[np.arange(len(which)), which] = 0.0
    as_true = np.bincount(which, beaten.sum(axis=1), minlength=n_texts)
    return as_true + beaten.sum(axis=0)


def _means(each: np.ndarray, units: list[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Mean of rows (m, n) in every draw: (n_draws, m)."""
    sums, sizes = unit_sums(each, units)
    return counts @ sums.T / (counts @ sizes)[:, None]


def _interval(each: np.ndarray, counted: tuple[list[np.ndarray], np.ndarray]) -> np.ndarray:
    low, high = np.percentile(_means(each, *counted), (2.5, 97.5), axis=0)
    return np.stack([each.mean(axis=1), low, high], axis=1)
