"""Declare, once, what both programs write, and claim it before any work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from rt_decoder.commands.options import OUTPUT
from rt_decoder.files.outputs import Output, claim

__all__ = ["FIF", "HTML", "JSON", "LOG", "MODEL", "TSV", "XDF", "Overwrite", "claim_outputs"]

LOG, XDF, FIF, TSV, JSON = (".jsonl",), (".xdf",), (".fif",), (".tsv",), (".json",)
HTML = (".html", ".htm")
MODEL = (".rtd.safetensors", ".safetensors")

Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace files that exist; never one that is read.",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip


def claim_outputs(
    outputs: Iterable[tuple[str, Path | None, tuple[str, ...]]],
    inputs: Iterable[Path | str | None],
    overwrite: bool | None = False,
) -> None:
    """Refuse a call whose outputs would destroy something or could not be written.

    Parameters
    ----------
    outputs : iterable of (option, path or None, endings)
        All files to write; a log or a session record may be a FIFO or a device.
    inputs : iterable of (path, str or None)
        All files and folders that are read.
    overwrite : bool or None
        As `rt_decoder.files.outputs.claim` takes it.

    Raises
    ------
    typer.BadParameter
        In one sentence, with the option.
    """
    streamed = ("--jsonl", "--log", "--record")
    claimed = [Output(*one, in_place=one[0] in streamed) for one in outputs]
    try:
        claim(claimed, [Path(path) for path in inputs if path], overwrite=overwrite)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
