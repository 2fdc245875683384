"""Write a file whole or not at all: the one way in which files take the place of others."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["replacing", "write_whole"]


class replacing:
    """A path to write to that takes the place of `out` once it is whole.

    What is written lies in a folder of its own beside `out`, which nobody else can enter. When the
    block ends without an error, it is made readable by its owner only, handed to the disk and moved;
    else nothing of it is left, and `out` is as it was. A writer that splits its file may leave
    several parts: all are moved, the one that is named as `out` last.

    Parameters
    ----------
    out : path
        What is to be written.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.

    Examples
    --------
    >>> out = Path(tempfile.mkdtemp(), "figures.txt")
    >>> with replacing(out) as path:
    ...     _ = path.write_text("1 2 3")
    >>> out.read_text()
    '1 2 3'
    """

    def __init__(self, out: Path) -> None:
        if not out.parent.is_dir():
            raise FileNotFoundError(f"need a folder {out.parent.name} for {out.name}, got none")
        self._out = out

    def __enter__(self) -> Path:
        """The path to write to."""
        self._folder = tempfile.TemporaryDirectory(dir=self._out.parent, prefix=".rt_decoder-")
        return Path(self._folder.name, self._out.name)

    def __exit__(self, error: object, *_: object) -> None:
        """Move what was written, unless there was an error."""
        out, folder = self._out, Path(self._folder.name)
        with self._folder:
            if error is None:
                for part in sorted(folder.iterdir(), key=lambda part: part.name == out.name):
                    _settle(part)
                    part.replace(out.with_name(part.name))


def write_whole(out: Path, content: bytes) -> None:
    """Write `content` to `out` as `replacing` does."""
    with replacing(out) as path:
        path.write_bytes(content)


def _settle(path: Path) -> None:
    """Make a file private and wait until it is on the disk."""
    path.chmod(0o600)
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
