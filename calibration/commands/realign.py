"""``rt-calibrate realign``: a model fitted to another day by a minute of unlabelled signal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

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

__all__ = ["COMMANDS"]


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
    from calibration.sums import moments
    from calibration.today import effect, windows_of
    from rt_decoder.files.model_file import load_model, model_hash, save_model
    from rt_decoder.files.sums_file import load_sums

    fitted = load_model(model)
    if not fitted.has_map or not fitted.covariance.size:
        lack = "covariance" if fitted.has_map else "map"
        raise ValueError(f"need a model with a {lack}, got {model.name}, which has none; fit again")
    rules = inputs.rules(fitted.recipe.target)
    (session,) = load_unlabelled(inputs.recordings, inputs.tables, rules, **inputs.reading)
    with progress_bar("running the live stages") as progress:
        X, labels = windows_of(fitted, session, progress)
    covariance = fitted.covariance
    if not labels and beside.is_file():
        covariance = moments(load_sums(beside, model_hash(fitted)).people[0]).within
    aligned, facts = fit_today(fitted, X, covariance, method)
    facts["data_hash"] = hash_files([rest])[0]
    facts |= effect(fitted, aligned, X, labels)
    show_lines(*_told(facts))
    certificate = {**fitted.certificate, "realigned": facts}
    digest = save_model(replace(aligned, certificate=certificate), output, overwrite=overwrite)
    show_lines(
        f"wrote {output.name} ({digest[:12]}), without a companion: its sums are of {model.name}"
    )
    if as_json:
        show_json({"model": output.name, "hash": digest, "realigned": facts})


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
