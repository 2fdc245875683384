"""``rt-calibrate``: fit a model on recordings, test one, embed words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from rt_decoder.commands.console import app_of, progress_bar, run_app, show_json, show_lines
from rt_decoder.recipe import Recipe, parse_option, read_recipe, recipe_options
from rt_decoder.timing.markers import MarkerRules

__all__ = ["main"]

app = app_of("Fit and test the map from brain signals to words, on recordings with known items.")

Recordings = Annotated[
    list[Path], typer.Argument(help="Recordings: what MNE reads, XDF, CSV, session records.")
]
Events = Annotated[
    Optional[list[Path]],  # noqa: UP045  (typer reads it at run time)
    typer.Option("--events", help="BIDS events TSV, one a recording, in the same order."),
]
Channels = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--channels", help="TSV: stream name, model name, type, unit."),
]
Units = Annotated[str, typer.Option("--units", help="Unit of the samples where none is declared.")]
Markers = Annotated[
    str, typer.Option("--markers", help="Marker stream of the file, or channel:NAME.")
]
Stream = Annotated[str, typer.Option("--stream", help="Data stream of an XDF file with several.")]
Offset = Annotated[float, typer.Option("--marker-offset", help="Added to every marker, in ms.")]
ReportFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--report", help="HTML file with figures, for people; private."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]


def _fit(
    recordings: list[Path],
    output: Path,
    events: list[Path] | None,
    recipe: Path | None,
    channels: Path | None,
    units: str,
    stream: str,
    markers: str,
    marker_offset: float,
    subject: str,
    session: str,
    report: Path | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Fit a model: design, choose, validate, certify, write."""
    from calibration.cleaning.chain import fit_cleaning
    from calibration.cleaning.seen import unlocked_share
    from calibration.design import build_design, draft_model
    from calibration.events import load_labelled
    from calibration.fit import fit_model, hash_files
    from calibration.report.text import certificate_lines, cleaning_lines
    from rt_decoder.files.model_file import save_model

    settings = _recipe(recipe, options)
    _check_folder(output, report)
    rules = _rules(settings.target.names, markers, marker_offset)
    labelled = load_labelled(
        recordings,
        events or [],
        settings,
        rules,
        **_reading(channels, units, stream, markers),
    )
    draft = draft_model([one.recording for one in labelled], settings)
    share = unlocked_share(labelled, settings.fit)
    draft, cleaning = fit_cleaning(
        draft, labelled, share=share, mne_info=_fif(recordings), say=show_lines
    )
    with progress_bar("running the live stages") as progress:
        design = build_design(draft, labelled, progress)
    model = fit_model(draft, design, data_hash=hash_files(recordings), say=show_lines)
    certificate = {
        **model.certificate,
        "cleaning": cleaning,
        "subject": subject,
        "session": session,
        "marker_offset_ms": marker_offset,
    }
    model = replace(model, certificate=certificate)
    digest = save_model(model, output)
    _write_report(report, model, labelled, share)
    show_lines(
        *cleaning_lines(cleaning), *certificate_lines(model), f"wrote {output.name} ({digest[:12]})"
    )
    if as_json:
        show_json({"model": output.name, "hash": digest, "certificate": certificate})


def _check_folder(*outputs: Path | None) -> None:
    """Refuse at once what could not be written in the end."""
    for output in filter(None, outputs):
        if not output.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {output.parent.name} to write to")


def _write_report(path: Path | None, model: Any, sessions: Any, share: float) -> None:
    if path is not None:
        from calibration.report.html import write_report

        write_report(path, model, sessions, share=share)
        show_lines(f"wrote {path.name}")


def _fif(recordings: list[Path]) -> Path | None:
    """The first recording that MNE's projections can be read from."""
    return next((path for path in recordings if path.suffix == ".fif"), None)


def _recipe(path: Path | None, options: dict[str, str | None]) -> Recipe:
    try:
        sections = read_recipe(path) if path is not None else {}
        Recipe.from_dict(sections)
        for name, (section, _, _) in recipe_options().items():
            text = options.get(name)
            if text is not None:
                sections.setdefault(section, {})[name] = parse_option(text)
        return Recipe.from_dict(sections)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None


def _reading(channels: Path | None, units: str, stream: str, markers: str) -> dict[str, Any]:
    """How recordings are read; a trigger channel is read by the live stages."""
    named = None if markers.startswith("channel:") else markers or None
    return {
        "channels": channels, "units": units or None, "stream": stream or None, "markers": named
    }  # fmt: skip


def _rules(names: Mapping[str, str], markers: str, offset_ms: float) -> MarkerRules:
    trigger = markers.removeprefix("channel:") if markers.startswith("channel:") else ""
    return MarkerRules(trigger=trigger, names=dict(names), offset=offset_ms * 1e-3)


def _cleaning(
    recordings: list[Path],
    output: Path,
    events: list[Path] | None,
    recipe: Path | None,
    channels: Path | None,
    units: str,
    stream: str,
    markers: str,
    marker_offset: float,
    subject: str,
    session: str,
    report: Path | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Fit the cleaning chain alone: a model that cleans and names no words."""
    from calibration.cleaning.chain import fit_cleaning
    from calibration.design import draft_model
    from calibration.events import load_unlabelled
    from calibration.fit import hash_files
    from calibration.report.text import cleaning_lines
    from rt_decoder.files.model_file import save_model
    from rt_decoder.model import versions

    settings = _recipe(recipe, options)
    _check_folder(output, report)
    loaded = load_unlabelled(
        recordings,
        events or [],
        _rules({}, markers, marker_offset),
        **_reading(channels, units, stream, markers),
    )
    draft = draft_model([one.recording for one in loaded], settings)
    model, found = fit_cleaning(draft, loaded, mne_info=_fif(recordings), say=show_lines)
    certificate = {
        "cleaning": found,
        "data_hash": hash_files(recordings),
        "subject": subject,
        "session": session,
    }
    model = replace(model, certificate=certificate, versions=versions())
    digest = save_model(model, output)
    _write_report(report, model, loaded, 1.0)
    show_lines(*cleaning_lines(found), f"wrote {output.name} ({digest[:12]})")
    if as_json:
        show_json({"model": output.name, "hash": digest, "cleaning": found})


def _with_recipe_options(function: Any, sections: Sequence[str] = ()) -> Any:
    """Give `function` one option for each key of the recipe, or of some of its sections."""

    def option(name: str, about: str, default: Any) -> inspect.Parameter:
        shown = default if not isinstance(default, tuple) else list(default)
        text = about if shown in ("", [], {}) else f"{about}; default {shown}"
        declared = typer.Option(None, f"--{name.replace('_', '-')}", help=text)
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=declared, annotation=str | None
        )

    fixed = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, kind, default in (
            ("recordings", Recordings, inspect.Parameter.empty),
            ("output", Annotated[Path, typer.Option("-o", "--output", help="Model file.")], ...),
            ("events", Events, None),
            (
                "recipe",
                Annotated[Path | None, typer.Option("--recipe", help="Settings, TOML.")],
                None,
            ),
            ("channels", Channels, None),
            ("units", Units, ""),
            ("stream", Stream, ""),
            ("markers", Markers, ""),
            ("marker_offset", Offset, 0.0),
            ("subject", Annotated[str, typer.Option(help="Code of the person, no name.")], ""),
            ("session", Annotated[str, typer.Option(help="Code of the session.")], ""),
            ("report", ReportFile, None),
            ("as_json", AsJson, False),
        )
    ]
    keys = [
        option(name, about, default)
        for name, (section, default, about) in recipe_options().items()
        if not sections or section in sections
    ]
    function.__signature__ = inspect.Signature([*fixed, *keys])
    function.__annotations__ = {p.name: p.annotation for p in [*fixed, *keys]}
    return function


app.command("fit")(_with_recipe_options(_fit))
app.command("cleaning")(_with_recipe_options(_cleaning, ("stream", "filter", "clean")))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Option("--model", help="Model file.")],
    recordings: Recordings,
    events: Events = None,
    channels: Channels = None,
    units: Units = "",
    stream: Stream = "",
    markers: Markers = "",
    marker_offset: Offset = 0.0,
    as_json: AsJson = False,
) -> None:
    """Test a model on recordings that it has never seen."""
    from calibration.design import build_design
    from calibration.evaluate import evaluate as score
    from calibration.events import load_labelled
    from calibration.fit import hash_files
    from calibration.report.text import score_lines
    from rt_decoder.files.model_file import load_model

    fitted = load_model(model)
    if not fitted.has_map:
        raise ValueError(f"{model.name} has no map: it cleans, it does not name words")
    recipe = fitted.recipe
    rules = _rules(recipe.target.names, markers, marker_offset)
    labelled = load_labelled(
        recordings,
        events or [],
        recipe,
        rules,
        **_reading(channels, units, stream, markers),
    )
    with progress_bar("decoding") as progress:
        design = build_design(fitted, labelled, progress).answered_only()
    scores = score(fitted, design.X, design.labels) | {"n_dropped": design.n_dropped}
    trained = set(hash_files(recordings)) & set(fitted.certificate.get("data_hash", []))
    scores["trained_on"] = bool(trained)
    show_lines(*score_lines(scores, "these recordings"))
    if trained:
        show_lines("  WARNING: the model was trained on this data; the figures prove nothing")
    if as_json:
        show_json({"model": model.name, "scores": scores})


@app.command()
def embed(
    words: Annotated[Path, typer.Argument(help="Text file, one word or sentence a line.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="safetensors file to write.")],
    embedding: Annotated[str, typer.Option(help="minilm, a folder, or a hub name.")] = "minilm",
    layer: Annotated[int, typer.Option(help="Hidden layer; -1 is the last.")] = -1,
    pooling: Annotated[str, typer.Option(help="'mean' or 'last' token.")] = "mean",
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
) -> None:
    """Write the vectors of words, and fill the cache that `fit` reads."""
    import json

    from safetensors.numpy import save

    from calibration.language.embeddings import embed as vectors_of
    from calibration.targets import vocabulary_items
    from rt_decoder.files.atomic import write_whole

    _check_folder(output)
    items = vocabulary_items(str(words), [])
    vectors = vectors_of(items, model=embedding, layer=layer, pooling=pooling, device=device)
    about = {"embedding": Path(embedding).name, "layer": str(layer), "pooling": pooling}
    payload = save({"vectors": vectors}, metadata={"items": json.dumps(items)} | about)
    write_whole(output, payload)
    show_lines(f"wrote {len(items)} vectors of {vectors.shape[1]} dimensions to {output.name}")


def main() -> None:
    """Run the program."""
    run_app(app)
