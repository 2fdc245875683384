"""``rt-calibrate refit``: a recording added to a model, or taken out, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibration.commands.evaluate import watch
from calibration.commands.inputs import ForceWrite, Inputs, ReadOptions
from calibration.commands.people import SUMS, companion_path, load_people
from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs
from rt_decoder.counted import counted

if TYPE_CHECKING:
    from calibration.design import Design
    from calibration.events import LabelledRecording
    from rt_decoder.files.sums import PersonSums, RecordingId
    from rt_decoder.model import Model

__all__ = ["COMMANDS"]

OneModel = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model; its companion lies beside it.")
]
Recording = Annotated[
    Path | None, typer.Argument(metavar="REC", help="Recording: what rt-calibrate fit reads.")
]
NewModel = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Model to write.")]


@bundled
def refit(
    model: OneModel,
    recording: Recording = None,
    *,
    output: NewModel,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the recording out instead.")
    ] = False,
    force: ForceWrite = False,
    options: ReadOptions,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Add a recording to a model, or take one out, exactly.

    Penalty, scale and posterior stay those of the model; what it scores on the recording before it
    is added is written to the certificate. A recording on which it only guesses, though a person's own
    would have shown more, is refused without --force: another person, or other labels. A column of
    groups is not needed: nothing is held out. Targets in sentence context are refused: the companion has sums of items, not of their contexts.

    Example: rt-calibrate refit me.rtd.safetensors run4.fif --events run4.tsv -o me2.rtd.safetensors
    """
    inputs, recording = options.of(recording)
    sums = companion_path(output)
    written = [("--output", output, MODEL), ("--output", sums, (SUMS,))]
    claim_outputs(written, [model, companion_path(model), *inputs.files], overwrite)
    from calibration.identity import hash_files
    from calibration.refit import add_recording, only_person, remove_recording
    from rt_decoder.files.model_file import save_model
    from rt_decoder.files.sums import Companion, RecordingId
    from rt_decoder.files.sums_file import save_sums

    (fitted,), (companion,) = load_people([model])
    person, told = only_person(companion.people), list[dict[str, Any]]()
    (data_hash,) = hash_files([recording])
    if remove:
        if data_hash not in person.hashes:
            data_hash = _same_samples(person, inputs) or data_hash
        new, person = remove_recording(fitted, person, data_hash)
    else:
        if data_hash in person.hashes:
            raise ValueError(f"{recording.name} is in {model.name} already; --remove takes it out")
        labelled = _read_labelled(fitted, inputs)
        recorded = RecordingId(data_hash, labelled[0].fingerprint)
        _check_new(recorded, recording.name, model.name, person)
        new, person = add_recording(fitted, person, read_design(fitted, labelled), *recorded)
        told = watch(fitted, labelled)
        new = _judged(new, fitted, f"{recording.name} for {model.name}", force)
    _tell(step := new.certificate["refit"][-1], remove)
    digest = save_model(new, output, overwrite=overwrite)
    save_sums(Companion((person,), digest), sums, overwrite=overwrite)
    show_lines(f"wrote {output.name} ({digest[:12]}) and {sums.name}")
    if as_json:
        show_json({"model": output.name, "hash": digest, "refit": step, "like_calibration": told})


def _check_new(recorded: RecordingId, name: str, model: str, person: PersonSums) -> None:
    from calibration.identity import check_new

    check_new([recorded], [name], {model: person.recorded})
    check_new([recorded], [name], {f"the prior of {model}": person.counted})


def _tell(step: dict[str, Any], remove: bool) -> None:
    from calibration.report.text import score_lines

    if step.get("before"):
        show_lines(*score_lines(step["before"], "this recording, before it was added"))
    show_lines(
        f"{counted(step['n'], 'event')} {'taken out' if remove else 'added'}; {step['note']}"
    )


def _judged(new: Model, before: Model, names: str, force: bool) -> Model:
    """Refuse a recording that speaks against itself, or write to the certificate: it was forced."""
    from calibration.judgement import why_not_added

    *steps, last = new.certificate["refit"]
    why = why_not_added(before, last["before"] or {})
    if why and not force:
        raise ValueError(
            f"need a recording of the same person, words and montage, got {names} with {why}; "
            "--force adds it all the same"
        )
    refit = [*steps, last | {"forced": True}] if why else [*steps, last]
    return replace(new, certificate={**new.certificate, "refit": refit})


def _same_samples(person: PersonSums, inputs: Inputs) -> str:
    """Hash of the recording in a model that has the samples of another file; empty if none has."""
    from calibration.identity import fingerprint, is_same
    from rt_decoder.files.read import read_recording
    from rt_decoder.files.sums import RecordingId

    (path,) = inputs.recordings
    reading = inputs.reading | {"units": inputs.units or "V"}  # no unit matters here
    recorded = RecordingId("", fingerprint(read_recording(path, **reading)))
    return next((one.data_hash for one in person.recorded if is_same(one, recorded)), "")


def _read_labelled(model: Model, inputs: Inputs) -> list[LabelledRecording]:
    """Read recordings with events; nothing is held out of them."""
    from calibration.events import load_labelled

    recipe = replace(model.recipe, fit=replace(model.recipe.fit, groups=""))
    rules = inputs.rules(recipe.target)
    return load_labelled(inputs.recordings, inputs.tables, recipe, rules, **inputs.reading)


def read_design(model: Model, labelled: Sequence[LabelledRecording]) -> Design:
    """Run the live stages of a model over recordings with events."""
    from calibration.design import build_design

    with progress_bar("running the live stages") as progress:
        return build_design(model, labelled, progress)


COMMANDS = (refit,)
