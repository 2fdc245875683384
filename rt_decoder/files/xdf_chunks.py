"""Cut an XDF file into its chunks, one after the other; knows nothing of what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from rt_decoder.files.xdf_writer import BOUNDARY

__all__ = ["Chunk", "Damaged", "read_chunks", "varying_int"]

_SCANNED = 1 << 20  # bytes at a time


class Damaged(ValueError):
    """A chunk that does not hold what it declares."""


class Chunk(NamedTuple):
    """Where a chunk lies in its file."""

    position: int
    tag: int
    start: int  # of what follows the tag
    stop: int


def read_chunks(file: BinaryIO, size: int) -> Iterator[Chunk]:
    """Yield the chunks of a file; a torn last one, as a killed recorder leaves it, has tag 0.

    Parameters
    ----------
    file : binary file
        May be moved between two chunks.
    size : int
        Bytes in it.

    Yields
    ------
    Chunk

    Raises
    ------
    Damaged
        If no chunk begins where one should; the text is the position.
    """
    position = 4  # after the magic bytes
    while position < size:
        file.seek(position)
        try:
            length = varying_int(file)
        except ValueError:
            raise Damaged(f"{position}") from None
        except EOFError:
            length = size
        start = file.tell()
        if length < 2:
            raise Damaged(f"{position}")
        if start + length > size:
            if _holds_boundary(file, position):  # whole chunks follow: damaged, not torn
                raise Damaged(f"{position}")
            yield Chunk(position, 0, position, size)
            return
        tag = int.from_bytes(file.read(2), "little")
        yield Chunk(position, tag, start + 2, start + length)
        position = start + length


def varying_int(file: BinaryIO) -> int:
    """Read a length or a count: how many bytes it takes, then the number.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it takes another number of bytes than 1, 4 or 8.
    EOFError
        If the file ends before.
    """
    n_bytes = file.read(1)
    if n_bytes and n_bytes[0] not in (1, 4, 8):
        raise ValueError(f"need a number of 1, 4 or 8 bytes, got {n_bytes[0]}")
    raw = file.read(n_bytes[0]) if n_bytes else b""
    if not n_bytes or len(raw) < n_bytes[0]:
        raise EOFError("need a number, got the end of the file")
    return int.from_bytes(raw, "little")


def _holds_boundary(file: BinaryIO, position: int) -> bool:
    file.seek(position)
    rest = b""
    while part := file.read(_SCANNED):
        if BOUNDARY in rest + part:
            return True
        rest = part[-len(BOUNDARY) :]
    return False
