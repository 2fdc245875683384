"""Define the values that flow through the decoder.

Arrays are ``(n_samples, n_channels)``, in SI units: `timing.matching` converts once, at the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "BAD",
    "CH_TYPES",
    "CORRECTED",
    "DATA_TYPES",
    "FLAGS",
    "FLAGS_VERSION",
    "NOTHING",
    "ONSET",
    "Choice",
    "Chunk",
    "Features",
    "Marker",
    "ModelMismatch",
    "Readout",
    "Reason",
    "SignalInfo",
    "StreamLost",
    "has_unit",
    "reason_names",
    "unit_gain",
]


class StreamLost(ConnectionError):
    """The source of samples was lost: its outlet was closed or its connection broke."""


class ModelMismatch(ValueError):
    """A stream or recording does not fit the model's channel contract."""


class Reason(IntFlag):
    """Flags of a sample; 0 is a good sample that no stage changed.

    The bits of `CORRECTED` name the stages that removed an artifact: the sample is good. Any other
    bit is a reason not to trust the sample.
    """

    NONFINITE = 1
    FLAT = 2
    RAIL = 4
    JUMP = 8
    GAP = 16
    HELD = 32
    SETTLING = 64
    MUSCLE = 128
    MOVEMENT = 256
    BAD_CHANNEL = 512
    REFERENCE_LOST = 1024
    AMPLITUDE = 2048
    REPAIRED = 4096
    EYE = 8192
    HEARTBEAT = 16384
    REGRESSED = 32768
    ANNOTATED = 65536  # the recording marks the segment as bad; no model or record holds this bit


FLAGS = np.uint32  # type of every array of reason bits
FLAGS_VERSION = 2  # version of the bits in models and session records; version 1 had 16 bits
CORRECTED = Reason.REPAIRED | Reason.EYE | Reason.HEARTBEAT | Reason.REGRESSED
BAD = ~FLAGS(CORRECTED)  # every bit, named or not, that marks a sample as bad
NOTHING = (0.0,) * len(CORRECTED)
ONSET = "onset"  # label of an event whose item nobody tells


@lru_cache(maxsize=4096)
def reason_names(bits: int) -> tuple[str, ...]:
    """Return the lower-case names of the bits that are set, corrections included.

    >>> reason_names(Reason.GAP | Reason.SETTLING)
    ('gap', 'settling')
    """
    return tuple(str(reason.name).lower() for reason in Reason if bits & reason)


DATA_TYPES = ("eeg", "mag", "grad", "seeg", "ecog")  # channels that record the brain
CH_TYPES = (*DATA_TYPES, "eog", "ecg", "resp", "emg", "misc", "stim")

# unit as written in the field -> (SI unit, factor)
_UNITS: dict[str, tuple[str, float]] = {}
for _names, _unit, _factor in (
    (("v", "volt", "volts"), "V", 1.0),
    (("mv", "millivolt", "millivolts"), "V", 1e-3),
    (("uv", "µv", "μv", "microvolt", "microvolts"), "V", 1e-6),
    (("nv", "nanovolt", "nanovolts"), "V", 1e-9),
    (("t", "tesla", "teslas"), "T", 1.0),
    (("pt", "picotesla", "picoteslas"), "T", 1e-12),
    (("ft", "femtotesla", "femtoteslas"), "T", 1e-15),
    (("t/m", "tesla/m", "tesla/meter", "tesla per meter"), "T/m", 1.0),
    (("ft/cm", "femtotesla/cm", "femtotesla/centimeter"), "T/m", 1e-13),
    (("n/a", "na", "none", "au", "a.u.", "arbitrary"), "n/a", 1.0),
):
    _UNITS |= dict.fromkeys(_names, (_unit, _factor))


def unit_gain(unit: str) -> tuple[str, float]:
    """Return the SI unit and the factor to it, or raise ValueError: a guess may be off by 1e6."""
    if (known := _UNITS.get(unit.strip().lower())) is None:
        raise ValueError(
            f"need a known unit, got {unit!r}; use one of "
            "volts, millivolts, microvolts, tesla, femtotesla, T/m, fT/cm, n/a (--units UNIT)"
        )
    return known


def has_unit(unit: str) -> bool:
    """Return whether `unit_gain` knows this unit.

    >>> has_unit("uV"), has_unit("")
    (True, False)
    """
    return unit.strip().lower() in _UNITS


@dataclass(frozen=True, slots=True, eq=False)
class SignalInfo:
    """Rate and channels of a signal.

    Parameters
    ----------
    sfreq : float
        Nominal sampling rate in Hz, above 0.
    ch_names : tuple of str
        Unique channel names, at least one.
    ch_types : tuple of str
        One of `CH_TYPES` for each channel (MNE's names).
    units : tuple of str
        One unit for each channel, as declared by the source; SI inside the pipeline.
    positions : array of shape (n_channels, 3) or None
        Sensor positions in m, NaN where unknown.

    Raises
    ------
    ValueError
        If the rate is not above 0, names repeat, a type is unknown, or lengths do not agree.
    """

    sfreq: float
    ch_names: tuple[str, ...]
    ch_types: tuple[str, ...]
    units: tuple[str, ...]
    positions: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.ch_names)
        if not (np.isfinite(self.sfreq) and self.sfreq > 0):
            raise ValueError(f"need a sampling rate above 0 Hz, got {self.sfreq}")
        if n == 0:
            raise ValueError("need at least one channel, got none")
        if len(set(self.ch_names)) != n:
            twice = sorted({name for name in self.ch_names if self.ch_names.count(name) > 1})
            raise ValueError(f"need unique channel names, got {', '.join(twice)} more than once")
        if len(self.ch_types) != n or len(self.units) != n:
            raise ValueError(
                f"need one type and one unit for each of {n} channels, "
                f"got {len(self.ch_types)} types and {len(self.units)} units"
            )
        unknown = sorted(set(self.ch_types) - set(CH_TYPES))
        if unknown:
            raise ValueError(f"need channel types among {', '.join(CH_TYPES)}, got {unknown[0]!r}")
        if self.positions is not None and np.shape(self.positions) != (n, 3):
            raise ValueError(f"need positions of shape ({n}, 3), got {np.shape(self.positions)}")

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.ch_names)

    def pick(self, picks: np.ndarray | Sequence[int]) -> SignalInfo:
        """Return the info of the channels at `picks` (n,), in that order."""
        positions = None if self.positions is None else self.positions[np.asarray(picks)]
        return SignalInfo(
            self.sfreq,
            tuple(self.ch_names[i] for i in picks),
            tuple(self.ch_types[i] for i in picks),
            tuple(self.units[i] for i in picks),
            positions,
        )


class Chunk(NamedTuple):
    """Consecutive samples; a *hop* is a chunk of the pipeline's fixed length.

    A stage owns the arrays of chunks that it returns: they are valid until its next call.
    """

    data: np.ndarray  # (n, c) float64, SI
    times: np.ndarray  # (n,) float64 s on this machine's LSL clock
    index: int  # type: ignore[assignment]  # absolute, of the first sample, lost ones counted
    flags: np.ndarray  # (n,) uint32 reason bits of the whole sample
    channel_flags: np.ndarray  # (n, c) uint32 reason bits of one channel


@dataclass(frozen=True, slots=True)
class Choice:
    """How an experiment wants answers, where not as the model gives them.

    Parameters
    ----------
    candidates : tuple of str
        Items to answer among; empty for all.
    prior : mapping of str to float, or None
        Weight of items, 0 or more, in place of the model's prior; those that it lacks have 0.
    threshold : float or None
        Probability below which the decoder abstains; above 1 always, None for the model's own.
    top : int or None
        Items in a readout, at least 1; None for as many as the recipe says.
    posterior : bool
        Whether readouts hold the probability of every item.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    candidates: tuple[str, ...] = ()
    prior: Mapping[str, float] | None = None
    threshold: float | None = None
    top: int | None = None
    posterior: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.candidates, str):
            raise ValueError(f"need a list of items of the model, got {self.candidates!r}")
        object.__setattr__(self, "candidates", tuple(self.candidates))
        if self.prior is not None:
            prior = {item: float(weight) for item, weight in self.prior.items()}
            if not (all(0 <= one < np.inf for one in prior.values()) and any(prior.values())):
                raise ValueError("need a prior with weights of 0 or more, not all 0, got another")
            object.__setattr__(self, "prior", prior)
        if self.threshold is not None and not 0 <= self.threshold < np.inf:
            raise ValueError(f"need a threshold of 0 or more, got {self.threshold}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"need at least 1 item in a readout, got top {self.top}")


class Marker(NamedTuple):
    """An event: a word was shown, a key was pressed."""

    label: str
    time: float  # s on this machine's LSL clock
    index: int = -1  # type: ignore[assignment]  # nearest sample, absolute; -1 while not known
    answering: Any = None  # of this event alone, a `decoding.answering.Answering` or `Choice`


class Features(NamedTuple):
    """Features of one window, the input of the map."""

    values: np.ndarray  # (n_features,) float32
    time: float  # s, of the newest sample in the window
    good: float  # share of unflagged samples, in [0, 1]
    reasons: int = 0  # reason bits of the flagged ones
    corrected: tuple[float, ...] = NOTHING  # share of samples that each of `CORRECTED` changed


class Readout(NamedTuple):
    """One answer of the decoder."""

    seq: int
    kind: str  # "event", "continuous", "pooled" over repeats of one item, "anytime"
    label: str  # of the marker that asked for it; "" for continuous readouts
    index: int  # type: ignore[assignment]  # onset as absolute sample index
    onset: float  # s
    time: float  # s, when the readout was made; offline of the newest sample in the window
    words: tuple[str, ...]  # best first
    scores: tuple[float, ...]  # cosine
    probabilities: tuple[float, ...]
    abstained: bool
    bits: float  # log2 of the vocabulary's size minus the posterior's entropy
    quality: float  # share of good samples in the window
    reasons: tuple[str, ...]
    latency_ms: float  # from the newest sample until the scores have left; NaN offline, or unknown
    late: bool | None  # over the budget; None where a live latency is unknown
    corrected: tuple[float, ...] = NOTHING  # share of the window that each of `CORRECTED` changed
    n_repeats: int = 1  # events whose evidence it holds
    item: int = -1  # number of the best item in the model; -1 if there is none
    posterior: tuple[float, ...] = ()  # of each item of the model, in its order; empty unless asked
    before: tuple[float, ...] = ()  # the same before the signal: the prior
    fit: str = "unchecked"  # is the signal calibration's: also "fits", "doubtful", "unlike"
    prior: str = ""  # "language" where the event had a prior of its own
    plausible: tuple[str, ...] | None = None  # the set that was asked for; every item where empty
    until: float | None = None  # s after the onset where the window of kind "anytime" ends
    committed: str = ""  # of kind "anytime": the word that the event keeps; empty before
