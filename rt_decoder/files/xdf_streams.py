"""Parse the streams of an XDF file, in one pass and without its samples in memory.

Raw stamps and clock measurements are returned, neither synchronised nor smoothed: the time base
treats them as it treats a live stream.
"""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

import numpy as np

from rt_decoder.channels import Declared
from rt_decoder.counted import counted
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.damage import DAMAGE, first_line
from rt_decoder.files.stamps import LATEST
from rt_decoder.files.xdf_chunks import Chunk, Damaged, read_chunks, varying_int
from rt_decoder.files.xdf_numbers import FORMATS, NumberRuns

__all__ = ["XdfStream", "load_streams"]

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _, _STREAM_FOOTER = range(1, 7)


class XdfStream(NamedTuple):
    """One stream of a file, as recorded."""

    name: str
    type: str
    source_id: str
    sfreq: float  # Hz, 0 for an irregular rate
    values: np.ndarray | Blocks  # (n, c), of objects (str) for text
    stamps: np.ndarray  # (n,) s, raw
    clock: np.ndarray  # (k, 2) s: time of measurement on the stream's clock, offset to recorder's
    declared: tuple[Declared, ...]  # one a channel, or none
    is_closed: bool = True  # has a footer: the recorder closed the file

    @property
    def is_text(self) -> bool:
        """Whether it holds strings."""
        return not isinstance(self.values, Blocks) and self.values.dtype == object

    def __str__(self) -> str:
        kind = "text" if self.is_text else "numbers"
        rate = f"{self.sfreq:g} Hz" if self.sfreq else "irregular rate"
        return f"{self.name!r} ({self.type}: {kind}, {rate}, {counted(len(self.stamps), 'sample')})"


def load_streams(path: Path) -> list[XdfStream]:
    """Read all streams of an XDF file.

    A torn last chunk, as a killed recorder leaves it, is left out with a RuntimeWarning. Samples of
    a stream too large for memory stay in the file, as `Blocks`.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    list of XdfStream

    Raises
    ------
    OSError
        If the file is not XDF, or damaged elsewhere than at its end.
    """
    if path.is_dir():
        raise OSError(f"need a file, got the folder {path.name}")
    size = path.stat().st_size
    if size < 4:
        raise OSError(f"{path.name} is no XDF file: it holds {size} bytes")
    found: dict[bytes, _Reader] = {}
    with path.open("rb", buffering=1 << 20) as file:
        if file.read(4) != b"XDF:":
            raise OSError(f"{path.name} is no XDF file: it does not begin as one")
        try:
            for chunk in read_chunks(file, size):
                if chunk.tag:
                    _take(found, file, chunk, path.name)
                else:
                    warnings.warn(
                        f"{path.name} is cut off: left out the last {counted(size - chunk.start, 'byte')}",
                        RuntimeWarning,
                        stacklevel=4,
                    )
        except Damaged as error:
            raise OSError(f"{path.name} is damaged at byte {error}") from None
    try:
        return [reader.stream(path) for reader in found.values()]
    except DAMAGE as error:
        raise OSError(f"cannot read {path.name}: {first_line(error)}") from error


def _take(found: dict[bytes, _Reader], file: BinaryIO, chunk: Chunk, name: str) -> None:
    """Take up what a chunk holds."""
    try:
        if chunk.tag == _FILE_HEADER:
            _xml(file.read(chunk.stop - chunk.start))
        if chunk.tag not in (_STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER):
            return
        stream = file.read(4)
        if chunk.stop < chunk.start + 4:
            raise ValueError("a chunk is too short for its stream's number")
        if chunk.tag != _STREAM_HEADER and stream not in found:
            raise ValueError("a chunk belongs to no stream")
        n_bytes = chunk.stop - chunk.start - 4
        if chunk.tag == _STREAM_HEADER:
            found[stream] = _Reader(_xml(file.read(n_bytes)), os.fstat(file.fileno()).st_size)
        elif chunk.tag == _SAMPLES:
            found[stream].add_samples(file, chunk.stop)
        elif chunk.tag == _CLOCK_OFFSET:
            found[stream].clock.append(struct.unpack("<2d", file.read(n_bytes)[:16]))
        else:
            _xml(file.read(n_bytes))
            found[stream].is_closed = True
    except DAMAGE as error:
        raise OSError(f"{name} is damaged at byte {chunk.position}: {first_line(error)}") from None


def _xml(text: bytes) -> ElementTree.Element:
    # expat bounds what entities expand to
    return ElementTree.fromstring(text.decode("utf-8", "replace"))  # noqa: S314


class _Reader:
    """One stream, as its chunks come."""

    def __init__(self, info: ElementTree.Element, size: int) -> None:
        self.info = info
        self.n_channels = int(_text(info, "channel_count") or 0)
        kind = _text(info, "channel_format")
        if info.tag != "info" or self.n_channels < 1 or kind not in (*FORMATS, "string"):
            raise ValueError(
                f"a stream declares {self.n_channels} channels of format {kind[:20]!r}; need 1 or "
                f"more of {', '.join(FORMATS)}, string"
            )
        if self.n_channels > size:
            raise ValueError(
                f"a stream declares {self.n_channels} channels, more than the file can hold"
            )
        self.sfreq = float(_text(info, "nominal_srate"))
        step = 1.0 / self.sfreq if self.sfreq > 0 else 0.0
        self.numbers = None if kind == "string" else NumberRuns(kind, self.n_channels, step)
        self.clock: list[tuple[float, ...]] = []
        self.is_closed = False
        self._step, self._stamps, self._texts = step, list[float](), list[list[str]]()

    def add_samples(self, file: BinaryIO, stop: int) -> None:
        """Take up a chunk of samples."""
        n = varying_int(file)
        if self.numbers is not None:
            self.numbers.add(file, stop, n)
            return
        if n * (1 + 2 * self.n_channels) > stop - file.tell():
            raise ValueError(f"a chunk declares {n} texts, more than it can hold")
        for _ in range(n):
            if file.read(1) != b"\0":
                self._stamps += struct.unpack("<d", file.read(8))
            else:
                self._stamps.append((self._stamps[-1] if self._stamps else 0.0) + self._step)
            self._texts.append([_read_text(file, stop) for _ in range(self.n_channels)])
        if file.tell() != stop:
            raise ValueError(f"a chunk holds more than the {n} texts that it declares")

    def stream(self, path: Path) -> XdfStream:
        """All of it."""
        clock = np.array(self.clock, float).reshape(-1, 2)
        if not (np.abs(clock) < LATEST).all():
            raise ValueError("need clock offsets in s, got others")
        values: np.ndarray | Blocks
        if self.numbers is None:
            values = np.array(self._texts, object).reshape(-1, self.n_channels)
            stamps = np.array(self._stamps)
        else:
            values, stamps = self.numbers.values(path), self.numbers.stamps()
        info = self.info
        return XdfStream(
            _text(info, "name"), _text(info, "type"), _text(info, "source_id"), self.sfreq,
            values, stamps, clock, _declared(info), self.is_closed,
        )  # fmt: skip


def _read_text(file: BinaryIO, stop: int) -> str:
    n_bytes = varying_int(file)
    if file.tell() + n_bytes > stop:
        raise ValueError(f"a text declares {n_bytes} bytes, more than its chunk holds")
    return file.read(n_bytes).decode(errors="replace")


def _declared(info: ElementTree.Element) -> tuple[Declared, ...]:
    nodes = info.findall("desc[1]/channels[1]/channel")
    return tuple(
        Declared(_text(node, "label"), _text(node, "type"), _text(node, "unit")) for node in nodes
    )


def _text(node: ElementTree.Element, tag: str) -> str:
    child = node.find(tag)
    return "" if child is None or len(child) else (child.text or "").strip()
