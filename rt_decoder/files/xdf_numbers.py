"""Find the samples of numbers in the chunks of an XDF file, and read any stretch of them.

A sample is one byte, its stamp if that byte is not 0, and its values. Samples that lie one after the
other and are alike are a *run*: only stamps and the places of runs are kept in memory.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rt_decoder.files.blocks import Blocks, block_rows, fits
from rt_decoder.files.xdf_chunks import Damaged

__all__ = ["FORMATS", "NumberRuns"]

FORMATS = {
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "float32": "<f4",
    "double64": "<f8",
}
_PIECE = 4 << 20  # bytes of a chunk in memory
_LONGEST = 4096  # samples of a step


class NumberRuns:
    """The samples of one stream, as its chunks come.

    Parameters
    ----------
    kind : str
        Format of a value, of `FORMATS`.
    n_channels : int
        Values of a sample.
    step : float
        s between samples, for those without a stamp.
    """

    def __init__(self, kind: str, n_channels: int, step: float) -> None:
        self._dtype, self.n_channels, self._step = np.dtype(FORMATS[kind]), n_channels, step
        self._row = n_channels * self._dtype.itemsize
        self._last = 0.0
        self._stamps: list[np.ndarray] = []
        self._runs = array("q")  # for each: place of its first value, samples, bytes before each

    def add(self, file: BinaryIO, stop: int, n: int) -> None:
        """Take up `n` samples from the file's position to the end of their chunk.

        Parameters
        ----------
        file : binary file
        stop : int
            First byte after the chunk.
        n : int
            Samples that the chunk declares.

        Raises
        ------
        Damaged
            If they do not end where the chunk does.
        """
        declared, held = n, stop - file.tell()
        if n * (1 + self._row) > held:
            raise Damaged(
                f"a chunk declares {n} samples, at least {n * (1 + self._row)} bytes, but holds {held}"
            )
        while n:
            at = file.tell()
            buffer = file.read(min(stop - at, max(_PIECE, 9 + self._row)))
            used = taken = 0
            while taken < n and (found := self._run(buffer, used, n - taken)):
                head, many = found
                self._keep(buffer, at, used, head, many)
                used += many * (head + self._row)
                taken += many
            if not taken:
                raise Damaged(f"a chunk declares {declared} samples, but holds {declared - n}")
            n -= taken
            file.seek(at + used)
        if file.tell() != stop:
            raise Damaged(f"a chunk holds more than the {declared} samples that it declares")

    def _run(self, buffer: bytes, used: int, most: int) -> tuple[int, int] | None:
        """Bytes before the values of the next sample, and how many samples are like it."""
        if used >= len(buffer):
            return None
        head = 9 if buffer[used] else 1
        size = head + self._row
        many = min(most, _LONGEST, (len(buffer) - used) // size)
        if not many:
            return None
        marks = np.frombuffer(buffer, np.uint8, many * size, used)[::size]
        differ = (marks != 0) != (head == 9)
        return head, int(np.argmax(differ)) if differ.any() else many

    def _keep(self, buffer: bytes, at: int, used: int, head: int, many: int) -> None:
        size, runs = head + self._row, self._runs
        if head == 9:
            kind = np.dtype({"names": ["t"], "formats": ["<f8"], "offsets": [1], "itemsize": size})
            stamps = np.frombuffer(buffer, kind, many, used)["t"].astype(np.float64)
        else:  # added up one by one
            stamps = np.cumsum(np.r_[self._last, np.full(many, self._step)])[1:]
        self._last = float(stamps[-1])
        self._stamps.append(stamps)
        first = at + used + head
        if runs and runs[-1] == head and runs[-3] + runs[-2] * size == first:
            runs[-2] += many
        else:
            runs.extend((first, many, head))

    def stamps(self) -> np.ndarray:
        """Stamps of all samples, (n,) s."""
        self._stamps = [np.concatenate(self._stamps)] if self._stamps else [np.zeros(0)]
        return self._stamps[0]

    def values(self, path: Path) -> np.ndarray | Blocks:
        """Values of all samples, as recorded if they fit into memory, else in the file.

        Parameters
        ----------
        path : path
            Of the file.

        Returns
        -------
        Blocks or array of shape (n, n_channels)
        """
        runs = np.array(self._runs, np.int64).reshape(-1, 3)
        ends = np.cumsum(runs[:, 1])
        n = int(ends[-1]) if len(ends) else 0

        def read(start: int, stop: int) -> np.ndarray:
            found = np.empty((stop - start, self.n_channels), self._dtype.newbyteorder("="))
            with path.open("rb", buffering=1 << 20) as file:
                first = int(np.searchsorted(ends, start, side="right"))
                at = start
                while at < stop:
                    place, many, head = runs[first].tolist()
                    skipped = at - int(ends[first]) + many
                    taken = min(many - skipped, stop - at)
                    rows = found[at - start : at - start + taken]
                    self._read(file, place + skipped * (head + self._row), head, rows)
                    at, first = at + taken, first + 1
            return found

        shape = n, self.n_channels
        if not fits(shape):
            return Blocks(lambda start, stop: read(start, stop).astype(np.float64), shape)
        rows = block_rows(self.n_channels)
        whole = np.empty(shape, self._dtype.newbyteorder("="))
        for at in range(0, n, rows):
            whole[at : at + rows] = read(at, min(at + rows, n))
        return whole

    def _read(self, file: BinaryIO, place: int, head: int, rows: np.ndarray) -> None:
        size, n = head + self._row, len(rows)
        file.seek(place)
        raw = file.read(n * size - head)
        if len(raw) < n * size - head:
            raise OSError(
                f"need {Path(file.name).name} as it was when it was opened, got one that is shorter"
            )
        kind = np.dtype(
            {"names": ["v"], "formats": [(self._dtype, (self.n_channels,))], "itemsize": size}
        )
        rows[:] = np.frombuffer(raw + bytes(head), kind, n)["v"]
