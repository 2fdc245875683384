"""Make commands of functions that take their options together, as a dataclass.

Each field of the dataclass is an option, declared by its annotation and its default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

__all__ = ["bundled", "command_of", "options_of"]


def options_of(bundle: type) -> list[Parameter]:
    """List the fields of a dataclass as the parameters of a command."""
    kinds = get_type_hints(bundle, include_extras=True)
    return [
        Parameter(
            one.name,
            Parameter.KEYWORD_ONLY,
            default=_default(one),
            annotation=kinds[one.name],
        )
        for one in fields(bundle)
    ]


def _default(one: Field[Any]) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return Parameter.empty if one.default is MISSING else one.default


def command_of(
    work: Callable[..., None], parameters: Sequence[Parameter], run: Callable[..., None]
) -> Any:
    """Make a command that is named and described as one function, and runs another.

    Parameters
    ----------
    work : callable
        Gives name and docstring.
    parameters : sequence of Parameter
        What the command takes.
    run : callable
        Receives it by keyword.

    Returns
    -------
    callable
    """

    def command(**values: Any) -> None:
        run(**values)

    command.__name__, command.__doc__ = work.__name__, work.__doc__
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def bundled(work: Callable[..., None]) -> Any:
    """Make a command of a function; the fields of its `options`, a dataclass, stand in its place."""
    kinds = get_type_hints(work, include_extras=True)
    bundle = kinds["options"]
    inside = options_of(bundle)
    parameters: list[Parameter] = []
    for one in signature(work).parameters.values():
        own = one.replace(annotation=kinds[one.name], kind=Parameter.KEYWORD_ONLY)
        parameters += inside if one.name == "options" else [own]

    def run(**values: Any) -> None:
        work(options=bundle(**{one.name: values.pop(one.name) for one in inside}), **values)

    return command_of(work, parameters, run)
