"""Time courses of noise and of what disturbs a recording, in units of their usual size.

Each function takes a random generator, a number of samples and a rate. Where on the head a time
course lands, and how strongly, is known in `simulator` only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["blinks", "breathing", "gaze", "heart", "line", "muscle", "shaped_noise", "wander"]


def shaped_noise(
    rng: np.random.Generator,
    n: int,
    sfreq: float,
    shape: Callable[[np.ndarray], np.ndarray],
    band: tuple[float, float],
    n_columns: int = 1,
) -> np.ndarray:
    """Gaussian noise of shape (n, n_columns) with an RMS of 1 expected within `band`.

    `shape` gives the amplitude at each frequency in Hz; it need not be scaled.
    """
    length = 1 << int(np.ceil(np.log2(n)))  # fast, and the ends do not meet
    freqs = np.fft.rfftfreq(length, 1.0 / sfreq)
    amplitude = shape(freqs)
    inside = (freqs >= band[0]) & (freqs <= band[1])
    power = 2.0 * np.sum(amplitude[inside] ** 2) / length
    amplitude = amplitude / np.sqrt(power)
    out = np.empty((n, n_columns))
    for column in range(n_columns):  # one at a time: half an hour of 64 channels fits in memory
        spectrum = np.fft.rfft(rng.standard_normal(length))
        out[:, column] = np.fft.irfft(spectrum * amplitude, length)[:n]
    return out


def wander(rng: np.random.Generator, n: int, sfreq: float, every: float) -> np.ndarray:
    """Slow random curve of shape (n,): a standard normal value each `every` s, lines between."""
    n_knots = int(n / sfreq / every) + 2
    return np.interp(np.arange(n) / sfreq, np.arange(n_knots) * every, rng.standard_normal(n_knots))


def _bump(sfreq: float, rise: float) -> np.ndarray:
    """Wave that climbs to 1 within `rise` s and dies away over five times as long."""
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


def blinks(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """About 15 a minute of 0.3 s; the peak is 1, give or take 15 %."""
    gaps = 1.0 + rng.gamma(2.0, 1.5, _n_gaps(n, sfreq, 1.0))
    starts = _moments(gaps, n, sfreq)
    return _place(n, starts, _bump(sfreq, 0.1), 1.0 + 0.15 * rng.standard_normal(len(starts)))


def gaze(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """Horizontal gaze: steps of 0.8 to 1.2 within 40 ms, held for a fixation, kept near 0."""
    moves = _moments(0.4 + rng.exponential(1.0, _n_gaps(n, sfreq, 0.4)), n, sfreq)
    target = np.zeros(n)
    at = 0.0
    for start, size, coin in zip(
        moves, rng.uniform(0.8, 1.2, len(moves)), rng.random(len(moves)), strict=True
    ):
        side = -np.sign(at) if abs(at) > 0.5 else np.sign(coin - 0.5)
        at += side * size
        target[start:] = at
    ramp = np.hanning(max(round(0.04 * sfreq), 1) + 2)[1:-1]
    return np.convolve(target, ramp / ramp.sum())[:n]


def heart(rng: np.random.Generator, n: int, sfreq: float) -> tuple[np.ndarray, np.ndarray]:
    """Electrocardiogram with an R wave of 1 and pulse wave with a peak of 1, each (n,).

    About 70 beats a minute, faster on breathing in; the pulse comes 0.2 s after the R wave.
    """
    n_beats = _n_gaps(n, sfreq, 0.4)
    breath = 0.05 * np.sin(2 * np.pi * 0.22 * np.arange(n_beats))
    gaps = 0.85 * np.clip(1.0 + breath + 0.03 * rng.standard_normal(n_beats), 0.6, 1.4)
    beats = _moments(gaps, n, sfreq)
    ones = np.ones(len(beats))
    before = round(0.3 * sfreq)
    t = (np.arange(round(0.8 * sfreq)) - before) / sfreq
    wave = np.zeros_like(t)
    # P, Q, R, S and T: height, time, width in s
    for height, centre, width in (
        (0.12, -0.18, 0.025),
        (-0.12, -0.03, 0.010),
        (1.0, 0.0, 0.012),
        (-0.2, 0.03, 0.012),
        (0.3, 0.27, 0.050),
    ):
        wave += height * np.exp(-0.5 * ((t - centre) / width) ** 2)
    pulse = _place(n, beats + round(0.2 * sfreq), _bump(sfreq, 0.12), ones)
    return _place(n, beats - before, wave, ones), pulse


def breathing(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """About 15 breaths a minute of amplitude 1, both unsteady by some 10 %."""
    rate = 0.25 * np.clip(1.0 + 0.1 * wander(rng, n, sfreq, 10.0), 0.5, 1.5)
    size = 1.0 + 0.1 * wander(rng, n, sfreq, 10.0)
    return size * np.sin(2 * np.pi * np.cumsum(rate) / sfreq)


def muscle(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """Both jaws, shape (n, 2): an RMS of 1 within bursts, above 20 Hz.

    Clenching for 0.3 to 1 s every 20 s or so; every minute or so 3 s of chewing at 1.5 Hz.
    """
    envelope = np.zeros(n)
    clenches = _moments(rng.exponential(20.0, _n_gaps(n, sfreq, 2.0)), n, sfreq)
    for start, seconds in zip(clenches, rng.uniform(0.3, 1.0, len(clenches)), strict=True):
        length = round(seconds * sfreq)
        envelope[start : start + length] = 1.0
    t = np.arange(round(3.0 * sfreq)) / sfreq
    bites = np.sin(np.pi * 1.5 * t) ** 2
    for start in _moments(rng.exponential(60.0, _n_gaps(n, sfreq, 6.0)), n, sfreq):
        piece = envelope[start : start + len(bites)]
        np.maximum(piece, bites[: len(piece)], out=piece)
    l_freq = min(20.0, sfreq / 4.0)
    noise = shaped_noise(
        rng, n, sfreq, lambda f: 1.0 / (1.0 + (l_freq / np.maximum(f, 1e-3)) ** 4), (0, sfreq), 2
    )
    return envelope[:, None] * noise


def line(rng: np.random.Generator, n: int, sfreq: float, line_freq: float) -> np.ndarray:
    """Quadrature pair of amplitude 1 at the mains frequency, shape (n, 2), within 0.02 Hz."""
    freq = line_freq + 0.02 * np.tanh(wander(rng, n, sfreq, 20.0))
    phase = 2 * np.pi * (rng.random() + np.cumsum(freq) / sfreq)
    return np.stack([np.sin(phase), np.cos(phase)], 1)
