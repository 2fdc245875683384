"""Estimate how far the clock of a stream was from the recorder's, from single measurements.

A sender that restarts, or whose clock is set, has another clock from then on: the measurements
step. Each stretch between steps gets a line of its own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rt_decoder.files.stamps import are_usable

__all__ = ["clock_offsets"]

_STEP_S = 0.05  # measurements on a busy network stray less than that, or they do not last
_CERTAIN_S = 1.0  # one measurement alone does not stray that far
_MARKERS_S = 0.25  # several do not; stamps of markers cannot show a step
_SPARE_S = 60.0  # samples may lie that far before the first measurement and after the last


class _Stretch(NamedTuple):
    """Measurements of one clock, in order."""

    at: np.ndarray  # (k,) s on the stream's clock
    offsets: np.ndarray  # (k,) s to add

    @property
    def local(self) -> np.ndarray:
        """When they were measured, (k,) s on the recorder's clock."""
        return self.at + self.offsets


def clock_offsets(clock: np.ndarray, stamps: np.ndarray, sfreq: float) -> float | np.ndarray:
    """Estimate what to add to each stamp: a line through the measurements of its clock.

    Single measurements are off by milliseconds when the network was busy. So the line is Theil and
    Sen's: the median of the slopes between all pairs, and the median of the intercepts. A step of
    50 ms or more that lasts, and that shows in regular stamps, begins another line of the same
    slope; its place among the stamps is where they jump.

    Parameters
    ----------
    clock : array of shape (k, 2), float64
        Measurements in order: when, in s on the stream's clock, and the offset in s.
    stamps : array of shape (n,), float64
        In s on the stream's clock, as recorded.
    sfreq : float
        Nominal rate in Hz; 0 if the stamps come when they come, as markers do.

    Returns
    -------
    float or array of shape (n,)
        Offsets in s; 0.0 without measurements, or if all of them are 0.
    """
    if not clock.size or not clock[:, 1].any():
        return 0.0
    usable = are_usable(stamps)
    if not usable.all():  # an odd stamp stays as it is
        found = np.zeros(len(stamps))
        found[usable] = clock_offsets(clock, stamps[usable], sfreq)
        return found
    step = 1 / sfreq if sfreq else None
    stretches = _shown(_stretches(clock), stamps, step)
    slope = _slope(stretches)
    edges = _places(stretches, stamps, step)
    found = np.empty(len(stamps))
    for (at, offsets), (low, high) in zip(stretches, pairwise(edges), strict=True):
        start = float(np.median(offsets - slope * (at - at[0])))
        found[low:high] = start + slope * (stamps[low:high] - at[0])
    return found


def _slope(stretches: list[_Stretch]) -> float:
    """Median of the slopes between all pairs of measurements on the same clock."""
    slopes = [np.zeros(0)]
    for at, offsets in stretches:
        i, j = np.triu_indices(len(at), 1)
        apart = at[i] != at[j]
        slopes.append((offsets[j] - offsets[i])[apart] / (at[j] - at[i])[apart])
    every = np.concatenate(slopes)
    return float(np.median(every)) if len(every) else 0.0


def _stretches(clock: np.ndarray) -> list[_Stretch]:
    """Cut the measurements where the offset steps, and stays."""
    at, offsets = clock.T
    steps = np.abs(np.diff(offsets))
    least = max(_STEP_S, 10 * float(np.median(steps))) if len(steps) else np.inf
    edges = [0]
    for k in np.flatnonzero(steps > least) + 1:
        before = float(np.median(offsets[max(edges[-1], k - 3) : k]))
        after = offsets[k : k + 3] - before
        step = float(np.median(after))
        alone = len(after) == 1 or k - edges[-1] == 1
        lasts = np.all(np.abs(after[:2] - step) < abs(step) / 2) or len(after) == 3
        if abs(step) > (max(least, _CERTAIN_S) if alone else least) and lasts:
            edges.append(int(k))
    every = 1 + len(at) // 1000  # a million pairs suffice
    return [_Stretch(at[a:b:every], offsets[a:b:every]) for a, b in pairwise([*edges, len(at)])]


def _shown(stretches: list[_Stretch], stamps: np.ndarray, step: float | None) -> list[_Stretch]:
    """Join stretches again whose small step the stamps do not show: a network that was busy."""
    kept = stretches[:1]
    for new in stretches[1:]:
        old = kept[-1]
        change = float(np.median(new.offsets[:3]) - np.median(old.offsets[-3:]))
        least = _CERTAIN_S if step is not None else _MARKERS_S
        if abs(change) >= least or (step is not None and _shows(change, old, new, stamps, step)):
            kept.append(new)
        else:
            both = np.r_[old.at, new.at], np.r_[old.offsets, new.offsets]
            kept[-1] = _Stretch(*both)
    return kept


def _shows(change: float, old: _Stretch, new: _Stretch, stamps: np.ndarray, step: float) -> bool:
    """Whether the earliest stamps of a second jump by ``-change``, or the sender was away."""
    told = sorted((old.at[-1], new.at[0]))
    near = stamps[(stamps >= told[0] - 10.0) & (stamps <= told[1] + 10.0)]
    n = min(round(1 / step) + 1, len(near) // 2)
    if n < 1:
        return False
    late = near - step * np.arange(len(near))
    earliest = sliding_window_view(late, n).min(axis=1)
    jumps = earliest[n:] - earliest[:-n]
    fits = (np.abs(jumps + change) < abs(change) / 2) | (np.abs(jumps) > _CERTAIN_S)
    return bool(fits.any())


def _places(stretches: list[_Stretch], stamps: np.ndarray, step: float | None) -> list[int]:
    """Find the row from which on each stretch holds, and the end."""
    edges = [0]
    for old, new in pairwise(stretches):
        edges.append(_place(old, new, stamps, edges[-1], step))
    return [*edges, len(stamps)]


def _place(old: _Stretch, new: _Stretch, stamps: np.ndarray, first: int, step: float | None) -> int:
    """Find the first row on the new clock: where no earlier and no later row can be on the other."""
    rest = stamps[first:]
    was, is_now = rest + old.offsets[-1], rest + new.offsets[0]
    known, told = old.local[-1], new.local[0]  # it was set between these measurements
    spare = 2 * max(1.0, float(np.median(np.diff(np.r_[old.local, new.local]))))
    fits_old = (was >= old.local[0] - _SPARE_S) & (was <= told + spare)
    fits_new = (is_now >= known - spare) & (is_now <= new.local[-1] + _SPARE_S)
    high = int(np.argmin(fits_old)) if not fits_old.all() else len(rest)
    low = high - int(np.argmin(fits_new[:high][::-1])) if not fits_new[:high].all() else 0
    inside = np.arange(max(low, 1), min(high, len(rest) - 1) + 1)
    if step is not None and len(inside):
        jumps = rest[inside] - rest[inside - 1] - step
        change = float(new.offsets[0] - old.offsets[-1])
        left = np.abs(jumps + change)  # what remains of the jump on the recorder's clock
        if left.min() < abs(change) / 2:
            return first + int(inside[np.argmin(left)])
        if np.abs(jumps).max() > abs(change):  # the sender was away, too
            return first + int(inside[np.argmax(np.abs(jumps))])
    told_row = low + int(np.searchsorted(np.maximum.accumulate(was[low:high]), told))
    return first + min(max(told_row, low), high)
