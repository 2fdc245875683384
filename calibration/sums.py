"""Compute the sums that a map is fitted on, for the companion file beside the model.

Only training events are summed, never those of the locked block.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calibration.choice import Prior
from calibration.targets import Targets
from rt_decoder.files.sums import OthersSums, PersonSums, RecordingId, RecordingSums, folded
from rt_decoder.model import Model

__all__ = ["Moments", "layout_of", "moments", "person_sums", "sum_recording"]


class Moments(NamedTuple):
    """Mean and covariances of one person's scaled features."""

    n: float  # events
    mean: np.ndarray  # (p,)
    covariance: np.ndarray  # (p, p) over all events, as a model keeps it
    within: np.ndarray  # (p, p) about the mean of each item, unbiased; 0 if no item came twice


def layout_of(model: Model) -> dict[str, Any]:
    """Tell what a feature of a model is, as plain JSON; models of equal layout share their space."""
    info, recipe = model.info, model.recipe
    features, target = recipe.features, recipe.target
    return {
        "channels": list(info.ch_names[: model.n_picks]),
        "window": {
            "sfreq": info.sfreq,
            "kind": features.kind,
            "tmin": features.tmin,
            "tmax": features.tmax,
            "decim": features.decim,
            "baseline": list(features.baseline),
            "bands": [list(band) for band in features.bands],
            "clamp": features.clamp,
            "l_freq": recipe.filter.l_freq,
            "h_freq": recipe.filter.h_freq,
        },
        "target": {
            "embedding": Path(target.vectors or target.embedding).name,  # a folder must not be told
            "layer": target.layer,
            "pooling": target.pooling,
            "context": target.context,
            "fold": target.fold,
        },
    }


def sum_recording(
    data_hash: str, X: np.ndarray, truth: np.ndarray, n_items: int,
    fingerprint: tuple[int, ...] = (),
) -> RecordingSums:  # fmt: skip
    """Sum the events of a recording.

    Parameters
    ----------
    data_hash : str
        SHA-256 of the recording.
    X : array of shape (n, p)
        Scaled features.
    truth : array of shape (n,), int
        Item number of each event.
    n_items : int
    fingerprint : tuple of int
        Of the recording's samples, as `identity.fingerprint`.

    Returns
    -------
    RecordingSums
    """
    X = np.asarray(X, np.float64)
    counts = np.bincount(truth, minlength=n_items).astype(float)
    sums = np.zeros((n_items, X.shape[1]))
    np.add.at(sums, truth, X)
    return RecordingSums(data_hash, counts, sums[counts > 0], folded(X.T @ X), fingerprint)


def person_sums(
    model: Model,
    X: np.ndarray,
    targets: Targets,
    run: np.ndarray,
    recorded: Sequence[RecordingId],
    prior: Prior | None = None,
) -> PersonSums:
    """Sum the training events that a model was fitted on.

    Parameters
    ----------
    model : Model
        With its map, and ``certificate["map"]`` of `mapping.fit_map`.
    X : array of shape (n_train, p)
        Scaled features.
    targets : Targets
        Of the same events.
    run : array of shape (n_train,), int
        Number of the recording of each event.
    recorded : sequence of RecordingId
        What tells each recording, by number.
    prior : Prior or None
        Sums of other people that the map was fitted with.

    Returns
    -------
    PersonSums
    """
    n_items = len(targets.items)
    told = {one: recorded[one] if one < len(recorded) else RecordingId("") for one in set(run)}
    recordings = tuple(
        sum_recording(of.data_hash, X[run == one], targets.truth[run == one], n_items,
                      of.fingerprint)
        for one, of in sorted(told.items())
    )  # fmt: skip
    chosen = model.certificate["map"]
    keys = ("alpha", "kappa", "power", "whiten")
    others = prior and OthersSums(*prior[:5])  # all but the number of people
    return PersonSums(
        layout_of(model),
        targets.items,
        targets.item_vectors.astype(np.float32),
        model.center,
        model.scale,
        recordings,
        {key: float(chosen[key]) for key in keys} | {"rank": float(model.recipe.fit.rank)},
        None if model.info.positions is None else model.info.positions[: model.n_picks],
        others if chosen["kappa"] else None,
    )


def moments(person: PersonSums) -> Moments:
    """Compute mean and covariances of a person's scaled features."""
    counts, sums, gram = person.counts, person.sums, person.gram
    n = float(counts.sum())
    mean = sums.sum(axis=0) / n
    heard = counts > 0
    between = (sums[heard] / counts[heard, None]).T @ sums[heard]
    freedom = n - int(heard.sum())
    within = (gram - between) / freedom if freedom > 0 else np.zeros_like(gram)
    return Moments(n, mean, gram / n - np.outer(mean, mean), within)
