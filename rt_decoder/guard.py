"""First stage: what is not a number goes no further.

One NaN in a recursive filter stays for ever, so this stage comes before every filter.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.samples import hold_finite
from rt_decoder.signal import Chunk, Reason, SignalInfo

__all__ = ["Guard"]


class Guard:
    """Holds the last finite value of a channel where its sample is NaN or infinite.

    Such a sample is flagged `Reason.NONFINITE` in `channel_flags`, and the whole sample in `flags`.
    Before its first finite value a channel is 0.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    """

    delay = 0.0
    settling = 0.0

    def __init__(self, info: SignalInfo) -> None:
        self.info = info
        c = info.n_channels
        self._last = np.zeros(c)
        self._data = Rows((c,), np.float64)
        self._flags = Rows((), np.uint16)
        self._channel_flags = Rows((c,), np.uint16)

    def process(self, chunk: Chunk) -> Chunk:
        """Copy of `chunk` in which every value is finite."""
        n = len(chunk.data)
        data, flags = self._data.take(n), self._flags.take(n)
        channel_flags = self._channel_flags.take(n)
        data[:] = chunk.data
        flags[:] = chunk.flags
        channel_flags[:] = chunk.channel_flags
        hold_finite(data, self._last, flags, channel_flags, int(Reason.NONFINITE))
        return Chunk(data, chunk.times, chunk.index, flags, channel_flags)

    def reset(self) -> None:
        """Forget the values held."""
        self._last[:] = 0.0
