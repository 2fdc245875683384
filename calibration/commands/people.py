"""Declare other people's models, for every command that reads their companions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    "other_people",
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
        If a model has no map, or is given twice.
    """
    from rt_decoder.files.model_file import load_model, model_hash
    from rt_decoder.files.sums_file import load_sums

    models, companions, known = [], [], dict[str, str]()
    for path in paths:
        model = load_model(path)
        if not model.has_map:
            raise ValueError(f"{path.name} has no map: it cleans, it does not name words")
        if (digest := model_hash(model)) in known:
            raise ValueError(f"need each model once, got {path.name}, the same as {known[digest]}")
        known[digest] = path.name
        companions.append(load_sums(companion_path(path), digest))
        models.append(model)
    return models, companions


def other_people(
    paths: Sequence[Path], recordings: Sequence[Path]
) -> tuple[list[str], list[PersonSums]]:
    """List everybody in models of others, each once, and the names of their models.

    Parameters
    ----------
    paths : sequence of path
        Of the models.
    recordings : sequence of path
        One's own, which none of them may hold.

    Returns
    -------
    names : list of str
    people : list of PersonSums

    Raises
    ------
    ValueError
        If one was fitted on a recording of one's own; also as `load_people`.
    """
    from calibration.fit import hash_files

    people: dict[tuple[str, ...], tuple[str, PersonSums]] = {}
    for path, companion in zip(paths, load_people(paths)[1], strict=True):
        for number, one in enumerate(companion.people, 1):
            of = f"person {number} of {path.name}" if len(companion.people) > 1 else path.name
            people.setdefault(one.hashes, (of, one))
    for recording, own in zip(recordings, hash_files(recordings), strict=True):
        if held := [name for name, one in people.values() if own in one.hashes]:
            raise ValueError(
                f"need models of other people for --prior-from, got {held[0]}, which was fitted on "
                f"{recording.name} itself"
            )
    return [name for name, _ in people.values()], [one for _, one in people.values()]
