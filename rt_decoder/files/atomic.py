"""Write a file whole or not at all; every file that replaces another is written by this."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["replacing", "write_whole"]


class replacing:
    """Context manager: a path to write to, which replaces `out` once it is whole.

    The path lies in a private folder beside `out`. If the block ends without an error, the file is
    made readable by its owner only, synced to the disk and moved to `out`. After an error it is
    removed, and `out` is unchanged. If a writer splits its file, all parts are moved, the one named
    like `out` last.

    Parameters
    ----------
    out : path
        File to write.

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
        """Return the path to write to."""
        self._folder = tempfile.TemporaryDirectory(dir=self._out.parent, prefix=".rt_decoder-")
        return Path(self._folder.name, self._out.name)

    def __exit__(self, error: object, *_: object) -> None:
        """Move the files written, unless there was an error."""
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
