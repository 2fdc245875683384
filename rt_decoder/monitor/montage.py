"""Compare the differences of channels with calibration's: a check of montage and gain.

Once a second, before any channel is repaired: the log power of the difference of every two channels,
median over 20 s. A difference does not depend on the reference. Its work is cut into steps, some a
hop, so that no hop is held up, and the verdict on a second comes at a fixed sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.kernels.montage import (
    add_products,
    likeness,
    log_row,
    mean_change,
    median_row,
    row_changes,
)
from rt_decoder.signal import FLAGS, Chunk

__all__ = ["LEAST_CHANNELS", "RATE", "SECONDS", "Change", "MontageCheck", "compare_maps"]

LEAST_CHANNELS = 16
SECONDS = 20  # in the median
RATE = 100.0  # samples a second that are used
GAIN = 0.45  # log amplitude
ORDER = 0.05  # correlation that another order gains
EXCHANGE, INVERSION, BRIDGE = 0.45, 0.3, 1.5  # log power, squared in the first two
_IN_A_ROW = 3  # verdicts


class Change(NamedTuple):
    """What differs from calibration: "order", "exchange", "inversion", "bridge", "gain" or ""."""

    what: str = ""
    name: str = ""  # of the order
    channels: tuple[int, ...] = ()  # places among the channels that are compared
    factor: float = 1.0  # of the gain


def _judged(
    shift: float,
    gains: np.ndarray,
    best: np.ndarray,
    place: np.ndarray,
    names: tuple[str, ...],
    swap: float,
    held: str = "",
) -> Change:
    """Say what differs most surely; half as much will do for what is `held` to differ."""
    floors = {"order": ORDER, "inversion": INVERSION, "exchange": EXCHANGE, "bridge": BRIDGE}
    floors["gain"] = GAIN
    if held in floors:
        floors[held] *= 0.5
    swapped = swap if best[0] > EXCHANGE else -math.inf
    if len(gains) and float(gains.max()) > max(floors["order"], swapped):
        return Change("order", names[int(gains.argmax())])
    if best[1] > floors["inversion"] and best[1] >= best[0]:
        return Change("inversion", "", (int(place[1, 0]),))
    if best[0] > floors["exchange"]:
        return Change("exchange", "", (int(place[0, 0]), int(place[0, 1])))
    if best[2] > floors["bridge"]:
        return Change("bridge", "", (int(place[2, 0]), int(place[2, 1])))
    if abs(0.5 * shift) > floors["gain"]:
        return Change("gain", factor=round(math.exp(0.5 * shift), 3))
    return Change()


def _swap_gain(
    now: np.ndarray, usual: np.ndarray, place: np.ndarray, order: np.ndarray, before: float
) -> float:
    """Correlation that the best exchange gains; `order` (m,) is 0, 1, ... before and after."""
    a, b = int(place[0, 0]), int(place[0, 1])
    order[a], order[b] = b, a
    gain: float = likeness(now, usual, order) - before
    order[a], order[b] = a, b
    return gain


class MontageCheck:
    """Watch the differences of channels.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    n_hop : int
        Samples in a hop.
    picks : array of shape (m,), int
        Channels that are compared.
    difference, plus : array of shape (m, m)
        Log power of differences and sums of channels in calibration; the diagonal is not used.
    orders : array of shape (k, m), int
        Orders that are looked for: channel of calibration that stands in each place.
    names : tuple of str
        Of the orders.

    Attributes
    ----------
    change : Change
        What differs, once three verdicts in a row said so.
    likeness : float
        Correlation with calibration's map; NaN before the first verdict. It tells of the montage,
        not of the person.

    Raises
    ------
    ValueError
        If shapes do not fit each other.
    """

    def __init__(
        self,
        sfreq: float,
        n_hop: int,
        picks: np.ndarray,
        difference: np.ndarray,
        plus: np.ndarray,
        orders: np.ndarray,
        names: tuple[str, ...],
    ) -> None:
        m = len(picks)
        if difference.shape != (m, m) or plus.shape != (m, m) or orders.shape != (len(names), m):
            raise ValueError(f"need maps and orders of {m} channels, got others")
        if orders.size and not (np.sort(orders, axis=1) == np.arange(m)).all():
            raise ValueError("need each channel once in an order, got others")
        self._picks = np.ascontiguousarray(picks, np.int64)
        self._difference = np.ascontiguousarray(difference, np.float64)
        self._plus = np.ascontiguousarray(plus, np.float64)
        self._orders = np.ascontiguousarray(orders, np.int64)
        self._names, self._same, self._swapped = names, np.arange(m), np.arange(m)
        self._n_second, self._stride = round(sfreq), max(1, round(sfreq / RATE))
        n_hops = max(1, self._n_second // n_hop)
        self._n_steps = 2 * m + 2 + len(names)
        self._at_once = math.ceil(self._n_steps / max(1.0, 0.9 * n_hops))
        self._total, self._sums = np.zeros((m, m)), np.zeros((m, m))
        self._bad, self._good = np.zeros(m, np.int64), np.zeros(m, bool)
        self._kept = np.zeros((SECONDS, m, m), np.float32)
        self._now, self._row, self._sorted = np.zeros((m, m)), np.zeros(m), np.zeros(SECONDS)
        self._gains, self._best, self._place = (
            np.zeros(len(names)),
            np.zeros(3),
            np.zeros((3, 2), int),
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.change, self.likeness = Change(), math.nan
        self._last, self._n_same = Change(), 0
        self.restart()

    def warm_up(self) -> None:
        """Compile every kernel; forgets everything."""
        for step in range(self._n_steps):
            self._work(step)
        m = len(self._picks)
        flags = np.zeros((1, int(self._picks.max()) + 1), FLAGS)
        data = np.zeros(flags.shape)
        add_products(data, flags, self._picks, 0, 1, self._total, self._bad)
        row_changes(np.zeros((m, m)), self._difference, self._plus, 0.0, 0, self._best, self._place)
        self.reset()

    def restart(self) -> None:
        """Begin a new time line; the last verdict stays until the next."""
        self._total[:] = 0.0
        self._bad[:] = 0
        self._kept[:] = np.nan
        self._n = self._n_used = self._n_done = self._n_seconds = 0
        self._shift = math.nan
        self._step = self._n_steps  # nothing to do

    def add(self, hop: Chunk) -> bool:
        """Take a hop; return whether a verdict came."""
        first = -hop.index % self._stride
        self._n_used += add_products(
            hop.data, hop.channel_flags, self._picks, first, self._stride, self._total, self._bad
        )
        self._n += len(hop.data)
        if self._n >= self._n_second:
            self._finish()
        came = False
        for _ in range(self._at_once):
            if self._step < self._n_steps:
                came = self._work(self._step) or came
                self._step += 1
        return came

    def _finish(self) -> None:
        """End a second: its sums are worked on during the next one."""
        self._total, self._sums = self._sums, self._total
        self._total[:] = 0.0
        np.less(self._bad, 0.5 * self._n_used, out=self._good)
        self._bad[:] = 0
        self._n, self._n_done, self._n_used = 0, self._n_used, 0
        self._n_seconds += 1
        self._step = 0

    def _work(self, step: int) -> bool:
        m = len(self._picks)
        if step < m:
            log_row(self._sums, self._n_done, self._good, step, -1.0, self._row)
            self._kept[self._n_seconds % SECONDS, step] = self._row
            median_row(self._kept, step, SECONDS // 2, self._sorted, self._now[step])
        elif step == m:
            self._shift = mean_change(self._now, self._difference)
            self.likeness = likeness(self._now, self._difference, self._same)
            self._best[:] = 0.0
        elif step <= m + len(self._names):
            place = step - m - 1
            other = likeness(self._now, self._difference, self._orders[place])
            self._gains[place] = other - self.likeness
        elif step < self._n_steps - 1:
            row_changes(
                self._now, self._difference, self._plus, self._shift, step - m - 1 - len(self._names),
                self._best, self._place,
            )  # fmt: skip
        elif math.isfinite(self._shift) and math.isfinite(self.likeness):
            self._conclude()
            return True
        return False

    def _conclude(self) -> None:
        swap = _swap_gain(self._now, self._difference, self._place, self._swapped, self.likeness)
        found = _judged(
            self._shift, self._gains, self._best, self._place, self._names, swap, self.change.what
        )
        same = (found.what, found.name, found.channels) == (
            self._last.what, self._last.name, self._last.channels,
        )  # fmt: skip
        self._n_same = self._n_same + 1 if same else 1
        self._last = found
        if self._n_same >= _IN_A_ROW and found[:3] != self.change[:3]:
            self.change = found


def compare_maps(
    now: np.ndarray,
    difference: np.ndarray,
    plus: np.ndarray,
    orders: np.ndarray,
    names: tuple[str, ...],
) -> Change:
    """Say what differs between a map of today and those of calibration, at once.

    Parameters
    ----------
    now : array of shape (m, m)
        Log power of differences of channels; NaN where unknown.
    difference, plus : array of shape (m, m)
        As `MontageCheck` takes them.
    orders : array of shape (k, m), int
        Orders that are looked for.
    names : tuple of str
        Of the orders.

    Returns
    -------
    Change
    """
    same, best, place = np.arange(len(now)), np.zeros(3), np.zeros((3, 2), np.int64)
    shift = mean_change(now, difference)
    usual = likeness(now, difference, same)
    gains = np.array([likeness(now, difference, order) - usual for order in orders])
    for a in range(len(now)):
        row_changes(now, difference, plus, shift, a, best, place)
    swap = _swap_gain(now, difference, place, same, usual)
    return _judged(shift, gains, best, place, names, swap)
