"""Signals for the eye: thinned without losing a peak, kept for some seconds, packed into frames."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["CLEAN", "RAW", "Taken", "Trace", "frame"]

RAW, CLEAN = 0, 1  # kinds of frames
RATE = 250.0  # Hz; a screen shows no more
KEPT_S = 20.0  # s that a page may look back
QUALITY = "quality"  # channel of the cleaned stream: 0 where a sample is flagged
_HEADER = struct.Struct("<BBHIII")  # kind, version, channels, samples, choice, 0


class Taken(NamedTuple):
    """Samples of some channels."""

    upto: int  # place from which to go on
    times: np.ndarray  # (n,), s on the LSL clock
    data: np.ndarray  # (c, n), float32


class Trace:
    """The last seconds of a stream, filled by one thread and read by others.

    Above `RATE`, each stretch of samples is shown by its least and its greatest value, so that a
    spike of one sample is seen; of the quality, by its least.

    Parameters
    ----------
    names : sequence of str
        Of the channels.
    sfreq : float
        In Hz.
    unit : str
        Of most channels, to be shown.
    """

    def __init__(self, names: Sequence[str], sfreq: float, unit: str = "") -> None:
        self.names, self.unit = tuple(names), unit
        self.places = {name: k for k, name in reversed(list(enumerate(self.names)))}
        factor = max(1, int(np.ceil(sfreq / RATE)))
        self._block = 2 * factor if factor > 1 else 1
        n = int(KEPT_S * min(sfreq, RATE)) + 2
        self._data = np.zeros((n, len(self.names)), np.float32)
        self._times = np.zeros(n)
        self._left = np.zeros((0, len(self.names)), np.float32)
        self._left_times = np.zeros(0)
        self._n, self._lock = 0, threading.Lock()

    def add(self, data: np.ndarray, times: np.ndarray) -> None:
        """Add samples.

        Parameters
        ----------
        data : array of shape (n, c)
        times : array of shape (n,)
            In s on the LSL clock.
        """
        data, times = self._thinned(np.asarray(data, np.float32), np.asarray(times, float))
        size = len(self._times)
        data, times = data[-size:], times[-size:]
        with self._lock:
            rows = (self._n + np.arange(len(times))) % size
            self._data[rows], self._times[rows] = data, times
            self._n += len(times)

    def _thinned(self, data: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._block == 1:
            return data, times
        data = np.concatenate((self._left, data))
        times = np.concatenate((self._left_times, times))
        n, size = len(times) // self._block, self._block
        whole = data[: n * size].reshape(n, size, data.shape[1])
        low, high = np.fmin.reduce(whole, axis=1), np.fmax.reduce(whole, axis=1)
        if self.names and self.names[-1] == QUALITY:
            high[:, -1] = low[:, -1]
        self._left, self._left_times = data[n * size :].copy(), times[n * size :].copy()
        kept = times[: n * size].reshape(n, size)[:, [0, size // 2]]
        return np.stack((low, high), axis=1).reshape(2 * n, data.shape[1]), kept.ravel()

    def take(self, after: int, names: Sequence[str]) -> Taken:
        """Take what came after a place; a reader that was slow goes on with what is kept.

        Parameters
        ----------
        after : int
            Place up to which was taken; 0 for all that is kept.
        names : sequence of str
            Channels; NaN for those that the stream does not have.

        Returns
        -------
        Taken
        """
        with self._lock:
            size = len(self._times)
            first = max(after, self._n - size) if after <= self._n else max(0, self._n - size)
            rows = np.arange(first, self._n) % size
            data = np.full((len(names), len(rows)), np.nan, np.float32)
            for k, name in enumerate(names):
                if (place := self.places.get(name)) is not None:
                    data[k] = self._data[rows, place]
            return Taken(self._n, self._times[rows], data)


def frame(kind: int, choice: int, taken: Taken) -> bytes:
    """Pack samples for a page: a header of 16 bytes, times in float64, channels in float32.

    Parameters
    ----------
    kind : int
        `RAW` or `CLEAN`.
    choice : int
        Number of the page's choice of channels that these are.
    taken : Taken
        The samples.

    Returns
    -------
    bytes
        Little-endian.
    """
    n_channels, n_samples = taken.data.shape
    header = _HEADER.pack(kind, 1, n_channels, n_samples, choice & 0xFFFFFFFF, 0)
    times, data = taken.times.astype("<f8"), taken.data.astype("<f4")
    return header + times.tobytes() + data.tobytes()
