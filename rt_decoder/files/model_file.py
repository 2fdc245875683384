"""Model files (``*.rtd.safetensors``): a fitted `Model`, written whole and checked when read.

Tensors, plus one JSON text in the file's metadata. Nothing in it is ever unpickled or evaluated.
Loading checks structure, shapes, finiteness and a content hash, and says in one sentence what is
wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.files.atomic import write_whole
from rt_decoder.model import TENSORS, Model
from rt_decoder.model_check import check_model, check_settings
from rt_decoder.signal import FLAGS_VERSION, SignalInfo

__all__ = ["FORMAT_VERSION", "ModelCorrupt", "load_model", "model_hash", "save_model"]

FORMAT_VERSION = 1
_KEY = "rt_decoder"
MAX_BYTES = 8 << 30
# what a hostile file makes of the code that unpacks it
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_JSON = ("recipe", "items", "posterior", "certificate", "references", "versions")
_CLEANING = "cleaning."  # tensors of cleaning stages are named cleaning.STAGE.ARGUMENT


class ModelCorrupt(ValueError):
    """A model file that cannot be trusted: truncated, altered, or not a model at all."""


def _digest(text: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _pack(model: Model) -> tuple[str, dict[str, np.ndarray]]:
    info = model.info
    tensors = {name: getattr(model, name) for name in TENSORS}
    if info.positions is not None:
        tensors["positions"] = info.positions
    tensors = {name: np.ascontiguousarray(t) for name, t in tensors.items() if t.size}
    head = {name: getattr(model, name) for name in _JSON}
    head["format_version"], head["flags_version"] = FORMAT_VERSION, FLAGS_VERSION
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
    write_whole(path, payload)
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
        version, flags = int(head["format_version"]), int(head.get("flags_version", 1))
    except _DAMAGE:
        raise ModelCorrupt(f"the header of {path.name} cannot be read") from None
    if version < 1:
        raise ModelCorrupt(f"the header of {path.name} cannot be read")
    if version > FORMAT_VERSION:
        raise ModelCorrupt(
            f"{path.name} has format {version}, newer than the {FORMAT_VERSION} read here; "
            "upgrade rt-decoder"
        )
    if flags > FLAGS_VERSION:
        raise ModelCorrupt(
            f"{path.name} has reason flags of version {flags}, newer than the {FLAGS_VERSION} read "
            "here; upgrade rt-decoder"
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
    for name in TENSORS:
        if name in tensors:
            tensors[name].setflags(write=False)
            fields[name] = tensors[name]
    return Model(info=info, **fields)
