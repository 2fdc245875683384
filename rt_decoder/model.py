"""Everything that was fitted, in one immutable value and one file.

The file (``*.rtd.safetensors``) is a plain safetensors file: tensors, plus one JSON text in its
metadata. Nothing in it is ever unpickled or evaluated. Loading checks structure, shapes,
finiteness and a content hash, and says in one sentence what is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.model_check import check_settings
from rt_decoder.signal import SignalInfo

__all__ = ["FORMAT_VERSION", "Model", "ModelCorrupt", "load_model", "save_model"]

FORMAT_VERSION = 1
_KEY = "rt_decoder"
MAX_BYTES = 8 << 30
# what a hostile file makes of the code that unpacks it
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class ModelCorrupt(ValueError):
    """A model file that cannot be trusted: truncated, altered, or not a model at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted decoder. Dimensions: c channels, p features, r rank, D embedding, V items.

    A model without a map, which only cleans, has p = r = V = 0.

    Parameters
    ----------
    info : SignalInfo
        The channel contract, in SI units: what a stream must offer, by name.
    recipe : dict
        Every setting that made this model, section by section.
    sos : array of shape (n_sections, 6)
        Band-pass and notch, as second-order sections.
    channel_scale : array of shape (c,)
        Mean absolute first difference of each channel in calibration, in SI units a sample;
        a live stream that is more than ten times off carries the wrong unit.
    channel_jump : array of shape (c,)
        Largest credible difference of a sample from the last good one, in SI units; empty looks for
        no jumps.
    center, scale : arrays of shape (p,)
        Robust feature scaling from the training items.
    weights : array of shape (p, r), offset : array of shape (r,), basis : array of shape (r, D)
        The map, ``centred embedding = (features @ weights + offset) @ basis``; `basis` has
        orthonormal rows.
    target_mean : array of shape (D,)
        Mean embedding of the training items; predictions and vectors are centred on it.
    items : tuple of str
        The vocabulary.
    vectors : array of shape (V, D)
        Item embeddings, centred on `target_mean`, of unit length.
    log_prior : array of shape (V,)
        Log probability of each item before any sample was seen.
    posterior : dict
        ``tau`` (sharpness; 0 trusts the prior alone), ``threshold`` (least probability of the
        winner, else abstain), ``min_quality`` (least share of good samples, else abstain).
    certificate : dict
        How well it does, beside chance, on which split.
    references : tuple of str
        The last channels of `info`: wanted to clean the others, and no features.
    cleaning : dict of str to dict
        Fitted state of each cleaning stage by name: what its constructor takes.
    """

    info: SignalInfo
    recipe: dict[str, dict[str, Any]]
    sos: np.ndarray
    channel_scale: np.ndarray
    channel_jump: np.ndarray = field(default_factory=lambda: np.zeros(0))
    center: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scale: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(0))
    basis: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    target_mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    items: tuple[str, ...] = ()
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    log_prior: np.ndarray = field(default_factory=lambda: np.zeros(0))
    posterior: dict[str, float] = field(default_factory=dict)
    certificate: dict[str, Any] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    cleaning: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def has_map(self) -> bool:
        """Whether the model names words; without a map it only cleans."""
        return self.weights.size > 0

    @property
    def n_picks(self) -> int:
        """How many channels, the first of `info`, features are taken of."""
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
        return max(1, round(self.recipe["stream"]["hop_ms"] * 1e-3 * self.info.sfreq))


_TENSORS = (
    "sos",
    "channel_scale",
    "channel_jump",
    "center",
    "scale",
    "weights",
    "offset",
    "basis",
    "target_mean",
    "vectors",
    "log_prior",
)
_JSON = ("recipe", "items", "posterior", "certificate", "references", "versions")
_CLEANING = "cleaning."  # tensors of cleaning stages are named cleaning.STAGE.ARGUMENT


def _digest(text: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _pack(model: Model) -> tuple[str, dict[str, np.ndarray]]:
    info = model.info
    tensors = {name: getattr(model, name) for name in _TENSORS}
    if info.positions is not None:
        tensors["positions"] = info.positions
    tensors = {name: np.ascontiguousarray(t) for name, t in tensors.items() if t.size}
    head = {name: getattr(model, name) for name in _JSON}
    head["format_version"] = FORMAT_VERSION
    head["cleaning"] = {}
    for stage, arguments in model.cleaning.items():
        head["cleaning"][stage] = plain = {}
        for name, value in arguments.items():
            if isinstance(value, np.ndarray):
                tensors[f"{_CLEANING}{stage}.{name}"] = np.ascontiguousarray(value)
            else:
                plain[name] = value
    head["info"] = {
        "sfreq": info.sfreq,
        "ch_names": info.ch_names,
        "ch_types": info.ch_types,
        "units": info.units,
    }
    return json.dumps(head, sort_keys=True, ensure_ascii=False), tensors


def model_hash(model: Model) -> str:
    """Sha256 of the model's content, as hexadecimal digits."""
    return _digest(*_pack(model))


def save_model(model: Model, path: str | os.PathLike[str]) -> str:
    """Write `model` to `path` whole or not at all, readable by its owner only.

    Returns
    -------
    str
        The content hash.
    """
    from safetensors.numpy import save

    check_model(model)
    path = Path(path)
    text, tensors = _pack(model)
    digest = _digest(text, tensors)
    payload = save(tensors, metadata={_KEY: text, "sha256": digest})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file and check it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelCorrupt
        If it is truncated, altered, malformed, or of a newer format than this program reads.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no model file {path.name}; rt-calibrate fit writes one")
    if path.stat().st_size > MAX_BYTES:
        raise ModelCorrupt(f"{path.name} is larger than any model ({path.stat().st_size} bytes)")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise ModelCorrupt(f"{path.name} is a safetensors file but no rt_decoder model")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except ModelCorrupt:
        raise
    except (SafetensorError, *_DAMAGE) as error:
        raise ModelCorrupt(f"{path.name} is no whole model file: {error}") from None
    text = metadata[_KEY]
    try:
        head = json.loads(text)
        version = int(head["format_version"])
    except _DAMAGE:
        raise ModelCorrupt(f"the header of {path.name} cannot be read") from None
    if version < 1:
        raise ModelCorrupt(f"the header of {path.name} cannot be read")
    if version > FORMAT_VERSION:
        raise ModelCorrupt(
            f"{path.name} has format {version}, newer than the {FORMAT_VERSION} read here; "
            "upgrade rt-decoder"
        )
    if _digest(text, tensors) != metadata.get("sha256"):
        raise ModelCorrupt(f"{path.name} was altered after it was written: its hash differs")
    try:
        model = _unpack(head, tensors)
        check_model(model)
        check_settings(
            model.info, model.recipe, model.items, model.posterior, model.certificate,
            model.versions,
        )  # fmt: skip
    except _DAMAGE as error:
        raise ModelCorrupt(f"{path.name} is incomplete or inconsistent: {error}") from None
    return model


def _unpack(head: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    declared = head["info"]
    info = SignalInfo(
        float(declared["sfreq"]),
        tuple(declared["ch_names"]),
        tuple(declared["ch_types"]),
        tuple(declared["units"]),
        tensors.get("positions"),
    )
    fields = {name: head[name] for name in _JSON}
    fields["items"] = tuple(fields["items"])
    fields["references"] = tuple(fields["references"])
    fields["cleaning"] = {stage: dict(plain) for stage, plain in head["cleaning"].items()}
    for name, tensor in tensors.items():
        if name.startswith(_CLEANING):
            stage, argument = name.removeprefix(_CLEANING).split(".")
            tensor.setflags(write=False)
            fields["cleaning"][stage][argument] = tensor
    for name in _TENSORS:
        if name in tensors:
            tensors[name].setflags(write=False)
            fields[name] = tensors[name]
    return Model(info=info, **fields)


def check_model(model: Model) -> None:
    """Raise ValueError unless shapes agree and every number is finite."""
    c = model.info.n_channels
    expected: dict[str, tuple[int, ...]] = {
        "sos": (len(model.sos), 6),
        "channel_scale": (c,),
        "channel_jump": (c if model.channel_jump.size else 0,),
        "center": (len(model.center),),
        "scale": (len(model.center),),
    }
    if model.has_map:
        p, r = model.weights.shape
        dim, n_items = model.basis.shape[-1], len(model.items)
        expected |= {"center": (p,), "scale": (p,), "offset": (r,)}
        expected |= {"basis": (r, dim), "target_mean": (dim,)}
        expected |= {"vectors": (n_items, dim), "log_prior": (n_items,)}
        for key in ("tau", "threshold", "min_quality"):
            if not np.isfinite(model.posterior[key]):
                raise ValueError(f"need a finite {key}, got {model.posterior[key]}")
    for name, shape in expected.items():
        tensor = getattr(model, name)
        if np.shape(tensor) != shape:
            raise ValueError(f"need {name} of shape {shape}, got {np.shape(tensor)}")
    for name in _TENSORS:
        if not np.isfinite(getattr(model, name)).all():
            raise ValueError(f"need finite numbers in {name}")
    for stage, arguments in model.cleaning.items():
        for name, value in arguments.items():  # an infinite limit is none
            if isinstance(value, np.ndarray) and np.isnan(value).any():
                raise ValueError(f"need numbers in {name} of {stage}")
    if model.references != model.info.ch_names[model.n_picks :] or model.n_picks < 1:
        raise ValueError("need the references as the last channels, and others before them")
