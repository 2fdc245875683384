"""Speed of the fit: each row beside its peer, in turns, on as many threads, medians of several runs.

On one thread CPU seconds are compared, which a busy machine disturbs less than the clock.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from threadpoolctl import threadpool_limits

from calibration.encoding import Rules
from calibration.gram import RidgeGram
from calibration.layers import Layers, decode_layers
from calibration.nested import Split
from calibration.nulls import permute_labels
from calibration.ridge import alphas_default, select_alpha
from calibration.splits import Fold, blocks, leave_group_out

__all__ = ["add_options", "measure"]

SENTENCE, PAUSE_S, PURGE_S = 20, 0.3, 3.0  # words, s between them, s around a held-out sentence
N_TARGETS, N_ALPHAS, N_FOLDS = 384, 20, 5
N_WORDS, N_LAYERS, N_PERMUTATIONS = 60, 13, 1000
AT_ONCE = 25  # permutations side by side


class Problem(NamedTuple):
    """Brain features and targets of words in sentences."""

    X: np.ndarray  # (n, p)
    Y: np.ndarray  # (n, N_TARGETS)
    alphas: np.ndarray  # (N_ALPHAS,)
    sentences: list[Fold]  # purged

    @classmethod
    def draw(cls, n: int, p: int, size: float) -> Problem:
        """Draw n events and p features, times `size`."""
        n, p = SENTENCE * max(4, round(size * n / SENTENCE)), max(8, round(size * p))
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, p))
        Y = X[:, :20] @ rng.normal(size=(min(20, p), N_TARGETS)) + 5 * rng.normal(
            size=(n, N_TARGETS)
        )
        folds = leave_group_out(blocks(n, n // SENTENCE), PAUSE_S * np.arange(n), PURGE_S)
        return cls(X, Y, alphas_default(X, N_ALPHAS), folds)

    def ours(self, backend: str) -> None:
        """Choose a penalty, sentences and their neighbours left out, and fit."""
        gram = RidgeGram(self.X, backend)
        centred = self.Y - self.Y.mean(axis=0)
        score = lambda y: -float(np.mean((centred - y) ** 2))  # noqa: E731
        chosen = select_alpha(gram, self.Y, self.sentences, self.alphas, score)
        gram.coef(self.Y, chosen.alpha)

    def refit(self, alpha: float) -> None:
        """Fit one fold at one penalty, as a grid search does for each."""
        train, test = self.sentences[0]
        Ridge(alpha).fit(self.X[train], self.Y[train]).predict(self.X[test])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, help="of each speed, in turns with its peer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backend", default="auto", choices=["auto", "numpy", "torch"])
    parser.add_argument("--size", type=float, default=1.0, help="events and features, times usual")
    parser.add_argument("--speeds", default=",".join(ROWS), help="rows to measure")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every row; returns figures, goals and what was asked for."""
    figures, goals = {}, {}
    with threadpool_limits(args.threads):
        RidgeGram(np.eye(3), args.backend)  # imports and the start of a GPU are not timed
        for name in args.speeds.split(","):
            figures[name], met = ROWS[name](args)
            goals |= {f"{name}: {goal}": reached for goal, reached in met.items()}
            told = "  ".join(f"{key} {value:.3g}" for key, value in figures[name].items())
            print(f"{name:<13} {told}", file=sys.stderr)
    asked = {"runs": args.runs, "threads": args.threads, "size": args.size}
    return asked | {"figures": figures, "goals": goals}


def sklearn_row(
    p: int, least: float, args: argparse.Namespace
) -> tuple[dict[str, float], dict[str, bool]]:
    """Compare with scikit-learn, which leaves out single events faster than sentences.

    Its grid search over the same folds is one of its fits times folds and penalties.
    """
    problem = Problem.draw(2000, p, args.size)

    def decompose() -> None:
        X = problem.X - problem.X.mean(axis=0)
        np.linalg.eigh(X @ X.T if len(X) < X.shape[1] else X.T @ X)

    found = timed(args, {
        "ours": partial(problem.ours, args.backend),
        "sklearn": lambda: RidgeCV(problem.alphas).fit(problem.X, problem.Y),
        "gram_and_eigh": decompose,
        "one_fit": lambda: problem.refit(problem.alphas[N_ALPHAS // 2]),
    })  # fmt: skip
    n_fits = len(problem.sentences) * N_ALPHAS
    figures = {
        "ours_s": found["ours"], "single_events_s": found["sklearn"],
        "ratio": found["sklearn"] / found["ours"],
        "bound": found["sklearn"] / found["gram_and_eigh"],
        "same_folds_s": n_fits * found["one_fit"],
        "ratio_same_folds": n_fits * found["one_fit"] / found["ours"],
    }  # fmt: skip
    return figures, {
        f"{least:g} times as fast as scikit-learn, which leaves out single events": (
            figures["ratio"] >= least
        ),
        f"{least:g} times as fast as its grid search over the same folds": (
            figures["ratio_same_folds"] >= least
        ),
    }


def himalaya_row(args: argparse.Namespace) -> tuple[dict[str, float], dict[str, bool]]:
    """Compare with himalaya, which leaves out a fifth of the sentences at a time."""
    try:
        from himalaya.ridge import RidgeCV as HimalayaCV
    except ImportError:
        raise ImportError("need himalaya for this row: pip install 'rt-decoder[bench]'") from None
    problem = Problem.draw(4000, 1600, args.size)
    n = len(problem.X)
    folds = leave_group_out(blocks(n, N_FOLDS))
    X, Y = problem.X - problem.X.mean(axis=0), problem.Y - problem.Y.mean(axis=0)
    found = timed(args, {
        "ours": partial(problem.ours, args.backend),
        "himalaya": lambda: HimalayaCV(problem.alphas, cv=folds).fit(X, Y),
    })  # fmt: skip
    ratio = found["himalaya"] / found["ours"]
    figures = {"ours_s": found["ours"], "himalaya_s": found["himalaya"], "ratio": ratio}
    return figures, {"10 times as fast as himalaya's group folds": ratio >= 10}


def layers_row(args: argparse.Namespace) -> tuple[dict[str, float], dict[str, bool]]:
    """Compare all layers of a language model with one of them, words as texts."""
    X = Problem.draw(2000, 1600, args.size).X
    rng = np.random.default_rng(1)
    n, vectors = len(X), rng.normal(size=(N_LAYERS, N_WORDS, N_TARGETS))
    which = np.concatenate([np.arange(N_WORDS), rng.integers(N_WORDS, size=n - N_WORDS)])
    split = Split(blocks(n, n // SENTENCE), PAUSE_S * np.arange(n), PURGE_S)

    def decode(n_layers: int) -> None:
        names = tuple(str(k) for k in range(n_layers))
        decode_layers(X, Layers(names, vectors[:n_layers], which), split, Rules(99))

    found = timed(args, {"all": partial(decode, N_LAYERS), "one": partial(decode, 1)})
    ratio = found["all"] / found["one"]
    figures = {"all_s": found["all"], "one_s": found["one"], "ratio": ratio}
    return figures, {f"{N_LAYERS} layers within twice the time of one": ratio <= 2}


def permutations_row(args: argparse.Namespace) -> tuple[dict[str, float], dict[str, bool]]:
    """Compare permuted labels, side by side, with refitting: one permutation times their number."""
    X = Problem.draw(2000, 1600, args.size).X
    n, rng = len(X), np.random.default_rng(1)
    items, which = rng.normal(size=(N_WORDS, N_WORDS - 1)), rng.integers(N_WORDS, size=n)
    folds = leave_group_out(blocks(n, N_FOLDS), PAUSE_S * np.arange(n), PURGE_S)
    alpha = float(alphas_default(X)[7])

    def permuted() -> np.ndarray:
        return items[permute_labels(which, rng)]

    def ours() -> None:
        gram = RidgeGram(X)
        for _ in range(0, N_PERMUTATIONS, AT_ONCE):
            gram.out_of_fold(np.hstack([permuted() for _ in range(AT_ONCE)]), folds, alpha, True)

    def refit() -> None:
        Y = permuted()
        for train, test in folds:
            Ridge(alpha).fit(X[train], Y[train]).predict(X[test])

    found = timed(args, {"ours": ours, "one": refit})
    refitted = N_PERMUTATIONS * found["one"]
    ratio = refitted / found["ours"]
    figures = {"ours_s": found["ours"], "refitted_s": refitted, "ratio": ratio}
    return figures, {f"{N_PERMUTATIONS} permutations 20 times as fast as refits": ratio >= 20}


def timed(args: argparse.Namespace, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Run all in turns; return the median seconds of each."""
    clock = time.process_time if args.threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(args.runs):
        for name, call in calls.items():
            began = clock()
            call()
            seconds[name].append(clock() - began)
    return {name: median(one) for name, one in seconds.items()}


ROWS: dict[str, Callable[[argparse.Namespace], tuple[dict[str, float], dict[str, bool]]]] = {
    "p3840": partial(sklearn_row, 3840, 2.5),
    "p12240": partial(sklearn_row, 12240, 4.0),
    "himalaya": himalaya_row,
    "layers": layers_row,
    "permutations": permutations_row,
}
