"""Windows of another day's recording, and what aligning a model with them changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from calibration.design import build_design, without_map
from calibration.evaluate import evaluate, similarity
from calibration.events import LabelledRecording
from calibration.scores import rank_accuracy
from rt_decoder.decoding.features import scale_features
from rt_decoder.model import Model
from rt_decoder.recorded import features_of_recording
from rt_decoder.signal import Marker

__all__ = ["effect", "windows_of"]

_LEAST_EVENTS = 60


def windows_of(
    model: Model, session: LabelledRecording, progress: Callable[[float], None]
) -> tuple[np.ndarray, Sequence[str]]:
    """Compute features of a recording's events, or of a grid of windows where it has none.

    Parameters
    ----------
    model : Model
        With a map.
    session : LabelledRecording
    progress : callable
        Called with the share done.

    Returns
    -------
    X : array of shape (n, p), float64
        Unscaled.
    labels : sequence of str
        Of the events; empty for a grid.
    """
    known = sum(n for label, n in session.labels(model.items).items() if label in model.items)
    if known >= _LEAST_EVENTS:
        design = build_design(model, [session], progress).answered_only()
        return np.asarray(design.X, float), design.labels
    recording, features = session.recording, model.recipe.features
    first, last = recording.times[0], recording.times[-1]
    step = max((features.tmax - features.tmin) / 2, 2 / model.info.sfreq)
    onsets = np.arange(first + max(0.0, -features.tmin), last - features.tmax, step)
    grid = [Marker(model.items[0], float(onset)) for onset in onsets]
    rows = [
        found.values
        for _, found in features_of_recording(
            without_map(model), recording, grid, progress=progress
        )
        if found.good >= model.recipe.readout.min_quality
    ]
    return np.array(rows, float).reshape(len(rows), len(model.center)), ()


def effect(before: Model, after: Model, X: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Score two models on events with labels.

    Parameters
    ----------
    before, after : Model
    X : array of shape (n, p)
        Unscaled features.
    labels : sequence of str
        Empty without labels.

    Returns
    -------
    dict
        ``labelled``, and if so the scores ``before`` and ``after``, and the ``change`` of the rank
        accuracy of an event, with its standard error.
    """
    if not labels:
        return {"labelled": False}

    place = {item: i for i, item in enumerate(before.items)}
    known = np.array([label in place for label in labels])
    truth = np.array([place[label] for label in labels if label in place])
    scores, ranks = {}, []
    for name, model in (("before", before), ("after", after)):
        scaled = scale_features(X, model.center, model.scale, model.recipe.features.clamp)
        scores[name] = evaluate(model, scaled, labels)
        ranks.append(rank_accuracy(similarity(model, scaled[known]), truth))
    gained = ranks[1] - ranks[0]
    error = float(gained.std() / np.sqrt(len(gained)))
    change = {"rank_accuracy": float(gained.mean()), "error": error}
    return {"labelled": True, "change": change} | scores
