"""Muscle gate: flag muscle, chewing and movement, and leave them in the signal.

Their power lies in the band and at the places of the brain's own, so removing them would remove
the brain too. Fitted by `calibration.cleaning.muscle`. Comes before the filters, which would remove
the band it looks at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rt_decoder.cleaning.arguments import LARGEST, chosen, numbers
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.stage import Calls, Given, KernelStage
from rt_decoder.kernels import muscle as kernel
from rt_decoder.kernels.memory import Rows
from rt_decoder.settings import number, read
from rt_decoder.signal import DATA_TYPES, FLAGS, SignalInfo

__all__ = ["MuscleGate", "muscle_band"]

_L_FREQ = 25.0  # Hz; a high-pass of order 4 leaves a two-hundredth of alpha
_LEAST_BAND = 1.3  # times the lower edge must lie below 0.45 of the rate
_GRID = 250.0  # Hz, at least; higher frequencies fold down, and folded muscle still counts
_NOTCH_Q = 4.0  # wide: the mains drift, and hum may begin suddenly
_POWER_S, _MEAN_S = 0.05, 1.0  # time constants of the running power and the slow mean
_HOLD_S, _MOVE_HOLD_S = 0.15, 0.5  # bridge pauses between bursts, and between swings of a sway
_CAP = 50.0  # times the usual power, one square is clipped
_TRIM = 0.03  # share of channels left out, those of most power; at least one
_MOVE_NEED = 0.6  # share of channels that must be far off: a blink reaches only the front
_FLOOR = 1e-12
_FLOAT32 = 1e37  # about the largest float32
_SIZE, _LINE_FREQ = number(0.0, LARGEST), number(1.0, 1e6)


def muscle_band(sfreq: float) -> tuple[float, float] | None:
    """Return the band in Hz in which muscle is detected; None if the rate is too low.

    >>> muscle_band(128.0)
    (25.0, 64.0)
    """
    return (_L_FREQ, _grid(sfreq)[1] / 2) if 0.45 * sfreq >= _LEAST_BAND * _L_FREQ else None


class MuscleGate(KernelStage):
    """Flags the samples in which muscles or movements are louder than the brain.

    The data are passed on themselves; `flags` gets

    - `Reason.MUSCLE`: the score is above `on`. It is the power above 25 Hz, without the mains, over
      the last 50 ms, in units of each data channel's usual power, averaged over channels. The
      loudest 3 % are left out (one bad electrode is not muscle). The flag drops once the score has
      been below `off` for 150 ms, so that a sample between two bursts does not count as clean.
    - `Reason.MOVEMENT`: 60 % of the data channels are further than `far` from their mean over about
      the last second, or the size of the acceleration is further than `acc_limit` from its mean;
      and for 500 ms after.

    From 500 Hz on, only every n-th sample is looked at, on the grid of the absolute index.

    Parameters
    ----------
    info : SignalInfo
        Of the signal, not filtered yet; unchanged by the stage.
    scale : array of shape (c,)
        RMS above 25 Hz that is usual for a data channel, SI; 0 leaves it out.
    far : array of shape (c,)
        Credible distance of a data channel from its slow mean, SI; 0 leaves it out.
    on, off : float
        Mean power over channels, in units of the usual, that raises and keeps the flag.
    line_freq : float or None
        Mains frequency in Hz; None if there is none to leave out.
    accelerometer : sequence of str
        Names of its axes; may be none.
    acc_limit : float
        Credible distance of the acceleration's size from its slow mean, in the unit of the axes; 0
        does not look.

    Raises
    ------
    ValueError
        If a shape does not fit, a value is out of range or an axis is unknown.
    """

    delay = 0.0
    settling = 0.0

    def __init__(
        self,
        info: SignalInfo,
        scale: np.ndarray,
        far: np.ndarray,
        on: float = 2.0,
        off: float = 1.4,
        *,
        line_freq: float | None = None,
        accelerometer: Sequence[str] = (),
        acc_limit: float = 0.0,
    ) -> None:
        shape = (info.n_channels,)
        self.scale = scale = numbers("scale", scale, shape, 0.0)
        self.far = far = numbers("far", far, shape, 0.0)
        self.on, self.off = read("on", on, _SIZE), read("off", off, _SIZE)
        if not 0 < self.off <= self.on:
            raise ValueError(f"need 0 < off <= on, got off {off} and on {on}")
        if line_freq is not None:
            line_freq = read("line_freq", line_freq, _LINE_FREQ)
        accelerometer = chosen("accelerometer", accelerometer, info.ch_names)
        acc_limit = read("acc_limit", acc_limit, _SIZE)
        self.info = info
        self.every, rate = _grid(info.sfreq)
        is_data = np.array([kind in DATA_TYPES for kind in info.ch_types])
        used = is_data & (scale > 0)
        self.band = muscle_band(info.sfreq) if used.any() else None
        self._memory = np.zeros((kernel.N_ROWS, info.n_channels), np.float32)
        self._memory[kernel.LIMIT] = np.inf
        moves = used & (far > 0)
        with np.errstate(over="ignore"):  # overflows for absurdly small scales
            self._memory[kernel.GAIN, used] = np.minimum(1.0 / scale[used], _FLOAT32)
            self._memory[kernel.LIMIT, moves] = np.minimum(far[moves] / scale[moves], _FLOAT32)
        self._coefs = _coefficients(rate, line_freq)
        n_used, n_far = int(used.sum()), int(moves.sum())
        n_trim = max(1, round(_TRIM * n_used)) if n_used > 2 else 0
        self._settings = np.array(
            [
                self.every,
                n_used,
                n_trim,
                self.on if self.band else np.inf,
                self.off if self.band else np.inf,
                math.ceil(_HOLD_S * rate),
                max(1, math.ceil(_MOVE_NEED * n_far)),
                math.ceil(_MOVE_HOLD_S * rate / kernel.LOOK),
                -math.expm1(-kernel.LOOK / (_MEAN_S * rate)),
                acc_limit if acc_limit > 0 else np.inf,
            ]
        )
        self._status = np.zeros(kernel.N_STATUS)
        self._acc = np.array([info.ch_names.index(name) for name in accelerometer], np.int64)
        self._flags = Rows((), FLAGS)

    def calls(self, n: int) -> Calls:
        """Flag the samples."""
        flags = self._flags.take(n)
        arguments = (
            Given.DATA, Given.FLAGS, Given.INDEX, self._coefs, self._memory, self._settings,
            self._status, self._acc, flags,
        )  # fmt: skip
        return Calls(((kernel.gate_samples, arguments),), flags=flags)

    def reset(self) -> None:
        """Start again at the level of the next sample, with the flags down."""
        self._status[:] = 0.0
        self._memory[kernel.OFFSET] = 0.0
        self._memory[kernel.STATES :] = 0.0

    def trace(
        self, data: np.ndarray, stride: int = 1, *, cap: float = _CAP
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run a new gate over a recording, and return what it computes.

        Parameters
        ----------
        data : array of shape (n, c)
            Recording.
        stride : int
            Points of the gate's grid from one that is returned to the next.
        cap : float
            Largest square that counts, in units of the usual power. Calibration, which does not
            know `scale` yet, sets no cap.

        Returns
        -------
        scores : array of shape (m,)
            Scores that `on` and `off` are compared with.
        power, away : array of shape (m, c)
            Running power in units of the usual; distance from the slow mean in units of `scale`.
        """
        m = -(-len(data) // (self.every * stride))
        scores = np.empty(m)
        power = np.empty((m, self.info.n_channels), np.float32)
        away = np.empty_like(power)
        coefs = self._coefs.copy()
        coefs[-1, kernel.CAP] = min(cap, 1e30)
        self.reset()
        kernel.trace_samples(
            data, stride, coefs, self._memory, self._settings, self._status, scores, power, away
        )  # fmt: skip
        self.reset()
        return scores, power, away


def _grid(sfreq: float) -> tuple[int, float]:
    """Samples from one point of the grid to the next, and the grid's rate in Hz."""
    every = max(1, int(sfreq // _GRID))
    return every, sfreq / every


def _coefficients(rate: float, line_freq: float | None) -> np.ndarray:
    """Filter and constants as the kernel takes them."""
    out = np.zeros((kernel.N_SOS + 1, 5), np.float32)
    out[:, 0] = 1.0  # passes all
    if 0.45 * rate >= _LEAST_BAND * _L_FREQ:
        notch = (line_freq,) if line_freq is not None and line_freq < 0.45 * rate else ()
        sos = design_sos(rate, _L_FREQ, order=4, notch=notch, notch_q=_NOTCH_Q)
        out[kernel.N_SOS - len(sos) : -1] = sos[:, [0, 1, 2, 4, 5]]
    out[-1, kernel.POWER_STEP] = -math.expm1(-1.0 / (_POWER_S * rate))
    out[-1, kernel.MEAN_STEP] = -math.expm1(-kernel.LOOK / (_MEAN_S * rate))
    out[-1, [kernel.CAP, kernel.FLOOR]] = _CAP, _FLOOR
    return out
