"""Decisions that a session makes by the wall clock, one type a kind.

A session record holds them in order; `session_record` writes and reads them as text. A new kind, or
a new meaning of one, needs a new `FORMAT_VERSION`, so that an older program refuses the record
instead of decoding it wrongly. An event that does not affect the readouts is a `Note`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rt_decoder.signal import FLAGS_VERSION
from rt_decoder.timing.markers import MarkerRules

__all__ = [
    "FORMAT_VERSION",
    "Decision",
    "Dropped",
    "LogEnded",
    "MarkerCame",
    "MarkerWithoutTime",
    "Note",
    "Realigned",
    "Restart",
    "Restricted",
    "Skip",
    "Start",
]

# Of session records. Version 1 declares none, uses any event as a kind, and names the stage "mains"
# "line". Version 2 knows no patterns of stimuli, and takes every label for another item. Up to version
# 3 no map is aligned, up to version 4 no candidates are chosen.
FORMAT_VERSION = 5


@dataclass(frozen=True, slots=True)
class Start:
    """The session started, with these options.

    Parameters
    ----------
    index : int
        Number of data samples before it in the record.
    rules : MarkerRules
        How markers become items.
    continuous : bool
        Whether it read out at every hop.
    without : tuple of str
        Cleaning stages that were left out.
    references : tuple of dict
        How each auxiliary stream was joined; see `AuxiliaryStream.describe`.
    align : bool or None
        Whether the map was kept aligned, as each `Realigned` says; None if the model could not be.
    learn : bool
        Whether labels joined the map with each `Realigned`.
    when_unlike : str
        What it did while the signal was not that of calibration; see `PipelineOptions`.
    format_version, flags_version : int
        Versions of the record that it was read from; `encode` writes the present ones.
    """

    index: int
    rules: MarkerRules
    continuous: bool
    without: tuple[str, ...] = ()
    references: tuple[dict[str, Any], ...] = ()
    align: bool | None = None
    learn: bool = False
    when_unlike: str = "abstain"
    format_version: int = field(default=FORMAT_VERSION, compare=False)
    flags_version: int = field(default=FLAGS_VERSION, compare=False)


@dataclass(frozen=True, slots=True)
class Restart:
    """The stream was lost and came back: a new time line."""

    index: int


@dataclass(frozen=True, slots=True)
class MarkerCame:
    """A marker arrived: `time` is the marker's own, in s; `index` is when it arrived."""

    index: int
    label: str
    time: float


@dataclass(frozen=True, slots=True)
class MarkerWithoutTime:
    """A marker without a time arrived."""

    index: int
    label: str


@dataclass(frozen=True, slots=True)
class Skip:
    """The session was overdue and skipped `n` samples from `index` on."""

    index: int
    n: int


@dataclass(frozen=True, slots=True)
class Realigned:
    """From here on the map is aligned by the newest of the first `n_events` good events."""

    index: int
    n_events: int


@dataclass(frozen=True, slots=True)
class Restricted:
    """From here on the candidates are these items; all if there are none."""

    index: int
    items: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))


@dataclass(frozen=True, slots=True)
class Dropped:
    """The disk was too slow: the record lacks entries and samples before `index`."""

    index: int
    n_jobs: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class LogEnded:
    """The session log ended early because it could not be written."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """An event that does not affect the readouts."""

    index: int
    event: str
    details: dict[str, Any]


# `index` of each: number of data samples before it in the record
Decision = (
    Start
    | Restart
    | MarkerCame
    | MarkerWithoutTime
    | Skip
    | Realigned
    | Restricted
    | Dropped
    | LogEnded
    | Note
)
