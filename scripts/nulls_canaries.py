"""Canaries: sessions that a wrong analysis decodes, through `fit_model`.

What counts is whether the certificate would call the model proven (`rt_decoder.files.proof`); of a
signal of word length and frequency, whether it shows anything beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from nulls_designs import design_of, fitted, noise

from calibration.design import Design
from calibration.ridge import alphas_default
from rt_decoder.files.proof import why_unproven
from rt_decoder.model import Model

N_EVENTS, N_ITEMS, N_DIMENSIONS, N_FEATURES = 400, 40, 16, 10
# lengths 2 to 9, in no order
ITEMS = tuple(chr(97 + i // 8) * (2 + 3 * i % 8) for i in range(N_ITEMS))
SHARE_OF_CHANCE, SHARE_OF_EFFECTS = 0.05, 0.8  # of sessions that are found


class Canary(NamedTuple):
    """A kind of session."""

    name: str
    make: Callable[[np.random.Generator, np.ndarray], Design]  # takes the item vectors
    found: bool = False  # what to expect of the certificate
    confounded: bool = False  # found more often than by chance is all that is expected
    beyond: bool = False  # ask what is shown beyond word length and frequency


def _spoken(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, N_ITEMS, N_EVENTS)


def _named(X: np.ndarray, words: np.ndarray) -> Design:
    return design_of(X, [ITEMS[i] for i in words], 1.0)


def meaning(rng: np.random.Generator, vectors: np.ndarray) -> Design:
    words, mixing = _spoken(rng), rng.normal(size=(N_DIMENSIONS, N_FEATURES)) / 4
    return _named(noise(rng, N_EVENTS, N_FEATURES, 0.9) + (vectors @ mixing)[words], words)


def frequent_words(rng: np.random.Generator, _: np.ndarray) -> Design:
    """Zipf's law, and nothing in the signal."""
    often = 1 / np.arange(1, N_ITEMS + 1)
    words = rng.choice(N_ITEMS, N_EVENTS, p=often / often.sum())
    return _named(noise(rng, N_EVENTS, N_FEATURES, 0.0), words)


def length_alone(rng: np.random.Generator, _: np.ndarray) -> Design:
    words = _spoken(rng)
    length = np.array([len(item) for item in ITEMS], float)
    seen = (length - length.mean()) / length.std()
    X = noise(rng, N_EVENTS, N_FEATURES, 0.0) + np.outer(seen[words], rng.normal(size=N_FEATURES))
    return _named(X, words)


def time_of_session(rng: np.random.Generator, _: np.ndarray) -> Design:
    """Each word is said several times in a row, and the signal drifts from first to last."""
    words = np.sort(_spoken(rng).reshape(5, -1), axis=1).ravel()
    drift = np.linspace(-3, 3, N_EVENTS)[:, None] * rng.normal(size=N_FEATURES)
    return _named(noise(rng, N_EVENTS, N_FEATURES, 0.9) + drift, words)


def place_in_block(rng: np.random.Generator, _: np.ndarray) -> Design:
    """The same order in every block, and a drift that starts anew with it: a bad design."""
    words = np.sort(_spoken(rng).reshape(5, -1), axis=1).ravel()
    drift = np.tile(np.linspace(-3, 3, N_EVENTS // 5), 5)[:, None] * rng.normal(size=N_FEATURES)
    return _named(noise(rng, N_EVENTS, N_FEATURES, 0.0) + drift, words)


def place_in_list(rng: np.random.Generator, _: np.ndarray) -> Design:
    """The same list again and again, and slow noise."""
    words = np.tile(rng.permutation(N_ITEMS), N_EVENTS // N_ITEMS)
    return _named(noise(rng, N_EVENTS, N_FEATURES, 0.97), words)


def recordings(rng: np.random.Generator, _: np.ndarray) -> Design:
    """Five recordings, each with words of its own that the others seldom have, and other offsets."""
    run = np.arange(N_EVENTS) * 5 // N_EVENTS
    own = rng.integers(0, N_ITEMS // 5, N_EVENTS) * 5 + run
    words = np.where(rng.random(N_EVENTS) < 0.5, own, _spoken(rng))
    X = noise(rng, N_EVENTS, N_FEATURES, 0.0) + 3 * rng.normal(size=(5, N_FEATURES))[run]
    return replace(_named(X, words), run=run)


def swapped_labels(rng: np.random.Generator, vectors: np.ndarray) -> Design:
    """A signal of meaning, and labels of other events."""
    design = meaning(rng, vectors)
    return replace(design, labels=tuple(rng.permutation(design.labels).tolist()))


def marker_in_channel(rng: np.random.Generator, _: np.ndarray) -> Design:
    """One feature carries the code of the word: no statistics can tell that from a brain."""
    words = _spoken(rng)
    X = noise(rng, N_EVENTS, N_FEATURES, 0.0)
    X[:, :6] += 3.0 * (words[:, None] >> np.arange(6) & 1)
    return _named(X, words)


CANARIES = (
    Canary("meaning in the signal", meaning, found=True),
    Canary("meaning, beyond length and frequency", meaning, found=True, beyond=True),
    Canary("no signal, words by frequency", frequent_words),
    Canary("length in the signal", length_alone, found=True),
    Canary("length, beyond length and frequency", length_alone, beyond=True),
    Canary("words in rows, drift", time_of_session),
    Canary("a list said again, slow noise", place_in_list),
    Canary("recordings with words of their own", recordings),
    Canary("labels of other events", swapped_labels),
    Canary("same order in blocks that drift", place_in_block, found=True, confounded=True),
    Canary("marker codes leak into channels", marker_in_channel, found=True, confounded=True),
)


def canary_fit(canary: Canary, seed: int) -> Model:
    """Fit one session; raises ValueError where it is refused."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(N_ITEMS, N_DIMENSIONS))
    length = np.array([len(item) for item in ITEMS], float)
    vectors += np.outer((length - length.mean()) / length.std(), rng.normal(size=N_DIMENSIONS))
    design = canary.make(rng, vectors)

    def embedder(texts: Sequence[str], **_: Any) -> np.ndarray:
        return vectors[[ITEMS.index(text) for text in texts]]

    alphas = alphas_default(design.X[: 4 * N_EVENTS // 5] * 1e6, 5).tolist()
    return fitted(design, embedder, {"n_permutations": 199, "alphas": alphas})


def is_found(canary: Canary, model: Model) -> bool:
    """Tell whether the certificate claims something."""
    if canary.beyond:
        return bool(model.certificate["nuisance"]["beyond"]["p"] <= 0.05)
    return not why_unproven(model)


def canary_rows(n_sessions: int, seed: int) -> list[dict[str, Any]]:
    """Fit every session of every canary."""
    return [canary_row(canary, n_sessions, seed) for canary in CANARIES]


def canary_row(canary: Canary, n_sessions: int, seed: int) -> dict[str, Any]:
    first = 1_000_000 * seed + 10_000 * CANARIES.index(canary)
    found, ranks, reasons = [], [], list[str]()
    for session in range(n_sessions):
        try:
            model = canary_fit(canary, first + session)
        except ValueError as error:
            reasons.append(str(error).split(",")[0])
            continue
        found.append(is_found(canary, model))
        scores = model.certificate["final"]
        ranks.append(model.certificate["nuisance"]["beyond"] if canary.beyond else scores)
    n_found = sum(found)
    slack = 3 * np.sqrt(n_sessions * SHARE_OF_CHANCE * (1 - SHARE_OF_CHANCE))
    chance = n_sessions * SHARE_OF_CHANCE + slack
    enough = np.nextafter(chance, np.inf) if canary.confounded else SHARE_OF_EFFECTS * n_sessions
    return {
        "name": canary.name,
        "n": len(found),
        "refused": len(reasons),
        "reasons": sorted(set(reasons)),
        "rank_accuracy": float(np.mean([one["rank_accuracy"] for one in ranks])) if ranks else None,
        "share_found": n_found / n_sessions,
        "found": bool(n_found > chance),
        "as_expected": bool(n_found >= enough if canary.found else n_found <= chance),
    }


def canary_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print a line a canary."""
    if rows:
        print(f"{'canary':<38}{'n':>5}{'refused':>8}{'rank':>7}{'found':>7}")
    for row in rows:
        rank = "-" if row["rank_accuracy"] is None else f"{row['rank_accuracy']:.3f}"
        print(
            f"{row['name']:<38}{row['n']:>5}{row['refused']:>8}{rank:>7}{row['share_found']:>7.2f}"
            + ("" if row["as_expected"] else "  MISSED")
        )
