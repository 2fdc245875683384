"""What recorded time stamps say: where a time falls among them, and how fast they run."""

from __future__ import annotations

import numpy as np

__all__ = ["LATEST", "measured_sfreq", "nearest_samples"]

LATEST = 1e10  # s; clocks count from a start of the machine, or from 1970


def nearest_samples(stamps: np.ndarray, times: np.ndarray, sfreq: float) -> np.ndarray:
    """Row of the stamp nearest to each time, -1 where none is near.

    Parameters
    ----------
    stamps : array of shape (n_samples,)
        In s, in any order: raw stamps may step back.
    times : array of shape (n_times,)
        In s, on the same clock.
    sfreq : float
        Nominal rate in Hz. Near is within 0.1 s or one sampling interval; ends of a regular rate
        within half an interval.

    Returns
    -------
    rows : array of shape (n_times,), int64
    """
    times, n = np.asarray(times, float), len(stamps)
    if n == 0:
        return np.full(len(times), -1)
    if np.all(np.abs(stamps - stamps[0] - np.arange(n) / sfreq) < 1e-3 / sfreq):
        rows = np.rint((times - stamps[0]) * sfreq)
        return np.where((rows >= 0) & (rows < n), rows, -1).astype(np.int64)
    order = np.argsort(stamps, kind="stable")
    ordered = stamps[order]
    after = (
        np.clip(np.searchsorted(ordered, times), 1, n - 1) if n > 1 else np.zeros(len(times), int)
    )
    before = np.maximum(after - 1, 0)
    nearest = np.where(times - ordered[before] <= ordered[after] - times, before, after)
    near = np.abs(ordered[nearest] - times) <= max(0.1, 1 / sfreq)
    return np.where(near, order[nearest], -1).astype(np.int64)


def measured_sfreq(stamps: np.ndarray, nominal: float) -> float:
    """Rate in Hz at which the stamps run: the median over all windows of 3 s.

    Lost samples and clock jumps touch few windows, and jitter averages out, so they do not count.
    """
    n = len(stamps)
    window = int(np.clip(round(3 * nominal), 1, max(1, n // 2)))
    taken = float(np.median(stamps[window:] - stamps[:-window]))
    return window / taken if taken else float("inf")
