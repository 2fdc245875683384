"""What a session decides by the wall clock, one type a kind; a session record holds them in order.

`session_record` writes them as text and reads them back. A new kind, or a new meaning of one, needs
a new `FORMAT_VERSION`, so that an older program refuses the record and does not decode it wrongly.
What changes nothing in the readouts is a `Note`.
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
    "Restart",
    "Skip",
    "Start",
]

# of a session record; 1 states none, has every event as a kind, and calls the stage "mains" "line"
FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Start:
    """How the session was started.

    Attributes
    ----------
    rules : MarkerRules
    continuous : bool
        Whether it read out at every hop.
    without : tuple of str
        Cleaning stages that were left out.
    references : tuple of dict
        How each auxiliary stream was joined; see `AuxiliaryStream.describe`.
    format_version, flags_version : int
        Of the record that it was read from; what is written has the present ones.
    """

    index: int
    rules: MarkerRules
    continuous: bool
    without: tuple[str, ...] = ()
    references: tuple[dict[str, Any], ...] = ()
    format_version: int = field(default=FORMAT_VERSION, compare=False)
    flags_version: int = field(default=FLAGS_VERSION, compare=False)


@dataclass(frozen=True, slots=True)
class Restart:
    """The stream was lost and came back: a new time line."""

    index: int


@dataclass(frozen=True, slots=True)
class MarkerCame:
    """A marker arrived; `time` in s is where it points, `index` tells when it came."""

    index: int
    label: str
    time: float


@dataclass(frozen=True, slots=True)
class MarkerWithoutTime:
    """A marker arrived that points at no sample."""

    index: int
    label: str


@dataclass(frozen=True, slots=True)
class Skip:
    """The session was behind and did not decode `n` samples from `index` on."""

    index: int
    n: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The disk was behind: entries of the record, and samples, that are missing before `index`."""

    index: int
    n_jobs: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class LogEnded:
    """The session log could not be written any more."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """An event that changes nothing in the readouts."""

    index: int
    event: str
    details: dict[str, Any]


# `index` of each: how many samples of the data stream in the record come before it
Decision = Start | Restart | MarkerCame | MarkerWithoutTime | Skip | Dropped | LogEnded | Note
