"""Compare the hidden layers of MiniLM on real EEG of people reading words.

The data are those of `eval_words.py`. All good trials of a person are tested once, in eight folds of
contiguous trials; penalties and the layer are chosen in inner folds. Features are scaled robustly by the
first half, and whitened by its covariance (shrink 1, as most people's maps choose). Intervals of a layer
are over people; the test that no layer differs is over people and words, for both are a sample. Nothing
is chosen on what is told.

    scripts/eval_layers.py --data DIR [--people N] [--json]

Goals: every layer above chance (its interval over people); the ceiling of each person is above what is
decoded. With fewer than 6 people no interval is asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits
from words_data import Person, glosses_of, read_people, read_words
from words_maps import ceiling, scaled
from words_summary import interval

from calibration.differences import alike
from calibration.encoding import Rules
from calibration.language.embeddings import embed_layers
from calibration.layers import Layers, LayerScores, decode_layers, layer_facts
from calibration.nested import Split
from calibration.prior import covariance
from calibration.splits import blocks
from rt_decoder.decoding.whitening import whitener

LEAST_PEOPLE = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of subjectNN.npz")
    parser.add_argument("--people", type=int, help="the first N only")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if not any(args.data.glob("subject*.npz")):
        parser.error(f"need subjectNN.npz files in {args.data}, got none")
    with threadpool_limits(1):
        words = read_words(args.data)
        people = read_people(args.data, words)[: args.people]
        vectors = embed_layers(glosses_of(args.data), progress=lambda *_: None)
        shown = track(people, "layers", console=Console(stderr=True))
        found = [decoded(person, vectors) for person in shown]
        result = summary(people, found)
    for row in result["layers"]:
        low, high = row["interval"] or (float("nan"),) * 2
        print(f"{row['name']:<10} {row['rank_accuracy']:.4f} ({low:.4f} to {high:.4f})")
    print(f"chosen in inner folds {result['nested']:.4f}; chance .5")
    print(f"largest difference {result['largest']:.4f}, p {result['p_no_difference']:.3f}")
    print(f"ceiling {min(result['ceiling']):.3f} to {max(result['ceiling']):.3f}")
    for goal, met in result["goals"].items():
        print(f"{'met   ' if met else 'missed'} {goal}")
    if args.json:
        print(json.dumps(result, allow_nan=False))
    sys.exit(not all(result["goals"].values()))


def decoded(person: Person, vectors: np.ndarray) -> LayerScores:
    """Decode all layers (L, V, D) of one person."""
    X = scaled(person, person.train)
    X = (X @ whitener(covariance(X[person.train]), 1.0))[person.good]
    names = ["input", *(f"layer {k}" for k in range(1, len(vectors)))]
    layers = Layers(tuple(names), list(vectors), person.words[person.good])
    n = len(X)
    return decode_layers(X, layers, Split(blocks(n, 8), np.arange(n, dtype=float), 1.0), Rules(99))


def summary(people: list[Person], found: list[LayerScores]) -> dict[str, Any]:
    """Figures over people."""
    table = np.array([one.rank_accuracy[:, 0] for one in found])  # (n_people, L)
    nested = [float(one.nested[0]) for one in found]
    of_texts = [one.by_text / len(who.good) for who, one in zip(people, found, strict=True)]
    same, p = alike(table.T, np.ones(len(found)), np.sum(of_texts, axis=0))
    rows: list[dict[str, Any]] = [
        {"name": name, "rank_accuracy": float(column.mean()), "interval": interval(column.tolist()),
         "as_good_as_best": bool(one)}
        for name, column, one in zip(found[0].names, table.T, same, strict=True)
    ]  # fmt: skip
    bounds = [ceiling(person) for person in people]
    goals = {"the ceiling is above what is decoded": bool((np.array(bounds) > nested).all())}
    if len(people) >= LEAST_PEOPLE:
        goals["every layer above chance"] = all(row["interval"][0] > 0.5 for row in rows)
    return {
        "layers": rows,
        "no_difference": bool(same.all()),
        "p_no_difference": p,
        "largest": float(np.ptp(table.mean(axis=0))),
        "nested": float(np.mean(nested)),
        "ceiling": bounds,
        "people": [layer_facts(one) for one in found],
        "goals": goals,
    }


if __name__ == "__main__":
    main()
