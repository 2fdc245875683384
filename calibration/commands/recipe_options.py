"""Every key of the recipe as an option, in the syntax that it is read in.

What a key may hold is known to the recipe alone; here is only how it looks on a command line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from rt_decoder.commands.options import parsed_by
from rt_decoder.files.damage import in_one_sentence
from rt_decoder.recipe import Recipe, parse_option, read_recipe, recipe_options

__all__ = [
    "CHOICES",
    "REPEATED",
    "changed",
    "default_text",
    "names_of",
    "read_names",
    "read_settings",
    "recipe_option",
]

REPEATED = ("include", "exclude")  # each use of the option adds to those before
CHOICES = {
    "bads": ("drop", "keep"),
    "mains": ("notch", "adaptive"),
    "kind": ("amplitude", "bandpower"),
    "pooling": ("mean", "last"),
    "prior": ("uniform", "training", "wordfreq"),
}
# where the type says too little; what is in capitals stands for a value
_METAVARS = {
    "picks": "NAME|TYPE,...",
    "reference": "average|none|NAME,...",
    "stages": "STAGE,...",
    "references": "NAME|TYPE,...",
    "projections": "ssp,sss",
    "baseline": "[START, END]",
    "anytime": "STEP|[END, ...]",
    "bands": "[[LOW, HIGH], ...]",
    "label": "COLUMN",
    "names": 'TSV|{LABEL = "ITEM", ...}',
    "include": "PATTERN,...",
    "exclude": "PATTERN,...",
    "embedding": "NAME|FOLDER",
    "vectors": "FILE",
    "stimuli": "DIR",
    "context": "COLUMN",
    "ideas": "COLUMN",
    "vocabulary": "FILE|wordfreq:N",
    "language": "CODE",
    "groups": "COLUMN",
    "alphas": "ALPHA,...",
}
_PLAIN = {bool: "true|false", int: "INTEGER", float: "FLOAT", str: "TEXT"}
# which values are right hangs on another key: judged once all are known
_TOGETHER = {"l_freq", "h_freq", "tmin", "tmax"}
_KEYS = recipe_options()


def recipe_option(name: str) -> Any:
    """Option of a key: its help, its default, and a parser that refuses what is wrong at once."""
    section, default, about = _KEYS[name]
    shown = default_text(default)
    if about[1] != " ":  # a unit stays as it is
        about = about[0].upper() + about[1:]
    choices = CHOICES.get(name, ())
    return typer.Option(
        f"--{name.replace('_', '-')}",
        parser=parsed_by(_parser(name)),
        metavar="|".join(choices) or _METAVARS.get(name) or _PLAIN.get(type(default), "VALUE,..."),
        help=f"{about}.  [default: {shown}]" if shown else f"{about}.",
        show_default=False,
        autocompletion=(lambda: list(choices)) if choices else None,
        rich_help_panel=f"Recipe, section [{section}]",
    )


def default_text(default: Any) -> str:
    """Default as an option takes it; empty where there is none.

    >>> default_text(True), default_text(("eog", "ecg")), default_text(((4.0, 8.0),))
    ('true', 'eog,ecg', '[[4.0, 8.0]]')
    """
    if isinstance(default, str):
        return default
    if isinstance(default, tuple) and all(isinstance(one, str) for one in default):
        return ",".join(default)
    return json.dumps(default) if default or not isinstance(default, tuple | Mapping) else ""


def _parser(name: str) -> Callable[[str], Any]:
    section, default, _ = _KEYS[name]

    def parse(text: str) -> Any:
        if name in REPEATED:
            return text
        value = _value(text, default)
        if name == "names" and isinstance(value, str):
            value = read_names(value)
        is_number = isinstance(value, int | float)
        if not (name in _TOGETHER and is_number):
            Recipe.from_dict({section: {name: value}})
        return value

    return parse


def _value(text: str, default: Any) -> Any:
    """TOML, and what comes close to it: bare names, numbers with commas, a number as ``.5``."""
    value = parse_option(text)
    of_texts = isinstance(default, tuple) and all(isinstance(one, str) for one in default)
    if isinstance(default, str) or (default and of_texts):  # a channel may be named 1
        return value if isinstance(value, str | list) else text
    if isinstance(default, tuple) and not isinstance(value, list):
        several = parse_option(f"[{text}]")
        return several if isinstance(several, list) else text
    if isinstance(value, str) and isinstance(default, float):
        with suppress(ValueError):
            return float(text)
    return value


def read_names(path: str | Path) -> dict[str, str]:
    """Read a table of names: tab-separated, columns ``code`` and ``name``.

    Parameters
    ----------
    path : path
        The file, in UTF-8.

    Returns
    -------
    dict of str to str
        Name of each code.

    Raises
    ------
    ValueError
        If there is no such file, or it is no such table.
    """
    from rt_decoder.files.tables import read_tsv

    path = Path(path)
    if not path.is_file():
        raise ValueError(f'need a table of names or {{LABEL = "ITEM", ...}}, got {str(path)!r}')
    columns, rows = read_tsv(path)
    if not {"code", "name"} <= set(columns):
        raise ValueError(
            f"{path.name}: need tab-separated columns code and name, got {', '.join(columns)}"
        )
    names: dict[str, str] = {}
    for number, cells in rows:
        row = dict(zip(columns, cells, strict=False))
        code, name = row.get("code", ""), row.get("name", "")
        if not (code and name) or code in names:
            raise ValueError(
                f"{path.name}, line {number}: need a new code and its name, got {cells}"
            )
        names[code] = name
    return names


def _patterns(text: str) -> list[str]:
    """Patterns of one use of an option; for a comma in a label stands ``?``, or a list in TOML."""
    value = parse_option(text)
    return value if isinstance(value, list) else [part.strip() for part in text.split(",")]


def read_settings(path: Path | None, given: Mapping[str, Any]) -> Recipe:
    """Recipe of a TOML file and of options.

    Parameters
    ----------
    path : Path or None
        The file.
    given : mapping of str to Any
        Values of the options by the names of their keys, None where one was not given; they come
        before those of the file.

    Returns
    -------
    Recipe

    Raises
    ------
    typer.BadParameter
        If the file cannot be read, or a value is wrong.
    """
    try:
        sections = {} if path is None else read_recipe(path)
        Recipe.from_dict(sections)
        for name, value in given.items():
            if name in REPEATED and value is not None:
                value = [one for text in value for one in _patterns(text)]
            if value is not None:
                sections.setdefault(_KEYS[name][0], {})[name] = value
        return Recipe.from_dict(sections)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(in_one_sentence(error)) from None


def changed(recipe: Recipe, texts: Mapping[str, str]) -> Recipe:
    """Change keys of a recipe, given as options take them.

    Parameters
    ----------
    recipe : Recipe
    texts : mapping of str to str
        Text of each key.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If a value is wrong.
    """
    sections = recipe.to_dict()
    for name, text in texts.items():
        value = _patterns(text) if name in REPEATED else _parser(name)(text)
        sections[_KEYS[name][0]][name] = value
    return Recipe.from_dict(sections)


def names_of(sections: Sequence[str]) -> list[str]:
    """Keys of some sections, or of all if none is named."""
    return [name for name, (section, _, _) in _KEYS.items() if not sections or section in sections]
