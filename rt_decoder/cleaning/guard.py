"""First stage: what cannot be a sample of the body goes no further.

One NaN in a recursive filter stays for ever, and a rail of 100 mV rings for seconds, so this stage
comes before every filter. It judges each channel alone; what single channels mean for the whole
sample is decided at the end of the path.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.guard import (
    AMPLITUDE,
    FLAT,
    JUMP,
    LOST,
    N_LIMITS,
    N_STATE,
    guard_samples,
    guard_state,
)
from rt_decoder.kernels.memory import Rows
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo

__all__ = ["MAX_HOLD_S", "Guard"]

_FLOAT = np.dtype(np.float64)
MAX_HOLD_S = 0.05  # longest stretch that is bridged by holding the last value alone
# What no sensor of the kind ever shows, in SI units: beyond electrode offsets and earth's field.
_IMPOSSIBLE = {"V": 1.0, "T": 1e-4, "T/m": 1e-3}
# These may well stand still: a slow belt, a button.
_MAY_BE_FLAT = ("resp", "misc", "stim")
# Their stream may drop out while the others go on; whoever joined them put NaN in their place.
_REFERENCES = ("eog", "ecg", "resp", "emg", "misc")


class Guard:
    """Holds a channel's last value where its sample cannot be one, and says why.

    The reasons go to `channel_flags`: NONFINITE (NaN or infinite; REFERENCE_LOST in a channel that
    is no data), AMPLITUDE (beyond what a sensor of that unit shows), JUMP (further from the last
    good value than `jump`), RAIL (so far away, and not moving), FLAT (the very same value for
    50 ms). Before its first good value a channel is 0.

    A channel that was held for up to 50 ms goes on where it is. After longer it goes on from the
    value it was held at: the difference is subtracted from then on, as an offset that the
    high-pass would remove over seconds, and SETTLING is flagged for `settling`. A jump to a new
    level that lives is taken like that after 50 ms.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    jump : array of shape (c,) or None
        Largest credible difference from the last good sample, SI; None does not look for jumps.
    settling : float
        How long the filters behind the guard need after a hold, in s.

    Raises
    ------
    ValueError
        If `jump` has another shape or holds a value that is not above 0.
    """

    delay = 0.0

    def __init__(
        self, info: SignalInfo, jump: np.ndarray | None = None, settling: float = 0.0
    ) -> None:
        self.info = info
        self.settling = 0.0  # of the stage itself: nothing is left of a reset
        c = info.n_channels
        self._memory = np.vstack([guard_state(c), np.full((N_LIMITS, c), np.inf)])
        self._state, limits = self._memory[:N_STATE], self._memory[N_STATE:]
        if jump is not None:
            jump = np.asarray(jump, np.float64)
            if jump.shape != (c,) or not (jump > 0).all():
                raise ValueError(f"need jump of {c} values above 0, got shape {jump.shape}")
            limits[JUMP] = jump
        self._n_hold = int(MAX_HOLD_S * info.sfreq + 1e-9)
        for k, (kind, unit) in enumerate(zip(info.ch_types, info.units, strict=True)):
            limits[AMPLITUDE, k] = _IMPOSSIBLE.get(unit, np.finfo(float).max)
            if kind not in _MAY_BE_FLAT:
                limits[FLAT, k] = max(5, self._n_hold + 1)
            lost = Reason.REFERENCE_LOST if kind in _REFERENCES else Reason.NONFINITE
            limits[LOST, k] = int(lost)
        self._n_settle = math.ceil(settling * info.sfreq - 1e-9)
        self._data = Rows((c,), np.float64)
        self._channel_flags = Rows((c,), FLAGS)

    def process(self, chunk: Chunk) -> Chunk:
        """Give `chunk` with credible values only; it comes back itself where all are."""
        x, times, index, flags, channel_flags = chunk
        data, out_channel_flags = self._data.take(len(x)), self._channel_flags.take(len(x))
        changed = guard_samples(
            x,
            channel_flags,
            self._memory,
            self._n_hold,
            self._n_settle,
            data,
            out_channel_flags,
        )
        if changed:
            return Chunk(data, times, index, flags, out_channel_flags)
        if x.dtype is _FLOAT:
            return chunk
        return chunk._replace(data=x.astype(_FLOAT))

    def reset(self) -> None:
        """Forget the values held."""
        self._state[:] = guard_state(self.info.n_channels)
