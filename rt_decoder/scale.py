"""Volts are not microvolts: compare a stream's scale with calibration's."""

from __future__ import annotations

import numpy as np

__all__ = ["ScaleCheck"]

_PIECES = 20


class ScaleCheck:
    """Compare the first seconds of a stream with calibration: volts are not microvolts.

    Of twenty pieces the median counts: a jump of all channels, as when the cap is plugged in, is
    no scale.

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
        self._n_piece = n_samples // _PIECES
        self._means: list[np.ma.MaskedArray] = []
        self._steps: list[np.ndarray] = []  # of the present piece
        self._last: np.ndarray | None = None

    @property
    def done(self) -> bool:
        """Whether enough samples were seen."""
        return self._left <= 0

    def update(self, data: np.ndarray) -> np.ndarray | None:
        """Ratio (c,) of live to calibration once enough samples came, None before."""
        if self._last is not None:
            data = np.vstack((self._last, data))
        self._last = data[-1:].copy()
        self._steps.append(np.abs(np.diff(data, axis=0)))
        self._left -= len(data) - 1
        if self.done or sum(map(len, self._steps)) >= self._n_piece:
            piece = np.ma.masked_invalid(np.concatenate(self._steps))
            self._means.append(piece.mean(axis=0))
            self._steps.clear()
        if not self.done:
            return None
        usual = np.ma.median(np.ma.stack(self._means), axis=0).filled(0.0)
        return np.asarray(usual / np.maximum(self.expected, np.finfo(float).tiny))
