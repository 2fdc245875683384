"""Sentences of a random grammar, for `eval_language.py`."""

from __future__ import annotations

import numpy as np

__all__ = ["N_WORDS", "WORDS", "draw_grammar", "draw_sentences", "draw_text"]

N_WORDS = 60
WORDS = tuple(f"word{i:02d}" for i in range(N_WORDS))
N_SENTENCES = 2000  # in a text


def draw_grammar(rng: np.random.Generator) -> np.ndarray:
    """Transitions (N_WORDS + 1, N_WORDS): of the start of a sentence, in the last row, and of words."""
    return rng.dirichlet(np.full(N_WORDS, 0.05), N_WORDS + 1)


def draw_sentences(
    grammar: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return n words, and the place of each in its sentence of 4 to 9 words."""
    words, places = np.zeros(n, int), np.zeros(n, int)
    last, place, length = N_WORDS, 0, int(rng.integers(4, 10))
    for i in range(n):
        if place == length:
            last, place, length = N_WORDS, 0, int(rng.integers(4, 10))
        last = words[i] = rng.choice(N_WORDS, p=grammar[last])
        places[i], place = place, place + 1
    return words, places


def draw_text(grammar: np.ndarray, rng: np.random.Generator) -> str:
    words, places = draw_sentences(grammar, 6 * N_SENTENCES, rng)
    return "".join(
        ("\n" if not place else " ") + WORDS[word]
        for word, place in zip(words, places, strict=True)
    )
