"""The person, the stages and the model that all receivers of bench_live.py share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rt_decoder.cleaning.stages import Stage
from rt_decoder.decoding.features import make_window
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.recipe import STAGES
from rt_decoder.signal import SignalInfo
from scripts.bench_clean import SOS, fit_chain, recording
from tests.small import random_model, small_recipe

SFREQ, N_HOP, RANK, N_DIMS, TAU = 1000.0, 10, 64, 384, 20.0
WINDOW_S, DECIM, SECONDS = 1.0, 20, 45.0
__all__ = [
    "DECIM",
    "N_HOP",
    "SFREQ",
    "SOS",
    "WINDOW_S",
    "Case",
    "Scene",
    "load_scene",
    "make_scene",
    "stages_of",
]


class Case(NamedTuple):
    """What is sent, and who asks for answers."""

    n_channels: int
    chunk: int
    mode: str  # "continuous" or "event"
    path: str  # of the scene


class Scene(NamedTuple):
    """A recording to be sent in a loop, and what decodes it."""

    data: np.ndarray  # (n, c) float32, in V
    info: SignalInfo
    model: Model


def load_scene(path: str) -> Scene:
    """Load what `make_scene` made."""
    model = load_model(_model_of(path))
    return Scene(np.load(path, allow_pickle=False), model.info, model)


def stages_of(n_channels: int) -> dict[str, Stage]:
    """Fit the cleaning stages, which takes seconds."""
    return fit_chain(n_channels, SECONDS)


def _model_of(path: str | Path) -> Path:
    return Path(path).with_suffix(".rtd.safetensors")


def make_scene(path: Path, n_channels: int, n_words: int) -> None:
    """Simulate a person, make a random map and vocabulary, and write all of it."""
    simulation = recording(n_channels, SECONDS, seed=2)
    stamps = np.arange(len(simulation.data)) / SFREQ
    played = Recording(simulation.data, stamps, simulation.info, simulation.events, name="bench")
    features = {"tmin": 0.0, "tmax": WINDOW_S, "decim": DECIM}
    recipe = small_recipe(features=features, clean={"stages": list(STAGES)})
    draft = random_model(played, recipe)
    # as the participant's words are called, so that markers are events
    names = tuple(draft.items) + tuple(f"item{i}" for i in range(n_words - len(draft.items)))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n_words, N_DIMS), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    out = simulation.info.pick(range(n_channels))
    n_features = make_window(draft, out).n_features
    model = replace(
        draft,
        center=np.zeros(n_features),
        scale=np.full(n_features, 1e-5),
        weights=rng.standard_normal((n_features, RANK)).astype(np.float32),
        offset=np.zeros(RANK, np.float32),
        basis=np.linalg.qr(rng.standard_normal((N_DIMS, RANK)))[0].T.astype(np.float32),
        target_mean=np.zeros(N_DIMS, np.float32),
        items=names,
        vectors=vectors,
        log_prior=np.full(n_words, -np.log(n_words)),
        posterior=PosteriorParameters(tau=TAU, threshold=0.0, min_quality=0.0),
    )
    save_model(model, _model_of(path))
    order = [simulation.info.ch_names.index(name) for name in model.info.ch_names]
    np.save(path, simulation.data[:, order].astype(np.float32))
