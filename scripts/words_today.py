"""The map of before, for eval_words.py: features clamped at 20, not whitened, plain targets.

Alpha, relative to the mean eigenvalue of the features, is the one with the most bits per word out of
fold, over all first halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import ttest_1samp
from words_data import Person, Words
from words_maps import Decoded, folds_of, scaled

from calibration.confidence import fit_posterior, log_posterior, log_prior_from_counts
from calibration.gram import RidgeGram
from calibration.ridge import alphas_default, select_alpha
from calibration.scores import bits_beyond_prior, cosine, macro, rank_accuracy, top_k
from calibration.splits import Fold

CLAMP = 20.0  # robust standard deviations


class Halves(NamedTuple):
    """One subject: the first half decomposed, the second half scaled by the first."""

    subject: str
    gram: RidgeGram
    alphas: np.ndarray  # (n_alphas,) the same multiples of the mean eigenvalue for everyone
    folds: list[Fold]
    train: np.ndarray  # (n_train,) item numbers
    X_test: np.ndarray
    test: np.ndarray  # (n_test,) item numbers


def halves(person: Person) -> Halves:
    """Scale both halves by the first, and decompose it."""
    X = scaled(person, person.train, CLAMP)
    return Halves(
        person.subject,
        RidgeGram(X[person.train]),
        alphas_default(X[person.train]),
        folds_of(len(person.train)),
        person.words[person.train],
        X[person.test],
        person.words[person.test],
    )


def today(people: Sequence[Halves], words: Words) -> tuple[list[Decoded], dict]:
    """Decode all, and the variants that the choice of alpha and of targets is compared with."""
    vectors = [words.vectors] * len(people)
    found = decode_all(people, vectors, bits)
    residual = [residual_vectors(words, person.train) for person in people]
    return found, {
        "residual": against_chance(decode_all(people, residual, bits)),
        "own_alpha": against_chance(decode_all(people, vectors, bits, pooled=False)),
        "squared_error": against_chance(decode_all(people, vectors, closeness, pooled=False)),
        "categories": score_categories(found, words.categories),
    }


def bits(predictions: np.ndarray, items: np.ndarray, truth: np.ndarray) -> float:
    """Criterion that the readout uses: bits per word beyond the prior."""
    return fit_posterior(cosine(predictions, items), truth).bits_per_word


def closeness(predictions: np.ndarray, items: np.ndarray, truth: np.ndarray) -> float:
    """Negative squared error, for comparison only: it prefers shrinkage that loses the ranking."""
    return -float(np.mean((items[truth] - predictions) ** 2))


def decode_all(
    people: Sequence[Halves],
    vectors: Sequence[np.ndarray],
    judge: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    pooled: bool = True,
) -> list[Decoded]:
    """Choose alpha on the first halves, for all together or each alone; decode the second ones."""
    choices = []
    for person, v in zip(people, vectors, strict=True):
        targets = v[person.train]
        items, truth = v - targets.mean(axis=0), person.train
        choices.append(
            select_alpha(
                person.gram, targets, person.folds, person.alphas,
                lambda y, items=items, truth=truth: judge(y, items, truth), every=pooled,
            )
        )  # fmt: skip
    if pooled:
        best = int(np.argmax(np.mean([choice.scores for choice in choices], axis=0)))
        alphas = [person.alphas[best] for person in people]
    else:
        alphas = [choice.alpha for choice in choices]
    return [decode(*each) for each in zip(people, vectors, alphas, strict=True)]


def decode(person: Halves, vectors: np.ndarray, alpha: float) -> Decoded:
    """Fit map and temperature on the first half, decode the second."""
    targets = vectors[person.train]
    items = vectors - targets.mean(axis=0)
    held_out = person.gram.out_of_fold(targets, person.folds, alpha, centred=True)
    tau = fit_posterior(cosine(held_out, items), person.train).tau
    W, _ = person.gram.coef(targets, alpha)
    predictions = (person.X_test - person.gram.x_mean) @ W
    return Decoded(person.subject, cosine(predictions, items), person.test, tau, {})


def residual_vectors(words: Words, train: np.ndarray) -> np.ndarray:
    """Regress word length and frequency out of the vectors, by weights of the training trials."""
    design = np.column_stack([np.ones(len(words.vectors)), words.covariates])
    weights, *_ = np.linalg.lstsq(design[train], words.vectors[train], rcond=None)
    return words.vectors - design @ weights


def score_subject(found: Decoded, shuffled: float) -> dict[str, str | int | float]:
    return {
        "subject": found.subject,
        "n_test": len(found.truth),
        "rank_accuracy": found.rank_accuracy,
        "shuffled": shuffled,
        "macro_top10": macro(top_k(found.similarity, found.truth, 10), found.truth),
        "bits_per_word": bits_of(found),
    }


def bits_of(found: Decoded) -> float:
    """Bits a word beyond the prior, uniform, as every word was shown about 30 times."""
    log_prior = log_prior_from_counts(np.zeros(found.similarity.shape[1]))
    posterior = log_posterior(found.similarity, found.tau, log_prior)
    return float(bits_beyond_prior(posterior, log_prior, found.truth).mean())


def score_categories(found: Sequence[Decoded], categories: np.ndarray) -> list[dict]:
    """Rank accuracy of each category's words, among all words and among those of the category."""
    rows = []
    for category in dict.fromkeys(categories.tolist()):
        members = np.flatnonzero(categories == category)
        among_all, within = [], []
        for outcome in found:
            trials = np.isin(outcome.truth, members)
            if not trials.any():
                continue
            similarity, truth = outcome.similarity[trials], outcome.truth[trials]
            among_all.append(rank_accuracy(similarity, truth).mean())
            place = np.searchsorted(members, truth)
            within.append(rank_accuracy(similarity[:, members], place).mean())
        rows.append(
            {
                "category": category,
                "rank_accuracy": float(np.mean(among_all)),
                "p": p_value(among_all),
                "within_category": float(np.mean(within)),
            }
        )
    return rows


def against_chance(found: Sequence[Decoded]) -> dict[str, float | None]:
    accuracies = [outcome.rank_accuracy for outcome in found]
    return {"rank_accuracy": float(np.mean(accuracies)), "p": p_value(accuracies)}


def p_value(accuracies: list[float]) -> float | None:
    """P value of a two-sided t-test over subjects against 0.5; None for a single subject."""
    if len(accuracies) < 2 or np.ptp(accuracies) == 0:
        return None
    return float(ttest_1samp(accuracies, 0.5).pvalue)
