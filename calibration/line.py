"""What the line canceller does to a recording: mains taken out, and the rest of the band kept.

Nothing is fitted: the live stage finds frequency, amplitude and phase by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["line_report"]

_WINDOW = 4.0  # s: a quarter of a Hz apart
_PEAK, _NEAR, _FAR = (
    0.5,
    1.0,
    3.0,
)  # Hz from the line: its peak; from here to there, its surroundings


def line_report(
    before: np.ndarray, after: np.ndarray, bad: np.ndarray, sfreq: float, freqs: Sequence[float]
) -> dict[str, Any]:
    """Attenuation of mains and gain of its surroundings, pooled over data channels.

    Parameters
    ----------
    before, after : array of shape (n, c)
        Data channels as they go into the stage and as they leave it, of one unit.
    bad : array of shape (n,), bool
        Samples to leave out: so is every window of 4 s with one of them.
    sfreq : float
        Hz.
    freqs : sequence of float
        Mains and the harmonics that are cancelled, in Hz.

    Returns
    -------
    dict
        `attenuation_db` and `preserved` (gain of power from 1 to 3 Hz around), one a frequency;
        empty where no window is good.
    """
    length = round(_WINDOW * sfreq)
    starts = range(0, len(before) - length + 1, length)
    rows = [slice(k, k + length) for k in starts if not bad[k : k + length].any()]
    if not rows:
        return {}
    spectra = [np.mean([_power(x[row]) for row in rows], axis=0) for x in (before, after)]
    at = np.fft.rfftfreq(length, 1.0 / sfreq)
    attenuation, preserved = [], []
    for freq in freqs:
        away = np.abs(at - freq)
        near, peak = (away >= _NEAR) & (away <= _FAR), away <= _PEAK
        floors = [float(np.mean(power[near])) for power in spectra]
        heights = [
            max(float(np.mean(power[peak])) - floor, 1e-3 * floor)
            for power, floor in zip(spectra, floors, strict=True)
        ]
        attenuation.append(round(10.0 * float(np.log10(heights[0] / heights[1])), 1))
        preserved.append(round(floors[1] / floors[0], 3))
    return {"attenuation_db": attenuation, "preserved": preserved}


def _power(x: np.ndarray) -> np.ndarray:
    """Periodogram of (n, c), mean over channels."""
    window = np.hanning(len(x))[:, None]
    return np.asarray(np.mean(np.abs(np.fft.rfft((x - x.mean(axis=0)) * window, axis=0)) ** 2, 1))
