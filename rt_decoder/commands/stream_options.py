"""The options of every command that finds a live stream, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rt_decoder.commands.options import MARKERS, Channels, Units, parsed_by
from rt_decoder.commands.run_options import (
    FieldTrip,
    Predicate,
    References,
    SourceId,
    StreamName,
    StreamType,
    Timeout,
)
from rt_decoder.commands.session_file import Config
from rt_decoder.timing.marker_choice import MarkerChoice, parse_markers

if TYPE_CHECKING:
    from rt_decoder.live.run_options import RunOptions

__all__ = ["StreamOptions"]

MarkerStreams = Annotated[
    list[MarkerChoice] | None,
    typer.Option(
        "--markers",
        parser=parsed_by(parse_markers),
        metavar="NAME|channel:NAME",
        help="Marker stream by name or source_id, repeatable, the stimuli first: run decodes by those; "
        "or a trigger channel among the samples.",
        show_default=False,
        rich_help_panel=MARKERS,
    ),
]


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Which stream, markers and references, and how they are read."""

    config: Config = None
    name: StreamName = ""
    type: StreamType = ""
    source_id: SourceId = ""
    predicate: Predicate = ""
    fieldtrip: FieldTrip = ""
    reference: References = None
    timeout: Timeout = 10.0
    channels: Channels = None
    units: Units = None
    markers: MarkerStreams = None

    def session(self, others: Mapping[str, Any]) -> RunOptions:
        """Return the options of a session.

        Parameters
        ----------
        others : mapping
            Its options beside these, as `rt_decoder.live.run_options.run_options` takes them.

        Returns
        -------
        RunOptions

        Raises
        ------
        ValueError
            If a value is wrong.
        """
        from rt_decoder.live.run_options import run_options

        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "config"}
        lists = {"reference": self.reference or (), "markers": self.markers or ()}
        options = run_options(found | lists | dict(others))
        return replace(options, config={} if self.config is None else self.config.told())

    @property
    def read_files(self) -> tuple[Path | None, ...]:
        """Files that are read, which no output may be."""
        return self.channels, None if self.config is None else self.config.path

    def say(self, tell: Callable[[str], object]) -> None:
        """Tell what was taken from the file, if there is one."""
        if self.config is not None:
            tell(self.config.line())
