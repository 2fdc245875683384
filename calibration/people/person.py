"""Read who is fitted on what: a table of people, whose recordings a BIDS data set may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from calibration.identity import check_files
from rt_decoder.files.tables import read_tsv

__all__ = ["GROUP", "FindRuns", "Person", "read_people"]

# takes a row, returns recordings and events tables of its person in a data set
FindRuns = Callable[[Mapping[str, str]], tuple[Sequence[Path], Sequence[Path] | None]]

GROUP = "group"  # code of everybody, in the table of results
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_NONE = ("", "n/a")
_OF_BIDS = ("session", "task", "run")  # columns that choose in a data set


class Person(NamedTuple):
    """One person: all that a fit needs to know of a data set, whatever it was read from."""

    code: str  # never a name
    recordings: tuple[Path, ...]
    tables: tuple[Path, ...]  # events, one a recording; none where markers of their own count
    keys: Mapping[str, str]  # recipe keys of this person alone, as an option takes them


def read_people(
    path: str | Path, keys: Sequence[str], find: FindRuns | None = None
) -> list[Person]:
    """Read a table of people: tab-separated, columns ``person``, ``recordings``, ``events``.

    A person has one row, or one for each recording, one after the other. Several files in a cell
    are separated by ``;``. Paths are relative to the table. Other columns are keys of the recipe.

    Parameters
    ----------
    path : path
        The table, in UTF-8.
    keys : sequence of str
        Keys of the recipe.
    find : callable or None
        Finds what belongs to a person in a BIDS data set, where the table names no recordings;
        columns session, task and run choose among them.

    Returns
    -------
    list of Person
        In the order of the table.

    Raises
    ------
    OSError
        If the table cannot be read.
    ValueError
        If a column is missing, unknown or double, a code is no code, a person, a recording or a
        copy of one comes twice, or there is nobody.
    """
    path = Path(path)
    columns, rows = read_tsv(path)
    _check_columns(path.name, columns, keys, find is not None)
    people: dict[str, Person] = {}
    owners: dict[Path, str] = {}
    last = ""
    for number, cells in rows:
        where = f"{path.name}, line {number}"
        row = dict(zip(columns, cells, strict=False))
        person = _person(row, path.parent, where, find)
        for recording in person.recordings:
            if owner := owners.get(recording):
                raise ValueError(f"{where}: need each recording once, got one of {owner} again")
            owners[recording] = person.code
        known = people.get(person.code)
        if known is not None and (last != person.code or known.keys != person.keys):
            raise ValueError(
                f"{where}: need each person once, or rows of one person together and with the same "
                f"keys, got {person.code} again"
            )
        if known is not None:
            person = _joined(known, person, where)
        elif person.code.casefold() in {one.casefold() for one in people}:
            raise ValueError(f"{where}: need codes that differ by more than case: {person.code}")
        people[person.code], last = person, person.code
    check_files([one for person in people.values() for one in person.recordings])
    if not people:
        raise ValueError(f"{path.name}: need a row for each person, got none")
    return list(people.values())


def _check_columns(name: str, columns: Sequence[str], keys: Sequence[str], is_bids: bool) -> None:
    known = {"person", "recordings", "events", *keys, *(_OF_BIDS if is_bids else ())}
    needed = ("person",) if is_bids else ("person", "recordings")
    if missing := [one for one in needed if one not in columns]:
        raise ValueError(
            f"{name}: need tab-separated columns person, recordings and events (person alone with "
            f"--bids ROOT), got no {' and no '.join(missing)}"
        )
    if unknown := [one for one in columns if one not in known]:
        raise ValueError(
            f"{name}: need person, recordings, events and keys of the recipe as columns, got "
            f"{', '.join(map(repr, unknown))}"
        )
    if len(set(columns)) < len(columns):
        raise ValueError(f"{name}: need each column once, got {', '.join(columns)}")


def _person(
    row: Mapping[str, str], folder: Path, where: str, find: FindRuns | None = None
) -> Person:
    who = row["person"]
    if not _CODE.fullmatch(who) or who.lower() == GROUP:
        raise ValueError(
            f"{where}: need a code of letters, digits and ._+- as person, not {GROUP!r}, got {who!r}"
        )
    recordings = _paths(row.get("recordings", ""), folder)
    tables = _paths(row.get("events", ""), folder)
    if find is not None and not recordings:
        found = find(row)
        recordings, tables = (tuple(one.absolute() for one in part or ()) for part in found)
    if not recordings:
        raise ValueError(f"{where}: need a recording of {who}, got none")
    if tables and len(tables) != len(recordings):
        raise ValueError(
            f"{where}: need one events table for each of {len(recordings)} recordings of {who}, "
            f"got {len(tables)}"
        )
    keys = {
        name: cell
        for name, cell in row.items()
        if name not in ("person", "recordings", "events", *_OF_BIDS) and cell not in _NONE
    }
    return Person(who, recordings, tables, keys)


def _paths(cell: str, folder: Path) -> tuple[Path, ...]:
    parts = [part.strip() for part in cell.split(";")] if cell not in _NONE else []
    return tuple((folder / part).absolute() for part in parts if part)


def _joined(known: Person, more: Person, where: str) -> Person:
    if bool(known.tables) != bool(more.tables):
        raise ValueError(f"{where}: need events for all recordings of {more.code}, or for none")
    return known._replace(
        recordings=known.recordings + more.recordings, tables=known.tables + more.tables
    )
