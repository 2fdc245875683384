"""``rt-decoder warm``: prepare this machine for sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.options import AsJson

__all__ = ["COMMANDS"]


def warm(
    check: Annotated[
        bool, typer.Option("--check", help="Compile nothing; exit with 1 if a kernel is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compile the kernels and keep them, so that sessions start at once.

    Each core compiles; an installation needs it once.

    Example: rt-decoder warm
    """
    from rt_decoder.commands.compiling import compile_kernels
    from rt_decoder.kernels.cache import cache_folder
    from rt_decoder.live.warm import listed, missing

    n_compiled = 0 if check else compile_kernels()
    left = missing()
    show_lines(
        f"{n_compiled} kernels compiled, {len(listed()) - len(left) - n_compiled} kept before, "
        f"{len(left)} missing; in {cache_folder() or 'no folder: compiled at each start'}"
    )
    if as_json:
        show_json({"compiled": n_compiled, "missing": len(left), "listed": len(listed())})
    if left and check:
        raise typer.Exit(1)


COMMANDS = (warm,)
