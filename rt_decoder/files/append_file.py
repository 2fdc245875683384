"""A file that only grows, by whole blocks; knows nothing of what they mean.

A block is there as a whole or not at all, also where the disk is full. A process that is killed in
the middle of one leaves it torn, always at the end: readers drop it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["AppendFile"]


class AppendFile:
    """A new file, readable by its owner only; for one thread.

    Nothing is kept in memory: what `append` took has been handed to the system, and survives the
    process. What `sync` has seen survives the machine.

    Parameters
    ----------
    path : path-like
        Links are followed. What is no regular file (``/dev/stdout``) is written to as it is.
    replace : bool
        Whether a file that exists is replaced.

    Raises
    ------
    FileExistsError
        If there is a file and it may not be replaced.
    OSError
        From any method, if the system cannot write.
    """

    def __init__(self, path: str | Path, replace: bool = True) -> None:
        target = Path(os.path.realpath(path))
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
        if target.is_file() or not target.exists():
            if replace:
                target.unlink(missing_ok=True)  # a new file, so that the mode is ours
            flags |= os.O_CREAT | os.O_EXCL
        self._fd: int | None = os.open(target, flags, 0o600)
        self._is_regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._is_torn = False
        self.size = 0

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return self._fd is not None

    def append(self, block: bytes) -> None:
        """Append a block whole, or raise and leave the file as it was."""
        if self._fd is None:
            raise ValueError("need an open file, got one that was closed")
        if self._is_torn:
            raise OSError(errno.EIO, "the last block could not be cut back, nothing can follow it")
        try:
            written = os.write(self._fd, block)
            while written < len(block):  # only where space or a quota ends; then this raises
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
        """Wait until everything is on the disk."""
        if self._fd is not None and self._is_regular:
            getattr(os, "fdatasync", os.fsync)(self._fd)

    def close(self) -> None:
        """Hand everything to the disk and close."""
        if self._fd is None:
            return
        try:
            self.sync()
        finally:
            fd, self._fd = self._fd, None
            os.close(fd)
