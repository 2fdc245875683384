"""Simulated people who share what words do to a brain, or share nothing, and their fitted models.

A person has 12 channels and 5 bins, a mixing of neighbouring features that is theirs alone, gains and
offsets. Words have random vectors; a linear map of them to features is the signal. Where structure is
shared, that map is half everybody's and half one's own by default; where nothing is, it is one's own.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from calibration.design import Design, draft_model
from calibration.fit import fit_model
from calibration.sums import layout_of, sum_recording
from calibration.transfer import prior_of
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.files.recording import Recording
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

N_CHANNELS, N_BINS, N_WORDS, DIM = 12, 5, 40, 16
P = N_CHANNELS * N_BINS
WORDS = tuple(f"word{i:02d}" for i in range(N_WORDS))
VECTORS = np.random.default_rng(9).standard_normal((N_WORDS, DIM))
_COMMON = np.random.default_rng(8).standard_normal((DIM, P)) / np.sqrt(DIM)
_MIXED = 0.6  # size of the crosstalk that is a person's own


class Who(NamedTuple):
    """A simulated person, in numbers."""

    seed: int
    signal: float  # beside noise of 1
    shared: float  # share of the signal's variance that everybody has


@cache
def draft() -> Model:
    """A model without a map: 12 channels at 100 Hz, 5 bins of 100 ms."""
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": ["eeg"], "reference": "none", "line_freq": 0.0},
            "clean": {"stages": []},
            "features": {"tmax": 0.5, "decim": 10},
            "fit": {"final_block": 0.0, "n_permutations": 19, "purge": 2.0},
        }
    )
    info = SignalInfo(
        100.0, tuple(f"C{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS,
        ("V",) * N_CHANNELS,
    )  # fmt: skip
    signal = 1e-5 * np.random.default_rng(0).standard_normal((400, N_CHANNELS))
    return draft_model([Recording(signal, np.arange(400) / 100.0, info)], recipe)


def trials(who: Who, n: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Unscaled features (n, p) of a person in V, and word numbers (n,); each part is drawn anew."""
    own = np.random.default_rng([who.seed, 0])
    mixing = np.eye(P) + own.standard_normal((P, P)) * _MIXED / np.sqrt(P)
    gains, offset = np.exp(own.normal(0, 0.5, P)), own.normal(0, 1, P)
    alone = own.standard_normal((DIM, P)) / np.sqrt(DIM)
    evoked = np.sqrt(who.shared) * _COMMON + np.sqrt(1 - who.shared) * alone
    rng = np.random.default_rng([who.seed, 1 + part])
    words = rng.permutation(np.arange(n) % N_WORDS)
    centred = VECTORS - VECTORS.mean(axis=0)
    x = who.signal * (centred @ evoked)[words] + rng.standard_normal((n, P))
    return 1e-6 * ((x @ mixing) * gains + offset), words


def sums_of(who: Who, n: int) -> PersonSums:
    """Sums of a donor's trials, as `fit` keeps them."""
    X, words = trials(who, n, 0)
    base = draft()
    center, scale = robust_scale(X)
    scaled = scale_features(X, center, scale, base.recipe.features.clamp)
    return PersonSums(
        layout_of(base), WORDS, VECTORS.astype(np.float32), center, scale,
        (sum_recording(f"{who.seed:064d}", scaled, words, N_WORDS),),
        {"alpha": 1.0, "kappa": 0.0, "power": 1.0, "whiten": 1.0, "rank": 0.0},
    )  # fmt: skip


def fit_person(who: Who, n: int, donors: list[PersonSums]) -> Model:
    """Fit a person's own trials, one every 2 s, by `fit_model`; donors are a prior where given."""
    X, words = trials(who, n, 0)
    design = Design(
        X.astype(np.float32), tuple(WORDS[i] for i in words), 2.0 * np.arange(n), ("",) * n,
        None, np.zeros(n, int), 0, np.ones(n, bool),
    )  # fmt: skip
    place = {word: i for i, word in enumerate(WORDS)}
    return fit_model(
        draft(), design,
        embedder=lambda texts, **_: VECTORS[[place[text] for text in texts]],
        others=(lambda wanted: prior_of(donors, wanted)) if donors else None,
    )  # fmt: skip
