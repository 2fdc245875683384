"""Time courses of artifacts, in units of their usual size.

Each function takes a random generator, a number of samples and a rate. Topographies and sizes are
those of `disturbance`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt_decoder.simulation.noise import shaped_noise, wander

__all__ = [
    "blinks",
    "breathing",
    "gaze",
    "heart",
    "heart_vector",
    "mains",
    "muscle",
    "pops",
]


def _bump(sfreq: float, rise: float) -> np.ndarray:
    """Wave that rises to 1 within `rise` s and decays over five times as long."""
    t = np.arange(round(8.0 * rise * sfreq)) / sfreq / rise
    return t**2 * np.exp(2.0 - 2.0 * t)


def _place(n: int, starts: np.ndarray, wave: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Put copies of `wave` at `starts` into n samples, cut at the edges."""
    out = np.zeros(n)
    for start, size in zip(starts, sizes, strict=True):
        first, stop = max(start, 0), min(start + len(wave), n)
        if first < stop:
            out[first:stop] += size * wave[first - start : stop - start]
    return out


def _moments(gaps: np.ndarray, n: int, sfreq: float) -> np.ndarray:
    """Sample indices at which intervals of `gaps` s end, within n samples."""
    index = np.rint(np.cumsum(gaps) * sfreq).astype(int)
    return index[index < n]


def _n_gaps(n: int, sfreq: float, shortest: float) -> int:
    return int(n / sfreq / shortest) + 2


def blinks(
    rng: np.random.Generator,
    n: int,
    sfreq: float,
    every: float = 4.0,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Draw blinks of 0.3 s, at random intervals, with peaks of 1 +/- 15 %.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    every : float
        Mean interval in s, above 1.
    allowed : array of shape (n,), bool, or None
        Where a blink may start; None for everywhere.

    Returns
    -------
    array of shape (n,), float64
    """
    gaps = 1.0 + rng.gamma(2.0, (every - 1.0) / 2.0, _n_gaps(n, sfreq, 1.0))
    starts = _moments(gaps, n, sfreq)
    sizes = 1.0 + 0.15 * rng.standard_normal(len(starts))
    if allowed is not None:
        sizes, starts = sizes[allowed[starts]], starts[allowed[starts]]
    return _place(n, starts, _bump(sfreq, 0.1), sizes)


def gaze(
    rng: np.random.Generator, n: int, sfreq: float, allowed: np.ndarray | None = None
) -> np.ndarray:
    """Draw horizontal gaze: steps of 0.8 to 1.2 within 40 ms, each followed by a fixation.

    Gaze stays near 0: from the side, the next step leads back.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    allowed : array of shape (n,), bool, or None
        False where the eyes look straight ahead; None lets them move everywhere.

    Returns
    -------
    array of shape (n,), float64
    """
    moves = _moments(0.4 + rng.exponential(1.0, _n_gaps(n, sfreq, 0.4)), n, sfreq)
    target = np.zeros(n)
    at = 0.0
    for start, size, coin in zip(
        moves, rng.uniform(0.8, 1.2, len(moves)), rng.random(len(moves)), strict=True
    ):
        side = -np.sign(at) if abs(at) > 0.5 else np.sign(coin - 0.5)
        at += side * size
        target[start:] = at
    if allowed is not None:
        target *= allowed
    ramp = np.hanning(max(round(0.04 * sfreq), 1) + 2)[1:-1]
    return np.convolve(target, ramp / ramp.sum())[:n]


# P, Q, R, S and T waves: height in an ideal lead, time from R in s, width in s
_ECG = (
    (0.12, -0.18, 0.025),
    (-0.12, -0.03, 0.010),
    (1.0, 0.0, 0.012),
    (-0.2, 0.03, 0.012),
    (0.3, 0.27, 0.050),
)
# the same waves in a lead on the chest: another projection of the turning vector of the heart
_CHEST_LEAD = (0.18, -0.02, 1.0, -0.45, 0.22)


def heart(rng: np.random.Generator, n: int, sfreq: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a heartbeat: about 70 beats a minute, faster on breathing in.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.

    Returns
    -------
    ecg, pulse : arrays of shape (n,), float64
        Electrocardiogram with an R wave of 1; pulse wave with a peak of 1, 0.2 s after the R wave.
    """
    beats = _beats(rng, n, sfreq)
    return _ecg(n, sfreq, beats, [height for height, _, _ in _ECG]), _pulse(n, sfreq, beats)


def heart_vector(
    rng: np.random.Generator, n: int, sfreq: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw the beats of `heart` in four parts that are not proportional to each other.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.

    Returns
    -------
    complex, recovery : arrays of shape (n,), float64
        P to S waves, and T wave: the heart's dipole has another direction in each.
    pulse, lead : arrays of shape (n,), float64
        Pulse wave; record of an electrode on the chest: all waves, in other proportions.
    """
    beats = _beats(rng, n, sfreq)
    heights = [height for height, _, _ in _ECG]
    return (
        _ecg(n, sfreq, beats, [*heights[:4], 0.0]),
        _ecg(n, sfreq, beats, [0.0] * 4 + heights[4:]),
        _pulse(n, sfreq, beats),
        _ecg(n, sfreq, beats, _CHEST_LEAD),
    )


def _beats(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """Sample indices of R waves."""
    n_beats = _n_gaps(n, sfreq, 0.4)
    breath = 0.05 * np.sin(2 * np.pi * 0.22 * np.arange(n_beats))
    gaps = 0.85 * np.clip(1.0 + breath + 0.03 * rng.standard_normal(n_beats), 0.6, 1.4)
    return _moments(gaps, n, sfreq)


def _ecg(n: int, sfreq: float, beats: np.ndarray, heights: Sequence[float]) -> np.ndarray:
    before = round(0.3 * sfreq)
    t = (np.arange(round(0.8 * sfreq)) - before) / sfreq
    wave = np.zeros_like(t)
    for height, (_, centre, width) in zip(heights, _ECG, strict=True):
        wave += height * np.exp(-0.5 * ((t - centre) / width) ** 2)
    return _place(n, beats - before, wave, np.ones(len(beats)))


def _pulse(n: int, sfreq: float, beats: np.ndarray) -> np.ndarray:
    return _place(n, beats + round(0.2 * sfreq), _bump(sfreq, 0.12), np.ones(len(beats)))


def breathing(rng: np.random.Generator, n: int, sfreq: float, sharpness: float = 0.0) -> np.ndarray:
    """Draw about 15 breaths a minute of amplitude 1; rate and amplitude vary by some 10 %.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    sharpness : float
        0 is a sine; 1 is a fast breath in, a slow breath out and a pause; between, a mixture.

    Returns
    -------
    array of shape (n,), float64
    """
    rate = 0.25 * np.clip(1.0 + 0.1 * wander(rng, n, sfreq, 10.0), 0.5, 1.5)
    size = 1.0 + 0.1 * wander(rng, n, sfreq, 10.0)
    phase = 2 * np.pi * np.cumsum(rate) / sfreq
    if sharpness == 0.0:
        return size * np.sin(phase)
    t = phase / (2 * np.pi) % 1.0
    out = np.clip((t - 0.25) / 0.35, 0.0, 1.0)
    sharp = np.where(t < 0.25, -np.cos(4 * np.pi * t), np.cos(np.pi * out))
    return size * ((1.0 - sharpness) * np.sin(phase) + sharpness * sharp)


def muscle(
    rng: np.random.Generator, n: int, sfreq: float, every: tuple[float, float] = (20.0, 60.0)
) -> np.ndarray:
    """Draw the muscle noise of both jaws, above 20 Hz.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    every : (float, float)
        Mean interval in s of clenches (0.3 to 1 s) and of chewing (3 s at 1.5 Hz).

    Returns
    -------
    array of shape (n, 2), float64
        Left and right jaw, with an RMS of 1 within bursts and 0 outside.
    """
    envelope = np.zeros(n)
    clenches = _moments(rng.exponential(every[0], _n_gaps(n, sfreq, 2.0)), n, sfreq)
    for start, seconds in zip(clenches, rng.uniform(0.3, 1.0, len(clenches)), strict=True):
        length = round(seconds * sfreq)
        envelope[start : start + length] = 1.0
    t = np.arange(round(3.0 * sfreq)) / sfreq
    bites = np.sin(np.pi * 1.5 * t) ** 2
    for start in _moments(rng.exponential(every[1], _n_gaps(n, sfreq, 6.0)), n, sfreq):
        piece = envelope[start : start + len(bites)]
        np.maximum(piece, bites[: len(piece)], out=piece)
    l_freq = min(20.0, sfreq / 4.0)
    noise = shaped_noise(
        rng, n, sfreq, lambda f: 1.0 / (1.0 + (l_freq / np.maximum(f, 1e-3)) ** 4), (0, sfreq), 2
    )
    return envelope[:, None] * noise


def mains(rng: np.random.Generator, n: int, sfreq: float, line_freq: float) -> np.ndarray:
    """Draw a quadrature pair of amplitude 1 at the mains frequency.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    line_freq : float
        Mains frequency in Hz; the actual one stays within 0.02 Hz of it.

    Returns
    -------
    array of shape (n, 2), float64
    """
    freq = line_freq + 0.02 * np.tanh(wander(rng, n, sfreq, 20.0))
    phase = 2 * np.pi * (rng.random() + np.cumsum(freq) / sfreq)
    return np.stack([np.sin(phase), np.cos(phase)], 1)


def pops(
    rng: np.random.Generator, n: int, sfreq: float, n_channels: int, every: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw jumps of single electrodes that decay slowly.

    Parameters
    ----------
    rng, n, sfreq : numpy.random.Generator, int, float
        Source of the draws, number of samples, sampling rate in Hz.
    n_channels : int
        Number of channels among which each jump falls on one.
    every : float
        Mean interval in s, above 2.

    Returns
    -------
    starts, channels : arrays of shape (n_pops,), int
        Sample and channel of each jump.
    waves : array of shape (n_pops, n_wave), float64
        A step of 0.6 to 1.6, up or down, that decays with a time constant of 0.3 to 1 s.
    """
    starts = _moments(2.0 + rng.exponential(every - 2.0, _n_gaps(n, sfreq, 2.0)), n, sfreq)
    channels = rng.integers(n_channels, size=len(starts))
    sizes = rng.uniform(0.6, 1.6, len(starts)) * rng.choice([-1.0, 1.0], len(starts))
    decay = rng.uniform(0.3, 1.0, len(starts))
    t = np.arange(round(5.0 * sfreq)) / sfreq
    return starts, channels, sizes[:, None] * np.exp(-t / decay[:, None])
