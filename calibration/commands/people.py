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
    from calibration.events import LabelledRecording
    from rt_decoder.files.sums import Companion, PersonSums
    from rt_decoder.model import Model

__all__ = [
    "SUMS",
    "Models",
    "Montage",
    "NoSums",
    "PriorFrom",
    "all_people",
    "check_own",
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
        With the codes of people that the models hold.

    Raises
    ------
    FileNotFoundError
        If a model or a companion is not there.
    ModelCorrupt
        If one cannot be used, or they do not belong together.
    ValueError
        If a model has no map or is given twice, or two people have the same recording.
    """
    from calibration.persons import coded
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
    _check_apart(paths, companions)
    return models, coded(companions, models)


def _check_apart(paths: Sequence[Path], companions: Sequence[Companion]) -> None:
    """Refuse two people who share a recording; a person who is in two models is one."""
    from calibration.identity import doubles

    people: dict[tuple[str, ...], tuple[str, PersonSums]] = {}
    for path, companion in zip(paths, companions, strict=True):
        for person in companion.people:
            people.setdefault(person.hashes, (path.name, person))
    of = [name for name, person in people.values() for _ in person.recorded]
    for one, other in doubles([one for _, person in people.values() for one in person.recorded]):
        where = of[one] if of[one] == of[other] else f"{of[one]} and {of[other]}"
        raise ValueError(
            f"need each recording with one person, got the same samples with two people of {where}; "
            "leave one of them out"
        )


def all_people(
    paths: Sequence[Path], companions: Sequence[Companion]
) -> tuple[list[str], list[PersonSums]]:
    """List everybody in some models, each once, and the names of their models.

    Parameters
    ----------
    paths : sequence of path
        Of the models.
    companions : sequence of Companion
        Theirs.

    Returns
    -------
    names : list of str
    people : list of PersonSums
    """
    people: dict[tuple[str, ...], tuple[str, PersonSums]] = {}
    for path, companion in zip(paths, companions, strict=True):
        for number, one in enumerate(companion.people, 1):
            of = f"person {number} of {path.name}" if len(companion.people) > 1 else path.name
            people.setdefault(one.hashes, (of, one))
    return [name for name, _ in people.values()], [one for _, one in people.values()]


def check_own(
    recordings: Sequence[Path],
    labelled: Sequence[LabelledRecording],
    models: Sequence[Path],
    others: Sequence[Companion],
) -> list[str]:
    """Hash a person's recordings; refuses those that other people's models have seen.

    Parameters
    ----------
    recordings : sequence of path
    labelled : sequence of LabelledRecording
        The same, as they were read.
    models : sequence of path
        Of other people.
    others : sequence of Companion
        Theirs.

    Returns
    -------
    list of str
        SHA-256 of each recording.

    Raises
    ------
    ValueError
        With the names of recording and model.
    """
    from calibration.identity import check_new, hash_files, recording_ids

    hashes = hash_files(recordings)
    ids = recording_ids(hashes, [one.fingerprint for one in labelled])
    of = {
        path.name: [one for person in companion.people for one in person.recorded]
        for path, companion in zip(models, others, strict=True)
    }
    check_new(ids, [path.name for path in recordings], of)
    return hashes


def write_companion(companion: Companion | None, model: Path, *, overwrite: bool) -> None:
    """Write what a map was fitted on beside its model; None removes that of a model before.

    Parameters
    ----------
    companion : Companion or None
    model : path
        As it was written.
    overwrite : bool

    Raises
    ------
    OSError
        If it cannot be written, or removed.
    """
    from rt_decoder.files.sums_file import save_sums

    path = companion_path(model)
    if companion is not None:
        save_sums(companion, path, overwrite=overwrite)
        show_lines(f"wrote {path.name}: sums for other people's models, no recording")
    elif overwrite and path.is_file():
        path.unlink()
        show_lines(f"removed {path.name}: it was of the model before")
