"""Compute the features of one window: binned amplitudes or log band powers, scaled.

Windows are sample-exact relative to the onset sample. This module knows nothing of events; the
pipeline asks for a window once its last sample has arrived.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.window import (
    bin_means,
    good_and_reasons,
    kept_bins,
    log_bins,
    scale_clamp,
    subtract_rows,
)
from rt_decoder.model import Model
from rt_decoder.signal import CORRECTED, NOTHING, Features, SignalInfo

__all__ = ["FeatureWindow", "make_window", "robust_scale", "scale_features"]

# (1e-20 V)^2 or (1e-20 T)^2: five decades below 1 fT, so only a dead channel ever reaches it.
_POWER_FLOOR = 1e-40
_CORRECTED = int(CORRECTED)


class FeatureWindow:
    """Features of the samples around an onset.

    The window runs from sample ``round(tmin * sfreq)`` after the onset to ``round(tmax * sfreq)``,
    excluded. It is cut into bins of `decim` samples; a shorter last bin is left out. "amplitude" is
    each channel's mean in a bin minus its mean over `baseline`; "bandpower" (for the output of
    `FilterBank`) is log10 of the mean power minus that of the baseline. Each feature is then
    ``(x - center) / scale``, limited to +-`clamp`.

    Parameters
    ----------
    info : SignalInfo
        Rate and channels of the signal in the ring.
    kind : {"amplitude", "bandpower"}
        See above.
    tmin, tmax : float
        Window in s after the onset, `tmax` excluded; `tmin` may be negative.
    decim : int
        Samples a bin.
    baseline : (float, float) or None
        Stretch in s after the onset, its end excluded.
    center, scale : array of shape (n_features,) or None
        From `robust_scale` of calibration; None stands for 0 and 1.
    clamp : float
        Largest magnitude of a scaled feature.

    Attributes
    ----------
    first, last : int
        Samples needed from the ring, as offsets from the onset sample, `last` excluded:
        ``ring.window(onset + first, onset + last)`` once ``ring.next >= onset + last``.
    n_samples : int
        ``last - first``.
    n_features : int
        Bins times channels.
    unscaled : array of shape (n_features,), float64
        Features of the last window before scaling; valid until the next one.

    Raises
    ------
    ValueError
        If a setting is out of range or the window holds no whole bin.
    """

    def __init__(
        self,
        info: SignalInfo,
        kind: str,
        tmin: float,
        tmax: float,
        decim: int = 1,
        baseline: tuple[float, float] | None = None,
        center: np.ndarray | None = None,
        scale: np.ndarray | None = None,
        clamp: float = np.inf,
    ) -> None:
        if kind not in ("amplitude", "bandpower"):
            raise ValueError(f"need features of kind 'amplitude' or 'bandpower', got {kind!r}")
        if decim < 1:
            raise ValueError(f"need decim of at least 1 sample, got {decim}")
        if not clamp > 0:
            raise ValueError(f"need clamp above 0, got {clamp}")
        self.info, self.kind, self.decim, self.clamp = info, kind, decim, float(clamp)
        start, stop = _span(info.sfreq, tmin, tmax)
        n_bins = (stop - start) // decim
        if n_bins < 1:
            raise ValueError(
                f"need a window of at least {decim} samples at {info.sfreq:g} Hz, "
                f"got {tmin:g} to {tmax:g} s; move tmax or lower decim"
            )
        spans = [(start, start + n_bins * decim)]
        if baseline is not None:
            spans.append(_span(info.sfreq, *baseline))
            if spans[1][1] <= spans[1][0]:
                raise ValueError(f"need a baseline of at least one sample, got {baseline} s")
        self.first, self.last = min(span[0] for span in spans), max(span[1] for span in spans)
        self.n_samples = self.last - self.first
        self._start = start - self.first
        # (first row, length) of the baseline in the window; empty without a baseline
        self._baseline = [(low - self.first, high - low) for low, high in spans[1:]]
        self.n_features = n_bins * info.n_channels
        self.rescale(center, scale)
        self._bins = np.zeros((n_bins, info.n_channels))
        # bins of the windows before, by their absolute index
        self._kept = np.zeros((self.n_samples, info.n_channels))
        self._kept_at = np.full(self.n_samples, -1)
        self._base = np.zeros((1, info.n_channels))
        self._values = np.zeros(self.n_features, np.float32)
        self.unscaled = self._bins.reshape(-1)

    def rescale(self, center: np.ndarray | None, scale: np.ndarray | None) -> None:
        """Scale features otherwise from the next window on.

        Parameters
        ----------
        center, scale : array of shape (n_features,) or None
            None stands for 0 and 1.

        Raises
        ------
        ValueError
            If they are not finite, of another shape, or a scale is not above 0.
        """
        centers = self._per_feature("center", center, 0.0)
        scales = self._per_feature("scale", scale, 1.0)
        if not (scales > 0).all():
            raise ValueError("need scales above 0, got others; robust_scale replaces zeros by 1")
        self.center, self.scale = centers, scales

    def _per_feature(self, name: str, values: np.ndarray | None, default: float) -> np.ndarray:
        if values is None:
            return np.full(self.n_features, default)
        array = np.ascontiguousarray(values, np.float64)
        if array.shape != (self.n_features,) or not np.isfinite(array).all():
            raise ValueError(
                f"need {name} of {self.n_features} finite values, got shape {array.shape}"
            )
        return array

    def reset(self) -> None:
        """Forget the bins that are kept: the signal begins anew at index 0."""
        self._kept_at[:] = -1

    def process(
        self, window: np.ndarray, flags: np.ndarray, time: float, index: int | None = None
    ) -> Features:
        """Compute the features of a window.

        Parameters
        ----------
        window : array of shape (n_samples, n_channels), float64
            In SI units; bandpower: powers.
        flags : array of shape (n_samples,), uint32
            Reason bits.
        time : float
            Of the newest sample, in s.
        index : int or None
            Absolute index of the first sample, where windows follow one another: bins that an
            earlier one of them had are not computed again. The result is the same.

        Returns
        -------
        Features
            Its `values` are valid until the next call.

        Raises
        ------
        ValueError
            If `window` has another shape.
        """
        if window.shape != (self.n_samples, self.info.n_channels):
            raise ValueError(
                f"need a window of shape {(self.n_samples, self.info.n_channels)}, got {window.shape}"
            )
        if index is not None:
            floor = _POWER_FLOOR if self.kind == "bandpower" else 0.0
            kept_bins(
                window, index, self._start, self.decim, floor, self._kept, self._kept_at, self._bins
            )
        else:
            bin_means(window, self._start, self.decim, self._bins)
            if self.kind == "bandpower":
                log_bins(self._bins, _POWER_FLOOR)
        for first, width in self._baseline:
            bin_means(window, first, width, self._base)
            if self.kind == "bandpower":
                log_bins(self._base, _POWER_FLOOR)
            subtract_rows(self._bins, self._base)
        scale_clamp(self.unscaled, self.center, self.scale, self.clamp, self._values)
        n_good, bits, *n_corrected = good_and_reasons(flags)
        n = self.n_samples
        corrected = tuple(count / n for count in n_corrected) if bits & _CORRECTED else NOTHING
        return Features(self._values, time, n_good / n, bits & ~_CORRECTED, corrected)


def _span(sfreq: float, tmin: float, tmax: float) -> tuple[int, int]:
    if not (np.isfinite(tmin) and np.isfinite(tmax)):
        raise ValueError(f"need finite times, got {tmin} to {tmax} s")
    return round(tmin * sfreq), round(tmax * sfreq)


def make_window(model: Model, info: SignalInfo) -> FeatureWindow:
    """Make the window of a model's features.

    A draft, which has no scaling yet, does not clamp: log power in SI units is far from 0.

    Parameters
    ----------
    model : Model
        Its recipe says what the features are.
    info : SignalInfo
        Of the signal in the ring.

    Returns
    -------
    FeatureWindow
    """
    features, is_scaled = model.recipe.features, len(model.center) > 0
    return FeatureWindow(
        info,
        features.kind,
        features.tmin,
        features.tmax,
        decim=features.decim,
        baseline=features.baseline or None,
        center=model.center if is_scaled else None,
        scale=model.scale if is_scaled else None,
        clamp=features.clamp if is_scaled else np.inf,
    )


def robust_scale(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the median and interquartile range / 1.349 of each feature over trials.

    1.349 is the interquartile range of the standard normal distribution. A constant feature has
    scale 1.

    Parameters
    ----------
    X : array of shape (n_trials, n_features)
        Finite, at least one trial.

    Returns
    -------
    center, scale : arrays of shape (n_features,), float64

    Raises
    ------
    ValueError
        If `X` is empty, not two-dimensional or not finite.
    """
    X = np.asarray(X, np.float64)
    if X.ndim != 2 or len(X) == 0:
        raise ValueError(f"need trials of shape (n_trials, n_features), got {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError("need finite features, got NaN or infinity; drop those trials")
    low, center, high = np.percentile(X, (25, 50, 75), axis=0)
    scale = (high - low) / 1.349
    return center, np.where(scale > 0, scale, 1.0)


def scale_features(
    X: np.ndarray, center: np.ndarray, scale: np.ndarray, clamp: float
) -> np.ndarray:
    """Scale rows of features as `FeatureWindow` does, by the same kernel.

    Parameters
    ----------
    X : array of shape (n_trials, n_features)
        Unscaled features.
    center, scale : arrays of shape (n_features,)
        From `robust_scale`.
    clamp : float
        Largest magnitude of a scaled feature.

    Returns
    -------
    array of shape (n_trials, n_features), float32
    """
    scaled = np.empty(np.shape(X), np.float32)
    for row, out in zip(np.asarray(X, np.float64), scaled, strict=True):
        scale_clamp(row, center, scale, clamp, out)
    return scaled
