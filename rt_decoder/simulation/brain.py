"""The brain of a simulated participant: evoked responses, background activity and alpha.

Times are sample indices. This module does not know how items are drawn or what disturbs the
recording.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.simulation.head import HEAD_RADIUS, Cap
from rt_decoder.simulation.noise import shaped_noise

__all__ = ["RESPONSE", "Brain"]

RESPONSE = 0.8  # s that an evoked response lasts
_N_SOURCES = 32
_N_BACKGROUND = 200
_BAND = (0.5, 20.0)  # Hz, in which the signal-to-noise ratio is defined
_UV = 1e-6
_BACKGROUND, _SENSOR, _ALPHA, _COMMON = 8 * _UV, 0.5 * _UV, 8 * _UV, 2 * _UV  # RMS
_OCCIPITAL = HEAD_RADIUS * np.array([[-0.2, -0.55, 0.0], [0.2, -0.55, 0.0]])


class Brain:
    """Forward model from the vectors of items to channels.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dimensions)
        One vector per item.
    cap : Cap
        The sensors: electrodes or a helmet.
    sfreq : float
        Sampling rate in Hz.
    snr : float
        See `rt_decoder.simulation.participant.Participant`.
    rng : numpy.random.Generator
        Its draws depend neither on the cap nor on the rate: one seed is one brain.
    size : float
        Factor on everything but the sensors' noise.
    shared : numpy.random.Generator or None
        Draws what items evoke, in place of `rng`: people with the same one respond alike.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        cap: Cap,
        sfreq: float,
        snr: float,
        rng: np.random.Generator,
        size: float = 1.0,
        shared: np.random.Generator | None = None,
    ) -> None:
        self._sfreq, self._size = sfreq, size
        of_items = rng if shared is None else shared
        latent = of_items.standard_normal((vectors.shape[1], _N_SOURCES))
        # one more source responds to every item alike
        dipoles = _dipoles(of_items, _N_SOURCES + 1)
        self._kernels = _kernels(of_items, _N_SOURCES + 1, sfreq)
        self._maps = cap.maps(*dipoles)
        self._mean = vectors.mean(0)
        everywhere = cap.full()
        full = everywhere.maps(*dipoles) / everywhere.scale
        rms = _response_rms((vectors - self._mean) @ latent, full[:-1], self._kernels[:-1])
        self._latent = latent * (size * snr * _BACKGROUND / rms)
        self._item_sizes = self._sizes(vectors)
        background = cap.maps(*_dipoles(rng, _N_BACKGROUND)) / np.sqrt(_N_BACKGROUND)
        # the same covariance, from at most as many noises as channels
        _, s, vt = np.linalg.svd(background, full_matrices=False)
        self._background = size * _BACKGROUND * s[:, None] * vt
        self._noise = _SENSOR * cap.scale
        self._alpha = np.stack([cap.joint_map(d[None], cap.seen(d)[None]) for d in _OCCIPITAL])
        self._alpha *= size * _ALPHA
        self._alpha_freq = rng.uniform(9.0, 11.0)

    def evoked(self, vector: np.ndarray) -> np.ndarray:
        """Return the response to an item with this vector, (n_samples, n_channels) V from onset."""
        return (self._kernels.T * self._sizes(vector)) @ self._maps

    def answers(self, n: int, onsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Sum the responses to a sequence of items.

        Parameters
        ----------
        n : int
            Length of the recording in samples.
        onsets : array of shape (n_events,), int
            Sample of each onset.
        items : array of shape (n_events,), int
            Row of each event's item in `vectors`.

        Returns
        -------
        array of shape (n, n_channels), float64
            In V.
        """
        length = self._kernels.shape[1]
        sources = np.zeros((n, len(self._kernels)))
        for onset, item in zip(onsets, items, strict=True):
            sources[onset : onset + length] += self._kernels.T * self._item_sizes[item]
        return sources @ self._maps

    def background(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw 1/f background activity and the sensors' white noise, (n, n_channels) V."""

        def shape(f: np.ndarray) -> np.ndarray:
            return (f > 0) / np.sqrt(np.maximum(f, 0.3))

        noise = shaped_noise(rng, n, self._sfreq, shape, _BAND, len(self._background))
        sensors = rng.standard_normal((n, self._background.shape[1]))
        return noise @ self._background + self._noise * sensors

    def alpha(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw the alpha rhythm of both hemispheres, waxing and waning, (n, n_channels) V."""

        def shape(f: np.ndarray) -> np.ndarray:
            return np.exp(-0.5 * ((f - self._alpha_freq) / 0.6) ** 2)

        return shaped_noise(rng, n, self._sfreq, shape, (0.0, self._sfreq), 2) @ self._alpha

    def _sizes(self, vectors: np.ndarray) -> np.ndarray:
        """Amplitude of each source's response in V, (..., n_sources)."""
        sizes = (np.asarray(vectors, np.float64) - self._mean) @ self._latent
        return np.concatenate([sizes, np.full((*sizes.shape[:-1], 1), self._size * _COMMON)], -1)


def _response_rms(sizes: np.ndarray, maps: np.ndarray, kernels: np.ndarray) -> float:
    """RMS of the responses over items (n_items, k), channels (k, c) and samples (k, m).

    The responses themselves, (n_items, m, c), are never formed.
    """
    items = sizes.T @ sizes / len(sizes)
    channels = maps @ maps.T / maps.shape[1]
    samples = kernels @ kernels.T / kernels.shape[1]
    return float(np.sqrt(np.sum(items * channels * samples)))


def _dipoles(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) in m and moments (n, 3) of sources where the sphere holds cortex."""
    where = rng.standard_normal((n, 3))
    where[:, 2] = np.abs(where[:, 2]) - 0.3  # few sources below the cap
    where /= np.linalg.norm(where, axis=1, keepdims=True)
    # deeper than real cortex: depth blurs the maps as the skull, which is left out, would
    return HEAD_RADIUS * rng.uniform(0.4, 0.65, (n, 1)) * where, rng.standard_normal((n, 3))


def _kernels(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """Evoked waves of shape (n, n_samples), unit RMS: short oscillations at 100 to 500 ms."""
    peak, width = rng.uniform(0.1, 0.5, (n, 1)), rng.uniform(0.03, 0.08, (n, 1))
    freq, phase = rng.uniform(2.0, 7.0, (n, 1)), rng.uniform(0.0, 2 * np.pi, (n, 1))
    t = np.arange(round(RESPONSE * sfreq)) / sfreq
    wave = np.exp(-0.5 * ((t - peak) / width) ** 2) * np.cos(2 * np.pi * freq * (t - peak) + phase)
    wave *= np.minimum(t / 0.05, 1.0)  # no response starts at full size
    return wave / np.sqrt(np.mean(wave**2, 1, keepdims=True))
