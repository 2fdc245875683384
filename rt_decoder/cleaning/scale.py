"""Compare a signal's scale with calibration's: a wrong unit makes every answer wrong.

This is no stage: it changes nothing. The live loop, every reader of a recording and calibration ask
it about the samples as they come, before the guard holds what it does not believe.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.kernels.memory import aligned, padded
from rt_decoder.kernels.sos import sos_filter
from rt_decoder.model import Model
from rt_decoder.signal import ModelMismatch

__all__ = [
    "CHECK_SECONDS",
    "LEAST_SECONDS",
    "PIECES",
    "ScaleCheck",
    "channels_off",
    "measuring_filter",
    "scale_check",
]

CHECK_SECONDS = 10.0
PIECES = 20
LEAST_SECONDS = 1.0  # of a recording that ends early
MOST = 10.0  # times larger or smaller is no scale of the same person and amplifier
_BAND = (2.0, 20.0)  # Hz: drifts, mains and most muscle stay outside


class ScaleCheck:
    """Compare the scale of a signal's first seconds with calibration's.

    The seconds are cut into twenty pieces, and the median over pieces counts: a single jump of all
    channels, as when the cap is plugged in, does not matter. Pieces in which a channel is constant
    or missing are left out for that channel.

    Parameters
    ----------
    expected : array of shape (c,)
        Mean absolute value behind `sos` in calibration, SI units; without `sos` that of the
        difference between successive samples.
    n_samples : int
        Samples to compare.
    sos : array of shape (n_sections, 6) or None
        Filter to measure behind, see `measuring_filter`; None measures differences.
    n_pieces : int
        Pieces of the samples.
    """

    def __init__(
        self,
        expected: np.ndarray,
        n_samples: int,
        sos: np.ndarray | None = None,
        n_pieces: int = PIECES,
    ) -> None:
        c = len(expected)
        self.expected = expected
        self._n_samples, self._n_pieces = max(1, n_samples), max(1, n_pieces)
        self._sos = None if sos is None else np.ascontiguousarray(sos, np.float64)
        if self._sos is not None:
            self._state = aligned((len(self._sos), 2, padded(c)))
            sos_filter(np.zeros((1, c)), self._sos, self._state, 0)  # compiled before it matters
        self._n = 0
        self._sums = np.zeros((self._n_pieces, c))
        self._counts = np.zeros((self._n_pieces, c))
        self._moved = np.zeros((self._n_pieces, c), bool)
        self._last: np.ndarray | None = None  # (1, c), NaN where missing
        self._held = np.full(c, np.nan)  # last values that were there
        self._first = np.full(c, np.nan)  # first ones: the filter begins at rest

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
            Scale over calibration's, 0 where unknown; None until enough samples have come.
        """
        if len(data) == 0:
            return None
        with np.errstate(all="ignore"):  # numbers of any size may come
            data = np.where(np.isfinite(data), data, np.nan)
            before = data[:1] if self._last is None else self._last
            steps = np.abs(np.diff(data, axis=0, prepend=before))
            sizes = steps if self._sos is None else np.abs(self._filtered(data))
            sizes = np.where(np.isfinite(sizes + steps), sizes, np.nan)
        skip = self._last is None  # the first sample is no step
        self._last = data[-1:].copy()
        self._add(sizes[skip:], steps[skip:])
        return self.ratio() if self.done else None

    def _add(self, sizes: np.ndarray, steps: np.ndarray) -> None:
        """Add what was measured of samples (n, c) to their pieces."""
        n = min(len(sizes), self._n_samples - self._n)
        piece = (self._n + np.arange(n)) * self._n_pieces // self._n_samples
        self._n += n
        edges = np.flatnonzero(np.diff(piece)) + 1
        for start, stop in pairwise([0, *edges.tolist(), n]):
            if start < stop:
                part = sizes[start:stop]
                self._sums[piece[start]] += np.nansum(part, axis=0)
                self._counts[piece[start]] += np.isfinite(part).sum(axis=0)
                self._moved[piece[start]] |= np.any(steps[start:stop] > 0.0, axis=0)

    def _filtered(self, data: np.ndarray) -> np.ndarray:
        """Filter samples (n, c); where one is missing the last one stands in."""
        rows = np.vstack((self._held, data))
        if np.isnan(rows).any():
            there = np.where(np.isnan(rows), 0, np.arange(len(rows))[:, None])
            rows = np.take_along_axis(rows, np.maximum.accumulate(there), axis=0)
            begins = np.argmax(np.isfinite(rows), axis=0)
            firsts = rows[begins, np.arange(rows.shape[1])]
            self._first = np.where(np.isnan(self._first), firsts, self._first)
        self._held = rows[-1].copy()
        out: np.ndarray = np.nan_to_num(rows[1:] - self._first)
        sos_filter(out, self._sos, self._state, self._n)
        return out

    def ratio(self) -> np.ndarray:
        """Return scale over calibration's so far, (c,) float64; 0 where unknown."""
        usual = self.usual()
        known = (usual > 0.0) & (self.expected > 0.0)
        return np.where(known, usual / np.where(known, self.expected, 1.0), 0.0)

    def usual(self) -> np.ndarray:
        """Return the median over pieces of the scale so far, (c,) SI units; 0 where unknown."""
        pieces = np.ma.masked_array(self._sums / np.maximum(self._counts, 1.0), ~self._moved)
        return np.asarray(np.ma.median(pieces, axis=0).filled(0.0))


def measuring_filter(model: Model, sfreq: float) -> np.ndarray:
    """Design the filter behind which scales are compared: 2 to 20 Hz, without mains.

    Parameters
    ----------
    model : Model
        Its rate bounds the band, so that faster streams are measured in the same one.
    sfreq : float
        Sampling rate of the signal to filter, in Hz.

    Returns
    -------
    array of shape (n_sections, 6), float64
    """
    low, high = _BAND
    high = min(high, 0.4 * model.info.sfreq)
    line = model.recipe.stream.line_freq
    notch = (line,) if 0 < line < 0.45 * sfreq else ()
    return design_sos(sfreq, min(low, 0.1 * high), high, 2, notch)


def scale_check(model: Model, sfreq: float) -> ScaleCheck:
    """Make a check of a signal's first ten seconds.

    Parameters
    ----------
    model : Model
        Holds calibration's scale; models of earlier versions only that of unfiltered samples.
    sfreq : float
        Sampling rate of the signal, in Hz.

    Returns
    -------
    ScaleCheck
    """
    n_samples = round(CHECK_SECONDS * sfreq)
    if model.channel_level.size == 0:
        return ScaleCheck(model.channel_scale, n_samples)
    return ScaleCheck(model.channel_level, n_samples, measuring_filter(model, sfreq))


def channels_off(model: Model, ratio: np.ndarray) -> list[str]:
    """List channels that are more than ten times larger or smaller than in calibration.

    Parameters
    ----------
    model : Model
        Names the channels.
    ratio : array of shape (c,)
        Scale over calibration's; see `ScaleCheck.update`. Channels where it is unknown, 0, are
        not judged: the guard flags them.

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
    named = [
        (name, factor)
        for name, factor in zip(model.info.ch_names[:n], ratio[:n].tolist(), strict=True)
        if factor > 0.0
    ]
    off = [f"{name} x{factor:.3g}" for name, factor in named if not 1 / MOST <= factor <= MOST]
    if off and len(off) >= len(named) / 4:
        raise ModelMismatch(
            f"need the scale of calibration, got {', '.join(off[:4])}"
            f"{' and more' if len(off) > 4 else ''}: is the unit right? (--units UNIT, or "
            "--channels TSV for files that MNE reads)"
        )
    return off
