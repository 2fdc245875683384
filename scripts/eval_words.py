"""Decode single words from real EEG of people reading, and compare with chance.

For each ``subjectNN.npz`` of a folder (``channel_uv``, ``roi_uv``, ``word_no``, ``trial``, ``bad``)
the first half of the trials trains a ridge map to MiniLM vectors of the English glosses; the second
half tests it on single trials. Scaling and temperature come from the subject's first half. Alpha,
relative to the mean eigenvalue of the features, is the one with the most bits per word out of fold,
over all first halves. Bad trials do not train; every trial counts in the test. The shuffled control
repeats everything with permuted training labels.

    scripts/eval_words.py --data DIR [--json] [--seed 0] [--shuffles 20]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.stats import ttest_1samp
from threadpoolctl import threadpool_limits

from calibration.confidence import fit_posterior, log_posterior, log_prior_from_counts
from calibration.gram import RidgeGram
from calibration.language.embeddings import embed
from calibration.nulls import permute_labels
from calibration.ridge import alphas_default, select_alpha
from calibration.scores import bits_beyond_prior, cosine, macro, rank_accuracy, top_k
from calibration.splits import Fold, blocks, final_block, leave_group_out
from rt_decoder.decoding.features import robust_scale, scale_features

N_BLOCKS = 25  # contiguous groups of about 60 trials within the first half
CLAMP = 20.0  # robust standard deviations


class Items(NamedTuple):
    """The vocabulary; row n - 1 is word number n."""

    vectors: np.ndarray  # (n_items, D)
    categories: np.ndarray  # (n_items,) str
    covariates: np.ndarray  # (n_items, 2) word length, log frequency


class Halves(NamedTuple):
    """One subject: the first half decomposed, the second half scaled by the first."""

    subject: str
    gram: RidgeGram
    alphas: np.ndarray  # (n_alphas,) the same multiples of the mean eigenvalue for everyone
    folds: list[Fold]
    train: np.ndarray  # (n_train,) item numbers
    X_test: np.ndarray
    test: np.ndarray  # (n_test,) item numbers


class Outcome(NamedTuple):
    """The second half, decoded by a map of the first."""

    similarity: np.ndarray  # (n_test, n_items)
    truth: np.ndarray  # (n_test,)
    tau: float

    @property
    def rank_accuracy(self) -> float:
        return float(rank_accuracy(self.similarity, self.truth).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of subjectNN.npz")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--seed", type=int, default=0, help="seed of the shuffled control")
    parser.add_argument("--shuffles", type=int, default=20, help="number of shuffles, at least 1")
    args = parser.parse_args()
    files = sorted(args.data.glob("subject*.npz"))
    if not files:
        parser.error(f"need subjectNN.npz files in {args.data}, got none")
    if args.shuffles < 1:
        parser.error(f"need at least 1 shuffle, got {args.shuffles}")
    try:
        items = read_items(args.data)
        people = [read_halves(file, len(items.vectors)) for file in files]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"eval_words: cannot read {args.data}: {error}")
    with threadpool_limits(1):  # matrices this small lose time to a second thread
        result = evaluate(people, items, args.seed, args.shuffles)
    report(result)
    if args.json:
        print(json.dumps(result, allow_nan=False))


def read_items(folder: Path) -> Items:
    """Read vectors of the glosses, and other properties that could distinguish the words."""
    with open(folder / "english_gloss.csv", encoding="utf-8", newline="") as file:
        glosses = sorted(csv.DictReader(file), key=lambda row: int(row["word_no"]))
    with open(folder / "Stimuli.csv", encoding="utf-8", newline="") as file:
        stimuli = {row["Word"]: row for row in csv.DictReader(file)}
    known = [stimuli[row["german"]] for row in glosses]
    length = [float(row["Typelänge_Zeichen"]) for row in known]
    frequency = [float(row["Typefrequenz_absolut"]) for row in known]
    vectors = embed([row["english_gloss"] for row in glosses]).astype(float)
    # Rotated onto the span of the words: the same cosines from a quarter of the targets.
    u, s, _ = np.linalg.svd(vectors, full_matrices=False)
    return Items(
        u * s,
        np.array([row["category_de"] for row in glosses]),
        np.column_stack([length, np.log1p(frequency)]),
    )


def read_halves(file: Path, n_items: int) -> Halves:
    """Split a subject's trials in time and scale both halves by the first."""
    with np.load(file, allow_pickle=False) as data:
        X = np.hstack([data["channel_uv"], data["roi_uv"]]).astype(float)
        truth, bad, trial = data["word_no"].astype(int) - 1, data["bad"], data["trial"]
    if truth.min() < 0 or truth.max() >= n_items:
        raise ValueError(f"{file.name}: need word numbers from 1 to {n_items}")
    first, test = final_block(len(truth), 0.5, onsets=trial)
    train = first[~bad[first]]
    X = scale_features(X, *robust_scale(X[train]), CLAMP)
    return Halves(
        file.stem,
        RidgeGram(X[train]),
        alphas_default(X[train]),
        leave_group_out(blocks(len(train), N_BLOCKS)),
        truth[train],
        X[test],
        truth[test],
    )


def evaluate(people: list[Halves], items: Items, seed: int, n_shuffles: int) -> dict:
    """Compute every figure of the report."""
    vectors = [items.vectors] * len(people)
    found = decode_all(people, vectors, bits)
    rng = np.random.default_rng(seed)
    console = Console(stderr=True)
    shuffled = []
    for _ in track(range(n_shuffles), "shuffles", console=console, disable=not console.is_terminal):
        permuted = [person._replace(train=permute_labels(person.train, rng)) for person in people]
        shuffled.append([o.rank_accuracy for o in decode_all(permuted, vectors, bits)])
    subjects = [
        score_subject(person.subject, outcome, float(chance))
        for person, outcome, chance in zip(people, found, np.mean(shuffled, axis=0), strict=True)
    ]
    residual = [residual_vectors(items, person.train) for person in people]
    return {
        "subjects": subjects,
        **against_chance(found),
        "shuffled": float(np.mean(shuffled)),
        "chance": 0.5,
        "macro_top10": float(np.mean([subject["macro_top10"] for subject in subjects])),
        "chance_top10": min(10 / len(items.vectors), 1.0),
        "bits_per_word": float(np.mean([subject["bits_per_word"] for subject in subjects])),
        "residual": against_chance(decode_all(people, residual, bits)),
        "own_alpha": against_chance(decode_all(people, vectors, bits, pooled=False)),
        "squared_error": against_chance(decode_all(people, vectors, closeness, pooled=False)),
        "categories": score_categories(found, items.categories),
    }


def bits(predictions: np.ndarray, items: np.ndarray, truth: np.ndarray) -> float:
    """Criterion that the readout uses: bits per word beyond the prior."""
    return fit_posterior(cosine(predictions, items), truth).bits_per_word


def closeness(predictions: np.ndarray, items: np.ndarray, truth: np.ndarray) -> float:
    """Negative squared error, for comparison only: it prefers shrinkage that loses the ranking."""
    return -float(np.mean((items[truth] - predictions) ** 2))


def decode_all(
    people: list[Halves],
    vectors: list[np.ndarray],
    judge: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    pooled: bool = True,
) -> list[Outcome]:
    """Choose alpha on the first halves, for all together or each alone; decode the second ones."""
    choices = []
    for person, v in zip(people, vectors, strict=True):
        targets = v[person.train]
        items, truth = v - targets.mean(axis=0), person.train
        choices.append(
            select_alpha(
                person.gram, targets, person.folds, person.alphas,
                lambda y, items=items, truth=truth: judge(y, items, truth),
            )
        )  # fmt: skip
    if pooled:
        best = int(np.argmax(np.mean([choice.scores for choice in choices], axis=0)))
        alphas = [person.alphas[best] for person in people]
    else:
        alphas = [choice.alpha for choice in choices]
    return [decode(*each) for each in zip(people, vectors, alphas, strict=True)]


def decode(person: Halves, vectors: np.ndarray, alpha: float) -> Outcome:
    """Fit map and temperature on the first half, decode the second."""
    targets = vectors[person.train]
    items = vectors - targets.mean(axis=0)
    held_out = person.gram.out_of_fold(targets, person.folds, alpha, centred=True)
    tau = fit_posterior(cosine(held_out, items), person.train).tau
    W, _ = person.gram.coef(targets, alpha)
    predictions = (person.X_test - person.gram.x_mean) @ W
    return Outcome(cosine(predictions, items), person.test, tau)


def residual_vectors(items: Items, train: np.ndarray) -> np.ndarray:
    """Regress word length and frequency out of the vectors, by weights of the training trials."""
    design = np.column_stack([np.ones(len(items.vectors)), items.covariates])
    weights, *_ = np.linalg.lstsq(design[train], items.vectors[train], rcond=None)
    return items.vectors - design @ weights


def score_subject(name: str, found: Outcome, shuffled: float) -> dict[str, str | int | float]:
    # Every word was shown about 30 times, so the prior is uniform.
    log_prior = log_prior_from_counts(np.zeros(found.similarity.shape[1]))
    posterior = log_posterior(found.similarity, found.tau, log_prior)
    return {
        "subject": name,
        "n_test": len(found.truth),
        "rank_accuracy": found.rank_accuracy,
        "shuffled": shuffled,
        "macro_top10": macro(top_k(found.similarity, found.truth, 10), found.truth),
        "bits_per_word": float(bits_beyond_prior(posterior, log_prior, found.truth).mean()),
    }


def score_categories(found: list[Outcome], categories: np.ndarray) -> list[dict]:
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


def against_chance(found: list[Outcome]) -> dict[str, float | None]:
    accuracies = [outcome.rank_accuracy for outcome in found]
    return {"rank_accuracy": float(np.mean(accuracies)), "p": p_value(accuracies)}


def p_value(accuracies: list[float]) -> float | None:
    """P value of a two-sided t-test over subjects against 0.5; None for a single subject."""
    if len(accuracies) < 2 or np.ptp(accuracies) == 0:
        return None
    return float(ttest_1samp(accuracies, 0.5).pvalue)


def report(result: dict) -> None:
    print("first half trains, second half tests; single trials; chance of rank accuracy 0.500")
    print(f"{'subject':<10} {'n':>5} {'rank':>6} {'shuffled':>8} {'top-10':>6} {'bits/word':>9}")
    for row in result["subjects"]:
        print(
            f"{row['subject']:<10} {row['n_test']:>5} {row['rank_accuracy']:>6.3f} "
            f"{row['shuffled']:>8.3f} {row['macro_top10']:>6.3f} {row['bits_per_word']:>9.4f}"
        )
    print(
        f"mean rank accuracy {show(result)}, shuffled {result['shuffled']:.4f}, macro top-10 "
        f"{result['macro_top10']:.3f} (chance {result['chance_top10']:.3f}), "
        f"bits a word beyond the prior {result['bits_per_word']:.4f}"
    )
    print(f"length and frequency regressed out of the targets: {show(result['residual'])}")
    print(f"alpha of each subject alone, by bits: {show(result['own_alpha'])}")
    print(f"alpha of each subject alone, by squared error: {show(result['squared_error'])}")
    print(f"{'category':<20} {'rank':>6} {'p':>8} {'within category':>16}")
    for row in result["categories"]:
        print(
            f"{row['category']:<20} {row['rank_accuracy']:>6.3f} {show_p(row['p']):>8} "
            f"{row['within_category']:>16.3f}"
        )


def show(score: dict) -> str:
    return f"{score['rank_accuracy']:.4f} (p {show_p(score['p'])})"


def show_p(p: float | None) -> str:
    return "n/a" if p is None else f"{p:.1e}"


if __name__ == "__main__":
    main()
