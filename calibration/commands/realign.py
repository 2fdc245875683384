"""``rt-calibrate realign``: a model fitted to another day by a minute of unlabelled signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibration.commands.inputs import ForceWrite, Inputs, ReadOptions
from calibration.commands.people import SUMS, companion_path, write_companion
from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson, one_of
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs
from rt_decoder.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from rt_decoder.model import Model

__all__ = ["COMMANDS"]


@bundled
def realign(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model of another day.")],
    rest: Annotated[
        Path | None,
        typer.Argument(metavar="REST", help="Recording of today: a minute, without events."),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Model to write.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="What is fitted; auto finds the cap's rotation if both halves of REST show one.",
            **one_of("auto", "gains", "rotation", "whiten"),
        ),
    ] = "auto",
    force: ForceWrite = False,
    options: ReadOptions,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fit a model to another day by a minute of unlabelled signal.

    If REST has items of the vocabulary, its events are used in place of a grid of windows, without
    their labels; scores before and after are then written to the certificate, and a model that is
    clearly worse than before is not written without --force. Events inside an XDF file count as well.

    Example: rt-calibrate realign me.rtd.safetensors rest.fif -o today.rtd.safetensors
    """
    inputs, rest = options.of(rest)
    beside = companion_path(model)
    written = [("--output", output, MODEL), ("--output", companion_path(output), (SUMS,))]
    claim_outputs(written, [model, beside, *inputs.files], overwrite)
    from calibration.identity import hash_files
    from calibration.realign import realign as fit_today
    from calibration.today import effect
    from rt_decoder.files.model_file import save_model

    fitted = _load_with_covariance(model)
    X, labels = _read_windows(fitted, inputs)
    covariance = fitted.covariance if labels else _unlabelled_covariance(fitted, beside)
    aligned, facts = fit_today(fitted, X, covariance, method)
    facts |= _origin(fitted, hash_files([rest])[0]) | effect(fitted, aligned, X, labels)
    show_lines(*_told(facts))
    facts |= _judged(facts, f"{model.name} can be fitted to", rest.name, force)
    certificate = {**fitted.certificate, "realigned": facts}
    digest = save_model(replace(aligned, certificate=certificate), output, overwrite=overwrite)
    write_companion(None, output, overwrite=overwrite)
    show_lines(
        f"wrote {output.name} ({digest[:12]}), without a companion: its sums are of {model.name}"
    )
    if as_json:
        show_json({"model": output.name, "hash": digest, "realigned": facts})


def _forced(told: str, force: bool) -> None:
    if not force:
        raise ValueError(f"need a recording that {told}; --force writes the model all the same")


def _judged(facts: dict[str, Any], wanted: str, name: str, force: bool) -> dict[str, str]:
    from calibration.judgement import why_not_realigned

    if not (why := why_not_realigned(facts)):
        return {}
    _forced(f"{wanted}, got {why}, of {name}", force)
    return {"forced": why}


def _origin(model: Model, data_hash: str) -> dict[str, Any]:
    """Say what is realigned, by which recording, and when."""
    from rt_decoder.files.model_file import model_hash

    return {
        "data_hash": data_hash,
        "model": model_hash(model),
        "date": datetime.now(UTC).date().isoformat(),
        "trained_on": data_hash in model.certificate.get("data_hash", []),
    }


def _load_with_covariance(path: Path) -> Model:
    from rt_decoder.files.model_file import load_model

    model = load_model(path)
    if not model.has_map or not model.covariance.size:
        lack = "covariance" if model.has_map else "map"
        raise ValueError(f"need a model with a {lack}, got {path.name}, which has none; fit again")
    return model


def _read_windows(model: Model, inputs: Inputs) -> tuple[np.ndarray, Sequence[str]]:
    """Read the features (n, p) of today's windows, and their labels; none for a grid of windows."""
    from calibration.events import load_unlabelled
    from calibration.today import windows_of

    rules = inputs.rules(model.recipe.target)
    (session,) = load_unlabelled(inputs.recordings, inputs.tables, rules, **inputs.reading)
    with progress_bar("running the live stages") as progress:
        return windows_of(model, session, progress)


def _unlabelled_covariance(model: Model, companion: Path) -> np.ndarray:
    """Covariance (p, p) to compare a grid of windows with: within items, if a companion knows it."""
    from calibration.sums import moments
    from rt_decoder.files.model_file import model_hash
    from rt_decoder.files.sums_file import load_sums

    if not companion.is_file():
        return model.covariance
    return moments(load_sums(companion, model_hash(model)).people[0]).within


def _told(facts: dict[str, Any]) -> list[str]:
    low, high = facts["gains"]
    lines = [
        f"realigned by {facts['method']}, from {counted(facts['n_windows'], 'window')}: channels scaled by "
        f"{low:.2f} to {high:.2f}, "
        f"cap turned by {facts['angle_deg']:.1f} degrees",
        f"  distance of correlations from calibration: {facts['distance_before']:.2f} before, "
        f"{facts['distance_after']:.2f} after",
    ]
    if facts["other_reference"]:
        lines.append(
            "  the amplifier has another reference than in calibration: brought back to it"
        )
    if facts["trained_on"]:
        lines.append(
            "  WARNING: the model was fitted on this recording: it is no other day, and scores before "
            "and after prove nothing"
        )
    for name in ("before", "after"):
        if name in facts:
            one = facts[name]
            lines.append(
                f"  {name}: rank accuracy {one['rank_accuracy']:.3f} (null "
                f"{one['null_rank_accuracy']:.3f}, p = {one['p']:.2g}), "
                f"{one['bits_per_word']:.3f} bits a word, {counted(one['n'], 'event')}"
            )
    if not facts["labelled"]:
        lines.append(
            "  without labels the gain in accuracy is not shown: give REST events for that"
        )
    return lines


COMMANDS = (realign,)
