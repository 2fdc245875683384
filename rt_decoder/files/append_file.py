"""Append whole blocks to a file; knows nothing of what they mean.

A block is written whole or not at all, even when the disk is full. A process killed while writing
leaves at most the last block torn; readers drop it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["AppendFile"]


class AppendFile:
    """A new file, readable by its owner only; for one thread.

    Nothing is buffered: after `append` a block survives the process, after `sync` the machine.

    Parameters
    ----------
    path : path-like
        Links are followed. Files that are not regular (``/dev/stdout``) are opened in place.
    replace : bool
        Whether to replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and `replace` is false.
    OSError
        From any method, if the system cannot write.
    """

    def __init__(self, path: str | Path, replace: bool = True) -> None:
        target = Path(os.path.realpath(path))
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
        if target.is_file() or not target.exists():
            if replace:
                target.unlink(missing_ok=True)  # an existing file would keep its mode
            flags |= os.O_CREAT | os.O_EXCL
        self._fd: int | None = os.open(target, flags, 0o600)
        self._is_regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
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
