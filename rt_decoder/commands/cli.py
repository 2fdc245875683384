"""``rt-decoder``: simulate, replay, decode live and decode files.

A command is a function in a file of this room, listed in its `COMMANDS`; its name, help and example
are the function's. ``--help`` imports these files, so each command imports
what it works with when it runs.
"""

from __future__ import annotations

from rt_decoder.commands import (
    about,
    check,
    dashboard,
    live,
    machine,
    offline,
    present,
    record,
    simulated,
    streams,
)
from rt_decoder.commands.console import add_commands, app_of, run_app

__all__ = ["app", "main"]

app = app_of("rt-decoder", "Decode words from brain signals in real time.")
for _module in (
    simulated,
    streams,
    present,
    check,
    record,
    live,
    dashboard,
    offline,
    about,
    machine,
):
    add_commands(app, *_module.COMMANDS)


def main() -> None:
    """Run the program."""
    run_app(app)
