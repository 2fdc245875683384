"""Faults of a session, as changes of a recording, for `eval_monitor.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibration.monitor_montage import known_orders
from rt_decoder.files.recording import Recording

Fault = Callable[[Recording], Recording]
N_BANK = 16


def faults(names: tuple[str, ...], seed: int) -> dict[str, dict[str, Fault]]:
    """Changes of a recording whose first channels have these names: fault, strength, change."""
    m = len(names)
    rng = np.random.default_rng(seed)
    i, j = names.index("C3"), names.index("C4")
    k = int(rng.integers(m))
    orders = known_orders(names, None)
    near = names.index("CP1"), names.index("C3")
    return {
        "inverted": {"all": channels(-np.eye(m))},
        "late markers": {"100 ms": late(0.1), "300 ms": late(0.3)},
        "early markers": {"100 ms": late(-0.1), "500 ms": late(-0.5)},
        "white noise": {"usual size": noise(rng, False), "usual step": noise(rng, False, True)},
        "coloured noise": {"covariance of calibration": noise(rng, True)},
        "phase surrogate": {"all": surrogate(rng)},
        "left and right": {"all": channels(np.eye(m)[orders["left and right"]])},
        "off by one": {
            name: channels(np.eye(m)[orders[name]]) for name in ("one further", "one back")
        },
        "other order": {
            name: channels(np.eye(m)[order])
            for name, order in orders.items()
            if name.startswith("banks") or name == "reversed"
        },
        "swap": {"C3, C4": swap(m, i, j), "neighbours": swap(m, *near)},
        "one inverted": {names[k]: channels(np.diag(np.where(np.arange(m) == k, -1.0, 1.0)))},
        "bridge": {"C3, CP1": bridge(m, *near, 1e-7), "C3, C4": bridge(m, i, j, 1e-6)},
        "gain": {"x0.5": channels(0.5 * np.eye(m)), "x2": channels(2 * np.eye(m))},
    }


def channels(matrix: np.ndarray) -> Fault:
    """Mix the first channels by a matrix (m, m)."""
    m = len(matrix)

    def change(recording: Recording) -> Recording:
        data = recording.data.copy()
        data[:, :m] = data[:, :m] @ matrix.T
        return replace(recording, data=data)

    return change


def swap(m: int, i: int, j: int) -> Fault:
    """Exchange two of m channels."""
    matrix = np.eye(m)
    matrix[[i, j]] = matrix[[j, i]]
    return channels(matrix)


def bridge(m: int, i: int, j: int, noise_v: float) -> Fault:
    """Join two of m electrodes; what is left between them is noise of the amplifier, in V."""
    matrix = np.eye(m)
    matrix[i] = matrix[j] = 0.5 * (matrix[i] + matrix[j])
    join = channels(matrix)

    def change(recording: Recording) -> Recording:
        joined = join(recording)
        hum = np.random.default_rng(0).standard_normal(len(joined.data))
        joined.data[:, i] += noise_v * hum
        return joined

    return change


def late(seconds: float) -> Fault:
    """Stamp markers that much too early, so that responses come late."""
    return lambda recording: replace(
        recording,
        markers=tuple(one._replace(time=one.time - seconds) for one in recording.markers),
    )


def noise(rng: np.random.Generator, coloured: bool, step: bool = False) -> Fault:
    """Replace the signal by noise of its size, of its steps' size, or of its covariance and colour."""

    def change(recording: Recording) -> Recording:
        x = recording.data - recording.data.mean(axis=0)
        white = rng.standard_normal(x.shape)
        if coloured:
            steps = np.diff(x, axis=0)
            root = np.linalg.cholesky(np.cov(steps.T) + 1e-18 * np.eye(x.shape[1]))
            steps = white @ root.T
            made = np.empty_like(steps)
            level, keep = np.zeros(x.shape[1]), np.sqrt(np.maximum(0, 1 - steps.var(0) / x.var(0)))
            for row, one in enumerate(steps):
                level = made[row] = keep * level + one
            return replace(recording, data=made)
        size = np.diff(x, axis=0).std(axis=0) / np.sqrt(2) if step else x.std(axis=0)
        return replace(recording, data=white * size)

    return change


def surrogate(rng: np.random.Generator) -> Fault:
    """Draw the phases anew, the same for all channels."""

    def change(recording: Recording) -> Recording:
        spectrum = np.fft.rfft(recording.data, axis=0)
        turn = np.exp(2j * np.pi * rng.uniform(size=(len(spectrum), 1)))
        return replace(recording, data=np.fft.irfft(spectrum * turn, len(recording.data), axis=0))

    return change


def turned(recording: Recording, degrees: float) -> Recording:
    """Turn the cap about the vertical: interpolate at the new places, by a Gaussian process."""
    places = np.array(recording.info.positions, float)
    angle = np.deg2rad(degrees)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )

    def near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-(np.linalg.norm(a[:, None] - b, axis=2) ** 2) / (2 * 0.04**2))

    matrix = near(places @ turn.T, places) @ np.linalg.inv(
        near(places, places) + 1e-3 * np.eye(len(places))
    )
    return channels(matrix)(recording)
