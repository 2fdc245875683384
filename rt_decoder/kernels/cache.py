"""Keep compiled kernels on disk, where only their owner can have put them.

Numba keeps them, too, but ends the import where it finds no folder to write to, loads whatever a
damaged file holds (a crash without a word), and takes any folder. Here

- the folder is ours and nobody else can write to it: beside this file, else in the user's cache;
  without one kernels are compiled in memory, and that is said once;
- a file holds the hash of its content, of the kernel's source, of every kernel file that this source
  imports, they and what they import in turn, and of the options it was compiled with: one that is
  damaged or stale is compiled again and replaced. So a kernel may call kernels of other files. There
  is no index that two programs could overwrite for each other.

The classes of numba that this builds on are private to it: pyproject.toml allows the versions that
were tested.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
)

__all__ = ["cache_folder", "cached_njit", "compile_only", "is_kept", "user_cache"]

HERE = Path(__file__).resolve().parent
_compiles_only = False  # see `compile_only`
_N_HASH = 32  # bytes of SHA-256
_OTHERS = 0o022  # group and others may write
_IMPORT = re.compile(rb"^from rt_decoder\.kernels\.(\w+) import", re.MULTILINE)
_NOT_COMPILED = (
    "options",
    "cache",
)  # their part in a kernel is the options that it is compiled with


def user_cache() -> Path | None:
    """Folder named by ``RT_DECODER_CACHE`` (None if empty), else that of the user's caches."""
    named = os.environ.get("RT_DECODER_CACHE")
    try:
        if named is not None:
            return Path(named).expanduser() if named else None
        base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / ".cache") / "rt_decoder"
    except RuntimeError:  # a service without a home
        return None


def _candidates() -> Iterator[Path]:
    name = f"kernels-{hashlib.sha256(str(HERE).encode()).hexdigest()[:12]}"
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(named) / f"rt_decoder-{name}"
    yield HERE / "__pycache__"
    if (folder := user_cache()) is not None:
        yield folder / name


def _is_ours(folder: Path) -> bool:
    """Whether we can write to a folder, and nobody else; it is made where it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        status = folder.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):  # Windows keeps a user's folders to the user
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Folder of the compiled kernels; None if there is none that only we can write to."""
    found = next(filter(_is_ours, _candidates()), None)
    if found is None:
        warnings.warn(
            "need a folder for compiled kernels that only this user can write to, got none: they "
            "are compiled in memory at each start, which takes a minute; set RT_DECODER_CACHE to one",
            RuntimeWarning,
            stacklevel=2,
        )
    return found


class _Locator(_CacheLocator):
    """Tells numba where the kernels of a file are kept, and what they were compiled from."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._line, self._file = function.__code__.co_firstlineno, file

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> bytes:
        return _hash_of(_with_imports(self._file))

    def get_disambiguator(self) -> str:
        return str(self._line)


@lru_cache(maxsize=256)
def _read(file: str) -> tuple[bytes, tuple[str, ...]]:
    """Text of a kernel file, and the kernel files beside it that it imports."""
    text = Path(file).read_bytes()
    beside = (Path(file).with_name(f"{name.decode()}.py") for name in _IMPORT.findall(text))
    kernels = (path for path in beside if path.stem not in _NOT_COMPILED and path.is_file())
    return text, tuple(map(str, kernels))


@lru_cache(maxsize=64)
def _with_imports(file: str) -> tuple[str, ...]:
    """List a kernel file and all that it imports, also by others, in a fixed order."""
    found, left = {file}, [file]
    while left:
        new = set(_read(left.pop())[1]) - found
        found |= new
        left += new
    return tuple(sorted(found))


@lru_cache(maxsize=64)
def _hash_of(files: tuple[str, ...]) -> bytes:
    parts = (hashlib.sha256(_read(file)[0]).digest() for file in files)
    return hashlib.sha256(b"".join(parts)).digest()


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _Files(IndexDataCacheFile):
    """Files of one kernel, one for each signature and processor; a hash follows the content."""

    def _path(self, key: object) -> Path:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:12]
        return Path(self._cache_path) / f"{self._index_name.removesuffix('.nbi')}.{name}.nbc"

    def _hash(self, key: object, content: bytes) -> bytes:
        return hashlib.sha256(self._source_stamp + repr(key).encode() + content).digest()

    def load(self, key: object) -> Any:
        """Return what was saved; None if it is missing, damaged or stale."""
        path = self._path(key)
        try:
            kept = path.read_bytes()
            if kept[-_N_HASH:] == self._hash(key, kept[:-_N_HASH]):
                return self._load_data(path.name)
        except OSError:
            pass
        return None

    def holds(self, key: object) -> bool:
        """Whether what was saved is there and whole; nothing is loaded."""
        try:
            kept = self._path(key).read_bytes()
        except OSError:
            return False
        return kept[-_N_HASH:] == self._hash(key, kept[:-_N_HASH])

    def save(self, key: object, data: object) -> None:
        """Replace a file as a whole; a full disk costs the next start a minute, and nothing else."""
        content, path, name = self._dump(data), self._path(key), None
        try:
            handle, name = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(content + self._hash(key, content))
            Path(name).replace(path)
        except OSError:
            if name is not None:
                Path(name).unlink(missing_ok=True)

    def flush(self) -> None:
        """Nothing to do: what is stale is replaced."""


class _Cache(FunctionCache):
    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(function)
        made_from = [numba.__version__, sys.version, sorted(options.items())]
        stamp = self._impl.locator.get_source_stamp() + repr(made_from).encode()
        self._cache_file = self._files = _Files(self._cache_path, self._impl.filename_base, stamp)

    def holds(self, signature: tuple[Any, ...], codegen: Any) -> bool:
        """Whether a kernel is kept for these types of arguments."""
        return self._files.holds(self._index_key(signature, codegen))


def is_kept(dispatcher: Any, signature: tuple[Any, ...]) -> bool:
    """Whether the cache has a kernel for these types of arguments, so that it need not be compiled.

    Parameters
    ----------
    dispatcher : numba dispatcher
        As `cached_njit` returns it.
    signature : tuple of numba types
        Of the arguments.

    Returns
    -------
    bool
    """
    cache = dispatcher._cache
    return isinstance(cache, _Cache) and cache.holds(signature, dispatcher.targetctx.codegen())


def compile_only() -> None:
    """Say that this process calls no kernel; to be called before kernels are imported.

    Kernels whose names begin with ``_`` are then compiled as parts of others alone: with no entry from
    Python, which takes an eighth of the time, and no file.
    """
    global _compiles_only
    _compiles_only = True


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile with `numba.njit`, and keep the result in `cache_folder`.

    Parameters
    ----------
    **options
        Of `numba.njit`, without ``cache``.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        is_part = _compiles_only and function.__name__.startswith("_")
        entry: dict[str, Any] = {"no_cpython_wrapper": True} if is_part else {}
        dispatcher = numba.njit(**options, **entry)(function)
        if cache_folder() is not None and not is_part:
            dispatcher._cache = _Cache(function, options)
        return dispatcher

    return decorate
