"""Options from a file that holds what a lab types every day: ``--config session.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer

from rt_decoder.commands.options import parsed_by
from rt_decoder.settings import named, short

__all__ = ["SHARED", "Config", "SessionFile"]

# options that may stand above the tables of commands: of streams, and a few that mean one thing
SHARED = (
    "name", "type", "source_id", "predicate", "fieldtrip", "reference", "timeout", "channels", "units",
    "markers", "model", "network",
)  # fmt: skip


@dataclass(slots=True)
class SessionFile:
    """Options of several commands.

    Attributes
    ----------
    path : Path
        The file.
    content : dict
        As it was read: options that commands share, and a table a command.
    values : dict of str to object
        Options of the command that runs, by the names of its parameters; once `use` was called.
    """

    path: Path
    content: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    _keys_of: dict[str, str] = field(default_factory=dict)  # by the names of parameters
    _context: Any = None

    @classmethod
    def read(cls, path: str) -> SessionFile:
        """Read a file.

        Parameters
        ----------
        path : str

        Returns
        -------
        SessionFile
            Its keys are not checked yet.

        Raises
        ------
        ValueError
            If it cannot be read or is not TOML.
        """
        place = Path(path)
        try:
            return cls(place, tomllib.loads(place.read_text(encoding="utf-8-sig")))
        except OSError as error:
            raise ValueError(
                f"need a file that can be read, got {place.name}: {error.strerror}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place.name} is not TOML: {error}") from None

    def use(self, context: Any) -> None:
        """Take the options of the command that runs for its defaults.

        All tables are checked, so that a slip is found before the day it would matter.

        Parameters
        ----------
        context : typer.Context
            Of the command.

        Raises
        ------
        ValueError
            For an unknown table or key, with the nearest known one; for a value of a wrong type.
        """
        group = getattr(context.parent, "command", None)
        commands = dict(getattr(group, "commands", {})) | {context.command.name: context.command}
        known = {name: _options(one) for name, one in commands.items() if _is_configured(one)}
        tables = {name: one for name, one in self.content.items() if isinstance(one, Mapping)}
        for name in tables.keys() - known.keys():
            raise ValueError(f"{self.path.name}: unknown table [{named(name)}]{_near(name, known)}")
        self._check_place(tables, known)
        shared = self._known({k: v for k, v in self.content.items() if k not in tables}, SHARED, "")
        for name, options in known.items():
            own = {key: one for key, one in shared.items() if key in options}
            own |= self._known(tables.get(name, {}), options, f" in [{name}]")
            found = {
                options[key].name: self._value(key, options[key], value)
                for key, value in own.items()
            }
            if name == context.command.name:
                self.values = found
                self._keys_of = {options[key].name: key for key in own}
        self._context, context.default_map = context, self.values

    def used(self) -> dict[str, Any]:
        """Return the options that were taken from the file, by its keys: the command line comes first."""
        source = self._context.get_parameter_source
        return {
            self._keys_of[name]: value
            for name, value in self.values.items()
            if source(name).name == "DEFAULT_MAP"
        }

    def line(self) -> str:
        """Say what was taken from the file."""
        return f"config {self.path.name}: {', '.join(sorted(self.used())) or 'nothing'}"

    def told(self) -> dict[str, Any]:
        """Return what was taken from the file, for the header of a log."""
        return {"file": self.path.name, "options": self.used()}

    def _check_place(self, tables: Any, known: Mapping[str, Any]) -> None:
        """Refuse an option above the tables that belongs into one."""
        for key in (one.replace("-", "_") for one in self.content.keys() - tables.keys()):
            own = [f"[{name}]" for name, options in known.items() if key in options]
            if own and key not in SHARED:
                raise ValueError(
                    f"{self.path.name}: need {named(key)} in {' or '.join(own)}, got it above the tables"
                )

    def _known(self, table: Mapping[str, Any], known: Any, where: str) -> dict[str, Any]:
        """Values by the names of options, with ``_`` or ``-`` alike."""
        found = {key.replace("-", "_"): value for key, value in table.items()}
        if len(found) < len(table):
            raise ValueError(f"{self.path.name}: need each key once{where}, got one as a-b and a_b")
        for key in found:
            if key not in known:
                raise ValueError(
                    f"{self.path.name}: unknown key {named(key)}{where or ' above the tables'}"
                    f"{_near(key, known)}"
                )
        return found

    def _value(self, key: str, option: _Option, value: Any) -> Any:
        """A value as the command line would give it; paths are relative to the file."""
        values = value if isinstance(value, list) and option.many else [value]
        what, types = _KINDS.get(option.kind, _KINDS[str])
        if option.info.parser:  # takes the text of the command line, or a number in its place
            what, types = "a text", (str, int)
        for one in values:
            if not isinstance(one, types) or (isinstance(one, bool) and bool not in types):
                raise ValueError(
                    f"{self.path.name}: need {key} to be {what}{' or a list' if option.many else ''}, "
                    f"got {short(value)}"
                )
            low, high = option.info.min, option.info.max
            if (low is not None and one < low) or (high is not None and one > high):
                most = "" if high is None else f" to {high:g}"
                raise ValueError(
                    f"{self.path.name}: need {key} from {low:g}{most}, got {short(value)}"
                )
            if option.info.parser:
                try:
                    option.info.parser(one)
                except typer.BadParameter as error:
                    raise ValueError(f"{self.path.name}: {key}: {error.message}") from None
        if option.kind is Path:
            values = [str(self.path.parent / Path(one).expanduser()) for one in values]
        return values if option.many else values[0]


class _Option(NamedTuple):
    """What a command takes."""

    name: str  # of its parameter
    kind: Any
    many: bool
    info: Any  # as typer has it


_KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    float: ("a number", (int, float)),
    int: ("a whole number", (int,)),
    str: ("a text", (str,)),
}


def _is_configured(command: Any) -> bool:
    return any(param.name == "config" for param in command.params)


def _options(command: Any) -> dict[str, _Option]:
    """What a command takes, by what it is called in a file."""
    declared = signature(command.callback, eval_str=True).parameters
    found = {}
    for param in command.params:
        if param.name in declared and param.name != "config":
            longest = max(param.opts, key=len).lstrip("-").replace("-", "_")
            kind, info = get_args(declared[param.name].annotation)
            kinds = [one for one in get_args(kind) or (kind,) if one is not NoneType]
            many = any(get_origin(one) is list for one in kinds)
            found[longest] = _Option(param.name, str if many else kinds[0], many, info)
    return found


def _near(name: str, known: Any) -> str:
    close = get_close_matches(name[:100], list(known), 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _use(context: typer.Context, file: SessionFile | None) -> SessionFile | None:
    if file is not None and not context.resilient_parsing:
        try:
            file.use(context)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return file


Config = Annotated[
    SessionFile | None,
    typer.Option(
        "--config",
        parser=parsed_by(SessionFile.read),
        callback=_use,
        is_eager=True,
        metavar="TOML",
        help="File with options, shared and by command; those given here come first.",
    ),
]
