"""Cache vectors on disk, so that a language model runs only once per text.

Each specification (model, layer, pooling) has a folder of shards. A shard is named by the hash of
its bytes and never changes: several programs may write at once, and a damaged shard no longer
matches its name and is deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rt_decoder.files.atomic import replacing

__all__ = ["VectorCache", "default_cache_dir"]

_VERSION = 1


def default_cache_dir() -> Path | None:
    """Return the folder in ``RT_DECODER_CACHE`` (None if empty), else the user's cache folder.

    A service without a home has none.
    """
    named = os.environ.get("RT_DECODER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        if named is not None:
            return Path(named).expanduser() if named else None
        return (Path(base) if base else Path.home() / ".cache") / "rt_decoder"
    except RuntimeError:
        return None


class VectorCache:
    """Vectors of one specification, by key.

    Parameters
    ----------
    folder : path
        Created at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, cache_dir: str | Path | bool | None, spec: list) -> VectorCache | None:
        """Open the cache for a JSON-able `spec`; None where caching is off (False or "")."""
        if cache_dir is None or cache_dir is True:
            cache_dir = default_cache_dir()
        if not cache_dir or cache_dir is True:
            return None
        name = hashlib.sha256(json.dumps([_VERSION, *spec]).encode()).hexdigest()[:32]
        return cls(Path(cache_dir).expanduser() / "vectors" / name)

    def read(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the cached vectors, of shape (n_dimensions,), by key (hexadecimal SHA-256)."""
        wanted = set(keys)
        found: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if len(found) == len(wanted):
                break
            try:
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() != path.stem:
                    path.unlink(missing_ok=True)
                    continue
            except OSError:  # removed or locked by another program: compute again
                continue
            for name, vector in _vectors(content).items():
                if name in wanted:
                    found[name] = vector
        return found

    def write(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Write vectors of shape (n_dimensions,) by key to a new shard; warn if that fails."""
        keys = np.array([list(bytes.fromhex(key)) for key in vectors], np.uint8)
        rows = np.stack(list(vectors.values())).astype(np.float32)
        content = save({"keys": keys, "vectors": rows})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path, overwrite=True) as new:  # by the same bytes, if by anything
                new.write_bytes(content)
        except OSError as error:
            warnings.warn(
                f"vectors are not cached: {error}; set RT_DECODER_CACHE to a folder you can write",
                RuntimeWarning,
                stacklevel=3,
            )


def _vectors(content: bytes) -> dict[str, np.ndarray]:
    """Return a shard's vectors by key; none if its content is not ours."""
    try:
        shard = load(content)
        keys, vectors = shard["keys"], shard["vectors"]
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError):
        return {}
    fits = keys.ndim == 2 and vectors.ndim == 2 and len(keys) == len(vectors)
    if not fits or keys.dtype != np.uint8 or vectors.dtype != np.float32:
        return {}
    return {key.tobytes().hex(): vector for key, vector in zip(keys, vectors, strict=True)}
