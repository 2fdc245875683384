"""Hold the sums that a map was fitted on: counts, item sums and Gram matrices, no sample.

`sums_file` writes them beside the model. With them a map is fitted again, alone or together with
other people's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Companion",
    "OthersSums",
    "PersonSums",
    "RecordingId",
    "RecordingSums",
    "folded",
    "unfolded",
]


class RecordingId(NamedTuple):
    """What tells a recording from every other, without a sample of it."""

    data_hash: str  # SHA-256 of its bytes; empty if unknown
    fingerprint: tuple[int, ...] = ()  # of its samples, ascending, see `calibration.identity`


@dataclass(frozen=True, slots=True, eq=False)
class RecordingSums:
    """Sums over the training events of one recording. V items of its person, h of them heard."""

    data_hash: str  # SHA-256 of the recording
    counts: np.ndarray  # (V,) float64, events of each item
    sums: np.ndarray  # (h, p) float64, scaled features of each item with a count above 0, in order
    triangle: np.ndarray  # (q,) float64, q = p (p + 1) / 2: triangle of X'X, row by row
    fingerprint: tuple[int, ...] = ()  # of its samples


@dataclass(frozen=True, slots=True, eq=False)
class OthersSums:
    """The prior of other people with which a map was fitted; see `calibration.choice.Prior`."""

    gram: np.ndarray  # (p, p)
    sums: np.ndarray  # (V, p)
    counts: np.ndarray  # (V,)
    shrink: float
    recordings: tuple[RecordingId, ...] = ()  # that were summed


@dataclass(frozen=True, slots=True, eq=False)
class PersonSums:
    """All recordings of one person. c channels, p features, V items, D dimensions.

    Parameters
    ----------
    layout : mapping
        What a feature is: ``channels``, ``window`` and ``target``; plain JSON.
    items : tuple of str
        The vocabulary of the person's model.
    vectors : array of shape (V, D), float32
        Target of each item, neither centred nor of unit length.
    center, scale : arrays of shape (p,)
        Of the features before they were summed.
    recordings : tuple of RecordingSums
    chosen : mapping of str to float
        ``alpha``, ``kappa``, ``power``, ``whiten`` and ``rank`` of the map.
    positions : array of shape (c, 3) or None
        Of the channels, in m.
    others : OthersSums or None
        Prior of other people, before `kappa`.
    code : str
        Of the person, never a name; empty if unknown. Models with one code are of one person.
    """

    layout: Mapping[str, Any]
    items: tuple[str, ...]
    vectors: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    recordings: tuple[RecordingSums, ...]
    chosen: Mapping[str, float]
    positions: np.ndarray | None = None
    others: OthersSums | None = None
    code: str = ""

    def __post_init__(self) -> None:
        for name in ("layout", "chosen"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def n_features(self) -> int:
        """Number of features p."""
        return len(self.center)

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hash of each recording."""
        return tuple(one.data_hash for one in self.recordings)

    @property
    def recorded(self) -> tuple[RecordingId, ...]:
        """What tells each recording."""
        return tuple(RecordingId(one.data_hash, one.fingerprint) for one in self.recordings)

    @property
    def counted(self) -> tuple[RecordingId, ...]:
        """All recordings that are in the map: one's own, then other people's."""
        return self.recorded + (() if self.others is None else self.others.recordings)

    @property
    def counts(self) -> np.ndarray:
        """Events of each item (V,)."""
        total = np.zeros(len(self.items))
        for one in self.recordings:
            total += one.counts
        return total

    @property
    def sums(self) -> np.ndarray:
        """Sum of the features of each item (V, p)."""
        total = np.zeros((len(self.items), self.n_features))
        for one in self.recordings:
            total[one.counts > 0] += one.sums
        return total

    @property
    def gram(self) -> np.ndarray:
        """X'X over all events (p, p)."""
        total = np.zeros(len(self.recordings[0].triangle))
        for one in self.recordings:
            total += one.triangle
        return unfolded(total, self.n_features)

    def with_recordings(self, recordings: tuple[RecordingSums, ...]) -> PersonSums:
        """Return the person with other recordings."""
        return replace(self, recordings=recordings)


@dataclass(frozen=True, slots=True, eq=False)
class Companion:
    """Sums beside a model: one person, or all people of a group."""

    people: tuple[PersonSums, ...]
    model_hash: str  # content hash of the model they belong to


def folded(gram: np.ndarray) -> np.ndarray:
    """Return the upper triangle of a symmetric matrix (p, p), row by row."""
    return np.ascontiguousarray(gram[np.triu_indices(len(gram))])


def unfolded(triangle: np.ndarray, p: int) -> np.ndarray:
    """Return the symmetric matrix (p, p) of an upper triangle."""
    gram = np.zeros((p, p))
    upper = np.triu_indices(p)
    gram[upper] = triangle
    gram.T[upper] = triangle
    return gram
