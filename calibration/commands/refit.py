"""``rt-calibrate refit``: a recording added to a model, or taken out, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calibration.commands.bundles import bundled
from calibration.commands.inputs import Inputs, ReadOptions
from calibration.commands.people import SUMS, companion_path, load_people
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs

if TYPE_CHECKING:
    from calibration.design import Design
    from calibration.events import LabelledRecording
    from rt_decoder.files.sums import PersonSums
    from rt_decoder.model import Model

__all__ = ["COMMANDS"]

OneModel = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model; its companion lies beside it.")
]
Recording = Annotated[
    Path, typer.Argument(metavar="REC", help="Recording: what rt-calibrate fit reads.")
]
NewModel = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Model to write.")]


@bundled
def refit(
    model: OneModel,
    recording: Recording,
    output: NewModel,
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the recording out instead.")
    ] = False,
    options: ReadOptions,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Add a recording to a model, or take one out, exactly.

    Penalty, scale and posterior stay those of the model; what it scores on the recording before it
    is added is written to the certificate. A column of groups is not needed: nothing is held out.
    Targets in sentence context are refused: the companion has sums of items, not of their contexts.

    Example: rt-calibrate refit me.rtd.safetensors run4.fif --events run4.tsv -o me2.rtd.safetensors
    """
    inputs = options.of(recording)
    sums = companion_path(output)
    claim_outputs(
        [("--output", output, MODEL), ("--output", sums, (SUMS,))],
        [model, companion_path(model), *inputs.files],
        overwrite,
    )
    from calibration.refit import only_person
    from calibration.report.text import score_lines
    from rt_decoder.files.model_file import save_model
    from rt_decoder.files.sums import Companion
    from rt_decoder.files.sums_file import save_sums

    (fitted,), (companion,) = load_people([model])
    person = only_person(companion.people)
    if remove:
        new, person = _taken_out(fitted, person, inputs)
    else:
        new, person = _added(fitted, person, inputs, model.name)
    step = new.certificate["refit"][-1]
    if step.get("before"):
        show_lines(*score_lines(step["before"], "this recording, before it was added"))
    show_lines(f"{step['n']} events {'taken out' if remove else 'added'}; {step['note']}")
    digest = save_model(new, output, overwrite=overwrite)
    save_sums(Companion((person,), digest), sums, overwrite=overwrite)
    show_lines(f"wrote {output.name} ({digest[:12]}) and {sums.name}")
    if as_json:
        show_json({"model": output.name, "hash": digest, "refit": step})


def _added(
    fitted: Model, person: PersonSums, inputs: Inputs, name: str
) -> tuple[Model, PersonSums]:
    """Add a recording, which the model may not have seen."""
    from calibration.identity import check_new, hash_files
    from calibration.refit import add_recording
    from rt_decoder.files.sums import RecordingId

    (recording,) = inputs.recordings
    (data_hash,) = hash_files([recording])
    if data_hash in person.hashes:
        raise ValueError(f"{recording.name} is in {name} already; --remove takes it out")
    labelled = _read_labelled(fitted, inputs)
    recorded = RecordingId(data_hash, labelled[0].fingerprint)
    check_new([recorded], [recording.name], {name: person.recorded})
    check_new([recorded], [recording.name], {f"the prior of {name}": person.counted})
    return add_recording(fitted, person, read_design(fitted, labelled), *recorded)


def _taken_out(fitted: Model, person: PersonSums, inputs: Inputs) -> tuple[Model, PersonSums]:
    """Take a recording out, known by its bytes, else by its samples."""
    from calibration.identity import hash_files
    from calibration.refit import remove_recording

    (data_hash,) = hash_files(inputs.recordings)
    if data_hash not in person.hashes:
        data_hash = _same_samples(person, inputs) or data_hash
    return remove_recording(fitted, person, data_hash)


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
