"""Keep rows of numbers until they are asked for: few in memory, many in a temporary file.

The file has no name where the system allows that, so it is gone with the process, however it ends.
"""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

import numpy as np

from rt_decoder.files.blocks import Blocks, fits, loaded

__all__ = ["Spool"]


class Spool:
    """Rows of doubles, put at their places and read in blocks.

    Parameters
    ----------
    n_columns : int
    folder : path or None
        Where the file is made, if one is needed; None for the system's temporary folder.

    Examples
    --------
    >>> spool = Spool(2)
    >>> spool.put(1, np.ones((1, 2)))
    >>> spool.data().tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """

    def __init__(self, n_columns: int, folder: Path | None = None) -> None:
        self._n_columns, self._folder = n_columns, folder
        self._file = tempfile.SpooledTemporaryFile(dir=None if folder is None else str(folder))  # noqa: SIM115  (closed below)
        self.n_rows = 0
        weakref.finalize(self, self._file.close)

    def put(self, at: int, rows: np.ndarray) -> None:
        """Keep rows; what no rows were put at is 0.

        Parameters
        ----------
        at : int
            Place of the first.
        rows : array of shape (n, n_columns)

        Raises
        ------
        OSError
            If the disk is full.
        """
        stop = at + len(rows)
        try:
            if not fits((stop, self._n_columns)):
                self._file.rollover()
            self._file.seek(8 * self._n_columns * at)
            self._file.write(np.ascontiguousarray(rows, np.float64).tobytes())
            self._file.flush()
        except OSError as error:
            where = self._folder or Path(tempfile.gettempdir())
            said = OSError(
                f"need room for {8 * self._n_columns * stop / (1 << 30):.1f} GiB of samples and more "
                f"in {where}, got: {error.strerror}; "
                + ("write to another disk" if self._folder else "set TMPDIR to a folder with room")
            )
            raise said from None
        self.n_rows = max(self.n_rows, stop)

    def data(self) -> np.ndarray | Blocks:
        """All rows, (n_rows, n_columns): an array if they fit into memory."""

        def read(start: int, stop: int) -> np.ndarray:
            size = 8 * self._n_columns
            self._file.seek(size * start)
            raw = self._file.read(size * (stop - start))
            return np.frombuffer(bytearray(raw)).reshape(stop - start, self._n_columns)

        return loaded(Blocks(read, (self.n_rows, self._n_columns)))
