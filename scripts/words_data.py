"""Folders of people reading words, for eval_words.py: ``subjectNN.npz`` and tables of the words."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calibration.language.embeddings import embed
from calibration.splits import final_block


class Words(NamedTuple):
    """The vocabulary; row n - 1 is word number n."""

    german: tuple[str, ...]
    vectors: np.ndarray  # (V, D) of the English glosses
    categories: np.ndarray  # (V,) str
    covariates: np.ndarray  # (V, 2) word length, log frequency


class Person(NamedTuple):
    """One person's trials, unscaled, in the order in which they came."""

    subject: str
    X: np.ndarray  # (n, p)
    words: np.ndarray  # (n,) word numbers from 0
    good: np.ndarray  # (n_good,) trials that are not bad
    train: np.ndarray  # (n_train,) trials of the first half that are not bad
    test: np.ndarray  # (n_test,) trials of the second half, bad ones too


def read_words(folder: Path) -> Words:
    """Read vectors of the glosses, and other properties that could distinguish the words."""
    glosses = _glosses(folder)
    with open(folder / "Stimuli.csv", encoding="utf-8", newline="") as file:
        stimuli = {row["Word"]: row for row in csv.DictReader(file)}
    known = [stimuli[row["german"]] for row in glosses]
    length = [float(row["Typelänge_Zeichen"]) for row in known]
    frequency = [float(row["Typefrequenz_absolut"]) for row in known]
    vectors = embed([row["english_gloss"] for row in glosses]).astype(float)
    # Rotated onto the span of the words: the same cosines from a quarter of the targets.
    u, s, _ = np.linalg.svd(vectors, full_matrices=False)
    return Words(
        tuple(row["german"] for row in glosses),
        u * s,
        np.array([row["category_de"] for row in glosses]),
        np.column_stack([length, np.log1p(frequency)]),
    )


def glosses_of(folder: Path) -> list[str]:
    """Read the English gloss of each word, in the order of the vocabulary."""
    return [row["english_gloss"] for row in _glosses(folder)]


def _glosses(folder: Path) -> list[dict[str, str]]:
    with open(folder / "english_gloss.csv", encoding="utf-8", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: int(row["word_no"]))


def read_people(folder: Path, words: Words) -> list[Person]:
    """Read every person of a folder, their words numbered as in `words`."""
    with open(folder / "english_gloss.csv", encoding="utf-8", newline="") as file:
        german = {int(row["word_no"]): row["german"] for row in csv.DictReader(file)}
    place = {word: i for i, word in enumerate(words.german)}
    number = np.full(max(german) + 1, -1)  # of words that are not shared
    for word_no, word in german.items():
        number[word_no] = place.get(word, -1)
    return [_read_person(file, number) for file in sorted(folder.glob("subject*.npz"))]


def _read_person(file: Path, number: np.ndarray) -> Person:
    with np.load(file, allow_pickle=False) as data:
        X = np.hstack([data["channel_uv"], data["roi_uv"]]).astype(float)
        word_no, bad, trial = data["word_no"].astype(int), data["bad"].astype(bool), data["trial"]
    if word_no.min() < 1 or word_no.max() >= len(number):
        raise ValueError(f"{file.name}: need word numbers from 1 to {len(number) - 1}")
    order = np.argsort(trial, kind="stable")
    order = order[number[word_no[order]] >= 0]
    X, words, bad = X[order], number[word_no[order]], bad[order]
    first, test = final_block(len(words), 0.5)
    return Person(file.stem, X, words, np.flatnonzero(~bad), first[~bad[first]], test)
