"""A model of noise, as large as asked for: what it says means nothing, what it costs does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import butter

from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

__all__ = ["noise_model"]

_DIM, _RANK = 384, 64  # of MiniLM's vectors, and of a map of many words
_SCALE = 1e-5  # V


def noise_model(n_channels: int, sfreq: float, n_words: int) -> Model:
    """Make a model with a random map, filters, and no fitted cleaning.

    Parameters
    ----------
    n_channels : int
        Electrodes.
    sfreq : float
        Rate in Hz.
    n_words : int
        Items of the vocabulary.

    Returns
    -------
    Model
    """
    names = tuple(f"E{k + 1}" for k in range(n_channels))
    info = SignalInfo(sfreq, names, ("eeg",) * n_channels, ("V",) * n_channels)
    decim = max(1, round(0.05 * sfreq))
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": ["eeg"], "line_freq": 50.0},
            "clean": {"stages": []},
            "features": {"decim": decim},
        }
    )
    design = recipe.filter
    edges = (design.l_freq or 0.1, min(design.h_freq or 40.0, 0.45 * sfreq))
    model = Model(
        info=info,
        recipe=recipe,
        sos=butter(design.order, edges, "bandpass", fs=sfreq, output="sos"),
        channel_scale=np.full(n_channels, _SCALE),
    )
    return _with_map(model, n_words)


def _with_map(model: Model, n_words: int) -> Model:
    from rt_decoder.pipeline import Pipeline

    rng, n_features = np.random.default_rng(0), Pipeline(model).window.n_features
    rank = min(_RANK, n_features)
    vectors = rng.standard_normal((n_words, _DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(
        model,
        center=np.zeros(n_features),
        scale=np.full(n_features, _SCALE),
        weights=rng.standard_normal((n_features, rank)).astype(np.float32),
        offset=np.zeros(rank, np.float32),
        basis=np.linalg.qr(rng.standard_normal((_DIM, rank)))[0].T.astype(np.float32),
        target_mean=np.zeros(_DIM, np.float32),
        items=tuple(f"w{k}" for k in range(n_words)),
        vectors=vectors,
        log_prior=np.full(n_words, -np.log(n_words)),
        posterior=PosteriorParameters(tau=3.0, threshold=0.0, min_quality=0.8),
    )
