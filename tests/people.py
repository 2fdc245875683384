"""Simulated people who share structure, as models and companions, without any recording."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from calibration.choice import covariance
from calibration.group_map import fit_group, item_space
from calibration.sums import layout_of, sum_recording
from calibration.transfer import shared_sums
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import Companion, PersonSums
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

N_CHANNELS, N_BINS, N_ITEMS, DIM = 8, 5, 24, 12
ITEMS = tuple(f"item{i:02d}" for i in range(N_ITEMS))
VECTORS = np.random.default_rng(9).standard_normal((N_ITEMS, DIM))
_COMMON = np.random.default_rng(8).standard_normal((DIM, N_CHANNELS * N_BINS)) / np.sqrt(DIM)


class Person(NamedTuple):
    """One simulated person: model, companion, and the trials behind them."""

    model: Model
    companion: Companion
    X: np.ndarray  # (n, p) float64 unscaled
    truth: np.ndarray  # (n,)


def positions(n: int = N_CHANNELS) -> np.ndarray:
    """Electrodes (n, 3) on a sphere of 9 cm."""
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5))
    height = np.linspace(0.95, 0.1, n)
    around = np.sqrt(1 - height**2)
    return 0.09 * np.column_stack((around * np.cos(turn), around * np.sin(turn), height))


def draft(names: tuple[str, ...] | None = None) -> Model:
    """A model without a map: 8 channels at 100 Hz, 5 bins of 100 ms."""
    names = names or tuple(f"C{i}" for i in range(N_CHANNELS))
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": ["eeg"], "line_freq": 50.0, "reference": "none"},
            "clean": {"stages": []},
            "features": {"tmax": 0.5, "decim": 10, "whiten": 1.0},
            "target": {"power": 1.0},
            "fit": {"n_permutations": 199},
        }
    )
    info = SignalInfo(100.0, names, ("eeg",) * len(names), ("V",) * len(names), positions())
    ones = np.ones(len(names))
    return Model(info, recipe, np.array([[1.0, 0, 0, 1, 0, 0]]), ones, ones, ones)


def trials(
    seed: int, n: int, *, snr: float = 0.4, heavy: bool = False, common: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Trials (n, p) of a person with mixing and gains of their own, and their items."""
    person, rng = np.random.default_rng([seed, 1]), np.random.default_rng([seed, n, 2])
    p = N_CHANNELS * N_BINS
    # a field of neighbouring channels and bins that all heads share, and one of one's own
    mixing = np.eye(p) + person.standard_normal((p, p)) * 0.6 / np.sqrt(p)
    gains = np.exp(person.normal(0, 0.5, p))
    truth = np.arange(n) % N_ITEMS
    noise = rng.standard_t(3, (n, p)) / np.sqrt(3) if heavy else rng.standard_normal((n, p))
    evoked = (VECTORS - VECTORS.mean(axis=0)) @ (_COMMON if common is None else common)
    X = (snr * evoked[truth] + noise) @ mixing * gains
    return X * 1e-6 + person.normal(0, 1e-6, p), truth


def person(
    seed: int, n: int = 480, *, names: tuple[str, ...] | None = None,
    common: np.ndarray | None = None, snr: float = 0.4, heavy: bool = False,
) -> Person:  # fmt: skip
    """A person's model, with two recordings in its companion."""
    X, truth = trials(seed, n, snr=snr, heavy=heavy, common=common)
    base = draft(names)
    center, scale = robust_scale(X)
    scaled = scale_features(X, center, scale, base.recipe.features.clamp)
    half = n // 2
    recordings = tuple(
        sum_recording(f"{seed:04d}{part}" * 8, scaled[rows], truth[rows], N_ITEMS)
        for part, rows in enumerate((slice(0, half), slice(half, n)))
    )
    sums = PersonSums(
        layout_of(base), ITEMS, VECTORS.astype(np.float32), center, scale, recordings,
        {"alpha": 100.0, "kappa": 0.0, "power": 1.0, "whiten": 1.0, "rank": 0.0},
        base.info.positions,
    )  # fmt: skip
    shared = shared_sums(sums, ITEMS, 1.0)
    space = item_space(VECTORS.astype(np.float32).astype(float), shared.counts)
    from calibration.group_map import Setting

    fitted = fit_group(shared, space, Setting(1.0, 1.0))
    S = covariance(scaled)
    weights = (whitener(S, 1.0) @ fitted.weights).astype(np.float32)
    vectors = VECTORS - VECTORS.mean(axis=0)
    model = replace(
        base,
        center=center, scale=scale, weights=weights,
        offset=(-scaled.mean(axis=0, dtype=float) @ weights).astype(np.float32),
        basis=space.axes.astype(np.float32), target_mean=space.mean.astype(np.float32),
        items=ITEMS,
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        log_prior=np.log(np.full(N_ITEMS, 1 / N_ITEMS)), covariance=S,
    )  # fmt: skip
    return Person(model, Companion((sums,), ""), X, truth)
