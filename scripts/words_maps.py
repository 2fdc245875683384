"""The maps that eval_words.py compares; every choice is made inside the training halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from words_data import Person, Words

from calibration.ceiling import rank_ceiling
from calibration.choice import Candidate, Choices, MapFit, choices_of, choose_map
from calibration.confidence import fit_posterior
from calibration.prior import Prior, covariance
from calibration.ridge import alphas_default
from calibration.scores import cosine, rank_accuracy
from calibration.splits import Fold, blocks, leave_group_out
from calibration.targets import Targets
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.recipe import Recipe

N_BLOCKS = 25  # contiguous groups of about 60 trials within the first half
RECIPE = Recipe()
CLAMP = RECIPE.features.clamp


class Fixed(NamedTuple):
    """One setting for all people."""

    whiten: float
    power: float
    alpha: int  # number of the default alpha, relative to the mean eigenvalue


class Decoded(NamedTuple):
    """The second half of one person, decoded."""

    subject: str
    similarity: np.ndarray  # (n_test, V)
    truth: np.ndarray  # (n_test,)
    tau: float
    facts: dict[str, float]  # what was chosen
    tried: tuple[Candidate, ...] = ()
    items: np.ndarray | None = None  # (V, r) item vectors, in the space of the similarity

    @property
    def rank_accuracy(self) -> float:
        return float(rank_accuracy(self.similarity, self.truth).mean())


def scaled(person: Person, rows: np.ndarray, clamp: float = CLAMP) -> np.ndarray:
    """Scale all trials by the statistics of some."""
    return scale_features(person.X, *robust_scale(person.X[rows]), clamp).astype(float)


def folds_of(n: int) -> list[Fold]:
    return leave_group_out(blocks(n, min(N_BLOCKS, max(2, n // 5))))


def own_map(
    person: Person,
    words: Words,
    rows: np.ndarray | None = None,
    prior: Prior | None = None,
    labels: np.ndarray | None = None,
    fixed: Fixed | None = None,
) -> Decoded:
    """Decode by own trials `rows` of the first half, and other people's sums."""
    rows = person.train if rows is None else rows
    labels = person.words[rows] if labels is None else labels
    X = scaled(person, rows)
    targets = Targets(words.german, words.vectors, words.vectors[labels], labels)
    choices = choices_of(RECIPE, targets, X.shape[1], prior)
    if fixed is not None:
        W = None if not fixed.whiten else whitener(covariance(X[rows]), fixed.whiten)
        alpha = alphas_default(X[rows] if W is None else X[rows] @ W)[fixed.alpha]
        choices = Choices((fixed.whiten,), (fixed.power,), alphas=(float(alpha),))
    folds = folds_of(len(rows))
    fit = choose_map(X[rows], targets, folds, choices, prior)
    tau = fit_posterior(cosine(fit.out_of_fold(folds), fit.items), labels).tau
    similarity = cosine(predicted(fit, X[person.test]), fit.items)
    truth = person.words[person.test]
    return Decoded(person.subject, similarity, truth, tau, facts(fit), fit.tried, fit.items)


def best_for_all(found: Sequence[Decoded]) -> Fixed:
    """Find the setting with most bits out of fold over all people; ties go to the plainer one."""
    common = set.intersection(*({(c.whiten, c.power) for c in one.tried} for one in found))
    bits = {
        (c.whiten, c.power): np.mean(
            [d.by_alpha for one in found for d in one.tried if d[:2] == c[:2]], axis=0
        )
        for c in found[0].tried
        if c[:2] in common
    }
    whiten, power = max(bits, key=lambda key: bits[key].max())
    return Fixed(whiten, power, int(bits[whiten, power].argmax()))


def predicted(fit: MapFit, X: np.ndarray) -> np.ndarray:
    """Predict coordinates from scaled features."""
    white = X if fit.whitener is None else X @ fit.whitener
    return (white - fit.ridge.x_mean) @ fit.weights()


def facts(fit: MapFit) -> dict[str, float]:
    chosen = fit.chosen
    return {"whiten": chosen.whiten, "power": chosen.power, "kappa": chosen.kappa,
            "bits_out_of_fold": chosen.bits}  # fmt: skip


def unseen(
    person: Person, words: Words, sets: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Rank accuracy of words that training never saw, among those of their set, and its null.

    The null gives each word of a set the vector of another one, once for the whole set.
    """
    X, n_nulls = scaled(person, person.train), 200
    total, null, count = 0.0, np.zeros(n_nulls), 0
    for members in sets:
        rows = person.train[~np.isin(person.words[person.train], members)]
        trials = person.test[np.isin(person.words[person.test], members)]
        labels = person.words[rows]
        targets = Targets(words.german, words.vectors, words.vectors[labels], labels)
        folds = folds_of(len(rows))
        choices = Choices(choices_of(RECIPE, targets, X.shape[1], None).whiten)
        fit = choose_map(X[rows], targets, folds, choices)
        similarity = cosine(predicted(fit, X[trials]), fit.items[members])
        place = np.searchsorted(members, person.words[trials])
        by_column = np.stack(
            [rank_accuracy(similarity, np.full(len(trials), c)) for c in range(len(members))]
        )
        total += by_column[place, np.arange(len(trials))].sum()
        for i in range(n_nulls):
            null[i] += by_column[rng.permutation(len(members))[place], np.arange(len(trials))].sum()
        count += len(trials)
    return total / count, null / count


def ceiling(person: Person) -> float:
    """Rank accuracy if the mean response of every word were known, from distances between halves."""
    X = scaled(person, person.train)
    found = rank_ceiling(X, person.words, (person.train, person.test))
    return 1.0 if found is None else found.rank_accuracy  # unknown


def pooled(found: Decoded, repeats: int) -> float | None:
    """Rank accuracy when the evidence of so many trials of one word, in their order, is summed."""
    sums, truth = [], []
    for word in np.unique(found.truth):
        trials = np.flatnonzero(found.truth == word)
        for start in range(0, len(trials) - repeats + 1, repeats):
            sums.append(found.similarity[trials[start : start + repeats]].sum(axis=0))
            truth.append(word)
    return float(rank_accuracy(np.array(sums), np.array(truth)).mean()) if sums else None
