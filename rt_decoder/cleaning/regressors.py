"""Regressors: subtract what the heart, breath and other recorded references explain.

Fitted by `calibration.cleaning.regressors`. References pass the same filters as the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rt_decoder.cleaning.arguments import SMALLEST, bound, chosen, numbers, whole_numbers
from rt_decoder.cleaning.stage import SAMPLES, Calls, KernelStage
from rt_decoder.kernels import regressors as kernel
from rt_decoder.kernels.memory import Rows
from rt_decoder.settings import number, read
from rt_decoder.signal import DATA_TYPES, FLAGS, SignalInfo

__all__ = ["REFERENCE_TYPES", "Regressors"]

REFERENCE_TYPES = ("ecg", "resp", "emg", "misc", "eog")  # eog only where it is named
_GRID = 16  # lessons a step of the leakage, as in the kernel
_CLOSE, _OPEN, _POWER = 0.01, 0.05, 2.0  # s: a gate closes, opens; running power
_MAX_LAG, _MAX_TAPS = 10.0, 1000  # s; regressors
# state of a reference: no hold, gate open; age, place, energy, what smoothing remembers; trusted
_AT_START = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
_LOUD = 4.0  # s for which a reference is not used once it was above its limit
_STRANGE, _MEMORY = 3.0, 2.0  # s: flags after which little is known; shortest mean that watches
_SILENT = 0.2  # times its RMS in calibration: below, it says nothing any more


class Regressors(KernelStage):
    r"""Recursive least squares on recorded references, shared by all data channels.

    With the regressors :math:`z_t` (past values of the references, each divided by its scale),
    the weights :math:`W` (k, c) and the data :math:`x_t` (c,) of a sample::

        y = x - W'z                          the output, before this sample teaches
        g = P z / (lambda + z'P z)           lambda = exp(-1 / (time_constant * sfreq))
        P = (P - g (P z)') / lambda          one P (k, k) for all channels
        W = W + g clip(y)'                   then a leak towards calibration, and the box

    Flagged samples (corrections aside) and flagged channels teach nothing, nor do references that
    are flagged, silent or above their limit. A silent reference is still subtracted. The share of
    a flagged or too loud one fades out within 30 ms, and returns once the reference has been good
    for `holdoff` s, or 4 s after it was too loud.

    If `watched`, a reference is subtracted only while the data hold what it says: the share of it
    that is found there, a running mean, fades it out from .8 to .4. Doubt is quicker: the evidence
    that the data hold none of it (log likelihood ratio, 0 to 4) fades it out from 1 to 4, and is
    complete once it was too loud or had another rhythm. A reference of another size or kind is left
    alone, as are all at first and after a loss of 10 s. No value counts for over half of `limit`.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage. Data channels first, references after them.
    names : sequence of str
        Reference channels, r of them; none passes the signal on.
    taps : array of shape (k, 2), int
        Place in `names`, and lag in samples (at most 10 s), of each regressor.
    weights : array of shape (k, c)
        Calibrated, in the data's unit: what a reference of size `scale` adds to each data channel.
    inverse : array of shape (k, k)
        Inverse of the regressors' mean products in calibration. P starts as if the past had always
        been like that.
    scale : array of shape (r,)
        RMS of each reference in calibration, in its unit.
    limit : array of shape (r,)
        Largest credible value of each reference, in its unit.
    spread : array of shape (c,)
        Standard deviation of each data channel without artifacts, in its unit.
    reach : array of shape (r,) or None
        Samples teach nothing if ``z' inverse z``, summed over a reference's taps, is larger than
        this: the reference then moves as it never did in calibration. None for no bound.
    watched : array of shape (r, c + k + 3) or None
        A row a reference: the filter that measures its effect in the data channels, in standard
        deviations of all else; the weights of the regressors (0 for those of others) that predict
        this; the mean square of that prediction; the time in s until a running mean (of 2 s or more)
        is sure of it, 0 to watch nothing; and the mean square of its steps over that of its values,
        0 to judge no rhythm. None watches nothing.
    smoothing : array of shape (r,) or None
        Corner in Hz of two first-order low-passes in series, for a noisy belt. `scale` is the RMS
        behind them. 0 or None does not smooth.
    time_constant : float
        Time in s in which the weight of the past falls by 1/e.
    leakage : float
        Time in s in which weights return to calibration by 1/e if nothing is learned; inf for
        never.
    box : float
        With references as they were in calibration, what the live weights of each take out of a
        channel differs in RMS by at most this share from what its calibrated ones take out (or
        from a quarter of their RMS over channels, if that is more). inf for no box.
    clip : float
        Errors are clipped to this many `spread`, which bounds the speed of the weights.
    most_trace : float
        The trace of each reference's block of P stays below this many times that of `inverse`.
    silent : float
        A reference teaches while its running power is above this share of calibration's.
    holdoff : float
        Time in s for which a reference must be good after a bad sample.
    notable : float
        More than this share of `spread`, subtracted from a channel, flags `Reason.REGRESSED`.
    max_rate : float
        Lessons per second at most, in Hz: in a faster stream only every n-th sample teaches.

    Attributes
    ----------
    names : tuple of str
        References in use.
    weights : array of shape (k, c)
        As they are now.
    settling : float
        Time in s until the oldest tap has seen the stream.

    Raises
    ------
    ValueError
        If a name is no reference channel, data channels do not come first, shapes do not fit or a
        value is not finite or out of range.

    References
    ----------
    He, Wilson and Russell (2004), doi:10.1007/BF02344717; Haykin, Adaptive Filter Theory, ch. 10.
    """

    delay = 0.0

    def __init__(
        self,
        info: SignalInfo,
        names: Sequence[str],
        taps: np.ndarray,
        weights: np.ndarray, inverse: np.ndarray,
        scale: np.ndarray, limit: np.ndarray, spread: np.ndarray,
        reach: np.ndarray | None = None, smoothing: np.ndarray | None = None,
        watched: np.ndarray | None = None,
        *,
        time_constant: float = 60.0, leakage: float = 120.0, box: float = 1.0, clip: float = 5.0,
        most_trace: float = 2.0, silent: float = 0.1, holdoff: float = 0.25, notable: float = 0.1,
        max_rate: float = 250.0,
    ) -> None:  # fmt: skip
        self.info = info
        columns = _reference_columns(info, names)
        n_data, r = _n_data(info), len(columns)
        taps = _checked_taps(taps, r, math.ceil(_MAX_LAG * info.sfreq))
        k = len(taps)
        weights = numbers("weights", weights, (k, n_data))
        inverse, products = _checked_inverse(inverse, k)
        scale = numbers("scale", scale, (r,), SMALLEST)
        limit = numbers("limit", limit, (r,), SMALLEST)
        spread = numbers("spread", spread, (n_data,), SMALLEST)
        reach = np.full(r, np.inf) if reach is None else numbers("reach", reach, (r,), SMALLEST)
        smoothing = np.zeros(r) if smoothing is None else smoothing
        smoothing = numbers("smoothing", smoothing, (r,), 0.0, 1e6)
        watched = np.zeros((r, n_data + k + 3)) if watched is None else watched
        watched = numbers("watched", watched, (r, n_data + k + 3))
        time_constant = read("time_constant", time_constant, number(1e-3, 1e9))
        leakage = read("leakage", leakage, bound(1e-3))
        box = read("box", box, bound(0.0))
        clip = read("clip", clip, bound(0.0, above=True))
        most_trace = read("most_trace", most_trace, bound(1.0))
        silent = read("silent", silent, number(0.0, 1e9))
        holdoff = read("holdoff", holdoff, number(0.0, 1e6))
        notable = read("notable", notable, bound(0.0))
        max_rate = read("max_rate", max_rate, number(1e-3, 1e9))
        self.names, self.time_constant = tuple(names), time_constant
        sfreq, every = info.sfreq, max(1, round(info.sfreq / max_rate))
        longest = np.array([taps[taps[:, 0] == i, 1].max() for i in range(r)], np.int64)
        self.settling = int(longest.max(initial=0)) / sfreq
        forget = np.exp(-every / (time_constant * sfreq))
        inverse, reach = (1.0 - forget) * inverse, (1.0 - forget) * reach
        pull = leakage / (_GRID * every)
        rates = 1.0 - np.exp(-1.0 / (sfreq * np.array([pull, _POWER, _CLOSE, _OPEN, _STRANGE])))
        most = most_trace * (np.diag(inverse) @ np.eye(r)[taps[:, 0]])
        smooth = np.where(smoothing > 0, 1.0 - np.exp(-2 * np.pi * smoothing / sfreq), 1.0)
        wait = np.ceil(holdoff * sfreq) + longest + 1.0
        loud = np.maximum(wait, np.ceil(_LOUD * sfreq))
        usual, memory, rhythm = np.abs(watched[:, -3:].T)
        mean = np.maximum(memory, _MEMORY)
        prior, little = usual * memory / mean, kernel.LITTLE * usual  # soon outweighed if sure
        found = kernel.AT_FIRST * (prior + little) - little
        watch = np.where(usual * memory > 0, 1.0 - np.exp(-every / (mean * sfreq)), 0.0)
        fixed = (columns, 1.0 / scale, limit, silent * scale**2, wait, most, reach, smooth)
        state = (scale**2, *np.outer(_AT_START, np.ones(r)), found, prior)
        state = (*state, rhythm * scale**2, *np.zeros((3, r)))
        self._constants = np.array([forget, *rates[:4], every, rates[4]])
        self._taps = taps
        self._calibrated = (
            np.stack([*fixed, loud, watch, usual, rhythm, prior, *state], 1),
            np.stack([inverse, inverse]),
            np.stack([weights, weights]),
        )
        self._live = tuple(array.copy() for array in self._calibrated)
        self._own = np.eye(r)[taps[:, 0]].T  # (r, k)
        self._products = products * (self._own.T @ self._own)  # 0 between references
        shared = self._products @ weights
        self._taken = shared / spread**2
        taken = self._own @ (weights * shared)  # (r, c) powers
        floor = np.mean(taken, axis=1, keepdims=True) / 16
        self._most = box**2 * np.maximum(taken, floor) if np.isfinite(box) else taken + np.inf
        self._channels = np.stack([clip * spread, notable * spread, spread, spread])
        self._regressors = np.zeros((6, k))
        self._regressors[kernel.COURSE] = watched[:, n_data:-3].sum(axis=0)
        self._filters = np.ascontiguousarray(watched[:, :n_data])
        self._ring = np.zeros((int(longest.max(initial=0)) + 1, r))
        self._data, self._flags = Rows((info.n_channels,), np.float64), Rows((), FLAGS)

    @property
    def weights(self) -> np.ndarray:
        """Weights as they are now, (k, c)."""
        return self._live[2][kernel.LIVE].copy()

    @property
    def inverse(self) -> np.ndarray:
        """Inverse correlation P as it is now, (k, k)."""
        return self._live[1][0].copy()

    @property
    def usable(self) -> np.ndarray:
        """Which references have been good for `holdoff` s and their longest lag, (r,) bool."""
        return self._live[0][:, kernel.HOLD] == 0.0

    @property
    def agreement(self) -> np.ndarray:
        """How much of what a reference says is there, for each reference, (r,).

        1 if all is as in calibration, 0 for a reference that says nothing about the data or is
        silent. If it is not watched: what live weights subtract is projected on what calibrated
        ones subtract. That approaches 0 for a reference whose polarity was flipped, because a `box`
        of 1 lets weights vanish but not change sign.
        """
        live, calibrated = self._live[2][kernel.LIVE], self._live[2][kernel.CALIBRATED]
        now, then = (self._own @ np.sum(self._taken * weights, 1) for weights in (live, calibrated))
        kept = np.where(then > 0.0, now / np.maximum(then, 1e-300), 1.0)
        state = self._live[0]
        floor = 1e-300 + kernel.LITTLE * state[:, kernel.USUAL]
        found = (state[:, kernel.FOUND] + floor) / (state[:, kernel.SAID] + floor)
        share = np.where(state[:, kernel.WATCH] > 0.0, np.clip(found, -9.0, 9.0), kept)
        size = np.sqrt(state[:, kernel.POWER]) * state[:, kernel.GAIN]
        return np.where(size < _SILENT, 0.0, share)

    @property
    def age(self) -> float:
        """Seconds since the last reset."""
        return float(self._live[0][:, kernel.AGE].max(initial=0.0)) / self.info.sfreq

    def calls(self, n: int) -> Calls:
        """Subtract what the references explain; nothing if there are none."""
        if len(self._taps) == 0:
            return Calls(())
        data, flags = self._data.take(n), self._flags.take(n)
        arguments = (
            *SAMPLES, self._constants, self._taps,
            self._ring, *self._live, self._products, self._most, self._channels, self._regressors,
            self._filters, data, flags,
        )  # fmt: skip
        return Calls(((kernel.regress, arguments),), data, flags)

    def reset(self) -> None:
        """Return to the calibrated weights."""
        for live, calibrated in zip(self._live, self._calibrated, strict=True):
            live[:] = calibrated


def _n_data(info: SignalInfo) -> int:
    is_data = [kind in DATA_TYPES for kind in info.ch_types]
    n = sum(is_data)
    if not all(is_data[:n]) or n == 0:
        raise ValueError(f"need data channels ({', '.join(DATA_TYPES)}) before all others")
    return n


def _reference_columns(info: SignalInfo, names: Sequence[str]) -> np.ndarray:
    known = {
        name: i
        for i, (name, kind) in enumerate(zip(info.ch_names, info.ch_types, strict=True))
        if kind in REFERENCE_TYPES
    }
    return np.array([known[name] for name in chosen("names", names, known)], np.int64)


def _checked_taps(taps: np.ndarray, n_references: int, longest: int) -> np.ndarray:
    taps = whole_numbers("taps", taps, (None, 2), 0, longest).copy()
    if len(taps) > _MAX_TAPS or set(taps[:, 0].tolist()) != set(range(n_references)):
        raise ValueError(
            f"need taps (reference, lag) on each of {n_references} references, {_MAX_TAPS} at "
            f"most, got {len(taps)} on {len(set(taps[:, 0].tolist()))}"
        )
    return taps


def _checked_inverse(inverse: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and its inverse, the mean products of the regressors."""
    inverse = numbers("inverse", inverse, (k, k))
    if k and not (np.array_equal(inverse, inverse.T) and np.linalg.eigvalsh(inverse)[0] > 0):
        raise ValueError("need an inverse that is symmetric and positive definite")
    return inverse, numbers("products of the regressors", np.linalg.inv(inverse), (k, k))
