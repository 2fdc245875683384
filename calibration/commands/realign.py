"""``rt-calibrate realign``: a model fitted to another day by a minute of unlabelled signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from calibration.commands.inputs import EventTables, Inputs
from calibration.commands.people import companion_path
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import (
    UNMARKED,
    AsJson,
    Channels,
    MarkerOffset,
    Markers,
    Stream,
    Units,
    one_of,
)
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs

if TYPE_CHECKING:
    from calibration.events import LabelledRecording
    from rt_decoder.model import Model

__all__ = ["COMMANDS"]

_LEAST_EVENTS = 60


def realign(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model of another day.")],
    rest: Annotated[
        Path, typer.Argument(metavar="REST", help="Recording of today: a minute, without events.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Model to write.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="What is fitted; auto finds the cap's rotation if both halves of REST show one.",
            **one_of("auto", "gains", "rotation", "whiten"),
        ),
    ] = "auto",
    events: EventTables = None,
    markers: Markers = UNMARKED,
    marker_offset: MarkerOffset = 0.0,
    channels: Channels = None,
    units: Units = None,
    stream: Stream = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fit a model to another day by a minute of unlabelled signal.

    If REST has items of the vocabulary, its events are used in place of a grid of windows, without
    their labels; scores before and after are then written to the certificate.

    Example: rt-calibrate realign me.rtd.safetensors rest.fif -o today.rtd.safetensors
    """
    inputs = Inputs(
        recordings=[rest], events=events, markers=markers, marker_offset=marker_offset,
        channels=channels, units=units, stream=stream,
    )  # fmt: skip
    beside = companion_path(model)
    claim_outputs([("--output", output, MODEL)], [model, beside, *inputs.files], overwrite)
    from calibration.events import load_unlabelled
    from calibration.fit import hash_files
    from calibration.realign import realign as fit_today
    from rt_decoder.files.model_file import load_model, model_hash, save_model

    fitted = load_model(model)
    if not fitted.has_map or not fitted.covariance.size:
        lack = "covariance" if fitted.has_map else "map"
        raise ValueError(f"need a model with a {lack}, got {model.name}, which has none; fit again")
    rules = inputs.rules(fitted.recipe.target)
    (session,) = load_unlabelled(inputs.recordings, inputs.tables, rules, **inputs.reading)
    with progress_bar("running the live stages") as progress:
        X, labels = _windows(fitted, session, progress)
    covariance = fitted.covariance
    if not labels and beside.is_file():
        covariance = _within(beside, model_hash(fitted))
    aligned, facts = fit_today(fitted, X, covariance, method)
    facts["data_hash"] = hash_files([rest])[0]
    facts |= _effect(fitted, aligned, X, labels)
    show_lines(*_told(facts))
    certificate = {**fitted.certificate, "realigned": facts}
    digest = save_model(replace(aligned, certificate=certificate), output, overwrite=overwrite)
    show_lines(
        f"wrote {output.name} ({digest[:12]}), without a companion: its sums are of {model.name}"
    )
    if as_json:
        show_json({"model": output.name, "hash": digest, "realigned": facts})


def _windows(
    model: Model, session: LabelledRecording, progress: Any
) -> tuple[np.ndarray, Sequence[str]]:
    """Unscaled features of events and their labels, or of a grid and no labels."""
    from calibration.design import build_design
    from rt_decoder.recorded import features_of_recording
    from rt_decoder.signal import Marker

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
        for _, found in features_of_recording(model, recording, grid, progress=progress)
        if found.good >= model.recipe.readout.min_quality
    ]
    return np.array(rows, float).reshape(len(rows), len(model.center)), ()


def _within(companion: Path, digest: str) -> np.ndarray:
    """Covariance within items, as rest has no items."""
    from calibration.sums import moments
    from rt_decoder.files.sums_file import load_sums

    return moments(load_sums(companion, digest).people[0]).within


def _effect(before: Model, after: Model, X: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Scores of both models on events with labels; nothing without."""
    if not labels:
        return {"labelled": False}
    from calibration.evaluate import evaluate
    from rt_decoder.decoding.features import scale_features

    scores = {}
    for name, model in (("before", before), ("after", after)):
        scaled = scale_features(X, model.center, model.scale, model.recipe.features.clamp)
        scores[name] = evaluate(model, scaled, labels)
    return {"labelled": True} | scores


def _told(facts: dict[str, Any]) -> list[str]:
    low, high = facts["gains"]
    lines = [
        f"{facts['method']} from {facts['n_windows']} windows: gains {low:.2f} to {high:.2f}, "
        f"cap turned by {facts['angle_deg']:.1f} degrees",
        f"  distance of correlations from calibration: {facts['distance_before']:.2f} before, "
        f"{facts['distance_after']:.2f} after",
    ]
    for name in ("before", "after"):
        if name in facts:
            one = facts[name]
            lines.append(
                f"  {name}: rank accuracy {one['rank_accuracy']:.3f} (null "
                f"{one['null_rank_accuracy']:.3f}, p = {one['p']:.2g}), "
                f"{one['bits_per_word']:.3f} bits a word, {one['n']} events"
            )
    if not facts["labelled"]:
        lines.append(
            "  without labels the gain in accuracy is not shown: give REST events for that"
        )
    return lines


COMMANDS = (realign,)
