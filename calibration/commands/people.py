"""Declare other people's models, for every command that reads their companions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.console import show_lines
from rt_decoder.commands.options import one_of
from rt_decoder.files.outputs import SUMS, companion_path

if TYPE_CHECKING:
    from rt_decoder.files.sums import Companion, PersonSums
    from rt_decoder.model import Model

__all__ = [
    "SUMS",
    "Models",
    "Montage",
    "NoSums",
    "PriorFrom",
    "companion_path",
    "load_people",
    "write_companion",
]

PEOPLE = "Other people"
Models = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL", help="Models; the companion of each lies beside it."),
]
PriorFrom = Annotated[
    list[Path] | None,
    typer.Option(
        "--prior-from",
        metavar="MODEL",
        help="Model of another person or a group, its companion beside it; may be repeated.",
        rich_help_panel=PEOPLE,
    ),
]
Montage = Annotated[
    str,
    typer.Option(
        "--montage",
        help="How channels that differ are matched.",
        rich_help_panel=PEOPLE,
        **one_of("name", "position"),
    ),
]
NoSums = Annotated[
    bool,
    typer.Option(
        "--no-sums",
        help="Write no companion file (*.sums.safetensors): nobody can be helped by this model.",
        rich_help_panel=PEOPLE,
    ),
]


def load_people(paths: Sequence[Path]) -> tuple[list[Model], list[Companion]]:
    """Read models and the companions beside them.

    Parameters
    ----------
    paths : sequence of path

    Returns
    -------
    models : list of Model
    companions : list of Companion

    Raises
    ------
    FileNotFoundError
        If a model or a companion is not there.
    ModelCorrupt
        If one cannot be used, or they do not belong together.
    ValueError
        If a model has no map.
    """
    from rt_decoder.files.model_file import load_model, model_hash
    from rt_decoder.files.sums_file import load_sums

    models, companions = [], []
    for path in paths:
        model = load_model(path)
        if not model.has_map:
            raise ValueError(f"{path.name} has no map: it cleans, it does not name words")
        companions.append(load_sums(companion_path(path), model_hash(model)))
        models.append(model)
    return models, companions


def all_people(companions: Sequence[Companion]) -> list[PersonSums]:
    """List everybody, each once."""
    people = {one.hashes: one for companion in companions for one in companion.people}
    return list(people.values())


def write_companion(
    sums: Sequence[PersonSums], model_hash: str, path: Path | None, overwrite: bool
) -> None:
    """Write what the map was fitted on beside the model, unless it is not wanted.

    Parameters
    ----------
    sums : sequence of PersonSums
    model_hash : str
    path : Path or None
        None writes nothing.
    overwrite : bool
        Whether a file of this name may be replaced.
    """
    from rt_decoder.files.sums import Companion
    from rt_decoder.files.sums_file import save_sums

    if path is None:
        return
    save_sums(Companion(tuple(sums), model_hash), path, overwrite=overwrite)
    show_lines(f"wrote {path.name}: sums for other people's models, no recording")
