"""Hold everything that was fitted in one immutable value; `files.model_file` stores it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

import numpy as np

from rt_decoder.recipe import Recipe
from rt_decoder.settings import TRUTH, check_keys, key, number, text, whole
from rt_decoder.signal import SignalInfo

__all__ = [
    "TENSORS",
    "Alignment",
    "Language",
    "Model",
    "Pooling",
    "PosteriorParameters",
    "WindowMap",
    "versions",
]

# attributes of `Model` that are arrays
TENSORS = (
    "sos", "channel_scale", "channel_jump", "channel_level", "center", "scale", "weights", "offset",
    "basis", "target_mean", "vectors", "log_prior", "item_bias", "covariance", "prior_gram",
    "target_lengths", "target_transform", "set_cutoffs", "language_cutoffs",
)  # fmt: skip


_LARGE = number(0.0, 1e12)


def _threshold() -> float:
    return key(0.0, _LARGE, "least probability of the winner, else abstain; above 1 always")


@dataclass(frozen=True, slots=True)
class PosteriorParameters:
    """Sharpness of the posterior, and when to abstain; see `decoding.readout.Posterior`."""

    tau: float = key(0.0, _LARGE, "sharpness; 0 trusts the prior alone")
    threshold: float = _threshold()
    min_quality: float = key(
        0.0, number(0.0, 1.0), "least share of good samples in the window, else abstain"
    )
    length: float = key(
        0.0, _LARGE, "length of a prediction at which it has 0.7 of its full weight; 0 ignores it"
    )
    floor: float = key(0.0, number(0.0, 1.0), "share of the prior mixed into the posterior")
    nothing: float = key(
        0.0, number(-1e12, 1e12), "log weight of nothing being said; of continuous readouts"
    )

    def __post_init__(self) -> None:
        check_keys(self, "the posterior")


@dataclass(frozen=True, slots=True)
class Pooling:
    """How evidence of repeats is pooled, and when to abstain; see `decoding.evidence`."""

    correlation: float = key(0.0, number(0.0, 1.0), "correlation of the errors of repeats")
    threshold: float = _threshold()

    def __post_init__(self) -> None:
        check_keys(self, "the pooling")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a model adapts to a person by unlabelled events; see `Model.covariance`."""

    shrink: float = key(1.0, number(0.0, 1e6), "shrinkage of the covariance that whitens")
    weight: float = key(
        50.0, number(0.0, 1e9), "events that the stored covariance counts for beside new ones"
    )
    every: int = key(10, whole(1, 1_000_000), "events between two updates")
    most: int = key(400, whole(1, 1_000_000), "newest events that are used")

    def __post_init__(self) -> None:
        check_keys(self, "the alignment")


@dataclass(frozen=True, slots=True)
class Language:
    """How much a language says of the next word; see `decoding.language`."""

    weight: float = key(0.0, number(0.0, 1.0), "share of the language in the prior; 0 ignores it")
    threshold: float = _threshold()
    shown: bool = key(False, TRUTH, "context is what was shown; false: what was answered")
    identity: str = key("", text(), "the language that the weight was fitted with")

    def __post_init__(self) -> None:
        check_keys(self, "the language")


@dataclass(frozen=True, slots=True, eq=False)
class WindowMap:
    """The map of a shorter window, which begins with the model's: of its first features, q of p.

    Basis, vectors and prior are the model's: what differs is here.
    """

    end: float  # s after the onset
    weights: np.ndarray  # (q, r) float32
    offset: np.ndarray  # (r,) float32
    item_bias: np.ndarray  # (V,) float64, or empty
    posterior: PosteriorParameters

    def __post_init__(self) -> None:
        for array in (self.weights, self.offset, self.item_bias):
            array.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted decoder. Dimensions: c channels, p features, r rank, D embedding, V items.

    A model without a map, which only cleans, has p = r = V = 0.

    A model is immutable: `dataclasses.replace` makes another one. Arrays are set read-only in
    place, not copied; tables are read-only views of copies. Such a view cannot be pickled: pass a
    model to another process as a file.

    Parameters
    ----------
    info : SignalInfo
        The channel contract, in SI units: the channels that a stream must have, by name.
    recipe : Recipe
        Every setting of the calibration.
    sos : array of shape (n_sections, 6)
        Band-pass and notch, as second-order sections.
    channel_scale : array of shape (c,)
        Mean absolute first difference of each channel in calibration, in SI units a sample.
    channel_jump : array of shape (c,)
        Largest credible difference of a sample from the last good one, in SI units; if empty, jumps
        are not detected.
    channel_level : array of shape (c,)
        Mean absolute value of each channel in calibration between 2 and 20 Hz, in SI units. A
        signal that is more than ten times off has the wrong unit. If empty, `channel_scale` is
        compared.
    center, scale : arrays of shape (p,)
        Robust feature scaling from the training items.
    weights : array of shape (p, r)
        The map, ``centred embedding = (features @ weights + offset) @ basis``.
    offset : array of shape (r,)
        See `weights`.
    basis : array of shape (r, D)
        See `weights`; its rows are orthonormal.
    target_mean : array of shape (D,)
        Mean embedding of the training items; predictions and vectors are centred on it.
    items : tuple of str
        The vocabulary.
    vectors : array of shape (V, D)
        Item embeddings, centred on `target_mean`, of unit length.
    log_prior : array of shape (V,)
        Log prior probability of each item.
    item_bias : array of shape (V,)
        Added to the log posterior of each item; empty for none.
    covariance : array of shape (p, p)
        Of the scaled features in calibration, by which `realign` and a group model whiten; empty
        where features are not whitened.
    prior_gram : array of shape (p, p)
        Of a group, for labels that join its map: see `decoding.learning`; empty if none can.
    target_lengths : array of shape (V,)
        Length of each item's target in the map; empty as `prior_gram`.
    target_transform : array of shape (D, D)
        Takes centred embeddings of items added live to the target power; empty where that is 1.
    set_cutoffs, language_cutoffs : arrays of shape (99,)
        Of conformal sets, without and with `language`: see `decoding.sets`; empty where not fitted.
    posterior : PosteriorParameters
        Sharpness, and when to abstain.
    continuous : PosteriorParameters or None
        The same for readouts at every hop; None if the model was fitted on events alone.
    pooling : Pooling or None
        How repeats of an item are pooled; None where the recipe asks for single events.
    language : Language or None
        How much a language says of the next word; None where that was not fitted.
    alignment : Alignment or None
        How a live session adapts the model to a person; None keeps it as it is.
    windows : tuple of WindowMap
        Maps of windows that end earlier, in order of their ends; often none.
    certificate : mapping
        Accuracy, chance level and split of the test; plain JSON.
    references : tuple of str
        The last channels of `info`; they clean the others and are not used as features.
    cleaning : mapping of str to mapping
        Arguments of each fitted cleaning stage by name; lists as tuples.
    monitor : mapping of str to mapping
        What a session compares its signal with, by check; empty where nothing is. See
        `monitor.monitor`.
    versions : mapping of str to str
        Versions of the packages that fitted it.
    """

    info: SignalInfo
    recipe: Recipe
    sos: np.ndarray
    channel_scale: np.ndarray
    channel_jump: np.ndarray = field(default_factory=lambda: np.zeros(0))
    channel_level: np.ndarray = field(default_factory=lambda: np.zeros(0))
    center: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scale: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(0))
    basis: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    target_mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    items: tuple[str, ...] = ()
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    log_prior: np.ndarray = field(default_factory=lambda: np.zeros(0))
    item_bias: np.ndarray = field(default_factory=lambda: np.zeros(0))
    covariance: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    prior_gram: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    target_lengths: np.ndarray = field(default_factory=lambda: np.zeros(0))
    target_transform: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    set_cutoffs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    language_cutoffs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    posterior: PosteriorParameters = field(default_factory=PosteriorParameters)
    continuous: PosteriorParameters | None = None
    pooling: Pooling | None = None
    language: Language | None = None
    alignment: Alignment | None = None
    windows: tuple[WindowMap, ...] = ()
    certificate: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    cleaning: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    monitor: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in TENSORS:
            getattr(self, name).setflags(write=False)
        if self.info.positions is not None:
            self.info.positions.setflags(write=False)
        for name in ("certificate", "versions"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for table in ("cleaning", "monitor"):
            rows = {
                part: MappingProxyType({name: _frozen(value) for name, value in arguments.items()})
                for part, arguments in getattr(self, table).items()
            }
            object.__setattr__(self, table, MappingProxyType(rows))

    @property
    def has_map(self) -> bool:
        """Whether the model names words; without a map it only cleans."""
        return self.weights.size > 0

    @property
    def learns(self) -> bool:
        """Whether labels that arrive can join the map."""
        return self.alignment is not None and self.prior_gram.size > 0

    @property
    def n_picks(self) -> int:
        """Number of channels used as features; they are the first of `info`."""
        return self.info.n_channels - len(self.references)

    @property
    def optional(self) -> frozenset[str]:
        """References that no stage uses: a stream may lack them."""
        used = set(self.cleaning.get("regressors", {}).get("names", ()))
        source = self.cleaning.get("heartbeat", {}).get("source", ())
        used |= {name for name, weight in zip(self.info.ch_names, source, strict=False) if weight}
        return frozenset(self.references) - used

    @property
    def n_hop(self) -> int:
        """Samples in one hop."""
        return max(1, round(self.recipe.stream.hop_ms * 1e-3 * self.info.sfreq))


def _frozen(value: Any) -> Any:
    """Return an argument of a stage, made read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    return tuple(value) if isinstance(value, list) else value


_PACKAGES = (
    "rt-decoder", "numpy", "scipy", "numba", "pylsl", "safetensors", "mne", "torch", "transformers",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
