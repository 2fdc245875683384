"""Time courses of noise and of what disturbs a recording, in units of their usual size.

Each function takes a random generator, a number of samples and a rate. Where on the head a time
course lands, and how strongly, is known in `simulator` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = [
    "blinks",
    "breathing",
    "gaze",
    "heart",
    "heart_vector",
    "mains",
    "muscle",
    "pops",
    "shaped_noise",
    "wander",
]


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


def blinks(
    rng: np.random.Generator,
    n: int,
    sfreq: float,
    every: float = 4.0,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """One every `every` s or so, of 0.3 s; the peak is 1, give or take 15 %.

    Where `allowed`, of shape (n,), is False none starts.
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
    """Horizontal gaze: steps of 0.8 to 1.2 within 40 ms, held for a fixation, kept near 0.

    Where `allowed`, of shape (n,), is False the eyes look straight ahead.
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


# P, Q, R, S and T wave: height in an ideal lead, time from R in s, width in s
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
    """Electrocardiogram with an R wave of 1 and pulse wave with a peak of 1, each (n,).

    About 70 beats a minute, faster on breathing in; the pulse comes 0.2 s after the R wave.
    """
    beats = _beats(rng, n, sfreq)
    return _ecg(n, sfreq, beats, [height for height, _, _ in _ECG]), _pulse(n, sfreq, beats)


def heart_vector(
    rng: np.random.Generator, n: int, sfreq: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As `heart`, the beats the same, in four parts of shape (n,) that are no multiples.

    Returns
    -------
    complex, recovery : array
        P to S and T wave: the heart's vector points elsewhere in each.
    pulse : array
    lead : array
        What an electrode on the chest records: all waves, in other proportions.
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
    """About 15 breaths a minute of amplitude 1, both unsteady by some 10 %.

    `sharpness` is the part of the way from a sine to air that is drawn in within a quarter of the
    breath and let out with a pause.
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
    """Both jaws, shape (n, 2): an RMS of 1 within bursts, above 20 Hz.

    Clenching for 0.3 to 1 s and 3 s of chewing at 1.5 Hz, each `every` so many s or so.
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
    """Quadrature pair of amplitude 1 at the mains frequency, shape (n, 2), within 0.02 Hz."""
    freq = line_freq + 0.02 * np.tanh(wander(rng, n, sfreq, 20.0))
    phase = 2 * np.pi * (rng.random() + np.cumsum(freq) / sfreq)
    return np.stack([np.sin(phase), np.cos(phase)], 1)


def pops(
    rng: np.random.Generator, n: int, sfreq: float, n_channels: int, every: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Jumps of single electrodes that creep back: one every `every` s or so.

    Returns
    -------
    starts, channels : array of shape (n_pops,), int
    waves : array of shape (n_pops, n_wave)
        A step of 0.6 to 1.6, up or down, that dies away with a time constant of 0.3 to 1 s.
    """
    starts = _moments(2.0 + rng.exponential(every - 2.0, _n_gaps(n, sfreq, 2.0)), n, sfreq)
    channels = rng.integers(n_channels, size=len(starts))
    sizes = rng.uniform(0.6, 1.6, len(starts)) * rng.choice([-1.0, 1.0], len(starts))
    decay = rng.uniform(0.3, 1.0, len(starts))
    t = np.arange(round(5.0 * sfreq)) / sfreq
    return starts, channels, sizes[:, None] * np.exp(-t / decay[:, None])
