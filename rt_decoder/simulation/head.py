"""A spherical head: positions of electrodes, and the potential of current dipoles at them.

Head frame in m: x right, y front, z up, origin in the centre of the sphere. This module knows
nothing of time or signals.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "EYES",
    "HEAD_RADIUS",
    "MONTAGE",
    "Cap",
    "electrodes",
    "eye_gains",
    "potential",
    "reshape",
]

HEAD_RADIUS = 0.095  # m
EYES = HEAD_RADIUS * np.array([[-0.33, 0.85, -0.55], [0.33, 0.85, -0.55]])
# above and below the left eye, left and right temple
_EOG = HEAD_RADIUS * np.array(
    [[-0.33, 1.0, -0.1], [-0.33, 0.8, -1.1], [-0.9, 0.6, -0.5], [0.9, 0.6, -0.5]]
)

# The first 32 cover the head evenly: the first n names make a sensible cap.
# fmt: off
MONTAGE = (
    "Fz", "Cz", "Pz", "Oz", "C3", "C4", "P7", "P8", "Fp1", "Fp2", "F3", "F4", "F7", "F8", "T7", "T8",
    "P3", "P4", "O1", "O2", "FC1", "FC2", "CP1", "CP2", "FC5", "FC6", "CP5", "CP6", "AF3", "AF4", "PO3", "PO4",
    "FCz", "CPz", "POz", "AFz", "Fpz", "AF7", "AF8", "PO7", "PO8", "FT7", "FT8", "TP7", "TP8", "F1", "F2", "F5",
    "F6", "FC3", "FC4", "C1", "C2", "C5", "C6", "CP3", "CP4", "P1", "P2", "P5", "P6", "P9", "P10", "Iz",
)
# fmt: on

_STEP = 23.0  # degrees between neighbours on the midline, as on caps of 64 electrodes
_RING = 4 * _STEP  # from Cz to Fpz, T7, Oz, P7: the rim
# row of the 10-10 system -> (steps of its midline electrode from Cz towards the nose,
# azimuth of its outermost electrode from the nose in degrees)
_ROWS = {
    "AF": (3, 36),
    "F": (2, 54),
    "FC": (1, 72),
    "C": (0, 90),
    "CP": (-1, 108),
    "P": (-2, 126),
    "PO": (-3, 144),
}


def electrodes(n: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Place electrodes on the head.

    Parameters
    ----------
    n : int
        Up to 64 they are those of the 10-10 system, in the order of `MONTAGE`; more are spread
        evenly over the scalp and named ``E001``, ``E002``, ...

    Returns
    -------
    ch_names : tuple of str
        One name per electrode.
    positions : array of shape (n, 3), float64
        In m.

    Raises
    ------
    ValueError
        If `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"need at least one channel, got {n}")
    if n <= len(MONTAGE):
        names = tuple(MONTAGE[:n])
        return names, np.array([_position(name) for name in names])
    k = np.arange(n) + 0.5
    z = 1.0 - 1.3 * k / n  # from the top to below the ears
    azimuth = np.pi * (1.0 + 5.0**0.5) * k  # golden angle
    r = np.sqrt(1.0 - z**2)
    points = np.stack([r * np.sin(azimuth), r * np.cos(azimuth), z], 1)
    return tuple(f"E{i + 1:03d}" for i in range(n)), HEAD_RADIUS * points


def _position(name: str) -> np.ndarray:
    """Position of a 10-10 electrode in m."""
    letters = name.rstrip("0123456789z")
    number = int(name[len(letters) :].replace("z", "") or 0)
    side = -1.0 if number % 2 else 1.0
    rank = (number + 1) // 2  # 0 on the midline, 4 at the ring
    if letters in ("Fp", "O"):  # on the ring itself
        front = 0.0 if letters == "Fp" else 180.0
        return _on_sphere(_RING, front + side * 18.0 * rank * (1 if letters == "Fp" else -1))
    if letters == "I":
        return _on_sphere(_RING + _STEP, 180.0)
    if rank == 5:  # P9 and P10, one step below P7 and P8
        return _on_sphere(_RING + _STEP, side * 126.0)
    letters = {"T": "C", "FT": "FC", "TP": "CP"}.get(letters, letters)
    steps, azimuth = _ROWS[letters]
    return _on_row(steps * _STEP, azimuth, fraction=side * rank / 4.0)


def _on_sphere(polar: float, azimuth: float) -> np.ndarray:
    theta, phi = np.deg2rad([polar, azimuth])
    unit = np.array([np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi), np.cos(theta)])
    return HEAD_RADIUS * unit


def _on_row(midline: float, azimuth: float, fraction: float) -> np.ndarray:
    """Point on the circle through both ends of a row and its midline electrode."""
    end = _on_sphere(_RING, azimuth)
    middle = _on_sphere(midline, 0.0)
    foot = end * [0.0, 1.0, 1.0]
    height = np.linalg.norm(middle - foot)
    radius = (end[0] ** 2 + height**2) / (2.0 * height)
    angle = fraction * np.arctan2(end[0], radius - height)
    up = (middle - foot) / height
    across = radius * np.sin(angle) * np.array([1.0, 0.0, 0.0])
    return foot + across + (height - radius + radius * np.cos(angle)) * up


def potential(positions: np.ndarray, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Compute the potential of current dipoles, up to a constant factor.

    The medium is unbounded. That keeps the smooth shape of a scalp map with its two poles; skull
    and scalp would only blur it further.

    Parameters
    ----------
    positions : array of shape (n_electrodes, 3)
        In m.
    dipoles, moments : arrays of shape (n_dipoles, 3)
        Positions in m, and moments.

    Returns
    -------
    array of shape (n_dipoles, n_electrodes), float64
        In an arbitrary unit.
    """
    away = positions[None, :, :] - dipoles[:, None, :]
    distance = np.linalg.norm(away, axis=2)
    return np.einsum("dec,dc->de", away, moments) / distance**3


class Cap:
    """Electrodes on a head, with or without channels for eyes, heart and breath.

    Topographies are normalised on the full cap of 64: they do not depend on which electrodes are
    recorded.

    Parameters
    ----------
    n_channels : int
        Number of EEG electrodes; see `electrodes`.
    references : bool
        Add bipolar VEOG and HEOG next to the eyes, and ECG and RESP away from the head.
    head : int
        Number of the head. 0 is the sphere; any other number is another shape, with a tilted cap:
        see `reshape`.

    Attributes
    ----------
    ch_names, ch_types, units : tuple of str
        One entry per channel.
    positions : array of shape (n_channels, 3)
        In m; NaN for references.
    n_data : int
        Number of channels that record the brain; the references follow them.
    scale : array of shape (n_channels,)
        Amplitude of each channel, in its unit, for a source with an amplitude of 1 V.
    """

    def __init__(self, n_channels: int, references: bool, head: int = 0) -> None:
        self.ch_names, self.positions = electrodes(n_channels)
        self.positions = reshape(self.positions, head)
        self.ch_types: tuple[str, ...] = ("eeg",) * n_channels
        self.units: tuple[str, ...] = ("V",) * n_channels
        self.scale = np.ones(n_channels)
        self.head = head
        self._full = reshape(electrodes(len(MONTAGE))[1], head)
        self._finish(references)

    def _finish(self, references: bool) -> None:
        self.n_data, self.references = len(self.ch_names), references
        if references:
            self.ch_names += ("VEOG", "HEOG", "ECG", "RESP")
            self.ch_types += ("eog", "eog", "ecg", "resp")
            self.units += ("V",) * 4
            self.positions = np.vstack([self.positions, np.full((4, 3), np.nan)])
            self.scale = np.append(self.scale, np.ones(4))

    def full(self) -> Cap:
        """Return the full cap on the same head, without references."""
        return Cap(len(MONTAGE), references=False, head=self.head)

    def maps(self, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Return the topography of each dipole, of unit RMS; (n_dipoles, n_channels)."""
        size = np.sqrt(np.mean(potential(self._full, dipoles, moments) ** 2, 1))
        return self._gains(dipoles, moments) / size[:, None]

    def joint_map(self, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Return the topography (n_channels,) of dipoles that act together, of unit peak."""
        size = np.abs(potential(self._full, dipoles, moments).sum(0)).max()
        return self._gains(dipoles, moments).sum(0) / size

    def seen(self, dipole: np.ndarray) -> np.ndarray:
        """Return the moment (3,) at this position (3,) that these sensors see well: outwards."""
        return dipole

    def _gains(self, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
        gains = potential(self.positions[: self.n_data], dipoles, moments)
        return np.column_stack([gains, eye_gains(dipoles, moments)]) if self.references else gains


def reshape(positions: np.ndarray, head: int) -> np.ndarray:
    """Move sensors from the sphere to another head.

    Each axis is stretched or shrunk by up to 8 %, then the cap is turned by up to 8 degrees about
    each axis: no cap sits straight.

    Parameters
    ----------
    positions : array of shape (n, 3)
        In m, on the sphere.
    head : int
        Number of the head; 0 changes nothing.

    Returns
    -------
    array of shape (n, 3), float64
        In m.
    """
    if head == 0:
        return positions
    rng = np.random.default_rng([head, 95])
    stretched = positions * (1.0 + rng.uniform(-0.08, 0.08, 3))
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-8.0, 8.0, 3))):
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        stretched = stretched @ turn.T
    return stretched


def eye_gains(dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the gains of VEOG, HEOG, ECG and RESP, (n_dipoles, 4); the last two are 0."""
    above, below, left, right = potential(_EOG, dipoles, moments).T
    apart = np.zeros((len(dipoles), 2))
    return np.column_stack([above - below, right - left, apart])
