"""Define the recipe: every setting of a calibration, from a TOML file and from options.

A model contains its recipe, so that the live side needs no second source of settings. Each key is
declared with its type, range and help. An unknown key is refused, and the nearest known one named.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rt_decoder.settings import (
    TRUTH,
    Kind,
    check_keys,
    key,
    listed,
    named,
    number,
    short,
    table,
    text,
    texts,
    whole,
)

__all__ = ["MAX_FREQ", "STAGES", "Recipe", "parse_option", "read_recipe", "recipe_options"]

# Options of `stages` in [clean], in flow order. Mains and projections have separate keys;
# `cleaning.stages` holds the table of all stages.
STAGES = ("muscle", "repair", "eye", "regressors", "heartbeat")

MAX_FREQ = 1e6  # Hz, for edges and sampling rates
_MAX_TIME = 600.0  # s from an onset
_MANY = 1_000_000
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_TIME = number(-_MAX_TIME, _MAX_TIME)
_FREQ = number(0.0, MAX_FREQ)


def _band(value: object) -> tuple[float, float]:
    low, high = listed(_FREQ, "", least=2, most=2).read(value)
    if not 0 < low < high:
        raise ValueError(value)
    return low, high


def _or_chosen(kind: Kind[float]) -> Kind[float]:
    """Take -1, too: calibration chooses."""
    return Kind(f"{kind.what}, or -1", lambda value: -1.0 if value == -1 else kind.read(value))


def _ends(value: object) -> float | tuple[float, ...]:
    """Read a step in s, or window ends that rise."""
    if not isinstance(value, list | tuple):
        return number(0.0, _MAX_TIME).read(value)
    ends = listed(_TIME, "", least=1, most=100).read(value)
    if any(late <= early for early, late in pairwise(ends)):
        raise ValueError(value)
    return ends


def _reference(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):  # one name, even with commas
        return text().read(value)
    return listed(text(), "", least=1).read(value)


def _baseline(value: object) -> tuple[float, float] | tuple[()]:
    if not (times := listed(_TIME, "", most=2).read(value)):
        return ()
    first, last = times
    if first >= last:
        raise ValueError(value)
    return first, last


@dataclass(frozen=True, slots=True)
class Stream:
    """Channels, rereferencing and hop length."""

    picks: tuple[str, ...] = key(
        ("data",),
        texts("one name or more", least=1),
        "channel names or types; 'data' is EEG, MEG and intracranial",
    )
    reference: str | tuple[str, ...] = key(
        "average",
        Kind("'average', 'none' or channel names", _reference),
        "'average', 'none' or a list of channel names",
    )
    line_freq: float = key(
        -1.0,
        _or_chosen(_FREQ),
        "mains frequency in Hz; 0 for none, -1 for what the recording states, else 50",
    )
    bads: str = key(
        "drop", text("drop", "keep"), "channels that the recording marks as bad: 'drop' or 'keep'"
    )
    hop_ms: float = key(10.0, number(1e-3, 1000.0), "step of the pipeline in ms")

    def __post_init__(self) -> None:
        check_keys(self, "[stream]")


@dataclass(frozen=True, slots=True)
class Filter:
    """Causal Butterworth band-pass and notch."""

    l_freq: float = key(0.5, _FREQ, "low edge in Hz; 0 for none")
    h_freq: float = key(30.0, _FREQ, "high edge in Hz; 0 for none")
    order: int = key(2, whole(1, 10), "order of each edge")
    notch: bool = key(True, TRUTH, "notch line_freq and its harmonics inside the pass-band")

    def __post_init__(self) -> None:
        check_keys(self, "[filter]")
        if self.h_freq != 0 and self.h_freq <= self.l_freq:
            raise ValueError(
                f"need h_freq above l_freq ({self.l_freq:g}) in [filter], got {self.h_freq:g}"
            )


@dataclass(frozen=True, slots=True)
class Clean:
    """Cleaning stages, and the reference channels that they use."""

    stages: tuple[str, ...] = key(
        STAGES,
        texts(f"among {', '.join(STAGES)}", *STAGES),
        "cleaning stages to fit; stages that a recording does not allow are left out",
    )
    references: tuple[str, ...] = key(
        ("eog", "ecg", "resp", "emg"),
        texts("names"),
        "types or names of reference channels, which record artifacts",
    )
    projections: tuple[str, ...] = key(
        ("ssp",),
        texts("among ssp, sss", "ssp", "sss"),
        "for MEG in FIF: 'ssp' the file's projections, 'sss' signal-space separation",
    )
    mains: str = key(
        "notch",
        text("notch", "adaptive"),
        "'notch' or 'adaptive', which tracks the mains and keeps neighbouring frequencies",
    )

    def __post_init__(self) -> None:
        check_keys(self, "[clean]")


@dataclass(frozen=True, slots=True)
class Features:
    """Features of the window after an onset."""

    kind: str = key("amplitude", text("amplitude", "bandpower"), "'amplitude' or 'bandpower'")
    tmin: float = key(0.0, _TIME, "start of the window in s after the onset")
    tmax: float = key(0.8, _TIME, "end of the window in s after the onset")
    decim: int = key(
        0,
        whole(0, _MANY),
        "samples averaged to one feature; 0 for about 50 ms (bandpower: all)",
    )
    baseline: tuple[float, float] | tuple[()] = key(
        (),
        Kind(f"two rising times up to {_MAX_TIME:g} s, or none", _baseline),
        "[start, end] in s whose mean is subtracted; none if empty",
    )
    bands: tuple[tuple[float, float], ...] = key(
        ((4.0, 8.0), (8.0, 13.0), (13.0, 30.0)),
        listed(Kind("", _band), "pairs of rising frequencies in Hz, 100 at most", most=100),
        "bandpower: [[low, high], ...] Hz",
    )
    band_order: int = key(4, whole(1, 12), "bandpower: order of each band's edges")
    clamp: float = key(
        6.0,
        number(0.0, 1e12, above=True),
        "scaled features are clamped to this many robust deviations",
    )
    whiten: float = key(
        -1.0,
        _or_chosen(number(0.0, 1e6)),
        "shrinkage of the covariance by which features are whitened; 0 for none, -1 to choose",
    )
    anytime: float | tuple[float, ...] = key(
        0.0,
        Kind("a step in s, or a list of rising times up to 600 s", _ends),
        "maps of shorter windows, too: step of their ends in s, or [END, ...]; 0 for none",
    )

    def __post_init__(self) -> None:
        check_keys(self, "[features]")
        if self.tmax <= self.tmin:
            raise ValueError(
                f"need tmax above tmin ({self.tmin:g}) in [features], got {self.tmax:g}"
            )


@dataclass(frozen=True, slots=True)
class Target:
    """Items and embeddings that the features are mapped to."""

    label: str = key("", text(), "events column with the item; by default word, else trial_type")
    names: Mapping[str, str] = key(
        _NO_NAMES, table(text(), "a table of texts"), "table of marker label to item text"
    )
    include: tuple[str, ...] = key(
        (), texts("patterns"), "labels or items that are stimuli, as patterns such as 'word/*'; all"
    )
    exclude: tuple[str, ...] = key(
        (), texts("patterns"), "labels or items that are no stimuli, as patterns such as 'fix*'"
    )
    fold: bool = key(
        True, TRUTH, "case, coding of accents, quotes and white space make no other item"
    )
    embedding: str = key(
        "minilm", text(), "model of words, images or sounds: minilm, a folder, or a hub name"
    )
    vectors: str = key(
        "", text(), "file of the items' vectors (TSV, CSV, npz, safetensors), in place of a model"
    )
    stimuli: str = key(
        "", text(), "folder of the images or sounds that the labels name; items are their stems"
    )
    layer: int = key(
        -1, whole(-10_000, 10_000), "hidden layer; 0 is the input embedding, -1 the last"
    )
    pooling: str = key("mean", text("mean", "last"), "'mean' or 'last' token")
    context: str = key(
        "", text(), "events column with the sentence around each word; words alone if empty"
    )
    vocabulary: str = key(
        "", text(), "file of items, one a line, or wordfreq:N; training items if empty"
    )
    language: str = key(
        "",
        text(),
        "code of the items' language, such as de or ru, for word frequencies; en if empty",
    )
    power: float = key(
        -1.0,
        _or_chosen(number(0.0, 4.0)),
        "power of the singular values of the item vectors; 1 leaves them, -1 to choose",
    )

    @property
    def spoken(self) -> str:
        """Code of the items' language, English where none is named."""
        return self.language or "en"

    def __post_init__(self) -> None:
        check_keys(self, "[target]")
        given = [name for name in ("vectors", "stimuli", "context") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"need one of vectors, stimuli, context, got {' and '.join(given)}")


@dataclass(frozen=True, slots=True)
class Fit:
    """Fit and test of the map."""

    groups: str = key(
        "", text(), "events column whose values are held out together; blocks if empty"
    )
    n_blocks: int = key(
        10, whole(2, _MANY), "contiguous blocks a recording if there is no groups column"
    )
    purge: float = key(
        -1.0,
        _or_chosen(number(0.0, 1e9)),
        "s around a held-out item, excluded from training; -1 for window and measured memory",
    )
    final_block: float = key(
        0.2,
        number(0.0, 1.0, below=True),
        "last share of the items, reserved for the certificate; 0 for none",
    )
    alphas: tuple[float, ...] = key(
        (),
        listed(number(0.0, 1e300, above=True), "numbers above 0"),
        "ridge penalties to choose from; a wide grid if empty",
    )
    rank: int = key(64, whole(0, _MANY), "directions that the map keeps; 0 for all")
    unseen: bool = key(
        False, TRUTH, "also estimate words never seen in training, a tenth of the items at a time"
    )
    ideas: str = key(
        "",
        text(),
        "events column with the idea of each event; by default idea, else category, else sentence",
    )
    nulls: bool = key(
        True, TRUTH, "also refit with phases at random, and on artifact channels alone"
    )
    n_permutations: int = key(999, whole(1, 10 * _MANY), "label permutations of the certificate")
    seed: int = key(0, whole(0, (1 << 31) - 1), "seed of the permutations")

    def __post_init__(self) -> None:
        check_keys(self, "[fit]")


@dataclass(frozen=True, slots=True)
class Readout:
    """Prior, abstention and latency of readouts."""

    prior: str = key(
        "uniform",
        text("uniform", "training", "wordfreq"),
        "'uniform', 'training' counts or 'wordfreq'",
    )
    precision: float = key(
        -1.0,
        _or_chosen(number(0.0, 1.0, below=True)),
        "abstain so that this share of answers is right; 0 always answers, -1 takes the highest "
        "share that a fifth of the events demonstrably reach",
    )
    min_quality: float = key(
        0.8, number(0.0, 1.0), "abstain when the share of good samples in the window is lower"
    )
    budget_ms: float = key(
        50.0, number(0.0, 1e9), "ms after its newest sample from which a readout is late"
    )
    repeats: int = key(
        1,
        whole(1, 1000),
        "events in a row of one unknown item, whose evidence is pooled; 1 for single events",
    )
    false_alarms: float = key(
        6.0, number(0.0, 1e6), "continuous: answers an hour accepted while nothing is said"
    )
    top: int = key(10, whole(1, _MANY), "number of items in a readout")

    def __post_init__(self) -> None:
        check_keys(self, "[readout]")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings, one attribute a section."""

    stream: Stream = field(default_factory=Stream)
    filter: Filter = field(default_factory=Filter)
    clean: Clean = field(default_factory=Clean)
    features: Features = field(default_factory=Features)
    target: Target = field(default_factory=Target)
    fit: Fit = field(default_factory=Fit)
    readout: Readout = field(default_factory=Readout)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return a plain nested dict, tuples as lists, for JSON and the model file."""
        return {
            name: {f.name: _plain(getattr(section, f.name)) for f in fields(section)}
            for name, section in ((name, getattr(self, name)) for name in _SECTIONS)
        }

    @classmethod
    def from_dict(cls, sections: Mapping[str, object]) -> Recipe:
        """Build a recipe from nested mappings; missing keys keep their defaults.

        Parameters
        ----------
        sections : mapping of str to mapping
            Values of the keys of each section, as `read_recipe` returns them.

        Returns
        -------
        Recipe

        Raises
        ------
        ValueError
            For an unknown section or key (with the nearest known one), a wrong type or value.

        Examples
        --------
        >>> Recipe.from_dict({"filter": {"l_frq": 1.0}})
        Traceback (most recent call last):
        ...
        ValueError: unknown key l_frq in [filter]; did you mean l_freq?
        """
        found = {}
        for name, values in sections.items():
            if name not in _SECTIONS:
                raise ValueError(f"unknown section [{named(name)}]{_nearest(name, _SECTIONS)}")
            if not isinstance(values, Mapping):
                raise ValueError(f"need a section [{name}], got {name} = {short(values)}")
            found[name] = _SECTIONS[name](**_keys(name, values))
        return cls(**found)


_SECTIONS: dict[str, type[Any]] = {
    "stream": Stream,
    "filter": Filter,
    "clean": Clean,
    "features": Features,
    "target": Target,
    "fit": Fit,
    "readout": Readout,
}
# keys of older files: (section, old name) -> name
_RENAMED = {("clean", "line"): "mains"}


def _keys(section: str, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the values by the keys' present names; refuse an unknown key."""
    known = [f.name for f in fields(_SECTIONS[section])]
    found: dict[str, Any] = {}
    for old, value in values.items():
        name = _RENAMED.get((section, old), old)
        if name not in known:
            raise ValueError(f"unknown key {named(name)} in [{section}]{_nearest(name, known)}")
        if name in found:
            raise ValueError(f"need {name} in [{section}] once, got it by its old name as well")
        found[name] = value
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read the sections of a TOML file; `Recipe.from_dict` checks them.

    Parameters
    ----------
    path : path
        The file, in UTF-8.

    Returns
    -------
    dict of str to object
        By the names of the sections.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it is not TOML, with the place.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"recipe {path.name} is not TOML: need a text file in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"recipe {path.name} is not TOML: {error}") from None


def recipe_options() -> dict[str, tuple[str, Any, str]]:
    """Return every key as an option: name -> (section, default, help)."""
    recipe = Recipe()
    return {
        f.name: (section, getattr(getattr(recipe, section), f.name), f.metadata["help"])
        for section in _SECTIONS
        for f in fields(getattr(recipe, section))
    }


def parse_option(text: str) -> Any:
    """Parse the value of an option as TOML, or return the text if it is not TOML.

    >>> parse_option("[[19, 21], [29, 31]]")
    [[19, 21], [29, 31]]
    >>> parse_option("average")
    'average'
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
