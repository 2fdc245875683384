"""Write XDF 1.0 files (https://github.com/sccn/xdf/wiki/Specifications) as samples arrive.

Session records are such files. Each chunk is written whole and at once, so a killed process leaves
at most the last chunk torn. This module knows nothing of what the streams mean.
"""

from __future__ import annotations

import re
import struct
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rt_decoder.files.append_file import AppendFile
from rt_decoder.files.stamps import are_usable
from rt_decoder.signal import SignalInfo

__all__ = ["BOUNDARY", "XdfWriter"]

# Readers search for it to resume in a damaged file.
BOUNDARY = bytes.fromhex("43A546DCCBF5410FB30ED5467383CBE4")
BOUNDARY_EVERY = 10.0  # s
_FORMATS = {
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "float32": "<f4",
    "double64": "<f8",
}
_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _BOUNDARY, _STREAM_FOOTER = range(1, 7)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Stream:
    """Sample format of a stream, and its counts for the footer."""

    def __init__(self, channel_format: str, n_channels: int) -> None:
        self.n_channels = n_channels
        self.dtype: np.dtype | None = None  # of one sample; None for strings
        if channel_format != "string":
            values = (_FORMATS[channel_format], (n_channels,))
            self.dtype = np.dtype([("n", "u1"), ("stamp", "<f8"), ("values", *values)])
        self.first = self.last = 0.0
        self.count = 0
        self.has_offsets = False

    def unmeasured(self) -> list[float]:
        """Return when, in s, to say that the clock is the recorder's, if nobody said another."""
        ends = {self.first, self.last} if self.count and not self.has_offsets else set()
        return sorted(ends) if are_usable(np.array(sorted(ends))).all() else []


class XdfWriter:
    """Append streams to a new XDF file; for one thread.

    Parameters
    ----------
    path : path
        File to create, readable by its owner only, as `AppendFile` takes it.

    Raises
    ------
    FileExistsError
        If there is a file that is not empty.
    OSError
        From any method, if the system cannot write; what was written before stays readable.

    Examples
    --------
    >>> import tempfile
    >>> info = SignalInfo(250.0, ("Cz",), ("eeg",), ("microvolts",))
    >>> with XdfWriter(Path(tempfile.mkdtemp(), "run.xdf")) as xdf:
    ...     xdf.add_stream(1, name="amp", type="EEG", info=info)
    ...     xdf.write_samples(1, np.zeros((2, 1)), np.array([10.0, 10.004]))
    """

    def __init__(self, path: str | Path) -> None:
        self._file = AppendFile(path)
        self._streams: dict[int, _Stream] = {}
        self._next_boundary = time.monotonic() + BOUNDARY_EVERY
        try:
            self._file.append(b"XDF:" + _chunk(_FILE_HEADER, _xml({"version": "1.0"})))
        except OSError:
            self._file.close()
            raise

    def __enter__(self) -> XdfWriter:
        """Return the writer; its file is open already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file, also after an error."""
        self.close()

    def add_stream(
        self,
        stream_id: int,
        *,
        name: str,
        type: str,  # noqa: A002 - XDF's own word
        info: SignalInfo | None = None,
        n_channels: int = 0,
        channel_format: str = "",
        source_id: str = "",
        desc: Mapping[str, str] | None = None,
    ) -> None:
        """Declare a stream before its first sample.

        Parameters
        ----------
        stream_id : int
            Number of the stream in the file, from 0 to 2**32 - 1.
        name, type, source_id : str
            As in LSL.
        info : SignalInfo or None
            Rate and channels of a signal. Without it the rate is irregular.
        n_channels : int
            Number of channels without `info`; 0 is a stream of text, which has one channel.
        channel_format : str
            LSL's name of a number format: int8, int16, int32, int64, float32, or double64, the
            default.
        desc : mapping of str to str or None
            Further elements of the description, by tag.

        Raises
        ------
        ValueError
            If the number is in use or the format unknown.
        """
        n_channels = n_channels if info is None else info.n_channels
        channel_format = channel_format or ("double64" if n_channels else "string")
        if stream_id in self._streams:
            raise ValueError(f"need a new stream_id, got {stream_id}, which is in use")
        if n_channels and channel_format not in _FORMATS:
            raise ValueError(
                f"need a number format among {', '.join(_FORMATS)}, got {channel_format!r}"
            )
        described = ElementTree.Element("desc")
        if info is not None:
            group = ElementTree.SubElement(described, "channels")
            for row in zip(info.ch_names, info.ch_types, info.units, strict=True):
                channel = ElementTree.SubElement(group, "channel")
                _fill(channel, dict(zip(("label", "type", "unit"), row, strict=True)))
        _fill(described, desc or {})
        header = {
            "name": name,
            "type": type,
            "channel_count": str(n_channels or 1),
            "nominal_srate": repr(float(info.sfreq)) if info else "0",
            "channel_format": channel_format,
            "source_id": source_id,
        }
        self._put(_STREAM_HEADER, stream_id, _xml(header, described))
        self._streams[stream_id] = _Stream(channel_format, n_channels)

    def write_samples(
        self,
        stream_id: int,
        data: np.ndarray | Sequence[str],
        stamps: np.ndarray,
    ) -> None:
        """Append samples with their time stamps; 0 samples are allowed.

        Parameters
        ----------
        stream_id : int
            Number of a stream that was added.
        data : array of shape (n_samples, n_channels), or sequence of n_samples str
            Values; strings for a stream of text.
        stamps : array of shape (n_samples,), float64
            Time stamps in s.

        Raises
        ------
        ValueError
            If the shapes do not fit the stream.
        """
        stream = self._stream(stream_id)
        times = np.asarray(stamps, np.float64)
        n = len(times)
        if n == 0 and len(data) == 0:
            return
        if stream.dtype is None:
            body = _pack_strings([str(text) for text in data], times)
        else:
            if np.shape(data) != (n, stream.n_channels):
                raise ValueError(
                    f"need data of shape ({n}, {stream.n_channels}), got {np.shape(data)}"
                )
            samples = np.empty(n, stream.dtype)
            samples["n"], samples["stamp"], samples["values"] = 8, times, data
            body = samples.tobytes()
        self._put(_SAMPLES, stream_id, _length(n) + body)
        if stream.count == 0:
            stream.first = float(times[0])
        stream.last = float(times[-1])
        stream.count += n

    def write_clock_offset(self, stream_id: int, collection_time: float, offset: float) -> None:
        """Append a clock measurement.

        Parameters
        ----------
        stream_id : int
            Number of a stream that was added.
        collection_time : float
            When it was measured, in s.
        offset : float
            In s; a stamp of that time plus `offset` is on this machine's clock.
        """
        self._stream(stream_id).has_offsets = True
        self._put(_CLOCK_OFFSET, stream_id, struct.pack("<dd", collection_time, offset))

    def sync(self) -> None:
        """Wait until all chunks are on the disk."""
        self._file.sync()

    def close(self) -> None:
        """Write the footers, wait until all chunks are on the disk, and close.

        A stream without a clock measurement gets two of 0, as LabRecorder writes of a stream of its
        own machine: pyxdf warns of streams that have none.
        """
        if not self._file.is_open:
            return
        try:
            for stream_id, stream in self._streams.items():
                for when in stream.unmeasured():
                    self.write_clock_offset(stream_id, when, 0.0)
            for stream_id, stream in self._streams.items():
                footer = {
                    "first_timestamp": repr(stream.first),
                    "last_timestamp": repr(stream.last),
                    "sample_count": str(stream.count),
                }
                self._put(_STREAM_FOOTER, stream_id, _xml(footer))
        finally:
            self._file.close()

    def _stream(self, stream_id: int) -> _Stream:
        if stream_id not in self._streams:
            raise ValueError(f"need a stream that was added, got stream_id {stream_id}")
        return self._streams[stream_id]

    def _put(self, tag: int, stream_id: int, content: bytes) -> None:
        if time.monotonic() >= self._next_boundary:
            self._next_boundary = time.monotonic() + BOUNDARY_EVERY
            self._file.append(_chunk(_BOUNDARY, BOUNDARY))
        self._file.append(_chunk(tag, struct.pack("<I", stream_id) + content))


def _chunk(tag: int, content: bytes) -> bytes:
    return _length(len(content) + 2) + struct.pack("<H", tag) + content


def _length(n: int) -> bytes:
    """Encode a number in XDF's variable length."""
    if n < 2**8:
        return struct.pack("<BB", 1, n)
    return struct.pack("<BI", 4, n) if n < 2**32 else struct.pack("<BQ", 8, n)


def _pack_strings(texts: Sequence[str], stamps: np.ndarray) -> bytes:
    if len(texts) != len(stamps):
        raise ValueError(f"need a stamp for each of {len(texts)} strings, got {len(stamps)}")
    parts = []
    for text, stamp in zip(texts, stamps.tolist(), strict=True):
        encoded = text.encode(errors="replace")
        parts += [struct.pack("<Bd", 8, stamp), _length(len(encoded)), encoded]
    return b"".join(parts)


def _xml(fields: Mapping[str, str], *children: ElementTree.Element) -> bytes:
    info = ElementTree.Element("info")
    _fill(info, fields)
    info.extend(children)
    return b'<?xml version="1.0"?>' + ElementTree.tostring(info, encoding="utf-8")


def _fill(element: ElementTree.Element, fields: Mapping[str, str]) -> None:
    for tag, text in fields.items():
        ElementTree.SubElement(element, tag).text = _NOT_XML.sub("\ufffd", text)
