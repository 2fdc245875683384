"""Write a file whole or not at all; every file that is not appended to is written by this."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["free_names", "named_error", "replacing", "write_file", "write_whole"]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NUMBER = re.compile(r"-(\d{3})$")


class replacing:
    """Context manager: a path to write to, which becomes `out` once it is whole.

    The path lies in a private folder beside `out`. If the block ends without an error, the file is
    made readable by its owner only, synced to the disk and moved to `out`, and the folder synced.
    After an error it is removed, and `out` is unchanged. If a writer splits its file, all parts are
    moved, the one named like `out` last.

    Parameters
    ----------
    out : path
        File to write. A link of this name is replaced, never followed.
    overwrite : bool
        Whether a file of this name may be replaced. Otherwise one that has come meanwhile stays,
        and the new file is kept beside it under the next free name.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    FileExistsError
        At the end, if there is a file of this name; the sentence says where the new one is.
    OSError
        If the file cannot be written, which names it, or is not the one that was made.

    Examples
    --------
    >>> out = Path(tempfile.mkdtemp(), "figures.txt")
    >>> with replacing(out) as path:
    ...     _ = path.write_text("1 2 3")
    >>> out.read_text()
    '1 2 3'
    """

    def __init__(self, out: Path, overwrite: bool = False) -> None:
        if not out.parent.is_dir():
            raise FileNotFoundError(f"need a folder {out.parent.name} for {out.name}, got none")
        self._out, self._overwrite = out, overwrite

    def __enter__(self) -> Path:
        """Return the path to write to."""
        try:
            self._folder = tempfile.TemporaryDirectory(dir=self._out.parent, prefix=".rt_decoder-")
        except OSError as error:
            raise named_error(error, self._out) from None
        return Path(self._folder.name, self._out.name)

    def __exit__(self, kind: object, error: BaseException | None = None, *_: object) -> None:
        """Move the files written, unless there was an error."""
        out, folder = self._out, Path(self._folder.name)
        try:
            if kind is None:
                self._move(folder)
        except OSError as failed:
            error = failed
        try:
            self._folder.cleanup()
        except OSError:  # such as without a descriptor to list it with
            with suppress(OSError):
                (folder / out.name).unlink(missing_ok=True)
                folder.rmdir()
        if isinstance(error, OSError):
            raise named_error(error, out) from None

    def _move(self, folder: Path) -> None:
        out = self._out
        parts = sorted(folder.iterdir(), key=lambda part: part.name == out.name)
        for part in parts:
            _settle(part)
        taken = (
            [] if self._overwrite else [p for p in parts if os.path.lexists(out.parent / p.name)]
        )
        if taken:  # it came after the work began
            kept = _keep(parts, out)
            raise FileExistsError(
                f"need a new file, got {taken[0].name}, which exists; the new one is kept as "
                f"{kept.name} beside it"
            )
        for part in parts:
            _publish(part, out.with_name(part.name), self._overwrite)
        _sync_folder(out.parent)


def write_whole(out: Path, content: bytes, overwrite: bool = False) -> None:
    """Write `content` to `out` as `write_file` does.

    Parameters
    ----------
    out : path
        File to write.
    content : bytes
        All of it.
    overwrite : bool
        Whether a file of this name may be replaced.

    Raises
    ------
    OSError
        If `out` could not be written; the sentence says where `content` is kept.
    """
    write_file(out, lambda path: _write_new(path, content), overwrite)


def write_file(out: Path, write: Callable[[Path], None], overwrite: bool = False) -> None:
    """Write by `write` as `replacing` does; where that fails, keep the file in another folder.

    Parameters
    ----------
    out : path
        File to write.
    write : callable
        Takes a path and writes a new file there; called again where the disk is full.
    overwrite : bool
        Whether a file of this name may be replaced.

    Raises
    ------
    FileExistsError
        If `out` has come meanwhile; the new file is beside it.
    OSError
        If `out` could not be written; the sentence says where the file is kept, if anywhere.
    """
    try:
        with replacing(out, overwrite) as path:
            write(path)
    except OSError as error:
        if isinstance(error, FileExistsError) and error.errno is None:
            raise  # the new file is beside the old one
        kept = _kept_elsewhere(out, write)
        where = f"it is kept as {kept}" if kept else "no other folder had room for it either"
        raise type(error)(f"{error}; {where}") from None


def _kept_elsewhere(out: Path, write: Callable[[Path], None]) -> Path | None:
    """Write into the first other folder that takes it."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        for name in free_names(folder / out.name):
            if not os.path.lexists(name):
                break
        try:
            with replacing(name) as path:
                write(path)
        except OSError:
            continue
        return name
    return None


def named_error(error: OSError, path: Path) -> OSError:
    """Return an error that says in one sentence which file could not be written, and why.

    Parameters
    ----------
    error : OSError
        The system's; one with a sentence of its own is returned as it is.
    path : path
        The file.

    Returns
    -------
    OSError
        Of the same type and number.
    """
    if error.errno is None or error.strerror is None:
        return error
    said = type(error)(f"cannot write {path.name} in {path.parent.absolute()}: {error.strerror}")
    said.errno = error.errno
    return said


def free_names(path: Path) -> Iterator[Path]:
    """Yield `path`, then the same name with numbers: session.xdf, session-002.xdf, ...

    Parameters
    ----------
    path : path
        One that ends in a number already goes on from there.

    Yields
    ------
    path
        Without end.

    Examples
    --------
    >>> names = free_names(Path("me.rtd.safetensors"))
    >>> [next(names).name, next(names).name]
    ['me.rtd.safetensors', 'me-002.rtd.safetensors']
    """
    yield path
    ending = ".rtd.safetensors" if path.name.endswith(".rtd.safetensors") else path.suffix
    stem = path.name[: len(path.name) - len(ending)] if ending else path.name
    number = 2
    if found := _NUMBER.search(stem):
        stem, number = stem[: found.start()], int(found[1]) + 1
    while True:
        yield path.with_name(f"{stem}-{number:03d}{ending}")
        number += 1


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that was not there; a link is not followed."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _keep(parts: list[Path], out: Path) -> Path:
    """Move files beside one that has their name; returns where `out` is."""
    for name in free_names(out):
        stem = name.name.removesuffix(out.suffix)
        new = [name.with_name(part.name.replace(out.stem, stem, 1)) for part in parts]
        try:
            for part, place in zip(parts, new, strict=True):
                if part.exists():
                    _publish(part, place, overwrite=False)
        except FileExistsError:
            continue
        _sync_folder(out.parent)
        return name
    raise AssertionError("names end never")


def _publish(part: Path, out: Path, overwrite: bool) -> None:
    if overwrite:
        part.replace(out)
        return
    try:
        os.link(part, out, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a disk without links: take the name, then the place
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600))
        part.replace(out)
    else:
        part.unlink()


def _settle(path: Path) -> None:
    """Make a file private and wait until it is on the disk; refuse one that was planted."""
    what = path.lstat()
    if not stat.S_ISREG(what.st_mode) or what.st_nlink > 1:
        raise OSError(f"need a new file to write {path.name} to, got a link or no file at all")
    handle = os.open(path, os.O_RDWR | _NO_LINK)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(handle, 0o600)
        else:
            path.chmod(0o600)
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make sure that a power cut keeps the new name, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # some network disks refuse; the file itself is safe
        os.fsync(handle)
    os.close(handle)
