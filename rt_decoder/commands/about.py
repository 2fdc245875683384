"""``rt-decoder inspect`` and ``info``: describe a model, and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.options import AsJson
from rt_decoder.commands.session_file import Config

__all__ = ["COMMANDS"]


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file of rt-calibrate.")],
    as_json: AsJson = False,
) -> None:
    """Describe a model: contract, settings, delays, memory, certificate.

    Example: rt-decoder inspect me.rtd.safetensors
    """
    from rt_decoder.commands.describe import model_lines, model_summary
    from rt_decoder.files.model_file import load_model

    fitted = load_model(model)
    show_lines(*model_lines(fitted))
    if as_json:
        show_json(model_summary(fitted))


def info(config: Config = None, as_json: AsJson = False) -> None:
    """Show versions, extras, processor, memory and the LSL configuration, for a report of a bug.

    With --config it checks a file of options, too.

    Example: rt-decoder info --json
    """
    from rt_decoder.commands.system import system_summary

    summary = system_summary()
    if config is not None:
        summary["config"] = {"file": config.path.name, "options": config.content}
    show_lines(*(f"{key:<16} {value}" for key, value in summary.items()))
    if as_json:
        show_json(summary)


COMMANDS = (inspect, info)
