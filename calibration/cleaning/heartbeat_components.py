"""Find what follows the beats: the mean after R peaks, without what chance alone would show.

For `calibration.cleaning.heartbeat`, which finds the beats.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from calibration.cleaning.heartbeat_judged import N_SURROGATES, locked_mean
from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["find_components"]

_SHRINK = 0.01
_WHOLE = 0.99999  # of the mean's power: a change may lie where the mean hardly shows
_MOST, _WEIGHTS = 20, 2500  # components; weights of each kind that the live stage has time for


def find_components(
    data: np.ndarray,
    info: SignalInfo,
    bad: np.ndarray,
    starts: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Find the components of the template.

    A generalized eigendecomposition of the mean against all other activity sorts its directions by
    how far they stand out, ratio l_i. Means after random moments have l'_i on average. Each
    direction keeps the share ``1 - l'_i / l_i``. What is left is decomposed again in the channels'
    units: the artifact is learned live in as many directions as it has, at most 20, and fewer than
    2500 weights.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels), float64
    info : SignalInfo
        Data channels first.
    bad : array of shape (n_samples,), bool
        Samples to leave out.
    starts : array of shape (n_beats,), int64
        Where the template begins.
    n : int
        Its length in samples.
    rng : numpy.random.Generator
        Draws the random moments.

    Returns
    -------
    dict
        `maps` and `filters`, arrays of shape (rank, n_data), and `courses`, of shape (n, rank), of
        `HeartbeatTemplate`; what stands out most is first. The rank is 0 if the mean stands
        out no further than one after random moments, neither from other activity nor in itself.
    """
    kinds = np.array([kind for kind in info.ch_types if kind in DATA_TYPES])
    scale = np.ones(len(kinds))
    x = data[:, : len(kinds)]
    for kind in set(kinds.tolist()):  # each type has its own unit
        scale[kinds == kind] = max(
            np.sqrt(np.mean(np.var(x[~bad][:, kinds == kind], axis=0))), 1e-300
        )
    x = (x - x[~bad].mean(axis=0)) / scale
    covariance = x[~bad].T @ x[~bad] / np.sum(~bad)
    covariance += _SHRINK * np.trace(covariance) / len(kinds) * np.eye(len(kinds))
    mean = locked_mean(x, starts, bad, n)
    draws = (rng.integers(0, len(x), len(starts)) for _ in range(N_SURROGATES))
    random = [locked_mean(x, moments, bad, n, n_passes=1) for moments in draws]
    maps = _directions(mean, random, covariance)
    inverse = np.linalg.inv(covariance)
    # the filters that measure the maps with least of all else
    filters = np.linalg.solve(maps @ inverse @ maps.T, maps @ inverse)
    courses = _shrunk(mean, random, covariance) @ filters.T
    if len(maps):
        # at unit variance and uncorrelated without heartbeats: each can be learned by itself
        _, axes = eigh(courses.T @ courses, filters @ covariance @ filters.T)
        axes = axes[:, ::-1]
        maps, filters, courses = np.linalg.solve(axes, maps), axes.T @ filters, courses @ axes
    return {"maps": maps * scale, "filters": filters / scale, "courses": courses}


def _directions(mean: np.ndarray, random: list[np.ndarray], covariance: np.ndarray) -> np.ndarray:
    """Find the directions (rank, c) of the mean in the channels, the largest first."""
    powers, axes = np.linalg.eigh(covariance)
    white = axes / np.sqrt(powers) @ axes.T
    stands_out = [
        np.linalg.norm(mean @ space, 2) > max(np.linalg.norm(one @ space, 2) for one in random)
        for space in (white, np.eye(len(white)))
    ]
    _, sizes, directions = np.linalg.svd(_shrunk(mean, random, covariance), full_matrices=False)
    if not any(stands_out) or sizes[0] == 0.0:
        return directions[:0]
    whole = 1 + int(np.sum(np.cumsum(sizes**2) < _WHOLE * np.sum(sizes**2)))
    return directions[: min(whole, _MOST, max(_WEIGHTS // len(white), 4))]


def _shrunk(mean: np.ndarray, random: list[np.ndarray], covariance: np.ndarray) -> np.ndarray:
    """Take out of the mean (n, c) what means after random moments have in its directions."""
    ratios, axes = eigh(mean.T @ mean / len(mean), covariance)
    chance = [eigh(one.T @ one / len(one), covariance, eigvals_only=True) for one in random]
    kept = np.clip(1.0 - np.mean(chance, axis=0) / np.maximum(ratios, 1e-300), 0.0, 1.0)
    return (mean @ axes * kept) @ (covariance @ axes).T
