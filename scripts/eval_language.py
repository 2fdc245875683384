"""Judge the prior of the next word, and sets of items, on simulated sentences.

A session has 60 words with random vectors, a random linear map of them to 80 features, noise, and
400 to 1,000 training trials that are the words of sentences; nothing is locked away, and what is
promised is judged on new sentences of the same person. The sentences come from a grammar of random
transitions, in which each word is followed by few others. Six levels run from no signal to separable
words. The language is an n-gram model of a text of 2,000 other sentences: of the same grammar
(`right`) or of another one over the same words (`wrong`). Its context is the words that were
decoded, or those that were shown. What the language alone scores is printed beside the brain alone
and both; where those are decoded, also what it scores when it hears nothing but itself.

A goal is missed, and the exit code 1, if

- with signal (levels .2 to .8) and the right language, both together are not better than the brain
  alone and than the language alone in 95 % of the sessions;
- with a wrong language a session loses more than .01 bit a word against the brain alone, or without
  signal and with the right language against the language alone;
- sets of 80, 90 and 95 % hold the true item more than 2 % less often on average over the sessions, or,
  where the winner is not right so often by itself, more than 2 % more often (levels .1 and .2, new
  trials without the language; with the right one only less often counts);
- a prior that comes after its word is used, or is not told, or one that is in time is not used.

    scripts/eval_language.py [--sessions 120] [--trials 4000] [--seed 7000] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from language_late import late
from language_sentences import N_WORDS, WORDS, draw_grammar, draw_sentences, draw_text
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

from calibration.design import Design, draft_model
from calibration.evaluate import evidence
from calibration.fit import fit_model
from calibration.language_weight import LanguageWish
from calibration.next_word import Text, language_scores
from calibration.sets import SHOWN, set_scores
from rt_decoder.decoding.features import scale_features
from rt_decoder.decoding.language.ngram import NGram
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

N_DIMENSIONS, N_FEATURES = 40, 80
LEVELS = (0.0, 0.1, 0.2, 0.4, 0.8, 3.0)  # of signal, beside noise of 1
HELPED = (0.2, 0.4, 0.8)  # where brain and language have something to add to each other
SETS = (0.1, 0.2)  # where sets have more than one item
GOALS = {"both_better": 0.95, "worst_loss": -0.01, "coverage": 0.02}


class Session(NamedTuple):
    """What is drawn at random, besides the numbers."""

    seed: int
    level: float
    right: bool
    shown: bool
    n_train: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=120, help="simulated sessions")
    parser.add_argument("--trials", type=int, default=4000, help="new trials of each session")
    parser.add_argument("--seed", type=int, default=7000, help="first seed of the sessions")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.sessions < 24 or args.trials < 100:
        parser.error(
            f"need 24 sessions and 100 trials or more, got {args.sessions} and {args.trials}"
        )
    console = Console(stderr=True)
    drawn = track(
        plan(args.sessions, args.seed), "sessions", console=console, disable=not console.is_terminal
    )
    with threadpool_limits(1):
        rows = [judge(session, args.trials) for session in drawn]
    result = {"sessions": len(rows), "trials": args.trials} | summarise(rows)
    result["late"] = late(draw_text(draw_grammar(rng := np.random.default_rng(2)), rng), WORDS)
    report(result)
    missed = missed_goals(result)
    for line in missed:
        print(f"missed: {line}")
    if args.json:
        print(json.dumps(result | {"goals": GOALS, "missed": missed}, allow_nan=False))
    sys.exit(bool(missed))


def plan(n_sessions: int, seed: int) -> list[Session]:
    """Vary level, language and context together."""
    sessions = []
    for i in range(n_sessions):
        turn = i // len(LEVELS)
        n_train = int(np.random.default_rng([seed, i]).integers(400, 1001))
        level = LEVELS[i % len(LEVELS)]
        sessions.append(Session(seed + i, level, turn % 2 == 0, turn // 2 % 2 == 1, n_train))
    return sessions


def fit_session(
    session: Session, vectors: np.ndarray, mix: np.ndarray, grammar: np.ndarray, wish: LanguageWish
) -> Model:
    """Fit a model on training sentences, a word every 2 s."""
    rng, n = np.random.default_rng([session.seed, 1]), session.n_train
    words, places = draw_sentences(grammar, n, rng)
    X = session.level * vectors[words] @ mix + rng.standard_normal((n, N_FEATURES))
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": ["eeg"], "reference": "none", "line_freq": 0.0},
            "clean": {"stages": []},
            "fit": {"final_block": 0.0, "n_permutations": 19, "purge": 2.0},
        }
    )
    info = SignalInfo(100.0, ("Cz", "Pz"), ("eeg", "eeg"), ("V", "V"))
    signal = 1e-5 * np.random.default_rng(0).standard_normal((400, 2))
    draft = draft_model([Recording(signal, np.arange(400) / 100.0, info)], recipe)
    sentence = np.cumsum(places == 0)
    design = Design(
        X.astype(np.float32), tuple(WORDS[i] for i in words), 2.0 * np.arange(n), ("",) * n,
        tuple((f"sentence {s}", int(p)) for s, p in zip(sentence, places, strict=True)),
        np.zeros(n, int), 0, np.ones(n, bool),
    )  # fmt: skip
    return fit_model(
        draft, design, language=wish,
        embedder=lambda texts, **_: vectors[[WORDS.index(text) for text in texts]],
    )  # fmt: skip


def judge(session: Session, n_trials: int) -> dict[str, Any]:
    """Fit a session, and decode new sentences."""
    rng = np.random.default_rng([session.seed, 0])
    vectors = rng.standard_normal((N_WORDS, N_DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    mix = rng.standard_normal((N_DIMENSIONS, N_FEATURES))
    grammar, other = draw_grammar(rng), draw_grammar(rng)
    text = draw_text(grammar if session.right else other, rng)
    wish = LanguageWish(lambda items: NGram(text, items), session.shown)
    model = fit_session(session, vectors, mix, grammar, wish)
    rng = np.random.default_rng([session.seed, 2])
    words, places = draw_sentences(grammar, n_trials, rng)
    X = session.level * vectors[words] @ mix + rng.standard_normal((n_trials, N_FEATURES))
    clamp = model.recipe.features.clamp
    found = evidence(model, scale_features(X.astype(np.float32), model.center, model.scale, clamp))
    said = Text(tuple(WORDS[i] for i in words), places == 0)
    if model.language is None:
        raise RuntimeError("need a model with a weight, got none")
    scores = language_scores(model, found, said, wish.open_words(model.items), model.language)
    place = {item: i for i, item in enumerate(model.items)}
    truth = np.array([place.get(label, -1) for label in said.labels])
    sets = set_scores(model, found.of(truth >= 0), truth[truth >= 0])
    return session._asdict() | {"language": scores, "sets": sets}


def bits(name: str, rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([row["language"][name]["bits"] for row in rows])


def cell(rows: list[dict[str, Any]], level: float, right: bool, shown: bool) -> dict[str, Any]:
    """Mean figures of some sessions."""
    names = ("neural", "prior", "fused") + (() if shown else ("alone",))
    top1 = {name: [row["language"][name]["top1"] for row in rows] for name in names}
    return {
        "level": level,
        "language": "right" if right else "wrong",
        "context": "shown" if shown else "decoded",
        "n": len(rows),
        "weight": float(np.mean([row["language"]["weight"] for row in rows])),
        **{name: float(bits(name, rows).mean()) for name in names},
        **{f"top1_{name}": float(np.mean(values)) for name, values in top1.items()},
        "worst_loss": float((bits("fused", rows) - bits("neural", rows)).min()),
        "brain_bits": float((bits("fused", rows) - bits("prior", rows)).mean()),
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute the figures of all goals, and tables by level."""
    cells = []
    for level, right, shown in product(LEVELS, (True, False), (True, False)):
        wanted = (level, right, shown)
        chosen = [row for row in rows if (row["level"], row["right"], row["shown"]) == wanted]
        cells += [cell(chosen, *wanted)] if chosen else []
    helped = [row for row in rows if row["level"] in HELPED and row["right"]]
    better = bits("fused", helped) > np.maximum(bits("neural", helped), bits("prior", helped))
    wrong = [row for row in rows if not row["right"]]
    silent = [row for row in rows if row["level"] == 0 and row["right"]]
    return {
        "cells": cells,
        "both_better": float(better.mean()),
        "wrong_loss": float((bits("fused", wrong) - bits("neural", wrong)).min()),
        "silent_loss": float((bits("fused", silent) - bits("prior", silent)).min()),
        "sets": coverage(rows, lambda row: row["sets"]),
        "spoken_sets": coverage(
            [row for row in rows if row["right"]], lambda row: row["language"]["sets"]
        ),
        "rows": rows,
    }


def coverage(
    rows: list[dict[str, Any]], sets_of: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Mean coverage and size of sets, by level and wanted share."""
    found = []
    for level, (i, wanted) in product(LEVELS, enumerate(SHOWN)):
        some = [sets_of(row)[i] for row in rows if row["level"] == level]
        figures = ("coverage", "size", "one")
        means = {name: float(np.mean([row[name] for row in some])) for name in figures}
        found.append({"level": level, "wanted": wanted} | means)
    return found


def missed_goals(found: dict[str, Any]) -> list[str]:
    """Say which goals are missed."""
    missed = []
    if found["both_better"] < GOALS["both_better"]:
        missed.append(
            f"both are better than each in {100 * found['both_better']:.1f} % of sessions"
        )
    for name in ("wrong_loss", "silent_loss"):
        if found[name] < GOALS["worst_loss"]:
            missed.append(f"{name} {found[name]:.4f} bit in the worst session")
    if found["late"]["wrong"]:
        missed.append(f"{found['late']['wrong']} of {found['late']['n']} priors not as they came")
    for row in found["sets"]:
        off = row["coverage"] - row["wanted"]
        if off < -GOALS["coverage"] or (row["level"] in SETS and off > GOALS["coverage"]):
            missed.append(
                f"sets of {100 * row['wanted']:.0f} % hold the item in {100 * row['coverage']:.1f} % (signal "
                f"{row['level']:g})"
            )
    for row in found["spoken_sets"]:
        if row["coverage"] < row["wanted"] - GOALS["coverage"]:
            missed.append(
                f"sets of {100 * row['wanted']:.0f} % with a language hold the item in "
                f"{100 * row['coverage']:.1f} % (signal {row['level']:g})"
            )
    return missed


def report(result: dict[str, Any]) -> None:
    print(
        f"{result['sessions']} sessions, each on {result['trials']} new trials; bits a word beyond "
        "the usual prior"
    )
    print(
        f"{'signal':>6} {'language':>8} {'context':>8} {'weight':>6} {'brain':>7} {'language':>8} "
        f"{'alone':>7} {'both':>7} {'worst':>8} {'top-1: brain':>12} {'language':>8} {'both':>6}"
    )
    for row in result["cells"]:
        alone = f"{row['alone']:>7.3f}" if "alone" in row else f"{'':>7}"
        print(
            f"{row['level']:>6g} {row['language']:>8} {row['context']:>8} {row['weight']:>6.2f} "
            f"{row['neural']:>7.3f} {row['prior']:>8.3f} {alone} {row['fused']:>7.3f} "
            f"{row['worst_loss']:>8.4f} {row['top1_neural']:>12.3f} {row['top1_prior']:>8.3f} "
            f"{row['top1_fused']:>6.3f}"
        )
    print(
        f"both better than each (signal {HELPED[0]:g} to {HELPED[-1]:g}, right language): "
        f"{100 * result['both_better']:.1f} %; worst loss by a wrong language {result['wrong_loss']:.4f}, by "
        f"a silent brain {result['silent_loss']:.4f} bit"
    )
    print(
        f"live: {result['late']['n_late']} of {result['late']['n']} priors late, "
        f"{result['late']['n_told']} told; {result['late']['wrong']} not used as they came"
    )
    print(
        f"{'signal':>6} {'wanted':>6} {'held':>6} {'items':>6} {'of one':>6}   with the right language:"
    )
    for row, spoken in zip(result["sets"], result["spoken_sets"], strict=True):
        print(
            f"{row['level']:>6g} {100 * row['wanted']:>4.0f} % {100 * row['coverage']:>4.1f} % {row['size']:>6.1f} "
            f"{100 * row['one']:>4.0f} %   {100 * spoken['coverage']:>4.1f} % {spoken['size']:>6.1f} "
            f"{100 * spoken['one']:>4.0f} %"
        )


if __name__ == "__main__":
    main()
