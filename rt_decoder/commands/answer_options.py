"""Declare the options of how `run` and `decode` answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rt_decoder.commands.options import DECODING, one_of

__all__ = ["Anytime", "SetLevel", "Then", "WhenUnlike"]

Anytime = Annotated[
    bool | None,
    typer.Option(
        "--anytime/--no-anytime",
        help="Answer events sooner, too, by each shorter window that is above chance in the "
        "certificate. Default no, or as a session record says.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
WhenUnlike = Annotated[
    str | None,
    typer.Option(
        "--when-unlike",
        help="While the signal is not calibration's: abstain (default), only warn, or stop.",
        show_default=False,
        rich_help_panel=DECODING,
        **one_of("abstain", "warn", "stop"),
    ),
]
SetLevel = Annotated[
    float,
    typer.Option(
        "--set",
        metavar="SHARE",
        min=0.0,
        max=0.99,
        help="Name with each event the set of items that holds the true one in so many events.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
Then = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL",
        help="Model with which the session of a record went on; repeatable; default none.",
        rich_help_panel=DECODING,
    ),
]
