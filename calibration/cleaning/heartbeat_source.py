"""Find where the heartbeat is seen best: in an ECG channel, else in a mix of data channels.

No single decomposition of the data channels is reliable. So single channels and principal
components compete: by how far their sharpest peaks stand out, and how regular these are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.cleaning.words import share_text
from rt_decoder.cleaning.qrs import Beats, find_beats
from rt_decoder.counted import counted
from rt_decoder.signal import SignalInfo

__all__ = ["Source", "beats_in", "find_source", "is_heart"]

RATES = (35.0, 200.0)  # beats a minute
_REGULAR = 0.8  # least share of intervals within 30 % of the median of those around them
_LEAST_BEATS = 10
# least size of beats over mean size of noise. Noise that passes the detector's threshold reaches
# 5 to 7, a weak heartbeat in one component of EEG 11, an ECG 15 to 100
_CLEAR = 8.0
# length of the mean phase vector of beats between stimuli; above it they are answers to stimuli
_LOCKED = 0.3
_KINDS = ("mag", "grad", "eeg", "ecog", "seeg")  # the clearest field of the heart first
_N_COMPONENTS, _N_TRIED = 10, 6


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A weighted sum of channels, the beats seen in it, and how regular these are."""

    name: str
    weights: np.ndarray  # (n_channels,)
    levels: np.ndarray  # (7,) of the detector, see `rt_decoder.cleaning.qrs.find_beats`
    beats: Beats
    rate: float  # beats a minute
    regularity: float  # share of intervals that are regular
    clarity: float  # size of beats over mean size of noise


def find_source(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    onsets: np.ndarray | None = None,
    *,
    use_ecg: bool = True,
) -> tuple[Source | None, str]:
    """Choose the source of heartbeats.

    Parameters
    ----------
    data : array of shape (n, n_channels), float64
        A recording, filtered as in the session.
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    onsets : array of shape (n_events,) or None
        Sample indices of stimuli, because answers to words at a steady pace look like heartbeats.
    use_ecg : bool
        Whether an ECG channel may be the source.

    Returns
    -------
    source : Source or None
        None if no source has clear regular beats.
    reason : str
        Why there is none; else empty.
    """
    tried = []
    for column in np.flatnonzero([kind == "ecg" and use_ecg for kind in info.ch_types]):
        weights = np.zeros(info.n_channels)
        weights[column] = 1.0
        tried.append(beats_in(data, info, bad, weights, info.ch_names[column]))
    for kind in _KINDS:
        if any(is_heart(source, onsets) for source in tried):
            break
        picks = np.flatnonzero([name == kind for name in info.ch_types])
        if len(picks):
            tried.extend(_try_data(data, info, bad, picks, kind))
    found = [source for source in tried if is_heart(source, onsets)]
    if found:
        return max(found, key=lambda source: source.regularity * source.clarity), ""
    if not tried:
        return None, "no channel that could show a heartbeat"
    best = max(tried, key=lambda source: source.regularity)
    return None, (
        f"no source with clear regular beats: the best, {best.name}, has {counted(len(best.beats.peaks), 'beat')}, "
        f"{best.rate:.0f} a minute, {share_text(best.regularity, 0)} of the intervals regular, "
        f"{best.clarity:.1f} times the noise"
    )


def is_heart(source: Source, onsets: np.ndarray | None = None) -> bool:
    """Whether beats are clear and regular, and no answers to stimuli.

    Parameters
    ----------
    source : Source
    onsets : array of shape (n_events,) or None
        Sample indices of stimuli.

    Returns
    -------
    bool
    """
    peaks = source.beats.peaks
    if onsets is not None and len(onsets) > 1:
        onsets = np.sort(onsets)
        between = peaks[(peaks >= onsets[0]) & (peaks < onsets[-1])]
        at = np.searchsorted(onsets, between, "right") - 1
        phase = (between - onsets[at]) / np.maximum(onsets[at + 1] - onsets[at], 1)
        if len(phase) and abs(np.mean(np.exp(2j * np.pi * phase))) > _LOCKED:
            return False
    return (
        len(peaks) >= _LEAST_BEATS
        and source.clarity >= _CLEAR
        and RATES[0] <= source.rate <= RATES[1]
        and source.regularity >= _REGULAR
    )


def beats_in(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, weights: np.ndarray, name: str
) -> Source:
    """Find the beats in a weighted sum of channels.

    Parameters
    ----------
    data : array of shape (n, n_channels), float64
    info : SignalInfo
    bad : array of shape (n,), bool
        Samples to leave out.
    weights : array of shape (n_channels,)
    name : str
        What to call it.

    Returns
    -------
    Source
    """
    beats, levels = find_beats(data, info, weights, bad)
    gaps = np.diff(beats.peaks) / info.sfreq
    if len(gaps) < 2:
        return Source(name, weights, levels, beats, 0.0, 0.0, 0.0)
    usual = np.array([np.median(gaps[max(i - 3, 0) : i + 4]) for i in range(len(gaps))])
    regularity = float(np.mean(np.abs(gaps / usual - 1.0) < 0.3))
    clarity = float(levels[0] / max(levels[1], 1e-300))
    return Source(name, weights, levels, beats, 60.0 / np.median(gaps), regularity, clarity)


def _try_data(
    data: np.ndarray, info: SignalInfo, bad: np.ndarray, picks: np.ndarray, kind: str
) -> list[Source]:
    """Try sources among the data channels of one type, then each refined by its beats' field."""
    x = data[:, picks]
    scale = np.maximum(np.std(x[~bad], axis=0), 1e-300)
    x = sharpened((x - x[~bad].mean(axis=0)) / scale, info.sfreq)
    covariance = np.cov(x[~bad], rowvar=False, ddof=0).reshape(len(picks), len(picks))
    _, vectors = np.linalg.eigh(covariance)
    n_kept = min(_N_COMPONENTS, len(picks))
    candidates = np.hstack([np.eye(len(picks)), vectors[:, ::-1][:, :n_kept]])
    z = x[~bad] @ candidates
    peakedness = np.mean(z**4, axis=0) / np.maximum(np.mean(z**2, axis=0) ** 2, 1e-300)
    sources = []
    for i in np.argsort(-peakedness)[:_N_TRIED]:
        weights = np.zeros(info.n_channels)
        weights[picks] = candidates[:, i] / scale
        name = info.ch_names[picks[i]] if i < len(picks) else f"{kind} component {i - len(picks)}"
        first = beats_in(data, info, bad, weights, name)
        sources.append(first)
        if len(first.beats.peaks) >= _LEAST_BEATS:
            field = _field(x, first.beats.peaks, info.sfreq)
            ridge = 0.01 * np.trace(covariance) / len(picks) * np.eye(len(picks))
            weights = np.zeros(info.n_channels)
            weights[picks] = np.linalg.solve(covariance + ridge, field) / scale
            sources.append(beats_in(data, info, bad, weights, f"field of {name}"))
    return sources


def _field(x: np.ndarray, peaks: np.ndarray, sfreq: float) -> np.ndarray:
    """Average the R wave in sharpened data; return its topography (c,) at the largest power."""
    reach = round(0.05 * sfreq)
    inside = peaks[(peaks >= reach) & (peaks < len(x) - 2 * reach)]
    mean = np.mean([x[peak - reach : peak + 2 * reach] for peak in inside], axis=0)
    return mean[np.argmax(np.sum(mean**2, axis=1))]


def sharpened(x: np.ndarray, sfreq: float) -> np.ndarray:
    """Sharpen `x` (n, c) as the detector does, but zero-phase: smooth, difference twice."""
    n_mean, lag = max(round(0.0167 * sfreq), 1), max(round(0.02 * sfreq), 1)
    sums = np.cumsum(np.pad(x, ((n_mean, 0), (0, 0))), axis=0)
    smooth = (sums[n_mean:] - sums[:-n_mean]) / n_mean
    middle = np.roll(smooth, -(n_mean // 2), axis=0)
    sharp = 2.0 * middle - np.roll(middle, lag, axis=0) - np.roll(middle, -lag, axis=0)
    edge = n_mean + lag
    sharp[:edge] = sharp[len(sharp) - edge :] = 0.0
    return sharp
