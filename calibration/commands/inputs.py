"""Declare recordings and their events, for every command that reads them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rt_decoder.commands.console import show_lines
from rt_decoder.commands.options import (
    MARKERS,
    UNMARKED,
    Channels,
    MarkerOffset,
    Markers,
    Stream,
    Units,
)

if TYPE_CHECKING:
    from rt_decoder.recipe import Target
    from rt_decoder.timing.markers import MarkerRules

__all__ = ["EventTables", "ForceWrite", "Inputs", "ReadOptions", "Recordings", "need_drawing"]

Recordings = Annotated[
    list[Path],
    typer.Argument(metavar="REC", help="Recordings: what MNE reads, XDF, CSV or session records."),
]
ForceWrite = Annotated[
    bool, typer.Option("--force", help="Write the model even if the recording speaks against it.")
]
EventTables = Annotated[
    list[Path] | None,
    typer.Option(
        "--events",
        metavar="TSV",
        help="BIDS events table, one for each recording; default its own markers.",
        rich_help_panel=MARKERS,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Events tables of recordings, and how both are read; each field is an option."""

    events: EventTables = None
    markers: Markers = UNMARKED
    marker_offset: MarkerOffset = 0.0  # ms
    channels: Channels = None
    units: Units = None
    stream: Stream = None

    def of(self, *recordings: Path) -> Inputs:
        """Add the recordings that are read; raises typer.BadParameter as `Inputs` does."""
        read = {one.name: getattr(self, one.name) for one in fields(ReadOptions)}
        return Inputs(recordings=list(recordings), **read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(ReadOptions):
    """Recordings, their events tables in the same order, and how both are read.

    Raises
    ------
    typer.BadParameter
        If there are tables as well as a trigger channel, or not one table per recording.
    """

    recordings: Recordings

    @property
    def tables(self) -> list[Path]:
        """The events tables; none where a recording's own markers count."""
        return self.events or []

    @property
    def files(self) -> list[Path | None]:
        """All files that are read."""
        return [*self.recordings, *self.tables, self.channels]

    @property
    def reading(self) -> dict[str, Any]:
        """How recordings are read; a trigger channel is read by the live stages."""
        return {
            "channels": self.channels,
            "units": self.units,
            "stream": self.stream,
            "markers": self.markers.stream,
        }

    def __post_init__(self) -> None:
        if self.tables and len(self.tables) != len(self.recordings):
            raise typer.BadParameter(
                f"need one --events for each of {len(self.recordings)} recordings, "
                f"got {len(self.tables)}"
            )
        if self.tables and self.markers.trigger:
            raise typer.BadParameter("need --events or --markers channel:NAME, got both")

    def tell_columns(self, wanted: str) -> None:
        """Say which column of each events table holds the items; `wanted` is the recipe's."""
        from rt_decoder.files.events import item_column

        columns = dict.fromkeys(item_column(table, wanted) for table in self.tables)
        if columns:
            show_lines(f"items are in column {', '.join(columns)} of the events")

    def rules(self, target: Target) -> MarkerRules:
        """How markers become items; `target` is the recipe's."""
        from rt_decoder.timing.markers import MarkerRules

        offset = self.marker_offset * 1e-3
        return MarkerRules(self.markers.trigger, offset=offset).for_target(target)


def need_drawing(report: Path | None) -> None:
    """Refuse a report without the packages that draw it, before any work.

    Parameters
    ----------
    report : Path or None
        None needs nothing.

    Raises
    ------
    ImportError
        If one is missing.
    """
    from rt_decoder.files.packages import need_packages

    if report is not None:
        need_packages("matplotlib", "jinja2", what="for --report")
