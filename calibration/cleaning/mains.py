"""What the line canceller does to a recording: mains taken out, and the rest of the band kept.

Nothing is fitted: the live stage finds frequency, amplitude and phase by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["mains_report", "spectrum"]

_WINDOW = 4.0  # s: a quarter of a Hz apart
_PEAK = 0.5  # Hz from the line that its peak takes
_NEAR, _FAR = 1.0, 3.0  # Hz from the line: its surroundings
_LEAST = 2.0  # times the power of the surroundings: below it there are no mains


def spectrum(x: np.ndarray, bad: np.ndarray, sfreq: float) -> np.ndarray | None:
    """Mean power over channels of `x` (n, c) and windows of 4 s, every quarter of a Hz.

    Windows with a sample that is `bad` (n,) are left out; None if none remains.
    """
    length = round(_WINDOW * sfreq)
    window = np.hanning(length)[:, None]
    powers = [
        np.mean(np.abs(np.fft.rfft((part - part.mean(axis=0)) * window, axis=0)) ** 2, axis=1)
        for start in range(0, len(x) - length + 1, length)
        if not bad[start : start + length].any()
        for part in (x[start : start + length],)
    ]
    return np.mean(powers, axis=0) if powers else None


def mains_report(before: np.ndarray, after: np.ndarray, freqs: Sequence[float]) -> dict[str, Any]:
    """Attenuation of mains, and gain of what surrounds them.

    Parameters
    ----------
    before, after : array of shape (n_freqs,)
        Of what goes into the stage and what leaves it, see `spectrum`.
    freqs : sequence of float
        Mains and the harmonics that are cancelled, in Hz.

    Returns
    -------
    dict
        A value a frequency: `attenuation_db` of the peak, at least (it ends at the surroundings),
        None where there are no mains; `preserved`, the gain of power 1 to 3 Hz away.
    """
    at = np.arange(len(before)) / _WINDOW
    attenuation: list[float | None] = []
    preserved = []
    for freq in freqs:
        away = np.abs(at - freq)
        near, peak = (away >= _NEAR) & (away <= _FAR), away <= _PEAK
        floor, kept = float(np.mean(before[near])), float(np.mean(after[near]))
        height = float(np.mean(before[peak]))
        left = max(float(np.mean(after[peak])), kept)
        there = height > _LEAST * floor
        attenuation.append(round(10.0 * float(np.log10(height / left)), 1) if there else None)
        preserved.append(round(kept / floor, 3))
    return {"attenuation_db": attenuation, "preserved": preserved}
