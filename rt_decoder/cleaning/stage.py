"""What a stage is, and what those share that are kernels and nothing else."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np

from rt_decoder.signal import Chunk, SignalInfo

__all__ = ["SAMPLES", "Call", "Calls", "Given", "KernelStage", "Stage", "run"]

Call = tuple[Any, tuple[Any, ...]]  # a kernel and its arguments, some of which are `Given`


class Stage(Protocol):
    """One step of the path; `tests/contract.py` checks the laws that all stages keep."""

    info: SignalInfo  # of the output

    @property
    def delay(self) -> float:
        """Time in s by which the output lags the input."""
        ...

    @property
    def settling(self) -> float:
        """Time in s after a reset until the effect of the priming has vanished."""
        ...

    def process(self, chunk: Chunk) -> Chunk:
        """Compute the next samples; the arrays are the stage's own, valid until the next call."""
        ...

    def reset(self) -> None:
        """Return to the state before the first sample."""
        ...


class Given(Enum):
    """What a kernel takes of the samples that come in; the value is its place in a `Chunk`."""

    DATA = 0
    INDEX = 2
    FLAGS = 3
    CHANNEL_FLAGS = 4


# as most kernels take them
SAMPLES = Given.DATA, Given.FLAGS, Given.CHANNEL_FLAGS, Given.INDEX


def run(call: Call, chunk: Chunk) -> Any:
    """Call a kernel with the samples of `chunk`; returns its answer."""
    kernel, arguments = call
    return kernel(*[chunk[one.value] if type(one) is Given else one for one in arguments])


class Calls(NamedTuple):
    """How a stage computes what it passes on."""

    kernels: tuple[Call, ...]  # in order
    # arrays that are passed on in place of what came in; None passes that on itself
    data: np.ndarray | None = None  # (n, c) float64
    flags: np.ndarray | None = None  # (n,) uint32
    channel_flags: np.ndarray | None = None  # (n, c) uint32
    perhaps: bool = False  # only where the last kernel answers that it changed something


class KernelStage:
    """A stage that says which kernels to call: one alone by `process`, several in a row by a `Chain`.

    The arrays among the arguments stay the same: their values change, also on `reset`.
    """

    is_ready = True  # false after a reset, if `process` has to see the first samples
    notes = False  # whether `done` does anything

    def calls(self, n: int) -> Calls:
        """Return what is called for `n` samples; arguments may be `Given`."""
        raise NotImplementedError

    def done(self, calls: Calls, stop: int, changed: bool) -> None:
        """Take note that samples up to index `stop`, excluded, were computed by these calls.

        Parameters
        ----------
        calls : Calls
            What was called.
        stop : int
            Absolute index behind the last sample.
        changed : bool
            Whether the arrays of `calls` are passed on.
        """

    def process(self, chunk: Chunk) -> Chunk:
        """Compute the next samples: bit-identical however the stream is cut."""
        calls, changed = self.calls(len(chunk.data)), True
        if not calls.kernels:
            return chunk
        for call in calls.kernels:
            answer = run(call, chunk)
            changed = bool(answer) if calls.perhaps else True
        self.done(calls, chunk.index + len(chunk.data), changed)
        if not changed:
            return chunk
        data, times, index, flags, channel_flags = chunk
        return Chunk(
            data if calls.data is None else calls.data,
            times,
            index,
            flags if calls.flags is None else calls.flags,
            channel_flags if calls.channel_flags is None else calls.channel_flags,
        )
