"""Detect circles in a FIF file, which MNE would follow for ever while taking memory.

Each tag points to the next, and a file may point to another file that continues it. A damaged byte
can point back to a tag or file already read.
"""

from __future__ import annotations

import gzip
import struct
from io import BufferedIOBase
from pathlib import Path

__all__ = ["check_fif"]

_DIR_POINTER, _DIRECTORY = 101, 32
_ROLE, _NUMBER, _NAME = 115, 117, 118
_NEXT_FILE = 2
_MOST_BACKWARD = 1000  # jumps; editing programs leave some
_MOST_FILES = 1000
_LONGEST = 1 << 12  # bytes of a file's name
_LARGEST_DIRECTORY = 64 << 20  # bytes

Entry = tuple[int, int, int, int]  # kind, type, size, position


def check_fif(path: Path) -> None:
    """Check that neither the tags nor the parts of a file lead in a circle; nothing else.

    Parameters
    ----------
    path : path
        The first file; the files that continue it are checked as well.

    Raises
    ------
    ValueError
        If there is a circle.
    """
    seen: set[Path] = set()
    here: Path | None = path
    while here is not None and here.is_file():
        place = here.resolve()
        if place in seen or len(seen) >= _MOST_FILES:
            raise ValueError(f"its parts lead in a circle back to {here.name}")
        seen.add(place)
        with gzip.open(here) if here.suffix == ".gz" else here.open("rb") as file:
            here = _next_file(file, here, _entries(file))


def _header(file: BufferedIOBase, position: int) -> Entry | None:
    """Read kind, type, size and next of the tag at `position`."""
    file.seek(position)
    raw = file.read(16)
    return struct.unpack(">4i", raw) if len(raw) == 16 else None


def _entries(file: BufferedIOBase) -> list[Entry]:
    """Return the tags in the file's directory, or without one by following the tags."""
    first = _header(file, 0)
    pointer = None if first is None else _header(file, _following(0, first) or 0)
    if pointer is not None and pointer[0] == _DIR_POINTER and pointer[2] == 4:
        (position,) = struct.unpack(">i", file.read(4).ljust(4, b"\0"))
        directory = _header(file, position) if position > 0 else None
        if directory is not None and directory[2] > 0:
            if directory[1] != _DIRECTORY:
                return []
            raw = file.read(min(directory[2], _LARGEST_DIRECTORY))
            return list(struct.iter_unpack(">4i", raw[: len(raw) // 16 * 16]))
    return _chain(file)


def _chain(file: BufferedIOBase) -> list[Entry]:
    found: list[Entry] = []
    position: int | None = 0
    n_backward = 0
    while position is not None and (tag := _header(file, position)) is not None:
        found.append((*tag[:3], position))
        following = _following(position, tag)
        if following is not None and following <= position:
            n_backward += 1
            if n_backward > _MOST_BACKWARD or following == position:
                raise ValueError(f"its tags lead in a circle at byte {position}")
        position = following
    return found


def _following(position: int, tag: Entry) -> int | None:
    size, following = tag[2:]
    if following > 0:
        return following
    return position + 16 + size if following == 0 and size >= -16 - position else None


def _next_file(file: BufferedIOBase, path: Path, entries: list[Entry]) -> Path | None:
    """Find the file that continues this one, as MNE does."""
    is_next, found = False, None
    for kind, _, size, position in entries:
        if kind not in (_ROLE, _NUMBER, _NAME) or position < 0:
            continue
        file.seek(position + 16)
        raw = file.read(max(0, min(size, _LONGEST)))
        if kind == _ROLE:
            is_next = raw[:4] == struct.pack(">i", _NEXT_FILE)
        elif is_next and kind == _NAME:
            found = path.parent / raw.rstrip(b"\0").decode("latin-1").replace("\0", "")
        elif is_next and found is None and len(raw) >= 4:
            found = path.with_name(_numbered(path.name, struct.unpack(">i", raw[:4])[0]))
    return found


def _numbered(name: str, number: int) -> str:
    stem, dot, rest = name.partition(".")
    base, dash, digits = stem.rpartition("-")
    return f"{base if dash and digits.isdigit() else stem}-{number}{dot}{rest}"
