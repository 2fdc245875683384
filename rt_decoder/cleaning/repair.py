"""Channel repair: find bad channels live, and replace them before they can spread.

Fitted by `calibration.cleaning.repair`. Comes after the causal filters and before every stage that
mixes channels: a projector would spread a pop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rt_decoder.cleaning.arguments import numbers, truths, whole_numbers
from rt_decoder.cleaning.stage import SAMPLES, Calls, KernelStage
from rt_decoder.kernels import repair as kernel
from rt_decoder.kernels.memory import Rows, aligned, padded
from rt_decoder.signal import FLAGS, SignalInfo

__all__ = ["ChannelRepair"]

_NOISE_S, _POWER_S = 1.0, 0.3  # time constants of the running mean squares
_ENVELOPE_S, _RELEASE_S = 0.1, 0.25  # decay of an episode; least time from replaced to trusted
_AWAY_S, _LONG_S, _MINUTE_S = 60.0, 10.0, 60.0  # time constants of what lasts, and a minute
_TOLERANCE = 0.5  # of the prediction: a large event that neighbours share is not a pop
_TOO_MANY = 0.25  # of the channels; if more are bad, the whole sample is
_LEAST_ROOM = 8  # columns of neighbours that few channels may have, the rest of them -1
_MOST = float(np.finfo(np.float64).max)
_EVENTS = {  # row of what is told, whether it is so now: event, fix
    (0, True): (
        "channel_disagrees",
        "if its electrode is well, fit again with today's recording, or rt-calibrate realign",
    ),
    (0, False): ("channel_agrees", ""),
    (1, True): ("channel_replaced", "check the electrode; if it is well, fit again"),
    (1, False): ("channel_returned", ""),
}


class ChannelRepair(KernelStage):
    r"""Replaces bad channels softly by predictions from their neighbours.

    .. math:: y_k = x_k - q_k (x_k - p_k), \qquad p_k = \sum_j w_{kj} y_j

    over a few neighbours j of the same type. The suspicion :math:`q_k` in [0, 1] rises at once and
    falls at a bounded rate. It comes from

    - a **pop**: the residual :math:`|x_k - p_k|` exceeds ``limit + |p_k| / 2``. The residual
      decides, not the amplitude, and the tolerance grows with the prediction, so a blink that
      neighbours share is not a pop. The channel furthest beyond its limit is suspected first, and
      the residuals of the others are corrected before they are judged: a pop does not spoil its
      neighbours.
    - **noise**: the running mean square (1 s) of the residual over its limit is far above
      calibration. Mains that the filters left in one channel count too.
    - a **dead** channel: running power (0.3 s) far below both its prediction's and its own usual.
    - a reason of the guard in `channel_flags`, or a value far beyond any in calibration; distrust
      then lasts until the residual is small.

    Bad neighbours are not used. With several suspects, each is first estimated by regressions on
    single neighbours, averaged by trust, which stays bounded however many are bad. Then it is
    predicted three times by the regression on all neighbours, with these estimates in place of bad
    ones. The cost is bounded by the number of suspects times the number of neighbours.

    A channel that is replaced for about 20 s in a row, or for a quarter of the time, but is of
    usual size meanwhile (at most three times larger or smaller than in calibration), disagrees with its neighbours for another reason
    than a bad electrode: what calibration learned of it no longer holds. It is then passed on
    unchanged, with a limit that is as far from its residuals now as the limit was in calibration;
    predictions of other channels do without it until it agrees again. `take_events` reports this,
    and channels that are replaced for more than a minute.

    A replaced sample is flagged REPAIRED (q > 0.05) and BAD_CHANNEL (q > 0.5) in `channel_flags`.
    If more than a quarter of the channels are bad at once, the whole sample is flagged BAD_CHANNEL.
    Without suspects the signal passes bit-identical. Flagged samples teach nothing.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    neighbors : array of shape (c, k), int64
        Columns that predict each channel; -1 for none. A channel without any is copied.
    weights : array of shape (3, c, k)
        Regression on all neighbours together; on each neighbour alone; share of each neighbour in
        the mean of these, >= 0.
    limits : array of shape (5, c)
        ===  ====  ============================================================
        row  unit  meaning
        ===  ====  ============================================================
        0    SI    residual where a pop begins, before the tolerance is added
        1          mean square of the residual over its limit where noise begins
        2          share of the usual power below which a channel is dead
        3    SI^2  mean square in calibration
        4    SI    largest credible value
        ===  ====  ============================================================
    bad : array of shape (c,), bool
        Channels already bad in calibration: always replaced, not counted.

    Raises
    ------
    ValueError
        If a shape or a value does not fit, or a channel is predicted by one of another type.

    References
    ----------
    .. [1] Kobler et al. (2019), HEAR to remove pops and drifts, doi:10.48550/arXiv.1907.12354
       (replacing variance-flagged electrodes softly; here by residual and regression)
    """

    delay = 0.0
    settling = 0.0

    notes = True

    def __init__(
        self,
        info: SignalInfo,
        neighbors: np.ndarray,
        weights: np.ndarray,
        limits: np.ndarray,
        bad: np.ndarray,
    ) -> None:
        self.info = info
        c = info.n_channels
        neighbors = whole_numbers("neighbors", neighbors, (c, None), -1, c - 1)
        k = neighbors.shape[1]
        if not 1 <= k <= max(c, _LEAST_ROOM):
            raise ValueError(f"need neighbors of 1 to {max(c, _LEAST_ROOM)} columns, got {k}")
        weights = numbers("weights", weights, (3, c, k), high=_MOST, low=-_MOST)
        limits = numbers("limits", limits, (5, c), 0.0, _MOST)
        bad = truths("bad", bad, (c,))
        watched = _check(info, neighbors, weights, limits, bad)
        self._neighbors, self._weights = _padded(neighbors, weights)
        self._places = np.append(np.zeros(c + 1, np.int64), _links(self._neighbors, self._weights))
        self._memory = aligned((kernel.N_ROWS, padded(max(c, kernel.N_SETTINGS))))
        whole, state, _, settings = kernel.parts.py_func(self._memory)
        self._limits, self._state = whole[:, :c], state[:, :c]
        self._limits[: len(limits)] = limits
        self._limits[:2, ~watched] = np.inf  # never suspected
        self._limits[2, ~watched] = 0.0
        self._limits[kernel.ALWAYS], self._limits[kernel.WATCHED] = bad, watched
        self._limits[kernel.CALIBRATED] = self._limits[kernel.LIMIT]
        every = max(1, int(info.sfreq // 250))  # often enough for the mains
        n_good = int(np.sum(watched & ~bad))
        settings[: kernel.N_SETTINGS] = (
            every,
            -math.expm1(-every / (_NOISE_S * info.sfreq)),
            -math.expm1(-every / (_POWER_S * info.sfreq)),
            math.exp(-1.0 / (_ENVELOPE_S * info.sfreq)),
            1.0 / (_RELEASE_S * info.sfreq),
            _TOLERANCE,
            _TOO_MANY * n_good,
            np.sum(bad) + max(1, n_good // 2),
            -math.expm1(-kernel.LOOK / (_AWAY_S * info.sfreq)),
            -math.expm1(-kernel.LOOK / (_LONG_S * info.sfreq)),
            -math.expm1(-1.0 / (_LONG_S * info.sfreq)),
            _MINUTE_S * info.sfreq,
            0.0,
        )
        self._settings = settings
        self._told = np.zeros((2, c), bool)  # apart, replaced for long
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._data = Rows((c,), np.float64)
        self._flags = Rows((), FLAGS)
        self._channel_flags = Rows((c,), FLAGS)
        self.reset()

    def calls(self, n: int) -> Calls:
        """Repair bad channels; pass on what came in if nothing is suspect."""
        out = self._data.take(n), self._flags.take(n), self._channel_flags.take(n)
        arguments = (
            *SAMPLES, self._neighbors,
            self._weights, self._places, self._memory, *out,
        )  # fmt: skip
        return Calls(((kernel.repair, arguments),), *out, perhaps=True)

    def done(self, _calls: Calls, _stop: int, _changed: bool) -> None:
        """Note what the kernel has decided, if it says so.

        Parameters
        ----------
        _calls : Calls
        _stop : int
        _changed : bool
            As of `KernelStage.done`.
        """
        if self._settings[kernel.EVENTS]:
            self._note()

    @property
    def disagreeing(self) -> np.ndarray:
        """Channels that are passed on although they disagree with their neighbours, (c,) bool."""
        return np.asarray(self._state[kernel.APART] > 0.0)

    @property
    def replaced(self) -> np.ndarray:
        """Channels that are mostly their neighbours' prediction now, (c,) bool."""
        return np.asarray(self._state[kernel.Q] > 0.5)

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Take what has happened to channels since the last call.

        =====================  =============================================================
        event                  meaning
        =====================  =============================================================
        ``channel_disagrees``  of usual size, unlike its prediction for long: passed on as it is
        ``channel_agrees``     it agrees again, and is repaired as before
        ``channel_replaced``   replaced by its prediction for more than a minute in a row
        ``channel_returned``   no longer replaced
        =====================  =============================================================

        Returns
        -------
        list of (str, dict)
            Events with their details: the channel, its ``size`` over that of calibration, and the
            ``fix``.
        """
        taken, self._events = self._events, []
        return taken

    def _note(self) -> None:
        """Compare what the kernel has decided with what is told, and keep the difference."""
        self._settings[kernel.EVENTS] = 0.0
        now = self._state[[kernel.APART, kernel.TOLD]] > 0.0
        size = np.exp(self._state[kernel.SEEN] / 2)
        for row, k in np.argwhere(now != self._told).tolist():
            event, fix = _EVENTS[row, bool(now[row, k])]
            details = {"channel": self.info.ch_names[k], "size": round(float(size[k]), 2)}
            self._events.append((event, details | ({"fix": fix} if fix else {})))
        self._told[:] = now

    def bridge(self) -> None:
        """Begin anew after a gap; what is known of channels that disagree for long is kept."""
        state, limits = self._state, self._limits
        state[: kernel.AWAY] = 0.0
        state[kernel.POWER] = state[kernel.PREDICTED] = limits[kernel.USUAL]
        always = limits[kernel.ALWAYS] > 0.0
        state[kernel.Q, always] = state[kernel.ENVELOPE, always] = 1.0
        apart = state[kernel.APART] > 0.0
        state[kernel.ENVELOPE, apart] = kernel.TINY
        suspects = np.flatnonzero(always | apart)
        self._places[: len(suspects)] = suspects
        self._places[self.info.n_channels] = len(suspects)

    def reset(self) -> None:
        """Trust every channel that was good in calibration."""
        self._state[kernel.AWAY :] = 0.0
        self._limits[kernel.LIMIT] = self._limits[kernel.CALIBRATED]
        self._settings[kernel.EVENTS] = 0.0
        self._told[:] = False
        self._events = []
        self.bridge()


def _check(
    info: SignalInfo,
    neighbors: np.ndarray,
    weights: np.ndarray,
    limits: np.ndarray,
    bad: np.ndarray,
) -> np.ndarray:
    """Check that the arguments fit together; return which channels are watched."""
    used = neighbors >= 0
    watched = np.asarray(used.any(axis=1))
    types = np.array(info.ch_types)
    if ((types[neighbors] != types[:, None]) & used).any():
        raise ValueError("need neighbors of the channel's own type, got a mixture; fit again")
    if (neighbors == np.arange(info.n_channels)[:, None]).any():
        raise ValueError("need neighbors other than the channel itself; fit again")
    if not (weights[2] >= 0).all():
        raise ValueError("need shares, the third part of weights, of at least 0, got others")
    if not (limits[:2, watched] > 0).all():
        raise ValueError("need limits above 0 for channels that have neighbors; fit again")
    if (bad & ~watched).any():
        raise ValueError("need neighbors for every channel that is bad in calibration")
    return watched


def _padded(neighbors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad the columns to eights, as the kernel adds them; padding has weight 0."""
    c, k = neighbors.shape
    width = -(-k // 8) * 8
    columns = np.zeros((c, width), np.uint32)  # unsigned: the kernel need not look for negatives
    columns[:, :k] = np.maximum(neighbors, 0)
    out = np.zeros((3, c, width))
    out[:, :, :k] = np.where(neighbors >= 0, weights, 0.0)
    return columns, out


def _links(neighbors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Find, for each channel, its places among the neighbours of others."""
    c = len(neighbors)
    flat = neighbors.ravel().astype(np.int64)
    places = np.flatnonzero(weights[0].ravel())
    order = places[np.argsort(flat[places], kind="stable")]
    bounds = np.searchsorted(flat[order], np.arange(c + 1)) + c + 1
    return np.concatenate([bounds, order]).astype(np.int64)
