"""Declare recordings and their events, for every command that reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from calibration.commands.bids import BidsOptions, runs_of
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

__all__ = [
    "EventTables",
    "FittedModel",
    "ForceWrite",
    "Inputs",
    "ReadOptions",
    "Recordings",
    "need_drawing",
]

Recordings = Annotated[
    list[Path],
    typer.Argument(metavar="REC", help="Recordings: what MNE reads, XDF, CSV or session records."),
]
FittedModel = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Model file to write; with --bids by default among its derivatives.",
        show_default=False,
    ),
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
class ReadOptions(BidsOptions):
    """Events tables of recordings, and how both are read; each field is an option."""

    events: EventTables = None
    markers: Markers = UNMARKED
    marker_offset: MarkerOffset = 0.0  # ms
    channels: Channels = None
    units: Units = None
    stream: Stream = None

    def of(self, recording: Path | None) -> tuple[Inputs, Path]:
        """Add the one recording that is read.

        Parameters
        ----------
        recording : Path or None
            None takes that of the data set.

        Returns
        -------
        tuple of Inputs and Path
            All inputs, and the recording.

        Raises
        ------
        typer.BadParameter
            As `Inputs`, or if the data set holds several.
        """
        read = {one.name: getattr(self, one.name) for one in fields(ReadOptions)}
        inputs = Inputs(recordings=[] if recording is None else [recording], **read)
        if len(inputs.recordings) > 1:
            names = ", ".join(path.name for path in inputs.recordings[:4])
            raise typer.BadParameter(f"need one recording, such as --run 1, got {names}")
        return inputs, inputs.recordings[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(ReadOptions):
    """Recordings, their events tables in the same order, and how both are read.

    With a BIDS data set both are those that it holds.

    Raises
    ------
    typer.BadParameter
        If there are tables as well as a trigger channel, or not one table per recording; if there
        is no recording, or the data set has not what is asked for.
    """

    instead: ClassVar[str] = " or --bids ROOT"  # of recordings, in an error
    recordings: Recordings = field(default_factory=list)

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

    @property
    def is_study(self) -> bool:
        """Whether a table of people names what is read."""
        return False

    @property
    def reads_tables(self) -> bool:
        """Whether events are those of the data set: none are named in the call."""
        return not self.events and not self.markers.trigger

    def _find_runs(self) -> None:
        """Put what the data set holds in place of recordings and tables."""
        if self.recordings:
            raise typer.BadParameter(
                f"need recordings or --bids ROOT, got both: {self.recordings[0].name} and --bids"
            )
        try:
            root, choice = self.bids or Path(), self.choice()
            recordings, tables = runs_of(root, choice, with_events=self.reads_tables)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
        object.__setattr__(self, "recordings", recordings)
        object.__setattr__(self, "events", self.events or tables)
        show_lines(*(f"reading {path.name}" for path in recordings))

    def __post_init__(self) -> None:
        if self.bids is None:
            self.check_no_bids()
        elif not self.is_study:
            self._find_runs()
        if not self.recordings and not self.is_study:
            raise typer.BadParameter(f"need recordings{self.instead}, got none")
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
