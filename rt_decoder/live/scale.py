"""Compare a stream's scale with calibration's: a wrong unit makes every answer wrong."""

from __future__ import annotations

import numpy as np

from rt_decoder.model import Model
from rt_decoder.signal import ModelMismatch

__all__ = ["ScaleCheck", "channels_off", "scale_check"]

CHECK_SECONDS = 10.0
_PIECES = 20


class ScaleCheck:
    """Compare the scale of a stream's first seconds with calibration's.

    The seconds are cut into twenty pieces, and the median over pieces counts: a single jump of all
    channels, as when the cap is plugged in, does not matter. Pieces in which a channel is constant
    or missing are left out for that channel.

    Parameters
    ----------
    expected : array of shape (c,)
        Mean absolute difference between successive samples in calibration, SI units.
    n_samples : int
        Samples to compare.
    """

    def __init__(self, expected: np.ndarray, n_samples: int) -> None:
        self.expected = expected
        self._n_samples = max(1, n_samples)
        self._n = 0
        self._sums = np.zeros((_PIECES, len(expected)))
        self._counts = np.zeros((_PIECES, len(expected)))
        self._last: np.ndarray | None = None

    @property
    def done(self) -> bool:
        """Whether enough samples have come."""
        return self._n >= self._n_samples

    def update(self, data: np.ndarray) -> np.ndarray | None:
        """Add samples, and return the ratio of scales once there are enough.

        Parameters
        ----------
        data : array of shape (n, c), float64
            Samples of the model's channels, SI units.

        Returns
        -------
        array of shape (c,), float64, or None
            Live scale over calibration's, 0 where unknown; None until enough samples have come.
        """
        if self._last is not None:
            data = np.vstack((self._last, data))
        self._last = data[-1:].copy()
        steps = np.abs(np.diff(np.where(np.isfinite(data), data, np.nan), axis=0))
        steps = steps[: self._n_samples - self._n]
        piece = (self._n + np.arange(len(steps))) * _PIECES // self._n_samples
        np.add.at(self._sums, piece, np.nan_to_num(steps))
        np.add.at(self._counts, piece, np.isfinite(steps))
        self._n += len(steps)
        if not self.done:
            return None
        pieces = np.ma.masked_equal(self._sums, 0.0) / np.maximum(self._counts, 1.0)
        usual = np.ma.median(pieces, axis=0).filled(0.0)
        return np.asarray(usual / np.maximum(self.expected, np.finfo(float).tiny))


def scale_check(model: Model, sfreq: float) -> ScaleCheck:
    """Make a check of a stream's first ten seconds.

    Parameters
    ----------
    model : Model
        Holds calibration's scale.
    sfreq : float
        Sampling rate of the stream, in Hz.

    Returns
    -------
    ScaleCheck
    """
    return ScaleCheck(model.channel_scale, round(CHECK_SECONDS * sfreq))


def channels_off(model: Model, ratio: np.ndarray) -> list[str]:
    """List channels that are more than ten times larger or smaller than in calibration.

    Parameters
    ----------
    model : Model
        Names the channels.
    ratio : array of shape (c,)
        Live scale over calibration's; see `ScaleCheck.update`.

    Returns
    -------
    list of str
        Names with their ratios. A few, such as loose electrodes, are an event only.

    Raises
    ------
    ModelMismatch
        If a quarter of the channels or more is off, which a wrong unit explains.
    """
    n = model.n_picks  # references are not judged: one may be missing or constant
    names = model.info.ch_names[:n]
    off = [
        f"{name} x{factor:.3g}"
        for name, factor in zip(names, ratio[:n], strict=True)
        if not 0.1 <= factor <= 10.0
    ]
    if off and len(off) >= len(names) / 4:
        raise ModelMismatch(
            f"need the scale of calibration, got {', '.join(off[:4])}"
            f"{' and more' if len(off) > 4 else ''}: is the unit right? (--units UNIT)"
        )
    return off
