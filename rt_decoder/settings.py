"""Declare settings with type, range and error message, and check their values.

A frozen dataclass declares each setting by `key` and calls `check_keys` when it is built. So values
from TOML, options, model files and Python are checked alike and refused with the same message.
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
    """Type and range of a setting.

    Parameters
    ----------
    what : str
        Description that completes "need X to be ...", such as "a whole number from 1 to 10".
    read : callable
        Takes a plain value and returns it typed; raises ValueError if it is not of this kind.
    """

    what: str
    read: Callable[[object], T]


def key(default: T, kind: Kind[T], about: str) -> T:
    """Declare a field of a dataclass.

    Parameters
    ----------
    default : object
        Default value.
    kind : Kind
        Type and range.
    about : str
        Help line.

    Returns
    -------
    dataclasses.Field
        Annotated as `default`'s type, for the type checker.
    """
    return field(default_factory=lambda: default, metadata={"kind": kind, "help": about})


def check_keys(settings: Any, where: str) -> None:
    """Replace each value of a frozen dataclass by its typed one.

    Parameters
    ----------
    settings : dataclass instance
        With every field declared by `key`.
    where : str
        Name of the settings for the error, such as "[filter]".

    Raises
    ------
    ValueError
        At the first value that its key does not allow.
    """
    for one in fields(settings):
        value = read(f"{one.name} in {where}", getattr(settings, one.name), one.metadata["kind"])
        object.__setattr__(settings, one.name, value)


def read(name: str, value: object, kind: Kind[T]) -> T:
    """Check a plain value and return it typed.

    Parameters
    ----------
    name : str
        Name of the value for the error.
    value : object
        From a file, an option or Python.
    kind : Kind
        Type and range.

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
    """Show a value in at most 80 characters on one line, for an error.

    >>> short(2.5), short(10**5000)
    ('2.5', 'a number of many digits')
    """
    try:
        shown = _REPR.repr(value)
    except ValueError:  # Python refuses to print integers of many digits
        return "a number of many digits"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def named(name: str) -> str:
    """Return a plain identifier as it is, and another name as `short` shows it.

    >>> named("l_freq"), named("two words")
    ('l_freq', "'two words'")
    """
    return name if name.isidentifier() and len(name) <= 40 else short(name)


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> Kind[float]:
    """Make the kind of a number; whole numbers are allowed, true and false are not.

    Parameters
    ----------
    low, high : float
        Smallest and largest number.
    above, below : bool
        Exclude `low`, exclude `high`.

    Returns
    -------
    Kind
    """
    least = f"above {low:g}" if above else f"from {low:g}"
    most = f", below {high:g}" if below else f"{', up' if above else ''} to {high:g}"

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(value)
        # NaN fails every comparison; whole numbers of any size compare exactly
        if not (low < value if above else low <= value):
            _refuse(value)
        if not (value < high if below else value <= high):
            _refuse(value)
        return float(value)

    return Kind(f"a number {least}{most}", read)


def whole(low: int, high: int) -> Kind[int]:
    """Make the kind of a whole number from `low` to `high`, both included."""

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
    """Make the kind of a text: one of `options`, or any valid Unicode if there are none."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > _LONGEST:
            _refuse(value)
        if options and value not in options:
            _refuse(value)
        value.encode()  # raises ValueError for half a surrogate pair
        return value

    *others, last = options or ("a text",)
    return Kind(f"{', '.join(others)} or {last}" if others else last, read)


def listed(kind: Kind[T], what: str, *, least: int = 0, most: int = _MOST) -> Kind[tuple[T, ...]]:
    """Make the kind of a list.

    Parameters
    ----------
    kind : Kind
        Kind of each entry.
    what : str
        Description of the list.
    least, most : int
        Smallest and largest number of entries.

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
    """Make the kind of a list of texts, also written as one text with commas.

    Parameters
    ----------
    what : str
        Description of the list.
    *options : str
        Allowed texts; any text if there are none.
    least : int
        Smallest number of texts.

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
    """Make the kind of a read-only table with text keys and values of `kind`."""

    def read(value: object) -> Mapping[str, T]:
        if not isinstance(value, Mapping) or len(value) > _MOST:
            _refuse(value)
        name = text()
        return MappingProxyType({name.read(k): kind.read(v) for k, v in value.items()})

    return Kind(what, read)
