"""``rt-calibrate fit --people``: many people, layers and windows, one table, one group model.

`options` are those of `commands.fit`, which takes `StudyOptions` among its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibration.commands.recipe_options import changed
from rt_decoder.commands.console import progress_bar, show_error, show_json, show_lines
from rt_decoder.counted import counted
from rt_decoder.recipe import Recipe, recipe_options

if TYPE_CHECKING:
    from calibration.people.cell import Outcome, Task
    from calibration.people.person import Person

__all__ = ["StudyOptions", "check_alone", "fit_people"]

STUDY = "Many people"
_GROUP = "group.rtd.safetensors"


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What `fit` takes for many people."""

    people: Annotated[
        Path | None,
        typer.Option(
            "--people",
            metavar="TSV",
            help="Table of people, columns person, recordings, events, and recipe keys that differ; "
            "with --bids, codes of its people suffice; "
            "--output is a folder then. A call that was cut short goes on where it was.",
            rich_help_panel=STUDY,
        ),
    ] = None
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="LAYER,...",
            help="Layers of the language model, a model each; default --layer.",
            show_default=False,
            rich_help_panel=STUDY,
        ),
    ] = ""
    windows: Annotated[
        str,
        typer.Option(
            "--windows", metavar="TMAX,...", show_default=False, rich_help_panel=STUDY,
            help="Window ends in s after the onset, a model each; default --tmax.",
        ),
    ] = ""  # fmt: skip
    jobs: Annotated[
        int,
        typer.Option("--jobs", min=1, help="Processes on this machine.", rich_help_panel=STUDY),
    ] = 1
    dask: Annotated[
        str,
        typer.Option(
            "--dask", metavar="ADDRESS", show_default=False, rich_help_panel=STUDY,
            help="Dask scheduler instead, such as tcp://host:8786; its workers see the same files.",
        ),
    ] = ""  # fmt: skip
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Fit what is finished again, too.", rich_help_panel=STUDY),
    ] = False


def check_alone(options: Any) -> None:
    """Refuse options of many people in a call for one person.

    Parameters
    ----------
    options : MapOptions

    Raises
    ------
    typer.BadParameter
        In one sentence, with the option.
    """
    for name in ("layers", "windows", "dask", "restart"):
        if getattr(options, name):
            raise typer.BadParameter(f"need --people TSV with --{name}, got none")
    if options.jobs > 1:
        raise typer.BadParameter("need --people TSV with --jobs, got none")


def fit_people(options: Any, settings: Recipe) -> None:
    """Fit every cell that is not finished, then write the table and the group model.

    What could not be fitted is raised at the end, as ValueError.

    Parameters
    ----------
    options : MapOptions
    settings : Recipe

    Raises
    ------
    KeyboardInterrupt
        Where it is interrupted: what is finished is kept.
    """
    from calibration.ahead import check_settings
    from calibration.people.person import read_people
    from calibration.people.run import check_cluster, run_tasks
    from calibration.people.table import read_cells

    _check(options, settings)
    people = _told(lambda: read_people(options.people, list(recipe_options()), options.finder()))
    tasks = _told(lambda: _tasks(people, options, settings))
    check_cluster(options.dask, options.jobs)
    for sections in (recipe for task in tasks for recipe in task.recipes):
        check_settings(Recipe.from_dict(sections))
    folder = tasks[0].folder
    names = [name for task in tasks for name in task.names]
    _make_ready(folder, names, options.restart)
    who = counted(len(people), "person", "people")
    show_lines(f"{who}, {counted(len(names), 'cell')} of person, layer and window")
    failed: list[Outcome] = []
    n_done = 0
    try:
        with progress_bar("fitting cells") as progress:

            def done(outcomes: list[Outcome]) -> None:
                nonlocal n_done
                n_done += len(outcomes)
                failed.extend(_tell(outcomes))
                progress(n_done / len(names))

            run_tasks(tasks, done, jobs=options.jobs, address=options.dask)
    except KeyboardInterrupt:
        n_left = len(names) - len(read_cells(folder, names))
        raise KeyboardInterrupt(
            f"finished {len(names) - n_left} of {counted(len(names), 'cell')}; the same command goes on"
        ) from None
    _finish(options, settings, names, failed)


def _finish(
    options: Any, settings: Recipe, names: Sequence[str], failed: Sequence[Outcome]
) -> None:
    """Write the table and the group model, then say what could not be fitted."""
    from calibration.people.apart import people_apart
    from calibration.people.table import group_rows, table_lines, write_table

    folder = options.output.absolute() / "cells"
    rows, failed = people_apart(folder, names, failed)
    bad = {one.name for one in failed}
    group = group_rows(rows, settings.fit.seed)
    pooled, why = _group_model(options, rows, folder)
    more = {"failed": sorted(bad), "group_model": pooled}
    write_table(options.output, rows, group, more)
    show_lines(*table_lines([*rows, *group]), "wrote people.tsv and people.json")
    if options.as_json:
        show_json({"cells": rows, "group": group, **more})
    listed = [f"{one.name} ({one.why})" for one in failed]
    listed += [f"the group model ({why})"] if why else []
    if listed:
        raise ValueError(f"{len(listed)} could not be fitted: {'; '.join(listed)}")


def _told(work: Callable[[], Any]) -> Any:
    """Report what is wrong with a table as a wrong call."""
    try:
        return work()
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None


def _check(options: Any, settings: Recipe) -> None:
    given = {
        "recordings": options.recordings, "--events": options.events, "--subject": options.subject,
        "--session": options.session if options.bids is None else "", "--report": options.report,
        "--prior-from": options.prior_from, "--no-sums": options.no_sums,
    }  # fmt: skip
    if wrong := [name for name, value in given.items() if value]:
        raise typer.BadParameter(f"need --people alone or {wrong[0]}, got both")
    if options.dask and options.jobs > 1:
        raise typer.BadParameter("need --dask or --jobs, got both")
    if not settings.fit.final_block:
        raise typer.BadParameter("need final_block above 0 with --people: the table tests on it")
    if options.output.exists() and not options.output.is_dir():
        raise typer.BadParameter(f"need a folder as --output with --people, got {options.output}")


def _tasks(people: Sequence[Person], options: Any, settings: Recipe) -> list[Task]:
    """List the cells, those of a person and a window together."""
    from calibration.people.cell import Reading, Task

    reading = Reading(
        None if options.channels is None else options.channels.absolute(), options.units,
        options.stream, options.markers.stream, options.markers.trigger, options.marker_offset,
    )  # fmt: skip
    layers, windows = _numbers("layers", options.layers), _numbers("windows", options.windows)
    folder = options.output.absolute() / "cells"
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    tasks = []
    for person in people:
        for key, option in (("layer", layers), ("tmax", windows)):
            if key in person.keys and option:
                raise ValueError(f"need {key} as a column or an option, got both for {person.code}")
        own = changed(settings, person.keys)
        for window in windows or [own.features.tmax]:
            of = replace(own, features=replace(own.features, tmax=window))
            recipes = [
                replace(of, target=replace(of.target, layer=int(layer)))
                for layer in layers or [own.target.layer]
            ]
            sections = tuple(one.to_dict() for one in recipes)
            tasks.append(Task(person, sections, reading, folder, threads))
    names = [name for task in tasks for name in task.names]
    if len(set(names)) < len(names):
        raise ValueError(
            f"need each layer and window once, got {options.layers or 'one'} and "
            f"{options.windows or 'one'}"
        )
    return tasks


def _numbers(name: str, text: str) -> list[float]:
    """Read a list of numbers; layers are whole."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
        if name == "layers" and any(one != int(one) for one in found):
            raise ValueError
    except ValueError:
        raise ValueError(f"need numbers with commas as --{name}, got {text!r}") from None
    return found


def _make_ready(folder: Path, names: Sequence[str], restart: bool) -> None:
    """Make the folder; forget earlier deaths, and with `restart` what is finished."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.begun").unlink(missing_ok=True)
        if restart:
            (folder / f"{name}.json").unlink(missing_ok=True)


def _tell(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Say what became of cells; returns those that failed."""
    for one in outcomes:
        if one.how == "failed":
            show_error(f"{one.name}: {one.why}; the others go on")
        else:
            show_lines(f"{one.name}: {one.how}")
    return [one for one in outcomes if one.how == "failed"]


def _group_model(
    options: Any, rows: Sequence[Any], folder: Path
) -> tuple[dict[str, Any] | None, str]:
    """Pool the people at one layer and window; returns what was pooled, and why not."""
    from calibration.commands.people import companion_path, load_people
    from calibration.people.cell import cell_name, model_path
    from calibration.people.table import best_cells
    from calibration.people_ceiling import ceiling_sentence
    from calibration.pool import pool_models
    from rt_decoder.files.model_file import save_model
    from rt_decoder.files.sums import Companion
    from rt_decoder.files.sums_file import save_sums

    chosen = best_cells(rows)
    if len(chosen) < 2:
        show_lines("no group model: it needs two people or more")
        return None, ""
    names = [cell_name(row["person"], row["layer"], row["window"]) for row in chosen]
    try:
        with progress_bar("leaving people out") as progress:
            group, companion = pool_models(
                *load_people([model_path(folder, one) for one in names]),
                montage=options.montage,
                names=names,
                say=show_lines,
                progress=progress,
            )
    except ValueError as error:
        return None, str(error)
    path = options.output / _GROUP
    digest = save_model(group, path, overwrite=True)
    save_sums(Companion(companion.people, digest), companion_path(path), overwrite=True)
    layer, window = chosen[0]["layer"], chosen[0]["window"]
    show_lines(
        f"wrote {path.name} ({digest[:12]}) of {counted(len(chosen), 'person', 'people')}, layer {layer}, window to "
        f"{window:g} s, which had most bits out of fold",
        ceiling_sentence(ceiling := group.certificate["people"]["ceiling"]),
    )
    made = {"model": digest, "layer": layer, "window": window, "n": len(chosen)}
    return made | {"ceiling": ceiling}, ""
