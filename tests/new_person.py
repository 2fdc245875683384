"""People who share a brain but not a cap, and a group model of them, built by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from calibration.design import draft_model
from rt_decoder.decoder import Decoder
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.recording import Recording
from rt_decoder.model import Alignment, Model, PosteriorParameters
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.signal import Readout
from rt_decoder.timing.markers import MarkerRules
from tests.small import CODES, VECTORS, WORDS, small_recipe, small_recording

N_EEG = 8
ALIGNMENT = Alignment(shrink=0.5, weight=50.0, every=10, most=60)
RULES = MarkerRules(names=CODES)


def person(number: int, *, seconds: float = 40.0, own: float = 0.0) -> Recording:
    """A session of a person, whose electrodes have gains and a crosstalk of their own.

    The share `own` of what their brain tells apart is not what the words mean to others.
    """
    rng = np.random.default_rng(1000 + number)
    meant = np.random.default_rng(2000 + number).standard_normal(VECTORS.shape)
    vectors = np.sqrt(1 - own) * VECTORS + np.sqrt(own) * meant
    recording = small_recording(session=number, seconds=seconds, vectors=vectors)
    mixing = np.diag(np.exp(rng.normal(0.0, 0.7, N_EEG)))
    mixing = mixing @ (np.eye(N_EEG) + rng.normal(0.0, 0.15, (N_EEG, N_EEG)))
    data = recording.data.copy()
    data[:, :N_EEG] = data[:, :N_EEG] @ mixing
    return replace(recording, data=data)


def recipe() -> Recipe:
    """Few features, so that a covariance of tens of events means something."""
    features = {"tmin": 0.0, "tmax": 0.6, "decim": 25, "clamp": 6.0}
    return small_recipe(features=features)


def unscaled(model: Model, recording: Recording) -> tuple[np.ndarray, list[str]]:
    """Features of the events of a recording without centre and scale, and their labels."""
    decoder = Decoder(model, recording.info, PipelineOptions(RULES))
    rows, labels = [], []
    for start in range(0, len(recording.data), 50):
        piece = slice(start, start + 50)
        for marker in recording.markers:
            if piece.start <= marker.index < piece.stop:
                decoder.mark(marker)
        for _, marker, _ in decoder.push_features(recording.data[piece], recording.times[piece]):
            rows.append(decoder.pipeline.window.unscaled.copy())
            labels.append(marker.label)
    return np.stack(rows), labels


def group_of(people: Sequence[Recording], alignment: Alignment = ALIGNMENT) -> Model:
    """Ridge of all people's events, each whitened by their own covariance."""
    draft = draft_model([people[0]], recipe())
    sums = []
    centers, scales, covariances = [], [], []
    mean = VECTORS.mean(axis=0)
    for recording in people:
        X, labels = unscaled(draft, recording)
        center, scale = robust_scale(X)
        X = scale_features(X, center, scale, 6.0).astype(float)
        X -= X.mean(axis=0)
        S = X.T @ X / len(X)
        Z = X @ whitener(S, alignment.shrink)
        Y = VECTORS[[WORDS.index(label) for label in labels]] - mean
        sums.append((Z.T @ Z, Z.T @ Y))
        centers.append(center), scales.append(scale), covariances.append(S)
    gram, cross = (sum(part) for part in zip(*sums, strict=True))
    prior = gram + 10.0 * np.eye(len(gram))
    ridge = np.linalg.solve(prior, cross)
    U, s, Vt = np.linalg.svd(ridge, full_matrices=False)
    rank = 10
    S = np.mean(covariances, axis=0)
    vectors = VECTORS - mean
    return replace(
        draft,
        center=np.mean(centers, axis=0),
        scale=np.mean(scales, axis=0),
        weights=(whitener(S, alignment.shrink) @ (U * s)[:, :rank]).astype(np.float32),
        offset=np.zeros(rank, np.float32),
        basis=Vt[:rank].astype(np.float32),
        target_mean=mean.astype(np.float32),
        items=WORDS,
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        log_prior=np.log(np.full(len(WORDS), 1 / len(WORDS))),
        covariance=S,
        prior_gram=prior / len(people),
        target_lengths=np.linalg.norm(vectors, axis=1),
        alignment=alignment,
        posterior=PosteriorParameters(tau=6.0, threshold=0.0, min_quality=0.8),
    )


def ranks(answers: Sequence[Readout], recording: Recording, first: int = 20) -> list[float]:
    """Rank accuracy of each readout after the `first`; words beyond the top list come last."""
    truth = {marker.index: marker.label for marker in recording.markers}
    places = [
        answer.words.index(truth[answer.index])
        if truth[answer.index] in answer.words
        else len(WORDS) - 1
        for answer in answers[first:]
    ]
    return [1 - place / (len(WORDS) - 1) for place in places]


@cache
def group() -> Model:
    """Group model of four people; the fifth and later are new to it."""
    return group_of([person(number) for number in range(1, 5)])
