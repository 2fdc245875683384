"""Check that the chunks of an XDF file are large enough for what they declare.

pyxdf allocates memory for as many samples and channels as a chunk declares before it reads them. A
few damaged bytes could take all memory of the machine.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

__all__ = ["ChunkCheck"]

_STREAM_HEADER, _SAMPLES = 2, 3
_SIZES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8, "string": 1}


class ChunkCheck:
    """Check the chunks of one file, in order.

    Parameters
    ----------
    content : bytes-like
        The file; only sliced, so that it may be a memory map.
    """

    def __init__(self, content: Any) -> None:
        self._content = content
        self._row_bytes: dict[bytes, int] = {}  # stream id -> least size of a sample

    def check(self, start: int, stop: int) -> None:
        """Check one chunk.

        Parameters
        ----------
        start, stop : int
            Positions of its tag, and of the first byte after the chunk.

        Raises
        ------
        ValueError
            If the chunk declares more than it holds.
        """
        tag = int.from_bytes(self._content[start : start + 2], "little")
        if tag not in (_STREAM_HEADER, _SAMPLES):
            return
        stream_id = bytes(self._content[start + 2 : start + 6])
        if len(stream_id) < 4 or stop < start + 6:
            raise ValueError("a chunk is too short for its stream's number")
        if tag == _STREAM_HEADER:
            self._row_bytes[stream_id] = self._header(start + 6, stop)
            return
        n_bytes = self._content[start + 6] if stop > start + 6 else 0
        begin = start + 7 + n_bytes
        if n_bytes not in (1, 4, 8) or begin > stop:
            raise ValueError("a chunk of samples has no count")
        n_samples = int.from_bytes(self._content[start + 7 : begin], "little")
        if stream_id not in self._row_bytes:
            raise ValueError("a chunk of samples belongs to no stream")
        needed = n_samples * self._row_bytes[stream_id]
        if needed > stop - begin:
            raise ValueError(
                f"a chunk declares {n_samples} samples, at least {needed} bytes, but holds "
                f"{stop - begin}"
            )

    def _header(self, start: int, stop: int) -> int:
        """Return the least bytes of a sample: its stamp's length byte, then values or texts."""
        text = bytes(self._content[start:stop]).decode("utf-8", "replace")  # as pyxdf does
        root = ElementTree.fromstring(text)  # noqa: S314  (expat bounds what entities expand to)
        n_channels = int((root.findtext("channel_count") or "").strip() or 0)
        kind = (root.findtext("channel_format") or "").strip()
        if n_channels < 1 or kind not in _SIZES:
            raise ValueError(
                f"a stream declares {n_channels} channels of format {kind[:20]!r}; need 1 or more "
                f"of {', '.join(_SIZES)}"
            )
        row = n_channels * (_SIZES[kind] if kind != "string" else 2)
        # pyxdf allocates one sample even if none follows
        if row > len(self._content):
            raise ValueError(
                f"a stream declares {n_channels} channels, more than the file can hold"
            )
        return 1 + row
