"""A simulated head under a cap that may be turned, and a map fitted on the day of calibration.

80 dipoles in a sphere, each a slow signal of its own, of which six answer to words; sensors have noise
of a tenth of the signal. All heads have the same size and electrodes; dipoles and signals differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from calibration.evaluate import evaluate
from calibration.group_map import Setting, fit_group, item_space
from calibration.sums import layout_of, moments, sum_recording
from calibration.transfer import shared_sums
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo
from rt_decoder.simulation.head import HEAD_RADIUS, electrodes, potential

N_WORDS, DIM, BINS, DIPOLES, ANSWERING = 24, 12, 5, 80, 6
WORDS = tuple(f"item{i:02d}" for i in range(N_WORDS))
VECTORS = np.random.default_rng(9).standard_normal((N_WORDS, DIM))
AXIS = (0.6, 0.2, 0.77)


class Visit(NamedTuple):
    """How another day differs from the day of calibration."""

    turn: float = 0.0  # of the cap, in degrees
    axis: tuple[float, float, float] = AXIS
    gains: float = 0.0  # standard deviation of their logarithm
    reference: int | None = None  # electrode; None is the average


SAME = Visit()


class Head:
    """Dipoles under a cap."""

    def __init__(self, seed: int = 0, channels: int = 64) -> None:
        rng = np.random.default_rng(seed)
        self.names, self.sites = electrodes(channels)
        at = rng.standard_normal((DIPOLES, 3))
        at[:, 2] = np.abs(at[:, 2])
        depth = rng.uniform(0.5, 0.75, (DIPOLES, 1))
        self.at = HEAD_RADIUS * depth * at / np.linalg.norm(at, axis=1, keepdims=True)
        self.moments = rng.standard_normal((DIPOLES, 3))
        fields = potential(self.sites, self.at, self.moments)
        self.size = np.exp(rng.normal(0, 0.6, DIPOLES)) / np.linalg.norm(fields, axis=1)
        self.evoked = rng.standard_normal((DIM, BINS, ANSWERING)) / 3.5
        self.common = rng.standard_normal((BINS, ANSWERING))  # a response to every word

    def windows(
        self, n: int, seed: int, visit: Visit = SAME, *, rest: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, p) in V, and word numbers (n,), which rest does not have."""
        rng = np.random.default_rng(seed)
        truth = np.arange(n) % N_WORDS
        a = rng.standard_normal((n, BINS, DIPOLES))
        for b in range(1, BINS):
            a[:, b] = 0.8 * a[:, b - 1] + 0.6 * a[:, b]
        if not rest:
            centred = VECTORS - VECTORS.mean(axis=0)
            answer = np.einsum("vd,dbk->vbk", centred, self.evoked)[truth]
            a[:, :, :ANSWERING] += 0.6 * answer + self.common
        axis = np.array(visit.axis) / np.linalg.norm(visit.axis)
        turned = Rotation.from_rotvec(np.deg2rad(visit.turn) * axis).apply(self.sites.copy())
        x = (a * self.size) @ potential(turned, self.at, self.moments)
        x += 0.1 * x.std() * rng.standard_normal(x.shape)
        x *= np.exp(np.random.default_rng(7).normal(0, visit.gains, x.shape[2]))
        common = x.mean(axis=2) if visit.reference is None else x[:, :, visit.reference]
        return 1e-5 * (x - common[:, :, None]).reshape(n, -1), truth

    def calibrated(
        self, n: int = 1200, visit: Visit = SAME, reference: str = "average"
    ) -> tuple[Model, np.ndarray]:
        """A model fitted on one visit, and the covariance (p, p) within words."""
        c = len(self.names)
        recipe = Recipe.from_dict(
            {
                "stream": {"picks": ["eeg"], "line_freq": 50.0, "reference": reference},
                "clean": {"stages": []},
                "features": {"tmax": 0.5, "decim": 10, "whiten": 1.0},
                "fit": {"n_permutations": 19},
            }
        )
        info = SignalInfo(100.0, self.names, ("eeg",) * c, ("V",) * c, self.sites)
        ones = np.ones(c)
        base = Model(info, recipe, np.array([[1.0, 0, 0, 1, 0, 0]]), ones, ones, ones)
        X, truth = self.windows(n, 1, visit)
        center, scale = robust_scale(X)
        scaled = scale_features(X, center, scale, recipe.features.clamp)
        sums = PersonSums(
            layout_of(base), WORDS, VECTORS.astype(np.float32), center, scale,
            (sum_recording("a", scaled, truth, N_WORDS),), {}, self.sites,
        )  # fmt: skip
        shared = shared_sums(sums, WORDS, 1.0)
        space = item_space(VECTORS, shared.counts)
        of = moments(sums)
        S = of.covariance.astype(np.float32)
        weights = whitener(S, 1.0) @ fit_group(shared, space, Setting(0.3, 1.0)).weights
        unit = VECTORS - VECTORS.mean(axis=0)
        model = replace(
            base, center=center, scale=scale, weights=weights.astype(np.float32),
            offset=(-scaled.mean(axis=0, dtype=float) @ weights).astype(np.float32),
            basis=space.axes.astype(np.float32), target_mean=space.mean.astype(np.float32),
            items=WORDS,
            vectors=(unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32),
            log_prior=np.log(np.full(N_WORDS, 1 / N_WORDS)), covariance=S,
        )  # fmt: skip
        return model, of.within


def rank(model: Model, X: np.ndarray, truth: np.ndarray) -> float:
    """Rank accuracy of unscaled features (n, p)."""
    scaled = scale_features(X, model.center, model.scale, model.recipe.features.clamp)
    return float(evaluate(model, scaled, [WORDS[i] for i in truth])["rank_accuracy"])
