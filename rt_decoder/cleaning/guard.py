"""Guard, the first stage: hold values that no body produces.

A single NaN stays in a recursive filter forever, and a rail of 100 mV rings for seconds, so the
guard comes before every filter. It judges each channel alone; the end of the path decides what bad
channels mean for the whole sample.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.cleaning.stage import Calls, Given, KernelStage
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
MAX_HOLD_S = 0.05  # longest hold after which a channel continues where it is
# Larger than any sensor of that unit shows, SI: beyond electrode offsets and the earth's field.
_IMPOSSIBLE = {"V": 1.0, "T": 1e-4, "T/m": 1e-3}
# Channels that may stand still: a slow belt, a button.
_MAY_BE_FLAT = ("resp", "misc", "stim")
# Their stream may drop out while the others continue; NaN then takes their place.
_REFERENCES = ("eog", "ecg", "resp", "emg", "misc")


class Guard(KernelStage):
    """Holds a channel's last good value in place of impossible values, and flags the reason.

    ==============  ==========================================================
    channel_flags   the value is
    ==============  ==========================================================
    NONFINITE       NaN or infinite, in a data channel
    REFERENCE_LOST  NaN or infinite, in another channel
    AMPLITUDE       larger than any sensor of that unit shows
    JUMP            further than `jump` from the last good value
    RAIL            as far away, and standing still
    FLAT            the same for 50 ms
    ==============  ==========================================================

    Before its first good value a channel is 0.

    After a hold of up to 50 ms a channel continues where it is. After a longer hold it continues
    from the held value: the difference is subtracted from then on, as an offset that the high-pass
    would remove over seconds, and SETTLING is flagged for `settling` s. A lasting step to a new,
    still varying level is accepted in this way after 50 ms.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    jump : array of shape (c,) or None
        Largest credible difference from the last good sample, SI; None does not detect jumps.
    settling : float
        Time in s that the filters behind the guard need after a hold.

    Raises
    ------
    ValueError
        If `jump` has another shape or holds a value that is not above 0.
    """

    delay = 0.0

    notes = True

    def __init__(
        self, info: SignalInfo, jump: np.ndarray | None = None, settling: float = 0.0
    ) -> None:
        self.info = info
        self.settling = 0.0  # the stage itself does not need to settle
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
        self._flagged: np.ndarray | None = None  # of the last chunk

    @property
    def flagged(self) -> np.ndarray:
        """Reason bits of each channel in the last chunk, (c,); for display, from any thread."""
        flagged = self._flagged
        if flagged is None or not len(flagged):
            return np.zeros(self.info.n_channels, FLAGS)
        return np.asarray(np.bitwise_or.reduce(flagged))

    def calls(self, n: int) -> Calls:
        """Hold impossible values; pass on what came in if there are none."""
        data, channel_flags = self._data.take(n), self._channel_flags.take(n)
        arguments = (
            Given.DATA, Given.CHANNEL_FLAGS, self._memory, self._n_hold, self._n_settle, data,
            channel_flags,
        )  # fmt: skip
        return Calls(((guard_samples, arguments),), data, None, channel_flags, perhaps=True)

    def done(self, calls: Calls, _stop: int, changed: bool) -> None:
        """Keep the flags of these samples for display.

        Parameters
        ----------
        calls : Calls
        _stop : int
        changed : bool
            As of `KernelStage.done`.
        """
        self._flagged = calls.channel_flags if changed else None

    def process(self, chunk: Chunk) -> Chunk:
        """Hold the impossible values of `chunk`; return it unchanged if there are none."""
        out = super().process(chunk)
        return out if out.data.dtype is _FLOAT else out._replace(data=out.data.astype(_FLOAT))

    def reset(self) -> None:
        """Forget the held values."""
        self._state[:] = guard_state(self.info.n_channels)
