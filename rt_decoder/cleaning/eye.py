"""Eye correction: subtract the few sources of blinks and gaze while they are active.

`calibration.cleaning.eye` fits the sources; no eye channel is needed live.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.cleaning.arguments import SMALLEST, numbers
from rt_decoder.cleaning.stage import Calls, Given, KernelStage
from rt_decoder.kernels.eye import subtract_gated
from rt_decoder.kernels.memory import Rows
from rt_decoder.settings import number, read
from rt_decoder.signal import DATA_TYPES, FLAGS, Reason, SignalInfo

__all__ = ["EyeCorrection"]

_VISIBLE = 0.05  # samples are flagged if a gate is open further than this
# sizes of a source, times the threshold
_FULL = 1.1  # its gate is fully open
_WIDE = 1.43  # the gates of all sources are fully open
_HOLD = 1 / 4  # below it the gate closes
_DRIFT = number(0.0, 1e6)
_THRESHOLD, _RELEASE_S = number(1e-6, 1e6), number(1e-3, 1e3)


class EyeCorrection(KernelStage):
    """Subtracts eye sources, each through a gate that opens only while the source is active.

    ``y = x - A p(t) W' x`` over the data channels. The diagonal of p(t) holds a gate in [0, 1] for
    each source. With ``u = |W' x| / rest_scale``, the gate of a source

    - opens at once, by ``smoothstep((u - threshold) / (threshold / 10))``;
    - opens likewise with the largest u of all sources, from 1.1 to 1.43 of the threshold: when the
      topography of a blink drifts, the remainder in other sources is too small to open their gates;
    - keeps its value while ``u > threshold / 4``, for the tails of blinks and gaze shifts;
    - otherwise closes linearly within `release_s`.

    The pattern of the first source drifts within minutes. Where that source has size u and gate p,
    its drift source ``v' x`` has ``r = drift_power p u^2`` times its variance at rest. The share of
    it that is no rest, ``d v' x r / (1 + r)``, is subtracted (Wiener): much at the peak of a blink,
    next to nothing at its ends.

    Gates are continuous functions of the sources, so they add no steps to the signal. Weak activity
    of one source does not remove the brain's share of the others. Without eye activity a sample
    passes bit-identical. References are copied. A sample is flagged `Reason.EYE` while a gate is
    open by more than 5 %.

    Gates follow bad samples too: their memory is no longer than `release_s`, nothing is learned,
    and a blink during chewing is still a blink.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    mixing : array of shape (n_data, r)
        A: how each source shows in the data channels.
    unmixing : array of shape (n_data, r)
        W: how each source is measured from the data channels.
    rest_scale : array of shape (r,)
        Standard deviation of each source while the eyes rest, above 0.
    threshold : float
        Size of a source at which its gate begins to open, in units of `rest_scale`, 1e-6 to 1e6.
    release_s : float
        Time in s in which an open gate closes, 1e-3 to 1e3.
    drift : array of shape (2, n_data) or None
        d, how the drift source shows in the data channels, and v, how it is measured, with variance
        1 at rest. None for no drift.
    drift_power : float
        Variance of the drift source where ``p u^2`` is 1; 0 to 1e6.

    Raises
    ------
    ValueError
        If a shape does not fit, or a value is not finite or out of range.

    References
    ----------
    Kobler et al. 2020, doi:10.1016/j.neuroimage.2020.117000 (a fixed eye subspace, not gated)
    """

    delay = 0.0
    settling = 0.0

    def __init__(
        self,
        info: SignalInfo,
        mixing: np.ndarray,
        unmixing: np.ndarray,
        rest_scale: np.ndarray,
        threshold: float = 4.0,
        release_s: float = 0.4,
        drift: np.ndarray | None = None,
        drift_power: float = 0.0,
    ) -> None:
        picks = [k for k, kind in enumerate(info.ch_types) if kind in DATA_TYPES]
        rest_scale = numbers("rest_scale", rest_scale, (None,), SMALLEST)
        shape = len(picks), len(rest_scale)
        if not 1 <= shape[1] <= shape[0]:
            raise ValueError(f"need rest_scale of 1 to {shape[0]} sources, got {shape[1]}")
        mixing = numbers("mixing", mixing, shape)
        unmixing = numbers("unmixing", unmixing, shape)
        drift = np.zeros((2, shape[0])) if drift is None else numbers("drift", drift, (2, shape[0]))
        self.drift_power = read("drift_power", drift_power, _DRIFT)
        self.threshold = threshold = read("threshold", threshold, _THRESHOLD)
        self.release_s = release_s = read("release_s", release_s, _RELEASE_S)
        self.info = info
        self.mixing, self.unmixing, self.rest_scale = mixing, unmixing, rest_scale
        # over all channels, 0 at the references, in units of the scale at rest
        rank, c = len(rest_scale), info.n_channels
        fours = -(-(rank + 1) // 4) * 4  # the kernel measures four sources at a time
        self._mixing, self._unmixing = np.zeros((rank + 1, c)), np.zeros((fours, c))
        self._mixing[:rank, picks] = (mixing * rest_scale).T
        self._unmixing[:rank, picks] = (unmixing / rest_scale).T
        self._mixing[rank, picks], self._unmixing[rank, picks] = drift
        step = 1.0 / (release_s * info.sfreq)
        self._levels = np.array([1.0, _FULL, _WIDE, _HOLD, step / threshold]) * threshold
        self._gate, self._sources = np.zeros(rank), np.zeros(fours)
        self._data = Rows((c,), np.float64)
        self._flags = Rows((), FLAGS)

    def calls(self, n: int) -> Calls:
        """Subtract the active eye sources."""
        data, flags = self._data.take(n), self._flags.take(n)
        arguments = (
            Given.DATA, Given.FLAGS, self._unmixing, self._mixing, self._levels, self.drift_power,
            self._gate, self._sources, _VISIBLE, _EYE, data, flags,
        )  # fmt: skip
        return Calls(((subtract_gated, arguments),), data, flags)

    def reset(self) -> None:
        """Close the gates."""
        self._gate[:] = 0.0


_EYE = int(Reason.EYE)
