"""Declare what is read or written of a BIDS data set, for both programs, and what `convert` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from rt_decoder.commands.options import UNMARKED, Channels, Markers, Stream, Units

__all__ = ["BIDS", "ConvertOptions", "Run", "Session", "Subject", "Task"]

BIDS = "BIDS"


def _option(metavar: str, what: str) -> Any:
    return typer.Option(metavar=metavar, help=what, show_default=False, rich_help_panel=BIDS)


Subject = Annotated[
    str,
    _option(
        "CODE",
        "Code of the person, never a name; of a data set, whom to read or write. Default its only "
        "one, or the sub-CODE of BIDS file names.",
    ),
]
Session = Annotated[
    str,
    _option(
        "CODE",
        "Code of the session; of a data set, which to read (several with commas) or write. Default "
        "its only one, or none.",
    ),
]
Task = Annotated[
    str,
    _option("NAME", "Task of a data set, to read (several with commas) or write; its only one."),
]
Run = Annotated[
    str, _option("RUN", "Run of a data set, to read (several with commas) or write; default all.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """What `convert` takes besides its files; each field is an option."""

    subject: Subject = ""
    session: Session = ""
    task: Task = ""
    run: Run = ""
    channels: Channels = None
    units: Units = None
    stream: Stream = None
    markers: Markers = UNMARKED

    @property
    def codes(self) -> dict[str, str]:
        """Codes of person, session, task and run; empty where they were not given."""
        return {
            "subject": self.subject.removeprefix("sub-"),
            "session": self.session.removeprefix("ses-"),
            "task": self.task.removeprefix("task-"),
            "run": self.run.removeprefix("run-"),
        }

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of `read_recording`."""
        return {
            "channels": self.channels,
            "units": self.units,
            "stream": self.stream,
            "markers": self.markers,
        }
