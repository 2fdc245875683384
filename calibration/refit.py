"""Add a recording to a fitted map, or take one out, exactly: by its sums.

Scale, penalty, whitening and target power stay as they were chosen; covariance, map and target mean
follow the new sums. So does nothing else: the posterior is that of the model before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.choice import Prior
from calibration.design import Design
from calibration.evaluate import evaluate
from calibration.identity import is_same, told
from calibration.ridge import signed
from calibration.scores import unit_rows
from calibration.sums import moments, sum_recording
from calibration.targets import target_transform
from calibration.unseen import trained_items
from rt_decoder.decoding.features import scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import PersonSums, RecordingId
from rt_decoder.model import Model, versions

__all__ = ["add_recording", "map_of_sums", "only_person", "remove_recording"]

_NEGLIGIBLE = 1e-5  # singular values below, of the largest, are rounding


def only_person(people: Sequence[PersonSums]) -> PersonSums:
    """Return the one person of a companion; a group is pooled again instead.

    Parameters
    ----------
    people : sequence of PersonSums
        All people of the companion.

    Returns
    -------
    PersonSums

    Raises
    ------
    ValueError
        If it holds more people, or targets in context, whose sums are not by item.
    """
    if len(people) != 1:
        raise ValueError(
            f"need the model of one person, got a group of {len(people)}; "
            "refit their models and pool them again"
        )
    if people[0].layout["target"]["context"]:
        raise ValueError(
            "need targets of items, got targets in sentence context, of which a companion keeps no "
            "sums; fit again with all recordings"
        )
    return people[0]


def map_of_sums(model: Model, person: PersonSums) -> Model:
    """Fit the map to sums, with what was chosen before.

    Parameters
    ----------
    model : Model
        Gives everything but the map.
    person : PersonSums

    Returns
    -------
    Model
        With map, target mean, vectors and covariance.
    """
    chosen, of = person.chosen, moments(person)
    counts, item_vectors = person.counts, person.vectors.astype(float)
    target_mean = counts @ item_vectors / of.n
    items, axes = _powered(item_vectors - target_mean, chosen["power"])
    S = of.covariance.astype(np.float32)
    p = person.n_features
    W = whitener(S, chosen["whiten"]) if chosen["whiten"] else np.eye(p)
    gram = W @ (of.n * of.covariance) @ W
    cross = W @ (person.sums - counts[:, None] * of.mean).T @ items
    if person.others is not None and chosen["kappa"]:
        others = person.others
        prior = Prior(others.gram, others.sums, others.counts, others.shrink)
        gram = gram + chosen["kappa"] * prior.gram
        cross = cross + chosen["kappa"] * prior.cross(items)
    gram = (gram + gram.T) / 2
    full = np.linalg.solve(gram + chosen["alpha"] * np.eye(p), cross)
    A, B = _ranked(full, gram, chosen["alpha"], int(chosen["rank"]))
    A, basis = signed(A, B @ axes)
    weights = W @ A
    return replace(
        model,
        weights=weights.astype(np.float32),
        offset=(-of.mean @ weights).astype(np.float32),
        basis=basis.astype(np.float32),
        windows=(),
        target_mean=target_mean.astype(np.float32),
        target_transform=target_transform(items, axes, chosen["power"]),
        vectors=(unit_rows(items) @ axes).astype(np.float32),
        covariance=S if model.covariance.size else model.covariance,
    )


def _powered(centred: np.ndarray, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Item vectors (V, r) in orthonormal axes (r, D), singular values raised to a power."""
    if power == 1:
        return centred, np.eye(centred.shape[1])
    u, values, axes = np.linalg.svd(centred, full_matrices=False)
    kept = values > _NEGLIGIBLE * values[0]
    return u[:, kept] * values[kept] ** power, axes[kept]


def _ranked(
    W: np.ndarray, gram: np.ndarray, alpha: float, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Factor a ridge map as `ridge.low_rank` does, from its Gram matrix."""
    full = min(W.shape)
    criterion = W.T @ (gram @ W) + alpha * W.T @ W
    _, directions = np.linalg.eigh((criterion + criterion.T) / 2)
    B = directions[:, ::-1].T[: min(rank or full, full)]
    return W @ B.T, B


def add_recording(
    model: Model, person: PersonSums, design: Design, data_hash: str,
    fingerprint: tuple[int, ...] = (),
) -> tuple[Model, PersonSums]:  # fmt: skip
    """Add a recording to a model.

    Parameters
    ----------
    model : Model
    person : PersonSums
        What it was fitted on.
    design : Design
        All events of the recording, unscaled; items outside the vocabulary are left out.
    data_hash : str
        SHA-256 of the recording.
    fingerprint : tuple of int
        Of its samples, as `identity.fingerprint`.

    Returns
    -------
    model : Model
        Its certificate holds the scores of the model before, on this recording.
    person : PersonSums

    Raises
    ------
    ValueError
        If the recording is in already, by its bytes or its samples, as one's own or as another
        person's of the prior; if it has no event of the vocabulary.
    """
    recorded = RecordingId(data_hash, fingerprint)
    if any(is_same(recorded, one) for one in person.counted):
        raise ValueError("need a recording that is not in the model yet, got one that is")
    X = scale_features(design.X, model.center, model.scale, model.recipe.features.clamp)
    live = np.flatnonzero(design.answered)
    labels = [design.labels[i] for i in live]
    before = evaluate(model, X[live], labels) if len(live) else None
    place = {item: i for i, item in enumerate(person.items)}
    known = np.array([label in place for label in design.labels])
    if not known.any():
        raise ValueError("need events whose items are in the vocabulary, got none")
    truth = np.array([place[label] for label in design.labels if label in place])
    added = sum_recording(data_hash, X[known], truth, len(person.items), fingerprint)
    after = person.with_recordings((*person.recordings, added))
    step = {"added": data_hash, "n": len(truth), "n_outside": int(np.sum(~known)),
            "before": before}  # fmt: skip
    return _certified(map_of_sums(model, after), after, model, step), after


def remove_recording(model: Model, person: PersonSums, data_hash: str) -> tuple[Model, PersonSums]:
    """Take a recording out of a model.

    Parameters
    ----------
    model : Model
    person : PersonSums
        What it was fitted on.
    data_hash : str
        SHA-256 of the recording.

    Returns
    -------
    model : Model
    person : PersonSums

    Raises
    ------
    ValueError
        If the recording is not in the model, or is the only one.
    """
    kept = tuple(one for one in person.recordings if one.data_hash != data_hash)
    if len(kept) == len(person.recordings):
        raise ValueError("need a recording that is in the model, got one that is not")
    if not kept:
        raise ValueError("need another recording in the model, got the only one")
    after = person.with_recordings(kept)
    n = int(sum(one.counts.sum() for one in person.recordings if one.data_hash == data_hash))
    step = {"removed": data_hash, "n": n}
    return _certified(map_of_sums(model, after), after, model, step), after


def _certified(fitted: Model, person: PersonSums, before: Model, step: dict[str, Any]) -> Model:
    certificate = {name: one for name, one in before.certificate.items() if name != "trained"}
    certificate |= trained_items(person.counts)
    certificate["refit"] = [
        *certificate.get("refit", []),
        step | {"note": "scores, posterior and threshold are of the model before it was refitted"},
    ]
    certificate["data_hash"] = list(person.hashes)
    certificate["fingerprints"] = told(person.recorded)
    return replace(fitted, certificate=certificate, versions=versions())
