"""What a setting may hold, said once: its type, its range and the words in which it is refused.

A frozen dataclass declares each of its settings by `key` and calls `check_keys` when it is built.
So a value that comes from TOML, from an option, from a model file or from Python meets the same
check and the same sentence.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Generic, NoReturn, TypeVar

__all__ = [
    "TRUTH",
    "Kind",
    "check_keys",
    "key",
    "listed",
    "named",
    "number",
    "read",
    "short",
    "table",
    "text",
    "texts",
    "whole",
]

T = TypeVar("T")
_LONGEST = 4096  # characters of a text
_MOST = 10_000  # entries of a list or a table
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a setting may hold.

    Parameters
    ----------
    what : str
        In words, to go on after "need X to be": "a whole number from 1 to 10".
    read : callable
        Gives the typed value of a plain one; raises ValueError where it is none.
    """

    what: str
    read: Callable[[object], T]


def key(default: T, kind: Kind[T], about: str) -> T:
    """Declare a field of a dataclass.

    Parameters
    ----------
    default : object
        Value where none is given.
    kind : Kind
        What it may hold.
    about : str
        Help line.

    Returns
    -------
    dataclasses.Field
        Typed as the value that the field will hold.
    """
    return field(default_factory=lambda: default, metadata={"kind": kind, "help": about})


def check_keys(settings: Any, where: str) -> None:
    """Replace each value of a frozen dataclass by its typed one.

    Parameters
    ----------
    settings : dataclass instance
        Every field of it is declared by `key`.
    where : str
        What it is, for the error: "[filter]".

    Raises
    ------
    ValueError
        At the first value that its key may not hold, with the key and `where` it is.
    """
    for one in fields(settings):
        value = read(f"{one.name} in {where}", getattr(settings, one.name), one.metadata["kind"])
        object.__setattr__(settings, one.name, value)


def read(name: str, value: object, kind: Kind[T]) -> T:
    """Give the typed value of a plain one.

    Parameters
    ----------
    name : str
        Of the value, for the error.
    value : object
        From a file, an option or Python.
    kind : Kind
        What it may be.

    Returns
    -------
    object
        The value, in the type of `kind`.

    Raises
    ------
    ValueError
        If it is not of that kind.

    Examples
    --------
    >>> read("order in [filter]", 2.5, whole(1, 10))
    Traceback (most recent call last):
    ...
    ValueError: need order in [filter] to be a whole number from 1 to 10, got 2.5
    """
    try:
        return kind.read(value)
    except ValueError:
        raise ValueError(f"need {name} to be {kind.what}, got {short(value)}") from None


def short(value: object) -> str:
    """Value in at most 80 characters of one line, for an error.

    >>> short(2.5), short(10**5000)
    ('2.5', 'a number of many digits')
    """
    try:
        shown = _REPR.repr(value)
    except ValueError:  # Python refuses to write some
        return "a number of many digits"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def named(name: str) -> str:
    """Name as it stands where it is a plain one, else as `short` has it.

    >>> named("l_freq"), named("two words")
    ('l_freq', "'two words'")
    """
    return name if name.isidentifier() and len(name) <= 40 else short(name)


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> Kind[float]:
    """Kind of a number; a whole number is one, true and false are none.

    Parameters
    ----------
    low, high : float
        The smallest and the largest number.
    above, below : bool
        Leave out `low` and `high` themselves.

    Returns
    -------
    Kind
    """
    least = f"above {low:g}" if above else f"from {low:g}"
    most = f", below {high:g}" if below else f"{', up' if above else ''} to {high:g}"

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(value)
        # NaN passes no comparison, and whole numbers of any size pass them exactly
        if not (low < value if above else low <= value):
            _refuse(value)
        if not (value < high if below else value <= high):
            _refuse(value)
        return float(value)

    return Kind(f"a number {least}{most}", read)


def whole(low: int, high: int) -> Kind[int]:
    """Kind of a whole number from `low` to `high`, both among them."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            _refuse(value)
        return value

    return Kind(f"a whole number from {low} to {high}", read)


def _refuse(value: object) -> NoReturn:
    raise ValueError(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(value)
    return value


TRUTH = Kind("true or false", _truth)


def text(*options: str) -> Kind[str]:
    """Kind of a text: one of `options`, or any that can be written where there are none."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > _LONGEST:
            _refuse(value)
        if options and value not in options:
            _refuse(value)
        value.encode()  # half a surrogate pair cannot be
        return value

    *others, last = options or ("a text",)
    return Kind(f"{', '.join(others)} or {last}" if others else last, read)


def listed(kind: Kind[T], what: str, *, least: int = 0, most: int = _MOST) -> Kind[tuple[T, ...]]:
    """Kind of a list.

    Parameters
    ----------
    kind : Kind
        Of each entry.
    what : str
        The list in words.
    least, most : int
        How many entries it may have.

    Returns
    -------
    Kind
    """

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            _refuse(value)
        return tuple(kind.read(one) for one in value)

    return Kind(what, read)


def texts(what: str, *options: str, least: int = 0) -> Kind[tuple[str, ...]]:
    """Kind of a list of texts, which may also be written as one text with commas.

    Parameters
    ----------
    what : str
        The list in words.
    *options : str
        Each text is one of these; any, where there are none.
    least : int
        How many texts there must be.

    Returns
    -------
    Kind
    """
    several = listed(text(*options), what, least=least)

    def read(value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
        return several.read(value)

    return Kind(what, read)


def table(kind: Kind[T], what: str) -> Kind[Mapping[str, T]]:
    """Kind of a table, read-only, whose keys are texts and whose values are of a kind."""

    def read(value: object) -> Mapping[str, T]:
        if not isinstance(value, Mapping) or len(value) > _MOST:
            _refuse(value)
        name = text()
        return MappingProxyType({name.read(k): kind.read(v) for k, v in value.items()})

    return Kind(what, read)
