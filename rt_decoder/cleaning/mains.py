"""Line canceller: takes the hum of the mains out and leaves the brain's signal beside it.

Comes before the filters in place of their notch, and on the references too.
"""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels import mains as kernel
from rt_decoder.kernels.memory import Rows
from rt_decoder.settings import number, read, whole
from rt_decoder.signal import Chunk, SignalInfo

__all__ = ["MainsCanceller"]

_CORNER = 20.0  # Hz; below it no sample says anything of the line
_CLIP = 6.0  # times the usual size of the error: more does not count, so that a pop does not ring
_SIZE_S, _LEARNT_S = 1.0, 0.25  # time constant of that size; when it can be trusted
_LOOK_S = 0.04  # between looks at the frequency: two periods
_PULL = 0.2  # makes the loop settle as fast as it can without swinging
_CERTAIN = 6.0  # times the power that noise of that size alone gives: there is a line
_RANGE = 0.5  # Hz
_LINE_FREQ, _HARMONICS, _TIME_CONSTANT = number(1.0, 1e6), whole(1, 1000), number(0.1, 100.0)


class MainsCanceller:
    r"""Subtracts a sine at the mains frequency, and at its multiples, from every channel.

    .. math:: y = x - \sum_h \mathrm{Re}(w_h g_h z^h), \qquad
              w_h \mathrel{+}= \mu\, \bar z^h\, e, \qquad
              e = \tilde x - \sum_h \mathrm{Re}(w_h z^h)

    with a common oscillator z, a complex weight w for each channel and harmonic, the signal
    :math:`\tilde x` behind a high-pass of 20 Hz whose effect g makes up for, and :math:`\mu = 2`
    over `time_constant` in samples, more in the beginning.

    The oscillator turns faster or slower as the weights do: their turn, of all channels together
    and each by its line over its noise, is looked at every 40 ms on the grid of the absolute index.
    The frequency stays within 0.5 Hz of the nominal one, and returns there where there is no line.

    Only a band of :math:`1 / (\pi\, \mathrm{time\_constant})` Hz is lost: at 1 s a fifth of a notch
    of Q = 30. What passes at once, a pop or a blink, leaves no ringing, as errors count to six
    times their usual size. Weights stay as they are in samples that are flagged, and in channels
    that are; what they say of the line is still subtracted there. Channels of type stim pass.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    line_freq : float
        Nominal frequency of the mains in Hz.
    harmonics : int
        How many multiples, the mains themselves being the first, 1000 at most; those above 0.45 of
        the rate are left out.
    time_constant : float
        In s, 0.1 to 100.

    Attributes
    ----------
    settling : float
        One time constant: a line at the nominal frequency is then 30 dB down [measured]. One that
        is 0.1 Hz off takes four.

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
        """What the oscillator follows at present, in Hz."""
        if self._status[kernel.N_GOOD] < 0:
            return self.line_freq
        return float(self._status[kernel.FREQ] * self.info.sfreq / (2.0 * math.pi))

    def process(self, chunk: Chunk) -> Chunk:
        """Cancel the line in `chunk`: bit-identical however the stream is cut."""
        data = self._data.take(len(chunk.data))
        kernel.cancel_line(
            chunk.data,
            chunk.flags,
            chunk.channel_flags,
            chunk.index,
            self._gains,
            self._passed,
            self._settings,
            self._memory,
            self._status,
            data,
        )
        return Chunk(data, chunk.times, chunk.index, chunk.flags, chunk.channel_flags)

    def reset(self) -> None:
        """Begin anew at the nominal frequency."""
        self._memory[:] = 0.0
        self._status[:] = 0.0
        self._status[kernel.N_GOOD] = -1.0
