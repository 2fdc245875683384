"""Encoding of simulated people: r, patterns, and the null.

`theory`: white vectors, white noise, a share rho^2 of the brain's variance explained. Least squares
on n events of D dimensions has a held-out r of rho / sqrt(1 + D / (n - D - 1) (1 - rho^2) / rho^2);
ridge on white vectors gains little over it. Folds of 20 events, penalties chosen in inner folds.

`patterns`: participants of eight channels read 24 words; the live stages run over 2, 4, 8 and 16
minutes. Truth is the regression on the vectors of the same stages' output for the evoked response
alone, from another recording. A tenth as many people, since they are recorded.

`null`: nothing is encoded; words at random on white noise, and words in runs of like ones on AR(.9)
noise, 39 permutations. p <= .05 within the 99 % interval of so many people.

Goals: r within .01 of theory at every n; the correlation of patterns with truth grows with each
doubling in the mean, and from first to last in 90 % of people; both nulls as asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.stats import binomtest

from calibration.design import build_design, draft_model
from calibration.encoding import Rules, epoch_model, epochs_of, fit_encoding
from calibration.events import label_recording
from calibration.nested import Split
from calibration.patterns import encoding_patterns
from rt_decoder.files.recording import Recording
from rt_decoder.recipe import Recipe
from rt_decoder.simulation.participant import Participant, Simulation
from rt_decoder.timing.markers import MarkerRules

RHO2, DIMS, SIZES = 0.1, 16, (100, 200, 400, 800)
MINUTES = (2, 4, 8, 16)
WORDS = tuple(f"word{i}" for i in range(24))
N_PERMUTATIONS = 39


def judge(n_people: int, seed: int) -> dict[str, Any]:
    """Simulate people; return figures and goals."""
    theory = {str(n): _theory(n, n_people, seed) for n in SIZES}
    found = np.array([_patterns(seed + one) for one in range(max(1, n_people // 10))])
    means = found.mean(axis=0)
    nulls = {
        name: _false_positives(n_people, seed, slow=slow)
        for name, slow in (("white", False), ("runs on slow noise", True))
    }
    return {
        "figures": {
            "theory": theory,
            "patterns": {
                "people": len(found),
                "correlation with truth": dict(zip(map(str, MINUTES), means.tolist(), strict=True)),
                "people in whom it grows": float(np.mean(found[:, -1] > found[:, 0])),
            },
            "null": nulls,
        },
        "goals": {
            "r is that of theory": all(
                abs(one["r"] - one["expected"]) < 0.01 for one in theory.values()
            ),
            "patterns approach truth with every doubling": bool((np.diff(means) > 0).all()),
            "in 90 % of people": bool(np.mean(found[:, -1] > found[:, 0]) >= 0.9),
            **{f"false positives as asked: {name}": one["as_asked"] for name, one in nulls.items()},
        },
    }


def split_of(n: int) -> Split:
    return Split(np.arange(n) // 20, np.arange(n) * 0.7, 1.0)


def _theory(n: int, n_people: int, seed: int) -> dict[str, float]:
    rs, n_train = [], n - n / min(8, n // 20) - 2.0
    for one in range(n_people):
        rng = np.random.default_rng([seed, one, n])
        X = rng.normal(size=(n, DIMS))
        W = rng.normal(size=(DIMS, 8))
        W *= np.sqrt(RHO2 / (1 - RHO2) / np.sum(W**2, axis=0))
        Y = (X @ W + rng.normal(size=(n, 8))).reshape(n, 4, 2)
        rs.append(fit_encoding(X, Y, split_of(n), Rules(1, one)).r.mean())
    expected = np.sqrt(RHO2 / (1 + DIMS / (n_train - DIMS - 1) * (1 - RHO2) / RHO2))
    return {"r": float(np.mean(rs)), "expected": float(expected)}


def _patterns(seed: int) -> list[float]:
    """Correlation of patterns with truth after each number of minutes."""
    vectors = np.random.default_rng(seed).standard_normal((len(WORDS), 8))
    person = Participant(vectors, WORDS, n_channels=8, artifacts=0.0, snr=0.35, seed=seed)
    truth = _fitted(person, vectors, 4.0, 1, evoked=True)
    found = []
    for minutes in MINUTES:
        patterns = _fitted(person, vectors, minutes, 2)
        found.append(float(np.corrcoef(patterns.ravel(), truth.ravel())[0, 1]))
    return found


def _fitted(
    person: Participant, vectors: np.ndarray, minutes: float, seed: int, *, evoked: bool = False
) -> np.ndarray:
    """Patterns (D, c, t) in SI units, of the evoked response alone or of all."""
    made = person.simulate(duration=60 * minutes, seed=seed, components=evoked, soa=(1.0, 1.2))
    recording = _recording(made, _heard(made.components["evoked"]) if evoked else made.data)
    recipe = Recipe.from_dict({"stream": {"picks": ["eeg"]}, "clean": {"stages": []}})
    model = epoch_model(draft_model([recording], recipe), 0.0, 0.8, 0.05)
    design = build_design(model, [label_recording(recording, None, recipe, MarkerRules())])
    X = vectors[[WORDS.index(label) for label in design.labels]]
    epochs = epochs_of(design, model)
    return encoding_patterns(X, epochs.Y, split_of(len(X))) * epochs.scale


def _heard(evoked: np.ndarray) -> np.ndarray:
    """Add noise of a tenth of the size: silence between responses would be taken for a dead channel."""
    noise = np.random.default_rng(0).standard_normal(evoked.shape)
    return evoked + 0.1 * evoked.std() * noise


def _recording(made: Simulation, data: np.ndarray) -> Recording:
    stamps = np.arange(len(data)) / made.info.sfreq
    return Recording(data, stamps, made.info, made.events, name="simulated")


def _false_positives(n_people: int, seed: int, *, slow: bool) -> dict[str, Any]:
    """Encode nothing: how often p is at most .05."""
    n, hits = 160, 0
    for one in range(n_people):
        rng = np.random.default_rng([seed, one])
        X, Y = rng.normal(size=(24, 8))[rng.integers(24, size=n)], rng.normal(size=(n + 50, 4, 5))
        if slow:
            lengths = rng.integers(4, 9, size=n // 4)
            X += 2 * np.repeat(rng.normal(size=(len(lengths), 8)), lengths, axis=0)[:n]
            Y = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], Y, axis=0)
        found = fit_encoding(X, Y[50:], split_of(n), Rules(N_PERMUTATIONS, one))
        hits += bool(found.p.min() <= 0.05)
    fair = float(binomtest(hits, n_people, 0.05).pvalue)
    return {"p <= .05": hits / n_people, "of people": n_people, "as_asked": fair > 0.01}
