"""Mains canceller: subtract the hum of the mains, and leave the brain's signal around it.

Replaces the notch; comes before the filters, and cleans the references too.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.cleaning.stage import SAMPLES, Calls, KernelStage
from rt_decoder.kernels import mains as kernel
from rt_decoder.kernels.memory import Rows
from rt_decoder.settings import number, read, whole
from rt_decoder.signal import SignalInfo

__all__ = ["MainsCanceller"]

_CORNER = 20.0  # Hz; the mains are estimated from what lies above
_CLIP = 6.0  # times its usual size the error is clipped, so that a pop does not ring
_SIZE_S, _LEARNT_S = 1.0, 0.25  # time constant of that size; time until it can be trusted
_LOOK_S = 0.04  # between looks at the frequency: two periods
_PULL = 0.2  # makes the loop settle as fast as possible without oscillating
_CERTAIN = 6.0  # times the power that noise alone causes: mains are present
_RANGE = 0.5  # Hz
_LINE_FREQ, _HARMONICS, _TIME_CONSTANT = number(1.0, 1e6), whole(1, 1000), number(0.1, 100.0)


class MainsCanceller(KernelStage):
    r"""Subtracts a sine at the mains frequency, and at its multiples, from every channel.

    .. math:: y = x - \sum_h \mathrm{Re}(w_h g_h z^h), \qquad
              w_h \mathrel{+}= \mu\, \bar z^h\, e, \qquad
              e = \tilde x - \sum_h \mathrm{Re}(w_h z^h)

    with a common oscillator z, a complex weight w for each channel and harmonic, and the signal
    :math:`\tilde x` behind a high-pass of 20 Hz, whose effect g undoes. :math:`\mu` is 2 over
    `time_constant` in samples, and larger at the start.

    Weights that keep turning mean that the oscillator is too slow or too fast. Every 40 ms, on the
    grid of the absolute index, the frequency moves by their mean turn, in which each channel counts
    by its mains over its noise. The frequency stays within 0.5 Hz of the nominal one, and returns
    to it while no mains are present.

    Only a band of :math:`1 / (\pi\, \mathrm{time\_constant})` Hz is lost: at 1 s a fifth of a notch
    of Q = 30. Pops and blinks leave no ringing, because errors are clipped to six times their usual
    size. Flagged samples and channels do not change the weights, but the mains are still subtracted
    from them. Channels of type stim are copied.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    line_freq : float
        Nominal frequency of the mains in Hz.
    harmonics : int
        Number of multiples, of which the mains frequency is the first, at most 1000; those above
        0.45 of the rate are left out.
    time_constant : float
        In s, 0.1 to 100.

    Attributes
    ----------
    settling : float
        One time constant: mains at the nominal frequency are then 30 dB down [measured]. Mains
        0.1 Hz off take four.

    Raises
    ------
    ValueError
        If the mains frequency does not lie below 0.45 of the rate, or a number is out of range.

    References
    ----------
    .. [1] Widrow et al. (1975), Adaptive noise cancelling, doi:10.1109/PROC.1975.10036
    """

    delay = 0.0

    def __init__(
        self,
        info: SignalInfo,
        line_freq: float,
        harmonics: int = 1,
        time_constant: float = 1.0,
    ) -> None:
        line_freq = read("line_freq", line_freq, _LINE_FREQ)
        harmonics = read("harmonics", harmonics, _HARMONICS)
        time_constant = read("time_constant", time_constant, _TIME_CONSTANT)
        if not _CORNER < line_freq < 0.45 * info.sfreq:
            raise ValueError(
                f"need line_freq between {_CORNER:g} and {0.45 * info.sfreq:g} Hz "
                f"(0.45 of {info.sfreq:g} Hz), got {line_freq:g}; leave the canceller out"
            )
        self.info = info
        self.line_freq, self.time_constant = line_freq, time_constant
        self.harmonics = min(harmonics, math.ceil(0.45 * info.sfreq / line_freq) - 1)
        self.settling = self.time_constant
        sfreq, turn = info.sfreq, 2.0 * math.pi / info.sfreq
        mean_step = -math.expm1(-turn * _CORNER)
        self._settings = np.array(
            [
                max(1, round(_LOOK_S * sfreq)),
                2.0 / (time_constant * sfreq),
                1.0 / (_SIZE_S * sfreq),
                mean_step,
                _CLIP,
                _LEARNT_S * sfreq,
                2.0 * sfreq / line_freq,
                _PULL,
                _CERTAIN,
                turn * line_freq,
                turn * _RANGE,
            ]
        )
        # the high-pass is (1 - 1/z) / (1 - (1 - step) / z)
        back = np.exp(-1j * turn * line_freq * np.arange(1, self.harmonics + 1))
        gains = (1.0 - (1.0 - mean_step) * back) / (1.0 - back)
        self._gains = np.stack([gains.real, gains.imag], axis=1)
        self._passed = np.flatnonzero([kind == "stim" for kind in info.ch_types])
        self._memory = np.zeros((kernel.N_ROWS + 4 * self.harmonics, info.n_channels))
        self._status = np.zeros(kernel.N_STATUS)
        self._data = Rows((info.n_channels,), np.float64)
        self.reset()

    @property
    def frequency(self) -> float:
        """Frequency of the oscillator now, in Hz."""
        if self._status[kernel.N_GOOD] < 0:
            return self.line_freq
        return float(self._status[kernel.FREQ] * self.info.sfreq / (2.0 * math.pi))

    def calls(self, n: int) -> Calls:
        """Subtract the mains."""
        data = self._data.take(n)
        arguments = (
            *SAMPLES, self._gains, self._passed,
            self._settings, self._memory, self._status, data,
        )  # fmt: skip
        return Calls(((kernel.cancel_line, arguments),), data)

    def reset(self) -> None:
        """Start again at the nominal frequency."""
        self._memory[:] = 0.0
        self._status[:] = 0.0
        self._status[kernel.N_GOOD] = -1.0
