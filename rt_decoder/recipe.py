"""The recipe: every setting of a calibration, from a TOML file and from options.

A recipe is copied into the model it makes, so that the live side needs no second source of
settings. Unknown keys are refused, with the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

__all__ = ["STAGES", "Recipe", "parse_option", "read_recipe", "recipe_options"]

# Cleaning stages that `stages` of [clean] chooses among, in flow order. Mains and projections are
# asked for by keys of their own; `cleaning.stages` holds the table of all stages.
STAGES = ("muscle", "repair", "eye", "regressors", "heartbeat")


def _key(default: Any, about: str) -> Any:
    """Declare a key with its default and its help line."""
    if isinstance(default, tuple | dict):
        return field(default_factory=lambda: default, metadata={"help": about})
    return field(default=default, metadata={"help": about})


def _need(condition: bool, what: str, got: object) -> None:
    if not condition:
        raise ValueError(f"need {what}, got {got!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Stream:
    """Which channels, against which reference, in which steps."""

    picks: tuple = _key(("data",), "channel names or types; 'data' is EEG, MEG and intracranial")
    reference: Any = _key(  # noqa: RUF009
        "average", "'average', 'none' or a list of channel names"
    )
    line_freq: float = _key(50.0, "mains frequency in Hz; 0 for none")
    hop_ms: float = _key(10.0, "step of the pipeline in ms")

    def __post_init__(self) -> None:
        _need(len(self.picks) > 0, "picks", self.picks)
        _need(all(isinstance(pick, str) for pick in self.picks), "names as picks", self.picks)
        _need(0 < self.hop_ms <= 1000, "a hop_ms in (0, 1000]", self.hop_ms)
        _need(self.line_freq >= 0, "a line_freq of 0 or more", self.line_freq)


@dataclass(frozen=True)
class Filter:
    """Causal Butterworth band-pass and notch."""

    l_freq: float = _key(0.5, "low edge in Hz; 0 for none")
    h_freq: float = _key(30.0, "high edge in Hz; 0 for none")
    order: int = _key(2, "order of each edge")
    notch: bool = _key(True, "notch line_freq and its harmonics inside the pass-band")

    def __post_init__(self) -> None:
        _need(self.l_freq >= 0, "l_freq of 0 or more", self.l_freq)
        _need(self.h_freq == 0 or self.h_freq > self.l_freq, "h_freq above l_freq", self.h_freq)
        _need(1 <= self.order <= 10, "an order from 1 to 10", self.order)


@dataclass(frozen=True)
class Clean:
    """What is taken out that is not brain, by which stages."""

    stages: tuple = _key(
        STAGES,
        "cleaning stages to fit; those that a recording does not allow are left out",
    )
    references: tuple = _key(
        ("eog", "ecg", "resp", "emg"), "channel types or names that tell of artifacts"
    )
    projections: tuple = _key(
        ("ssp",),
        "of a FIF recording, for MEG: 'ssp' its projections, 'sss' signal-space separation",
    )
    mains: str = _key(
        "notch", "'notch' or 'adaptive', which tracks the mains and keeps what lies beside it"
    )

    def __post_init__(self) -> None:
        _need(set(self.stages) <= set(STAGES), f"stages among {', '.join(STAGES)}", self.stages)
        _need(set(self.projections) <= {"ssp", "sss"}, "projections ssp, sss", self.projections)
        _need(self.mains in ("notch", "adaptive"), "mains notch or adaptive", self.mains)


@dataclass(frozen=True)
class Features:
    """What is taken from the window after an onset."""

    kind: str = _key("amplitude", "'amplitude' or 'bandpower'")
    tmin: float = _key(0.0, "start of the window in s after the onset")
    tmax: float = _key(0.8, "end of the window in s after the onset")
    decim: int = _key(0, "samples averaged to one feature; 0 for about 50 ms (bandpower: all)")
    baseline: tuple = _key((), "[start, end] in s that is subtracted, or nothing")
    bands: tuple = _key(((4.0, 8.0), (8.0, 13.0), (13.0, 30.0)), "bandpower: [[low, high], ...] Hz")
    band_order: int = _key(4, "bandpower: order of each band's edges")
    clamp: float = _key(20.0, "scaled features are clamped to this many robust deviations")

    def __post_init__(self) -> None:
        _need(self.kind in ("amplitude", "bandpower"), "kind amplitude or bandpower", self.kind)
        _need(self.tmax > self.tmin, f"tmax above tmin ({self.tmin})", self.tmax)
        _need(self.decim >= 0, "a decim of 0 or more", self.decim)
        _need(len(self.baseline) in (0, 2), "a baseline of two times", self.baseline)
        _need(all(_is_number(t) for t in self.baseline), "times as baseline", self.baseline)
        _need(all(len(b) == 2 and 0 < b[0] < b[1] for b in self.bands), "bands", self.bands)
        _need(self.clamp > 0, "a clamp above 0", self.clamp)


@dataclass(frozen=True)
class Target:
    """What the brain's samples are mapped to."""

    label: str = _key("", "events column with the item; default word, else trial_type")
    names: dict = _key(  # noqa: RUF009
        {}, "table of marker label to item text"
    )
    embedding: str = _key("minilm", "language model: minilm, a folder, or a hub name")
    layer: int = _key(-1, "hidden layer; 0 is the input embedding, -1 the last")
    pooling: str = _key("mean", "'mean' or 'last' token")
    context: str = _key(
        "", "events column with the sentence around each word; words alone if empty"
    )
    vocabulary: str = _key("", "file of items, one a line, or wordfreq:N; training items if empty")

    def __post_init__(self) -> None:
        _need(self.pooling in ("mean", "last"), "pooling mean or last", self.pooling)
        named = all(isinstance(name, str) for name in self.names.values())
        _need(named, "texts as names", self.names)


@dataclass(frozen=True)
class Fit:
    """How the map is fitted and tested."""

    groups: str = _key("", "events column whose values are held out together; blocks if empty")
    n_blocks: int = _key(10, "contiguous blocks a recording where there is no groups column")
    purge: float = _key(2.0, "s around a held-out item that never train")
    final_block: float = _key(
        0.2, "last share of the items, locked for the certificate; 0 for none"
    )
    alphas: tuple = _key((), "ridge penalties to choose from; a wide grid if empty")
    rank: int = _key(64, "directions that the map keeps; 0 for all")
    n_permutations: int = _key(999, "label permutations of the certificate")
    seed: int = _key(0, "of the permutations")

    def __post_init__(self) -> None:
        _need(self.n_blocks >= 2, "n_blocks of 2 or more", self.n_blocks)
        _need(0 <= self.final_block < 1, "final_block in [0, 1)", self.final_block)
        _need(self.rank >= 0, "a rank of 0 or more", self.rank)
        _need(all(a > 0 for a in self.alphas), "alphas above 0", self.alphas)


@dataclass(frozen=True)
class Readout:
    """How answers are given."""

    prior: str = _key("uniform", "'uniform', 'training' counts or 'wordfreq'")
    precision: float = _key(0.0, "abstain so that this share of answers is right; 0 always answers")
    min_quality: float = _key(0.8, "abstain when fewer samples of the window are good")
    budget_ms: float = _key(50.0, "a readout later than this after its newest sample is late")
    top: int = _key(10, "how many items a readout names")

    def __post_init__(self) -> None:
        _need(
            self.prior in ("uniform", "training", "wordfreq"),
            "prior uniform, training or wordfreq",
            self.prior,
        )
        _need(0 <= self.precision < 1, "precision in [0, 1)", self.precision)
        _need(0 <= self.min_quality <= 1, "min_quality in [0, 1]", self.min_quality)
        _need(self.top >= 1, "top of 1 or more", self.top)


@dataclass(frozen=True)
class Recipe:
    """All sections."""

    stream: Stream = field(default_factory=Stream)
    filter: Filter = field(default_factory=Filter)
    clean: Clean = field(default_factory=Clean)
    features: Features = field(default_factory=Features)
    target: Target = field(default_factory=Target)
    fit: Fit = field(default_factory=Fit)
    readout: Readout = field(default_factory=Readout)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain nested dict, tuples as lists, as the model stores it."""
        return {name: _plain(section) for name, section in asdict(self).items()}

    @classmethod
    def from_dict(cls, sections: Mapping[str, Mapping[str, Any]]) -> Recipe:
        """Recipe from nested mappings; what is not named keeps its default.

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
        recipe = cls()
        for name, values in sections.items():
            if name not in _SECTIONS:
                raise ValueError(f"unknown section [{name}]{_nearest(name, _SECTIONS)}")
            if not isinstance(values, Mapping):
                raise ValueError(f"need a section [{name}], got {name} = {values!r}")
            recipe = replace(recipe, **{name: _section(getattr(recipe, name), name, values)})
        return recipe


_SECTIONS = {f.name: f for f in fields(Recipe)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def _nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _section(section: Any, name: str, values: Mapping[str, Any]) -> Any:
    known = {f.name: f for f in fields(section)}
    clean = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"unknown key {key} in [{name}]{_nearest(key, known)}")
        clean[key] = _typed(getattr(section, key), value, f"{key} in [{name}]")
    try:
        return replace(section, **clean)
    except (ValueError, TypeError) as error:
        raise ValueError(f"[{name}] {error}") from None


def _typed(default: Any, value: Any, where: str) -> Any:
    """Value in the type of the default; whole numbers are numbers."""
    value = _frozen(value)
    if where.startswith("reference "):
        texts = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"need 'average', 'none' or channel names for {where}, got {value!r}")
        return value
    if isinstance(default, tuple) and isinstance(value, str):
        value = tuple(part.strip() for part in value.split(","))
    if isinstance(default, bool):
        ok = isinstance(value, bool)
    elif isinstance(default, float):
        ok = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and not abs(value) >= 1e300
        )
        value = float(value) if ok else value
    elif isinstance(default, int):
        ok = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31
    else:
        ok = isinstance(value, type(default))
    if not ok:
        raise ValueError(f"need {type(default).__name__} for {where}, got {value!r}")
    return value


def read_recipe(path: str | Path) -> dict[str, dict[str, Any]]:
    """Sections of a TOML file; `Recipe.from_dict` checks them.

    Raises
    ------
    ValueError
        If it is not TOML, with the place.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"recipe {path.name} is not TOML: {error}") from None


def recipe_options() -> dict[str, tuple[str, Any, str]]:
    """Every key as an option: name -> (section, default, help)."""
    recipe = Recipe()
    return {
        f.name: (section, getattr(getattr(recipe, section), f.name), f.metadata["help"])
        for section in _SECTIONS
        for f in fields(getattr(recipe, section))
    }


def parse_option(text: str) -> Any:
    """Value of an option: TOML where it is TOML, else the text itself.

    >>> parse_option("[[19, 21], [29, 31]]")
    [[19, 21], [29, 31]]
    >>> parse_option("average")
    'average'
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
