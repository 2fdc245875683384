"""Write model files (``*.rtd.safetensors``) whole, and check them when reading.

A file holds tensors, and one JSON text, the header, in its metadata. Nothing is unpickled or
evaluated. Loading checks a content hash, then types (`model_format`), then whether all parts fit
together (`model_check`), and reports the first flaw in one sentence.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.files.atomic import write_whole
from rt_decoder.files.model_check import check_model
from rt_decoder.files.model_format import FORMAT_VERSION, pack, unpack, upgrade
from rt_decoder.model import Model
from rt_decoder.signal import FLAGS_VERSION

__all__ = [
    "ModelCorrupt",
    "content_hash",
    "load_model",
    "model_hash",
    "read_tensors",
    "save_model",
]

_KEY = "rt_decoder"
MAX_BYTES = 8 << 30
_ROWS_OF = 1 << 18  # numbers that are read at once
_LONGEST = 400  # characters of a reason
# errors that a hostile file can cause in the code that unpacks it
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class ModelCorrupt(ValueError):
    """A model file that cannot be used: truncated, altered, too new, or not a model."""


def content_hash(text: str, tensors: dict[str, np.ndarray]) -> str:
    """Compute the content hash of a file.

    Parameters
    ----------
    text : str
        The header.
    tensors : dict of str to array of any shape (n, ...)
        Names, types and shapes count, too; the order of the names does not.

    Returns
    -------
    str
        SHA-256 as hexadecimal digits.
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.reshape(-1).view(np.uint8).data)  # no copy: vectors may be many
    return digest.hexdigest()


def model_hash(model: Model) -> str:
    """Return the SHA-256 of the model's content as hexadecimal digits."""
    return content_hash(*pack(model))


def save_model(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> str:
    """Write a model file whole or not at all, readable by its owner only.

    Parameters
    ----------
    model : Model
        Checked before anything is written.
    path : path-like
        File to write, usually ``*.rtd.safetensors``.
    overwrite : bool
        Whether a file of this name may be replaced.

    Returns
    -------
    str
        The content hash.

    Raises
    ------
    ValueError
        If no pipeline can be built from the model.
    OSError
        If the file cannot be written; the sentence says where the model is kept.
    """
    from safetensors.numpy import save

    check_model(model)
    path = Path(path)
    text, tensors = pack(model)
    digest = content_hash(text, tensors)
    payload = save(tensors, metadata={_KEY: text, "sha256": digest})
    write_whole(path, payload, overwrite)
    return digest


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file and check it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IsADirectoryError
        If it is a folder.
    ModelCorrupt
        If it is truncated, altered, malformed, or of a newer format than this program reads.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"need a model file, got the folder {path.resolve().name or '/'}")
    if not path.is_file():
        raise FileNotFoundError(f"no model file {path.name}; rt-calibrate fit writes one")
    if path.stat().st_size > MAX_BYTES:
        raise ModelCorrupt(f"{path.name} is larger than any model ({path.stat().st_size} bytes)")
    metadata, tensors = read_tensors(path, _KEY, "rt_decoder model")
    head, version = _header(metadata[_KEY], path.name)
    if content_hash(metadata[_KEY], tensors) != metadata.get("sha256"):
        raise ModelCorrupt(f"{path.name} was altered after it was written: its hash differs")
    try:
        model = unpack(*upgrade(head, tensors, version))
        check_model(model)
    except DAMAGE as error:
        why = _why(error)
        if version < FORMAT_VERSION:
            raise ModelCorrupt(
                f"{path.name} has format {version} and cannot be read any more ({why}); "
                "fit it again with rt-calibrate fit"
            ) from None
        raise ModelCorrupt(f"{path.name} is incomplete or inconsistent: {why}") from None
    return model


def _why(error: Exception) -> str:
    """Say what a model lacks, on one line, without words of Python."""
    text = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, LookupError | TypeError | AttributeError):
        named = re.findall(r"'(\w+)'", text)
        return (
            f"need {', '.join(named)}, got none or another kind" if named else "a value is missing"
        )
    return text


def _header(text: str, name: str) -> tuple[dict[str, Any], int]:
    """Return the header and its format version, or raise ModelCorrupt."""
    try:
        head = json.loads(text)
        version, flags = int(head["format_version"]), int(head.get("flags_version", 1))
    except DAMAGE:
        version = flags = 0
    if version < 1:
        raise ModelCorrupt(f"the header of {name} cannot be read")
    if version > FORMAT_VERSION:
        raise ModelCorrupt(
            f"{name} has format {version}, newer than the {FORMAT_VERSION} read here; "
            "upgrade rt-decoder"
        )
    if flags > FLAGS_VERSION:
        raise ModelCorrupt(
            f"{name} has reason flags of version {flags}, newer than the {FLAGS_VERSION} read here; "
            "upgrade rt-decoder"
        )
    return head, version


def read_tensors(path: Path, key: str, what: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Read metadata and tensors of a safetensors file that rt_decoder wrote.

    Parameters
    ----------
    path : path
    key : str
        Name of the header in the metadata.
    what : str
        What the file should be, for the sentence of an error.

    Returns
    -------
    metadata : dict of str to str
    tensors : dict of str to array of any shape (n, ...)

    Raises
    ------
    ModelCorrupt
        If it is another file, or no whole one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if key not in metadata:
                raise ModelCorrupt(f"{path.name} is a safetensors file but no {what}")
            return metadata, {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118
    except ModelCorrupt:
        raise
    except (SafetensorError, *DAMAGE) as error:
        why = (
            "it is empty"
            if path.stat().st_size == 0
            else "it is cut off, damaged or of another kind"
        )
        if not path.name.endswith(".safetensors"):
            why += ", as its name says: a model is called *.rtd.safetensors"
        whole = "model" if key == _KEY else what
        raise ModelCorrupt(f"{path.name} is no whole {whole} file: {why}") from error


def _tensor(file: Any, name: str) -> np.ndarray:
    """Read a tensor, a large one by rows: reading holds the interpreter, and a session may run."""
    part = file.get_slice(name)
    shape = part.get_shape()
    n = max(1, _ROWS_OF // max(1, math.prod(shape[1:])))
    if not shape or shape[0] <= n:
        tensor: np.ndarray = file.get_tensor(name)
        return tensor
    first = part[:n]
    tensor = np.empty(shape, first.dtype)
    tensor[:n] = first
    for row in range(n, shape[0], n):
        end = min(row + n, shape[0])
        tensor[row:end] = part[row:end]
    return tensor
