"""Projector: one matrix over the data channels, for signal-space projection and separation.

Fitted by `calibration.cleaning.projector`. Comes after channel repair and rereference.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.cleaning.arguments import numbers
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.projector import BLOCK, project
from rt_decoder.signal import DATA_TYPES, Chunk, SignalInfo

__all__ = ["Projector", "compose"]

_RANK = 1e-10  # singular values below this share of the largest are rounding errors


class Projector:
    r"""Multiplies the data channels of each sample by one matrix; references are copied.

    The matrix M is applied in the form of lower rank. For a signal-space projection that is
    :math:`y = x + L R x` with :math:`M - 1 = L R` (`kept`); for a signal-space separation it is
    :math:`y = L R x` with :math:`M = L R`.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage. Data channels come first.
    matrix : array of shape (n_data, n_data)
        `compose` turns several into one.

    Attributes
    ----------
    rank : int
        Rank of L R.
    kept : bool
        Whether the signal itself is added.

    Raises
    ------
    ValueError
        If the shape does not fit, a value is not finite, or a reference comes before a data
        channel.
    """

    delay = 0.0
    settling = 0.0

    def __init__(self, info: SignalInfo, matrix: np.ndarray) -> None:
        self.info = info
        is_data = np.array([kind in DATA_TYPES for kind in info.ch_types])
        n = int(is_data.sum())
        if n == 0 or not is_data[:n].all():
            raise ValueError("need data channels before references; order the channels so")
        matrix = numbers("matrix", matrix, (n, n))
        forms = [_factors(matrix - np.eye(n)), _factors(matrix)]
        self.kept = len(forms[0][0]) <= len(forms[1][0])
        self._left, self._right = forms[0] if self.kept else forms[1]
        self.rank, width = self._right.shape
        self._n_data = n
        self._memory = np.zeros((width + 1 + self.rank) * BLOCK)
        self._data = Rows((info.n_channels,), np.float64)

    def process(self, chunk: Chunk) -> Chunk:
        """Project `chunk`: bit-identical however the stream is cut."""
        data = self._data.take(len(chunk.data))
        data[:] = chunk.data
        project(data, self._n_data, self.kept, self._right, self._left, self._memory)
        return Chunk(data, chunk.times, chunk.index, chunk.flags, chunk.channel_flags)

    def reset(self) -> None:
        """Do nothing: the stage has no state."""


def compose(*matrices: np.ndarray) -> np.ndarray:
    """Multiply matrices into one that applies them in turn, the first first.

    Parameters
    ----------
    *matrices : array of shape (n, n)
        At least one.

    Returns
    -------
    array of shape (n, n), float64
        Their product.

    Raises
    ------
    ValueError
        If there is no matrix.

    Examples
    --------
    >>> import numpy as np
    >>> average = np.eye(2) - 0.5
    >>> compose(average, np.diag([2.0, 1.0]))
    array([[ 1. , -1. ],
           [-0.5,  0.5]])
    """
    if not matrices:
        raise ValueError("need at least one matrix to compose, got none")
    out = np.asarray(matrices[0], np.float64)
    for matrix in matrices[1:]:
        out = np.asarray(matrix, np.float64) @ out
    return out


def _factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right factor of a matrix, (rank, m) each, padded to eights."""
    n = len(matrix)
    # channels of different units (T, T/m) side by side: balance before the rank is judged
    size = _balance(matrix)
    with np.errstate(all="ignore"):
        balanced = matrix / size[:, None] * size
    if not np.isfinite(balanced).all():
        raise ValueError("need a matrix that is about as large above as below its diagonal")
    u, s, vt = np.linalg.svd(balanced)
    rank = int(np.sum(s > _RANK * max(s[0], 1.0)))
    left, right = np.zeros((rank, -(-n // 8) * 8)), np.zeros((rank, -(-n // 8) * 8))
    left[:, :n] = (u[:, :rank] * s[:rank]).T * size
    right[:, :n] = vt[:rank] / size
    return left, right


def _balance(matrix: np.ndarray) -> np.ndarray:
    """Size of each channel (n,) that makes the matrix as large above as below its diagonal."""
    size = np.ones(len(matrix))
    off = np.abs(matrix - np.diag(np.diag(matrix)))
    with np.errstate(all="ignore"):  # overflows for numbers that no projection contains
        for _ in range(20):
            rows = (off / size[:, None] * size).sum(axis=1)
            columns = (off / size[:, None] * size).sum(axis=0)
            known = (rows > 0) & (columns > 0)
            size[known] *= np.sqrt(rows[known] / columns[known])
    return size
