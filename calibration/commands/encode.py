"""``rt-calibrate encode``: what the network predicts of the brain, at every channel and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibration.commands.inputs import ReadOptions, Recordings, need_drawing
from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson, ModelFile
from rt_decoder.commands.outputs import HTML, Overwrite, claim_outputs

if TYPE_CHECKING:
    import numpy as np

    from calibration.covariates import Nuisance
    from calibration.design import Design
    from calibration.events import LabelledRecording
    from rt_decoder.model import Model
    from rt_decoder.recipe import Recipe

__all__ = ["COMMANDS", "with_encoding"]

NETWORK, TEST = "Network and window", "Test"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions(ReadOptions):
    """Network, window and test; each field is an option."""

    language_model: Annotated[
        str,
        typer.Option(
            metavar="NAME_OR_DIR",
            help="Language model whose vectors predict; default the vectors in the model.",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = ""
    hidden_layer: Annotated[
        int | None,
        typer.Option(
            metavar="L",
            help="Hidden layer of --language-model; default the one the model was fitted with.",
            rich_help_panel=NETWORK,
        ),
    ] = None
    layers: Annotated[
        bool,
        typer.Option(
            "--all-layers",
            help="Compare all hidden layers of --language-model.",
            rich_help_panel=NETWORK,
        ),
    ] = False
    start: Annotated[
        float,
        typer.Option(metavar="S", help="Start, after the onset.", rich_help_panel=NETWORK),
    ] = -0.1
    end: Annotated[
        float, typer.Option(metavar="S", help="End, after the onset.", rich_help_panel=NETWORK)
    ] = 0.8
    step: Annotated[
        float,
        typer.Option(metavar="S", min=0.001, help="Averaged to one time.", rich_help_panel=NETWORK),
    ] = 0.05
    language: Annotated[
        str,
        typer.Option(metavar="CODE", help="Of the frequency of words.", rich_help_panel=TEST),
    ] = "en"
    envelope: Annotated[
        str,
        typer.Option(
            metavar="CHANNEL",
            help="Channel with the sound's envelope, as nuisance; default none.",
            show_default=False,
            rich_help_panel=TEST,
        ),
    ] = ""
    learning: Annotated[
        bool,
        typer.Option(
            "--learning", help="Measure the learning curve; it fits 88 maps.", rich_help_panel=TEST
        ),
    ] = False
    permutations: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Refitted permutations.", rich_help_panel=TEST),
    ] = 199
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the permutations.", rich_help_panel=TEST)
    ] = 0
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="HTML", help="Report with figures to write; private; default none."
        ),
    ] = None
    overwrite: Overwrite = False

    def recipe(self, model: Model) -> Recipe:
        """The model's recipe, with the network that was asked for; raises typer.BadParameter."""
        if self.hidden_layer is not None and not self.language_model:
            raise typer.BadParameter(
                "need --language-model with --hidden-layer: the model holds one layer"
            )
        if self.layers and not self.language_model:
            raise typer.BadParameter("need --language-model with --all-layers: the model holds one")
        target = model.recipe.target
        if not self.language_model:
            return replace(model.recipe, target=replace(target, context=""))
        layer = target.layer if self.hidden_layer is None else self.hidden_layer
        return replace(
            model.recipe, target=replace(target, embedding=self.language_model, layer=layer)
        )


@bundled
def encode(
    recordings: Recordings, model: ModelFile, options: EncodeOptions, as_json: AsJson = False
) -> None:
    """Predict the brain from the network: correlation at every channel and time, with its null.

    Example: rt-calibrate encode run3.fif --events run3.tsv --model me.rtd.safetensors
    """
    inputs = ReadOptions.of(options, *recordings)
    claim_outputs([("--report", options.report, HTML)], [*inputs.files, model], options.overwrite)
    from calibration.encode import encode as fit
    from calibration.encode import encoding_facts, vectors_of_model
    from calibration.encoding import Rules, epoch_model
    from calibration.events import load_labelled
    from calibration.language.embeddings import embed
    from calibration.limits import limit_facts, text_layers
    from rt_decoder.files.model_file import load_model

    need_drawing(options.report)
    fitted = load_model(model)
    if not fitted.has_map and not options.language_model:
        raise ValueError(f"{model.name} has no words: give their vectors with --language-model")
    recipe = options.recipe(fitted)
    labelled = load_labelled(
        recordings, inputs.tables, recipe, inputs.rules(recipe.target), **inputs.reading
    )
    inputs.tell_columns(recipe.target.label)
    epoched = epoch_model(fitted, options.start, options.end, options.step)
    known = None if options.language_model else fitted.items
    design, nuisance = _events(epoched, labelled, known, options.language, options.envelope)
    rules = Rules(options.permutations, options.seed, fitted.certificate.get("null_memory", 0))
    embedder = embed if options.language_model else vectors_of_model(fitted)
    recipe = replace(recipe, features=epoched.recipe.features)
    with progress_bar("encoding") as progress:
        found = fit(epoched, design, embedder, nuisance, rules, recipe=recipe, progress=progress)
    facts: dict[str, Any] = encoding_facts(found, fitted)
    facts["network"] = options.language_model or "vectors in the model"
    layers = text_layers(design, recipe.target) if options.layers else None
    with progress_bar("what limits it") as progress:
        facts |= limit_facts(
            found, design, rules, layers=layers, positions=_positions(fitted),
            learning=options.learning, progress=progress,
        )  # fmt: skip
    _tell(fitted, facts, options)
    if as_json:
        show_json({"model": model.name, "encoding": facts})


def _tell(model: Model, facts: dict[str, Any], options: EncodeOptions) -> None:
    """Print what was found, and write the report, if one is wanted."""
    from calibration.report.encoding import encoding_lines, write_encoding
    from calibration.report.limits import limit_lines

    show_lines(*encoding_lines(facts), *limit_lines(facts))
    if options.report is not None:
        write_encoding(options.report, model, facts, overwrite=options.overwrite)
        show_lines(f"wrote {options.report.name}")


def _positions(model: Model) -> np.ndarray | None:
    found = model.info.positions
    return None if found is None else found[: model.n_picks]


def _events(
    model: Model,
    labelled: Sequence[LabelledRecording],
    items: Sequence[str] | None,
    language: str,
    envelope: str = "",
) -> tuple[Design, Nuisance]:
    """Run the live stages; returns events of known items (None: all), and their nuisance."""
    from calibration.covariates import envelope_columns, nuisance_columns
    from calibration.design import build_design
    from calibration.encode import known_only

    with progress_bar("running the live stages") as progress:
        design = build_design(model, labelled, progress)
    design = known_only(design, design.labels if items is None else items)
    nuisance = nuisance_columns(design, language)
    if envelope:
        nuisance = nuisance.joined(envelope_columns(labelled, design, envelope))
    return design, nuisance


def with_encoding(model: Model, labelled: Sequence[LabelledRecording]) -> Model:
    """Measure what `fit --encode` adds to a certificate: encoding, learning curve, ceiling.

    Parameters
    ----------
    model : Model
        Fitted on the recordings.
    labelled : sequence of LabelledRecording

    Returns
    -------
    Model
        With `encoding`, of `calibration.encode.brief`, `learning` and `ceiling` in its certificate;
        as it was, with a line of the reason, where the recordings allow no encoding.
    """
    try:
        found = _encoding_of_fit(model, labelled)
    except ValueError as error:
        show_lines(f"encoding: left out: {error}")
        return model
    return replace(model, certificate={**model.certificate, **found})


def _encoding_of_fit(model: Model, labelled: Sequence[LabelledRecording]) -> dict[str, Any]:
    from calibration.encode import brief, encoding_facts, vectors_of_model
    from calibration.encode import encode as fit
    from calibration.encoding import Rules, epoch_model
    from calibration.limits import limit_facts
    from calibration.report.encoding import encoding_lines
    from calibration.report.limits import limit_lines

    target, rules = replace(model.recipe.target, context=""), model.recipe.fit
    epoched = epoch_model(model, -0.1, max(model.recipe.features.tmax, 0.1), 0.05)
    recipe = replace(model.recipe, target=target, features=epoched.recipe.features)
    design, nuisance = _events(epoched, labelled, model.items, "en")
    tests = Rules(
        min(199, rules.n_permutations), rules.seed, model.certificate.get("null_memory", 0)
    )
    with progress_bar("encoding") as progress:
        found = fit(
            epoched, design, vectors_of_model(model), nuisance, tests, recipe=recipe,
            progress=progress,
        )  # fmt: skip
    with progress_bar("what limits it") as progress:
        limits = limit_facts(found, design, tests, learning=True, progress=progress)
    facts = encoding_facts(found) | {"network": "vectors in the model"}
    show_lines(*encoding_lines(facts), *limit_lines(limits))
    return {"encoding": brief(facts), **limits}


COMMANDS = (encode,)
