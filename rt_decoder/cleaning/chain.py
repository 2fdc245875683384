"""Run stages that follow one another in one compiled call a hop.

The stages stay what they are: each says which kernels it calls with what (`KernelStage.calls`), and
whether one goes through `process` or through a chain, the same kernels compute the same bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np

from rt_decoder.cleaning.stage import Given, KernelStage, Stage
from rt_decoder.kernels.native import (
    BEGUN,
    CHANGED,
    GIVEN,
    MOST,
    PARTS,
    Part,
    address_of,
    compile_row,
    is_possible,
    words_of,
)
from rt_decoder.latency import Stopwatch
from rt_decoder.signal import FLAGS, Chunk

__all__ = ["Chain", "chains_of"]

_DATA, _INDEX, _FLAGS, _CHANNEL_FLAGS = range(GIVEN)
_PLACES = {
    Given.DATA: _DATA,
    Given.INDEX: _INDEX,
    Given.FLAGS: _FLAGS,
    Given.CHANNEL_FLAGS: _CHANNEL_FLAGS,
}
_FLOAT = np.dtype(np.float64)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # data, flags, flags of channels


class Chain:
    """Stages in a row: in one compiled call if all are kernels, else one by one.

    Parameters
    ----------
    stages : mapping of str to Stage
        In the order of the flow.
    stopwatch : Stopwatch
        Gets a lap of each stage.
    behind : str
        A stage at whose output somebody looks, too.

    Attributes
    ----------
    seen : Chunk or None
        What left that stage in the newest hop, valid until the next one; None without it.
    """

    def __init__(self, stages: Mapping[str, Stage], stopwatch: Stopwatch, behind: str = "") -> None:
        self.names, self._stages, self._stopwatch = tuple(stages), tuple(stages.values()), stopwatch
        self._kernels = tuple(one for one in self._stages if isinstance(one, KernelStage))
        self._is_possible = is_possible() and self._kernels == self._stages and len(stages) <= MOST
        self._behind = self.names.index(behind) if behind in stages else -1
        self._rows: dict[int, _Row] = {}  # by the length of a hop
        # stages that keep this by themselves: they are not ready after each reset
        self._priming = [one for one in self._kernels if "is_ready" in vars(one)]
        self._noting = [(k, one) for k, one in enumerate(self._kernels) if one.notes]
        self.seen: Chunk | None = None

    def process(self, hop: Chunk) -> Chunk:
        """Compute what leaves the last stage."""
        data, times, index, flags, channel_flags = hop
        row = self._rows.get(len(data))
        if row is None or not row.takes(data, flags, channel_flags):
            row = self._row(hop)
        if row is None or not all(stage.is_ready for stage in self._priming):
            return self._one_by_one(hop)
        changed = row.run(index)
        for k, stage in self._noting:
            stage.done(row.calls[k], index + len(data), changed >> k & 1 == 1)
        self._stopwatch.laps(self.names, row.stamps)
        if self._behind >= 0:
            out, out_flags, out_channel_flags = row.leaving(self._behind, changed)
            self.seen = Chunk(out, times, index, out_flags, out_channel_flags)
        out, out_flags, out_channel_flags = row.leaving(len(self._kernels) - 1, changed)
        return Chunk(out, times, index, out_flags, out_channel_flags)

    def _one_by_one(self, hop: Chunk) -> Chunk:
        for k, stage in enumerate(self._stages):
            hop = stage.process(hop)
            self._stopwatch.lap(self.names[k])
            if k == self._behind:
                self.seen = hop
        return hop

    def _row(self, hop: Chunk) -> _Row | None:
        """Write down the arguments for hops of this length, in this memory; None if that cannot be."""
        arrays = hop.data, hop.flags, hop.channel_flags
        is_plain = hop.data.dtype == _FLOAT and hop.flags.dtype == hop.channel_flags.dtype == FLAGS
        if not (self._is_possible and len(hop.data) and is_plain):
            return None
        if not all(one.flags.carray for one in arrays):
            return None
        if (row := self._rows.get(len(hop.data))) is None:
            row = self._rows[len(hop.data)] = _Row(self._kernels, hop)
        if any(one.shape != shape for one, shape in zip(arrays, row.shapes, strict=True)):
            return None
        row.take(arrays)
        return row


def chains_of(stages: Mapping[str, Stage], stopwatch: Stopwatch, behind: str = "") -> list[Chain]:
    """Part stages into chains, as long as possible.

    Parameters
    ----------
    stages : mapping of str to Stage
        In the order of the flow.
    stopwatch : Stopwatch
        Gets a lap of each stage.
    behind : str
        A stage at whose output somebody looks, too.

    Returns
    -------
    list of Chain
        In order.
    """
    parts: list[dict[str, Stage]] = []
    is_open = False  # whether the next stage may join
    for name, stage in stages.items():
        is_kernel = isinstance(stage, KernelStage)
        if not (is_open and is_kernel):
            parts.append({})
        parts[-1][name] = stage
        is_open = is_kernel
    return [Chain(part, stopwatch, behind) for part in parts]


class _Row:
    """The kernels of hops of one length, with their arguments."""

    def __init__(self, stages: Sequence[KernelStage], hop: Chunk) -> None:
        self.calls = [stage.calls(len(hop.data)) for stage in stages]  # keeps the arrays
        self.shapes = hop.data.shape, hop.flags.shape, hop.channel_flags.shape  # are written down
        self._stop = PARTS + len(stages)
        words, parts = [0] * self._stop, []
        for calls in self.calls:
            kernels = []
            for kernel, arguments in calls.kernels:
                values = [hop[one.value] if type(one) is Given else one for one in arguments]
                words.append(address_of(kernel, tuple(values)))
                letters = ""
                for one, value in zip(arguments, values, strict=True):
                    some, its = words_of(value, _PLACES[one] if type(one) is Given else None)
                    letters, words = letters + some, words + its
                kernels.append(letters)
            written = calls.data, None, calls.flags, calls.channel_flags
            words += [one.ctypes.data for one in written if one is not None]
            writes = tuple(one is not None for one in written)
            parts.append(Part(tuple(kernels), writes, calls.perhaps))
        self._words = array("q", words)
        self._at = self._words.buffer_info()[0]
        self._call = compile_row(tuple(parts))
        self.take((hop.data, hop.flags, hop.channel_flags))

    def take(self, arrays: Arrays) -> None:
        """Take the samples that lie here from now on."""
        self._data, self._flags, self._channel_flags = self._arrays = arrays
        for place, one in zip((_DATA, _FLAGS, _CHANNEL_FLAGS), arrays, strict=True):
            self._words[place] = one.ctypes.data
        self._leaving: dict[tuple[int, int], Arrays] = {}

    def takes(self, data: np.ndarray, flags: np.ndarray, channel_flags: np.ndarray) -> bool:
        """Whether the samples lie there; hops mostly lie in the same place."""
        is_same = data is self._data and flags is self._flags
        return is_same and channel_flags is self._channel_flags

    def run(self, index: int) -> int:
        """Call the kernels; returns a bit for each stage that changed something."""
        self._words[_INDEX] = index
        if self._call(self._at):
            raise RuntimeError("need kernels that do not fail, got one that did")
        return self._words[CHANGED]

    @property
    def stamps(self) -> Sequence[int]:
        """When the first stage began, and when each ended, in ns."""
        return self._words[BEGUN : self._stop]

    def leaving(self, last: int, changed: int) -> Arrays:
        """Return the arrays that leave a stage, by its place and what `run` returned."""
        found = self._leaving.get((last, changed))
        if found is None:
            data, flags, channel_flags = self._arrays
            for k in range(last + 1):
                if changed >> k & 1:
                    calls = self.calls[k]
                    data = data if calls.data is None else calls.data
                    flags = flags if calls.flags is None else calls.flags
                    if calls.channel_flags is not None:
                        channel_flags = calls.channel_flags
            found = self._leaving[last, changed] = data, flags, channel_flags
        return found
