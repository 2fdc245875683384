"""Cut chunks of any length into hops of fixed length.

Hops lie on the grid of the absolute sample index: hop k covers ``[k * n_hop, (k + 1) * n_hop)``.
Framing bridges short losses and reports long ones. It knows nothing of what the samples mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rt_decoder.kernels.framing import append_rows
from rt_decoder.kernels.memory import aligned
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo

__all__ = ["Framer"]

_TYPES = np.dtype(np.float64), np.dtype(FLAGS)


class Framer:
    """Collect chunks and yield hops.

    Samples before the first grid point are dropped. A loss of up to `max_hold_s` is bridged: the
    last value is held, times are interpolated, and the samples are flagged `Reason.GAP`. Before a
    longer loss the unfinished hop is handed out short, and framing starts again at the next grid
    point. The first sample of that hop is flagged `Reason.GAP`, and `jumped` is true until the next
    hop.

    Parameters
    ----------
    info : SignalInfo
        Rate and channels of the stream.
    n_hop : int
        Samples a hop, at least 1.
    max_hold_s : float
        Longest loss in s that is bridged by holding the last value.
    n_step : int
        Every hop, a short one too, is a multiple of so many samples long; divides `n_hop`.

    Attributes
    ----------
    jumped : bool
        Whether samples were lost before the newest hop; the stages must then be reset.

    Raises
    ------
    ValueError
        If `n_hop` is below 1 or no multiple of `n_step`, or `max_hold_s` is below 0.

    Examples
    --------
    >>> import numpy as np
    >>> from rt_decoder.signal import FLAGS, Chunk, SignalInfo
    >>> framer = Framer(SignalInfo(100.0, ("Cz",), ("eeg",), ("V",)), n_hop=4)
    >>> flags = np.zeros(7, FLAGS)
    >>> framer.push(Chunk(np.zeros((7, 1)), np.arange(7) / 100, 2, flags, flags[:, None]))
    >>> [hop.index for hop in framer.hops()]
    [4]
    """

    def __init__(
        self, info: SignalInfo, n_hop: int, max_hold_s: float = 0.05, n_step: int = 1
    ) -> None:
        if n_hop < 1:
            raise ValueError(f"need hops of at least 1 sample, got {n_hop}; raise hop_ms")
        if n_step < 1 or n_hop % n_step:
            raise ValueError(f"need hops that are a multiple of n_step, got {n_hop} and {n_step}")
        if not max_hold_s >= 0:
            raise ValueError(f"need max_hold_s of 0 or more, got {max_hold_s}")
        self.info = info
        self.n_hop, self._n_step = n_hop, n_step
        self._n_hold = int(max_hold_s * info.sfreq + 1e-9)  # 0.29 * 100 Hz is 28.999999999999996
        self._arrays = self._allocate(4 * n_hop)
        self._views, self._viewed = self._arrays, (0, 0)  # of the newest hop; its row and length
        self._last = np.zeros(info.n_channels)
        self.reset()

    def _allocate(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        c = self.info.n_channels
        return aligned((n, c)), aligned((n,)), aligned((n,), FLAGS), aligned((n, c), FLAGS)

    def reset(self) -> None:
        """Forget everything; the next chunk may start anywhere."""
        self.jumped = False
        self._jump_due = False
        self._begun = False
        self._next = 0  # absolute index of the sample expected next
        self._start = 0  # absolute index of the first sample not yet handed out
        self._row = 0  # where that sample lies in the buffers
        # The unfinished hop before a long loss, and whether it follows another loss.
        self._tail: tuple[Chunk, bool] | None = None
        self._last_time = 0.0

    def push(self, chunk: Chunk) -> None:
        """Add a chunk; exhaust `hops` before the next one.

        Parameters
        ----------
        chunk : Chunk
            Of any length.

        Raises
        ------
        ValueError
            If the number of channels differs, or the chunk starts before the end of the last one.
        RuntimeError
            If complete hops of the last chunk were not taken.
        """
        n, n_columns = chunk.data.shape
        if n_columns != self.info.n_channels:
            raise ValueError(f"need chunks of {self.info.n_channels} channels, got {n_columns}")
        if self._tail is not None or self._next >= self._grid_end():
            raise RuntimeError(
                "need hops() to be exhausted before the next push, got hops left over"
            )
        if n == 0:
            return
        if not self._begun:
            self._restart(chunk.index)
            self._begun = True
        n_missing = chunk.index - self._next
        if n_missing < 0:
            raise ValueError(
                f"need a chunk from sample {self._next} on, got one from {chunk.index}"
            )
        if n_missing > self._n_hold:
            self._keep_tail()
            self._restart(chunk.index)
            self._jump_due = True
        elif n_missing:
            self._hold(n_missing, float(chunk.times[0]))
        self._append(chunk)

    def hops(self, cut: Callable[[int], int] | None = None) -> Iterator[Chunk]:
        """Yield the complete hops, oldest first; their arrays are valid until the next `push`.

        Parameters
        ----------
        cut : callable or None
            Takes the index of a hop's first sample; returns that, a multiple of `n_step`, at which
            the hop is cut in two if it lies inside.

        Yields
        ------
        Chunk
        """
        if self._tail is not None:
            (hop, jumped), self._tail = self._tail, None
            yield self._told(hop, jumped)
        while (stop := self._stop(cut)) <= self._next:
            hop, jumped = self._rows(stop), self._jump_due
            self._row += stop - self._start
            self._start, self._jump_due = stop, False
            yield self._told(hop, jumped)

    def n_missing(self, cut: Callable[[int], int] | None = None) -> int:
        """Return how many samples the next hop lacks, at least 1; see `hops`."""
        return max(1, self._stop(cut) - self._next) if self._begun else 1

    def _told(self, hop: Chunk, jumped: bool) -> Chunk:
        if jumped:
            hop.flags[0] |= Reason.GAP
        self.jumped = jumped
        return hop

    def _grid_end(self) -> int:
        """Where the hop ends that the next sample to be handed out belongs to."""
        return self._start - self._start % self.n_hop + self.n_hop

    def _stop(self, cut: Callable[[int], int] | None) -> int:
        end = self._grid_end()
        at = end if cut is None else cut(self._start)
        return at if self._start < at < end else end

    def _rows(self, stop: int) -> Chunk:
        """Return the samples from the first one not handed out to `stop`, as views."""
        row, n = self._row, stop - self._start
        if (row, n) != self._viewed:  # hops mostly lie in the same place: reuse the last views
            self._viewed = row, n
            rows = slice(row, row + n)
            data, times, flags, channel_flags = self._arrays
            self._views = data[rows], times[rows], flags[rows], channel_flags[rows]
        data, times, flags, channel_flags = self._views
        return Chunk(data, times, self._start, flags, channel_flags)

    def _keep_tail(self) -> None:
        """Keep a copy of what is left of the unfinished hop: its rows will be written over."""
        stop = self._next - self._next % self._n_step
        if stop > self._start:
            data, times, index, flags, channel_flags = self._rows(stop)
            tail = Chunk(data.copy(), times.copy(), index, flags.copy(), channel_flags.copy())
            self._tail = tail, self._jump_due

    def _restart(self, index: int) -> None:
        self._next = index
        self._start = -(-index // self.n_hop) * self.n_hop
        self._row = 0

    def _grow(self, n_rows: int) -> None:
        """Make room for so many rows; those that are there stay."""
        have = len(self._arrays[0])
        if n_rows > have:
            old, self._arrays = self._arrays, self._allocate(max(n_rows, 2 * have))
            self._viewed = 0, 0
            for kept, array in zip(old, self._arrays, strict=True):
                array[:have] = kept

    def _append(self, chunk: Chunk) -> None:
        """Append samples to the unfinished hop, which moves, with its part handed out, to the front."""
        n, done = len(chunk.data), self._start % self.n_hop
        skip = min(n, max(0, self._start - self._next))  # before the first grid point
        first = max(0, self._row - done)
        have = self._row - first + max(0, self._next - self._start)
        self._grow(have + n - skip)
        data, times, _, flags, channel_flags = chunk
        append_rows(
            _plain(data), _plain(times), _plain(flags), _plain(channel_flags),
            skip, first, have, self._last, *self._arrays,
        )  # fmt: skip
        self._row -= first
        self._last_time = float(times[-1])
        self._next += n

    def _hold(self, n_missing: int, time: float) -> None:
        skip = min(n_missing, max(0, self._start - self._next))
        have = self._row + max(0, self._next - self._start)
        stop = have + n_missing - skip
        self._grow(stop)
        data, times, flags, channel_flags = self._arrays
        data[have:stop] = self._last
        flags[have:stop] = Reason.GAP
        channel_flags[have:stop] = 0
        step = (time - self._last_time) / (n_missing + 1)
        for k in range(skip, n_missing):
            times[have + k - skip] = self._last_time + (k + 1) * step
        self._next += n_missing


def _plain(array: np.ndarray) -> np.ndarray:
    """Return an array in the layout that the kernel is compiled for: itself, as a rule."""
    if array.flags.carray and array.dtype in _TYPES:
        return array
    kind = _TYPES[1] if array.dtype.kind == "u" else _TYPES[0]
    return array.astype(kind, order="C")
