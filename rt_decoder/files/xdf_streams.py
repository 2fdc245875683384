"""Parse the streams of an XDF file with pyxdf.

pyxdf's synchronisation and smoothing of stamps are off. Raw stamps and clock measurements are
returned, and the time base treats them as it treats a live stream.
"""

from __future__ import annotations

import io
import logging
import mmap
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.channels import Declared
from rt_decoder.files.damage import DAMAGE, first_line
from rt_decoder.files.stamps import LATEST
from rt_decoder.files.xdf_chunks import ChunkCheck
from rt_decoder.files.xdf_writer import BOUNDARY

__all__ = ["XdfStream", "load_streams"]


class XdfStream(NamedTuple):
    """One stream of a file, as recorded."""

    name: str
    type: str
    source_id: str
    sfreq: float  # Hz, 0 for an irregular rate
    values: np.ndarray  # (n, c), of objects (str) for text
    stamps: np.ndarray  # (n,) s, raw
    clock: np.ndarray  # (k, 2) s: time of measurement on the stream's clock, offset to recorder's
    declared: tuple[Declared, ...]  # one a channel, or none
    is_closed: bool = True  # has a footer: the recorder closed the file

    @property
    def is_text(self) -> bool:
        """Whether it holds strings."""
        return self.values.dtype == object

    def __str__(self) -> str:
        kind = "text" if self.is_text else "numbers"
        rate = f"{self.sfreq:g} Hz" if self.sfreq else "irregular rate"
        return f"{self.name!r} ({self.type}: {kind}, {rate}, {len(self.stamps)} samples)"


def load_streams(path: Path) -> list[XdfStream]:
    """Read all streams of an XDF file.

    A torn last chunk, as a killed recorder leaves it, is left out with a RuntimeWarning.

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
    ImportError
        If pyxdf is not installed.
    """
    try:
        import pyxdf
    except ImportError:
        raise ImportError(
            "need pyxdf to read .xdf files: pip install 'rt-decoder[files]'"
        ) from None
    errors = _Errors()
    logger = logging.getLogger(pyxdf.load_xdf.__module__)
    logger.addHandler(errors)
    try:
        whole = _whole_chunks(path)
        with np.errstate(all="ignore"):  # pyxdf divides by durations of 0
            found, _ = pyxdf.load_xdf(
                whole, synchronize_clocks=False, dejitter_timestamps=False, verbose=False
            )
        streams = [_stream(entry) for entry in found]
    except DAMAGE as error:
        raise OSError(f"cannot read {path.name}: {first_line(error)}") from error
    finally:
        logger.removeHandler(errors)
    if errors.messages:  # pyxdf skips what it cannot read and continues
        raise OSError(f"{path.name} is damaged: {errors.messages[0].splitlines()[0]}")
    return streams


class _Errors(logging.Handler):
    """Collect the errors that pyxdf only logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _whole_chunks(path: Path) -> str | io.BytesIO:
    """Return the path, or the whole chunks if the last is torn: pyxdf would invent samples."""
    if path.is_dir():
        raise OSError(f"need a file, got the folder {path.name}")
    size = path.stat().st_size
    if size < 4:
        raise OSError(f"{path.name} is no XDF file: it holds {size} bytes")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:4] != b"XDF:":
            raise OSError(f"{path.name} is no XDF file: it does not begin as one")
        position, chunks = 4, ChunkCheck(content)
        while position < size:
            n_bytes = content[position]
            start = position + 1 + n_bytes
            length = int.from_bytes(content[position + 1 : start], "little")
            if n_bytes not in (1, 4, 8) or (start <= size and length < 2):
                raise OSError(f"{path.name} is damaged at byte {position}")
            if start + length > size:
                break
            try:
                chunks.check(start, start + length)
            except (ValueError, SyntaxError) as error:  # SyntaxError: XML
                raise OSError(f"{path.name} is damaged at byte {position}: {error}") from None
            position = start + length
        if position == size:
            return str(path)
        if content.find(BOUNDARY, position) >= 0:  # whole chunks follow: damaged, not torn
            raise OSError(f"{path.name} is damaged at byte {position}")
        warnings.warn(
            f"{path.name} is cut off: the last {size - position} bytes are left out",
            RuntimeWarning,
            stacklevel=5,
        )
        return io.BytesIO(content[:position])


def _stream(entry: dict[str, Any]) -> XdfStream:
    info = entry["info"]
    n_channels = int(_text(info, "channel_count"))
    is_text = _text(info, "channel_format") == "string"
    values = np.asarray(entry["time_series"], object if is_text else None)
    clock = np.array([entry["clock_times"], entry["clock_values"]], float)
    if not (np.abs(clock) < LATEST).all():
        raise ValueError("need clock offsets in s, got others")
    desc = _child(info, "desc")
    nodes = _child(desc, "channels").get("channel", [])
    declared = [
        Declared(_text(node, "label"), _text(node, "type"), _text(node, "unit"))
        if isinstance(node, dict)
        else Declared()
        for node in nodes
    ]
    return XdfStream(
        _text(info, "name"),
        _text(info, "type"),
        _text(info, "source_id"),
        float(_text(info, "nominal_srate") or 0),
        values.reshape(len(values), n_channels),
        entry["time_stamps"],
        clock.T,
        tuple(declared),
        "footer" in entry,
    )


def _child(node: dict[str, Any], tag: str) -> dict[str, Any]:
    """Return the element `tag`, or an empty one if it is missing or holds only text."""
    child = (node.get(tag) or [None])[0]
    return child if isinstance(child, dict) else {}


def _text(node: dict[str, Any], tag: str) -> str:
    text = (node.get(tag) or [None])[0]
    return text.strip() if isinstance(text, str) else ""
