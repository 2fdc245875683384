"""Decisions that a session makes by the wall clock, one type a kind.

A session record holds them in order; `session_record` writes and reads them as text. A new kind, or
a new meaning of one, needs a new `FORMAT_VERSION`, so that an older program refuses the record
instead of decoding it wrongly. An event that does not affect the readouts is a `Note`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rt_decoder.signal import FLAGS_VERSION, Choice
from rt_decoder.timing.markers import MarkerRules

__all__ = [
    "FORMAT_VERSION",
    "Added",
    "Chosen",
    "Decision",
    "Dropped",
    "LogEnded",
    "MarkerCame",
    "MarkerWithoutTime",
    "Note",
    "Paused",
    "Prior",
    "Realigned",
    "Restart",
    "Skip",
    "Start",
    "Swapped",
    "Truth",
]

# Of session records. Version 1 declares none, uses any event as a kind, and names the stage "mains"
# "line". Version 2 knows no patterns of stimuli, and takes every label for another item. Up to version
# 3 no map is aligned, up to version 4 no candidates are chosen, up to version 5 nothing else, no event
# has a prior of its own, and no session pauses or is told the truth; up to version 6 none
# answers sooner, names sets of items or goes on with other items or another model.
FORMAT_VERSION = 7


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
    anytime : bool
        Whether events were answered sooner, too.
    level : float
        Share of events whose set was to hold the true item; 0 made no sets.
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
    anytime: bool = False
    level: float = 0.0
    format_version: int = field(default=FORMAT_VERSION, compare=False)
    flags_version: int = field(default=FLAGS_VERSION, compare=False)


@dataclass(frozen=True, slots=True)
class Restart:
    """The stream was lost and came back: a new time line."""

    index: int


@dataclass(frozen=True, slots=True)
class MarkerCame:
    """A marker arrived: `time` is the marker's own, in s; `index` is when it arrived.

    `choice` is how its event alone was to be answered; None as ever.
    """

    index: int
    label: str
    time: float
    choice: Choice | None = None


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
class Chosen:
    """From here on answers are given as was chosen."""

    index: int
    choice: Choice


@dataclass(frozen=True, slots=True)
class Paused:
    """From here on no readout is made, or readouts are made again."""

    index: int
    on: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """The experiment told which item the event of a readout had."""

    index: int
    seq: int
    label: str


@dataclass(frozen=True, slots=True)
class Prior:
    """The next event alone has a prior of its own, such as a language tells.

    Parameters
    ----------
    index : int
        Number of data samples before it in the record.
    log_prior : str
        A number an item, float32, little endian, in base64; `values` reads it.
    """

    index: int
    log_prior: str

    @classmethod
    def of(cls, index: int, values: np.ndarray) -> Prior:
        """Make one of log probabilities (n_items,), which must be float32's."""
        return cls(index, b64encode(np.asarray(values, "<f4").tobytes()).decode())

    @staticmethod
    def is_text(value: object) -> bool:
        """Return whether `value` is numbers as `log_prior` holds them."""
        try:
            return isinstance(value, str) and len(b64decode(value, validate=True)) % 4 == 0
        except ValueError:
            return False

    @property
    def values(self) -> np.ndarray:
        """Log probability of each item, (n_items,) float64."""
        return np.frombuffer(b64decode(self.log_prior), "<f4").astype(np.float64)


@dataclass(frozen=True, slots=True)
class Swapped:
    """From here on another model decodes; `model` is its hash (`model_file.model_hash`)."""

    index: int
    model: str


@dataclass(frozen=True, slots=True)
class Added:
    """From here on the model has these items, too.

    Parameters
    ----------
    index : int
        Number of data samples before it in the record.
    items : tuple of str
        The items.
    vectors : str
        Their vectors, float32, little endian, in base64; `values` reads them.
    """

    index: int
    items: tuple[str, ...]
    vectors: str

    @classmethod
    def of(cls, index: int, items: Sequence[str], vectors: np.ndarray) -> Added:
        """Make one of vectors.

        Parameters
        ----------
        index : int
            As of the class.
        items : sequence of str
            As of the class.
        vectors : array of shape (n_items, D)
            Must be float32's.

        Returns
        -------
        Added
        """
        return cls(index, tuple(items), b64encode(np.asarray(vectors, "<f4").tobytes()).decode())

    @property
    def values(self) -> np.ndarray:
        """Vector of each item, (n_items, D) float64; ValueError if they are none."""
        values = np.frombuffer(b64decode(self.vectors), "<f4").astype(np.float64)
        if not self.items or values.size % len(self.items):
            raise ValueError(
                f"need a vector for each of {len(self.items)} new items, got {values.size} numbers: the "
                "session record is damaged"
            )
        return values.reshape(len(self.items), -1)


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
    | Chosen
    | Paused
    | Truth
    | Prior
    | Swapped
    | Added
    | Dropped
    | LogEnded
    | Note
)
