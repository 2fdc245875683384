"""Append whole blocks to a file; knows nothing of what they mean.

A block is written whole or not at all, even when the disk is full. A process killed while writing
leaves at most the last block torn; readers drop it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["STANDARD", "AppendFile"]


STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}  # a file may lie behind it, and is not ours
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_APPEND = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)


class AppendFile:
    """A new file, readable by its owner only; for one thread.

    Nothing is buffered: after `append` a block survives the process, after `sync` the machine.

    Parameters
    ----------
    path : path-like
        Links are followed. An empty file, as `outputs.reserve` makes it, is taken up. What is no
        file (a FIFO, ``/dev/stdout``) is opened in place.

    Raises
    ------
    FileExistsError
        If there is a file that is not empty.
    OSError
        From any method, if the system cannot write; when a FIFO is opened that nobody reads.
    """

    def __init__(self, path: str | Path) -> None:
        place = Path(path)
        self._fd: int | None
        if str(place) in STANDARD:
            self._fd = os.dup(STANDARD[str(place)])
        elif place.exists() and not place.is_file():
            self._fd = _open_place(place)
        else:
            self._fd = _open_new(Path(os.path.realpath(place)))
        is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._is_regular = is_file and str(place) not in STANDARD
        self._is_torn = False
        self.size = 0

    @property
    def is_open(self) -> bool:
        """Whether the file can be written to."""
        return self._fd is not None

    def append(self, block: bytes) -> None:
        """Append a block whole, or raise and leave the file as it was.

        Parameters
        ----------
        block : bytes
            Any length.

        Raises
        ------
        ValueError
            If the file is closed.
        OSError
            If the system cannot write, or could not remove a torn block before.
        """
        if self._fd is None:
            raise ValueError("need an open file, got one that was closed")
        if self._is_torn:
            raise OSError(errno.EIO, "a torn block could not be removed; nothing can follow it")
        try:
            written = os.write(self._fd, block)
            while written < len(block):  # only if space or a quota ran out; the next write raises
                written += os.write(self._fd, block[written:])
        except OSError:
            self._cut_back(self._fd)
            raise
        self.size += len(block)

    def _cut_back(self, fd: int) -> None:
        if not self._is_regular:
            return
        try:
            os.ftruncate(fd, self.size)
        except OSError:
            self._is_torn = True

    def sync(self) -> None:
        """Wait until all blocks are on the disk."""
        if self._fd is not None and self._is_regular:
            getattr(os, "fdatasync", os.fsync)(self._fd)

    def close(self) -> None:
        """Wait until all blocks are on the disk, and close."""
        if self._fd is None:
            return
        try:
            self.sync()
        finally:
            fd, self._fd = self._fd, None
            os.close(fd)


def _open_new(path: Path) -> int:
    """Make a file, or take up an empty one."""
    try:
        return os.open(path, _APPEND | _NEW, 0o600)
    except FileExistsError:
        fd = os.open(path, _APPEND | getattr(os, "O_NOFOLLOW", 0))
    if os.fstat(fd).st_size == 0:
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(fd, 0o600)
            return fd
        except OSError:
            os.close(fd)
            raise
    os.close(fd)
    raise FileExistsError(f"need a new file, got {path.name}, which exists and is not empty")


def _open_place(path: Path) -> int:
    """Open what is no file; a FIFO without a reader is refused instead of waited for."""
    try:
        fd = os.open(path, _APPEND | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(f"need a program that reads {path.name}, a FIFO, got none yet") from None
    if hasattr(os, "set_blocking"):
        os.set_blocking(fd, True)
    return fd
