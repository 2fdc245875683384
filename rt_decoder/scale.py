"""Volts are not microvolts: compare a stream's scale with calibration's."""

from __future__ import annotations

import numpy as np

__all__ = ["ScaleCheck"]


class ScaleCheck:
    """Compare the first seconds of a stream with calibration: volts are not microvolts.

    Parameters
    ----------
    expected : array of shape (c,)
        Mean absolute first difference a sample in calibration, SI.
    n_samples : int
        How many samples to look at.
    """

    def __init__(self, expected: np.ndarray, n_samples: int) -> None:
        self.expected = expected
        self._left = n_samples
        self._sum = np.zeros(len(expected))
        self._n = 0
        self._last: np.ndarray | None = None

    @property
    def done(self) -> bool:
        """Whether enough samples were seen."""
        return self._left <= 0

    def update(self, data: np.ndarray) -> np.ndarray | None:
        """Ratio (c,) of live to calibration once enough samples came, None before."""
        if self._last is not None:
            data = np.vstack((self._last, data))
        steps = np.abs(np.diff(np.where(np.isfinite(data), data, np.nan), axis=0))
        self._sum += np.nansum(steps, axis=0)
        self._n += len(steps)
        self._last = data[-1:].copy()
        self._left -= len(steps)
        if not self.done:
            return None
        return self._sum / max(1, self._n) / np.maximum(self.expected, np.finfo(float).tiny)
