"""Tell which models are of one person: people count, not models.

A person is known by a code: of the companion, of the model's certificate (``fit --subject``, or the
``sub-`` of BIDS file names), or of a table given to ``pool --people``. Sessions of one person are
summed, left out together, and count as one in every figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calibration.left_out import Trials, draw_trials
from calibration.transfer import Shared
from rt_decoder.files.sums import Companion, PersonSums
from rt_decoder.files.tables import read_tsv
from rt_decoder.model import Model

__all__ = [
    "bids_code",
    "coded",
    "codes_of_table",
    "draw_together",
    "every_person",
    "person_lines",
    "persons_of",
    "together",
]

_SUBJECT = re.compile(r"sub-([A-Za-z0-9]+)_")
_TOLD = 4  # models that a line names


def bids_code(paths: Sequence[Path]) -> str:
    """Return the subject that BIDS file names agree on; empty if they name none, or several.

    Parameters
    ----------
    paths : sequence of path

    Returns
    -------
    str

    Examples
    --------
    >>> bids_code([Path("sub-07_task-read_run-1_eeg.fif"), Path("sub-07_task-read_run-2_eeg.fif")])
    '07'
    """
    found = {match[1] if (match := _SUBJECT.match(path.name)) else "" for path in paths}
    return found.pop() if len(found) == 1 else ""


def codes_of_table(path: Path, models: Sequence[Path]) -> list[str]:
    """Read whose models these are: a table with columns ``model`` and ``person``.

    Parameters
    ----------
    path : path
        The table, tab-separated; models are named by their files, with or without folders.
    models : sequence of path

    Returns
    -------
    list of str
        A code a model; empty where the table does not name it.

    Raises
    ------
    OSError
        If the table cannot be read.
    ValueError
        If a column is missing, a row names none of the models, or one comes twice.
    """
    columns, rows = read_tsv(path)
    if missing := [one for one in ("model", "person") if one not in columns]:
        raise ValueError(
            f"{path.name}: need tab-separated columns model and person, got no "
            f"{' and no '.join(missing)}"
        )
    names, found = [one.name for one in models], dict[str, str]()
    for number, cells in rows:
        row = dict(zip(columns, cells, strict=False))
        model = Path(row["model"]).name
        if model not in names or model in found:
            why = "it again" if model in found else "another"
            raise ValueError(
                f"{path.name}, line {number}: need each model of the call at most once, got {why}: "
                f"{model}"
            )
        found[model] = row.get("person", "")
    return [found.get(name, "") for name in names]


def coded(
    companions: Sequence[Companion], models: Sequence[Model], codes: Sequence[str] = ()
) -> list[Companion]:
    """Give each person their code: as told, else that of the companion, else of the model.

    Parameters
    ----------
    companions : sequence of Companion
    models : sequence of Model
        Theirs.
    codes : sequence of str
        One a model; empty for those that it holds. Of a group, its people keep their own.

    Returns
    -------
    list of Companion
    """
    told = codes or [""] * len(companions)
    found = []
    for companion, model, code in zip(companions, models, told, strict=True):
        people = companion.people
        if len(people) == 1:
            own = code or people[0].code or str(model.certificate.get("subject", ""))
            people = (replace(people[0], code=own),)
        found.append(replace(companion, people=people))
    return found


def every_person(
    companions: Sequence[Companion], names: Sequence[str], say: Callable[[str], None]
) -> dict[str, PersonSums]:
    """Name the sums of everybody, those of the same recordings once.

    Parameters
    ----------
    companions : sequence of Companion
    names : sequence of str
        Of the models.
    say : callable
        Receives what counts once.

    Returns
    -------
    dict of str to PersonSums

    Raises
    ------
    ValueError
        If a recording is in two of them that differ.
    """
    found: dict[tuple[str, ...], str] = {}
    people: dict[str, PersonSums] = {}
    holder: dict[str, str] = {}
    for companion, model in zip(companions, names, strict=True):
        for number, one in enumerate(companion.people, 1):
            name = f"person {number} of {model}" if len(companion.people) > 1 else model
            if one.hashes in found:
                say(f"{name} has the recordings of {found[one.hashes]}: counts once")
                continue
            if double := set(one.hashes) & set(holder):
                raise ValueError(
                    f"need each recording with one person, got one in {holder[min(double)]} and in "
                    f"{name}; leave one of them out"
                )
            found[one.hashes], people[name] = name, one
            holder |= dict.fromkeys(set(one.hashes) - {""}, name)
    return people


def persons_of(people: Sequence[PersonSums]) -> list[list[int]]:
    """Group sums by the code of their person; each without a code is a person of its own.

    Parameters
    ----------
    people : sequence of PersonSums

    Returns
    -------
    list of list of int
        Numbers of the sums of each person.
    """
    found: dict[str | int, list[int]] = {}
    for number, one in enumerate(people):
        found.setdefault(one.code or number, []).append(number)
    return list(found.values())


def person_lines(named: Mapping[str, PersonSums], persons: Sequence[Sequence[int]]) -> list[str]:
    """Say which models are of one person, and of which models that is not known.

    Parameters
    ----------
    named : mapping of str to PersonSums
    persons : sequence of sequence of int
        As `persons_of` groups them.

    Returns
    -------
    list of str
    """
    names, people = list(named), list(named.values())
    lines = [
        f"{_listed([names[i] for i in own])} are sessions of one person, {people[own[0]].code}: they "
        "count as one person and are left out together"
        for own in persons
        if len(own) > 1
    ]
    if unknown := [name for name, one in named.items() if not one.code]:
        which = "all models" if len(unknown) == len(names) else _listed(unknown)
        lines.append(
            f"the person is not known of {which}: each of them counts as a person; where two are of "
            "one person, tell so with --people TSV, or fit --subject CODE"
        )
    return lines


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} others" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more if more else " and ".join(names)


def together(each: Sequence[Shared], persons: Sequence[Sequence[int]]) -> list[Shared]:
    """Add the sums of each person's sessions; whitener and moments stay those of the first.

    Parameters
    ----------
    each : sequence of Shared
        One a session.
    persons : sequence of sequence of int
        Numbers of the sessions of each person.

    Returns
    -------
    list of Shared
        One a person.
    """
    found = []
    for own in persons:
        added = each[own[0]]
        for number in own[1:]:
            added = added.plus(each[number])
        found.append(added)
    return found


def draw_together(
    each: Sequence[Shared],
    persons: Sequence[Sequence[int]],
    most: int,
    rng: np.random.Generator,
) -> list[Trials]:
    """Draw trials of each person, of every session with its own moments.

    Parameters
    ----------
    each : sequence of Shared
        One a session.
    persons : sequence of sequence of int
        Numbers of the sessions of each person.
    most : int
        Trials of a person, as `left_out.draw_trials` takes them.
    rng : numpy.random.Generator

    Returns
    -------
    list of Trials
        One a person.
    """
    drawn = [[draw_trials(each[i], most // len(own), rng) for i in own] for own in persons]
    return [
        Trials(*(np.concatenate(parts) for parts in zip(*sessions, strict=True)))
        for sessions in drawn
    ]
