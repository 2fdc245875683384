"""Find the stamp nearest to a time, and measure the rate of stamps.

A stamp that is no number, or beyond `LATEST`, says nothing: the time base estimates when its sample
was taken.
"""

from __future__ import annotations

import numpy as np

__all__ = ["LATEST", "are_counted", "are_odd", "are_usable", "measured_sfreq", "nearest_samples"]

LATEST = 1e10  # s; clocks count from the start of the machine, or from 1970


def are_usable(stamps: np.ndarray) -> np.ndarray:
    """Tell which stamps can be times in s.

    Parameters
    ----------
    stamps : array of shape (n,), float64
        As recorded.

    Returns
    -------
    array of shape (n,), bool
    """
    usable: np.ndarray = np.abs(stamps) < LATEST  # NaN is not
    return usable


def are_counted(stamps: np.ndarray, sfreq: float) -> bool:
    """Whether stamps advance by one sampling interval each, but for gaps: nothing to smooth.

    Parameters
    ----------
    stamps : array of shape (n,), float64
        In s.
    sfreq : float
        Nominal rate in Hz.

    Returns
    -------
    bool
    """
    steps = np.diff(stamps) * sfreq
    single = np.abs(steps - 1) < 1e-3
    return bool(np.all(single | (steps > 1.5)) and np.mean(single) > 0.5) if len(steps) else True


def are_odd(stamps: np.ndarray) -> np.ndarray:
    """Tell which stamps are no times, or far from both neighbours.

    Parameters
    ----------
    stamps : array of shape (n,), float64
        In s.

    Returns
    -------
    array of shape (n,), bool
    """
    odd = ~are_usable(stamps)
    with np.errstate(all="ignore"):
        before, after = np.abs(np.diff(stamps)[:-1]), np.abs(np.diff(stamps)[1:])
        odd[1:-1] |= (before > 1) & (after > 1) & (np.abs(stamps[2:] - stamps[:-2]) < 1)
    return odd


def nearest_samples(stamps: np.ndarray, times: np.ndarray, sfreq: float) -> np.ndarray:
    """Find the stamp nearest to each time.

    Near means within 0.1 s or one sampling interval, whichever is longer. If the stamps are regular,
    it means from half an interval before the first to half an interval after the last.

    Parameters
    ----------
    stamps : array of shape (n_samples,), float64
        In s, in any order: raw stamps may step back. One that is no time is near to none.
    times : array of shape (n_times,), float64
        In s, on the same clock.
    sfreq : float
        Nominal rate in Hz.

    Returns
    -------
    rows : array of shape (n_times,), int64
        Row of the nearest stamp; -1 if none is near.
    """
    times, n = np.asarray(times, float), len(stamps)
    if n == 0:
        return np.full(len(times), -1)
    usable = np.flatnonzero(are_usable(stamps))
    if len(usable) == n and np.all(
        np.abs(stamps - stamps[0] - np.arange(n) / sfreq) < 1e-3 / sfreq
    ):
        rows = np.rint((times - stamps[0]) * sfreq)
        return np.where((rows >= 0) & (rows < n), rows, -1).astype(np.int64)
    order = usable[np.argsort(stamps[usable], kind="stable")]
    n = len(order)
    if n == 0:
        return np.full(len(times), -1)
    ordered = stamps[order]
    after = (
        np.clip(np.searchsorted(ordered, times), 1, n - 1) if n > 1 else np.zeros(len(times), int)
    )
    before = np.maximum(after - 1, 0)
    nearest = np.where(times - ordered[before] <= ordered[after] - times, before, after)
    near = np.abs(ordered[nearest] - times) <= max(0.1, 1 / sfreq)
    return np.where(near, order[nearest], -1).astype(np.int64)


def measured_sfreq(stamps: np.ndarray, nominal: float) -> float:
    """Measure the rate of stamps: the median over all windows of 3 s.

    Lost samples and clock jumps affect few windows, and jitter averages out.

    Parameters
    ----------
    stamps : array of shape (n_samples,), float64
        In s, at least two.
    nominal : float
        Declared rate in Hz, which sets the length of a window.

    Returns
    -------
    float
        In Hz; infinite if the stamps do not advance.
    """
    stamps = np.where(are_usable(stamps), stamps, np.nan)
    n = len(stamps)
    window = int(np.clip(round(3 * nominal), 1, max(1, n // 2)))
    taken = float(np.nanmedian(stamps[window:] - stamps[:-window]))
    return window / taken if taken else float("inf")
