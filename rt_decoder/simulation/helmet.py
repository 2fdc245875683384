"""A helmet of magnetometers and planar gradiometers, and the field of dipoles at its sensors.

The head frame is that of `head`, in m. This module knows nothing of signals.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.simulation.head import (
    HEAD_RADIUS,
    MONTAGE,
    Cap,
    electrodes,
    eye_gains,
    potential,
    reshape,
)

__all__ = ["Helmet", "field"]

_RADIUS = 0.117  # m, of the helmet: two centimetres from the head
_N_SITES = 102  # of a full helmet
_HALF = 0.0084  # m, half the baseline of a gradiometer
_FIELD = 4e-8  # T from a source that would cause 1 V at an electrode: 8 uV are 320 fT
_NOISE_BASE = 0.04  # m; sensor noise of 20 fT in a magnetometer, 5 fT/cm in a gradiometer


class Helmet(Cap):
    """A `Cap` of MEG sensors: each site has one magnetometer and two planar gradiometers.

    Coils are points. Topographies are normalised on the magnetometers of the full helmet; VEOG,
    HEOG, ECG and RESP are in V, as with a `Cap`.

    Parameters
    ----------
    n_channels : int
        A multiple of 3. A full helmet has 306; above that the sites get denser.
    references : bool
        Add VEOG, HEOG, ECG and RESP.
    head : int
        Number of the head. 0 is the sphere, centred in the helmet; any other number is another
        shape, tilted and off centre.

    Raises
    ------
    ValueError
        If `n_channels` is no multiple of 3 above 0.
    """

    def __init__(self, n_channels: int, references: bool, head: int = 0) -> None:
        if n_channels < 3 or n_channels % 3:
            raise ValueError(f"need MEG channels in threes (306 are a helmet), got {n_channels}")
        n = n_channels // 3
        self.head = head
        self._sites, self._axes = _sites(max(n, _N_SITES), head)
        self._n_sites = n
        self.ch_names = tuple(f"MEG{i + 1:03d}{k}" for i in range(n) for k in (2, 3, 1))
        self.ch_types = ("grad", "grad", "mag") * n
        self.units = ("T/m", "T/m", "T") * n
        self.positions = np.repeat(self._sites[self._picks(n)], 3, 0)
        gradient = _FIELD / _NOISE_BASE
        self.scale = np.tile([gradient, gradient, _FIELD], n)
        self._cap = reshape(electrodes(len(MONTAGE))[1], head)
        self._finish(references)

    def _picks(self, n: int) -> np.ndarray:
        """Indices of the recorded sites, evenly spread."""
        return np.linspace(0, len(self._sites) - 1, n).round().astype(int)

    def full(self) -> Helmet:
        """Return the full helmet around the same head, without references."""
        return Helmet(3 * _N_SITES, references=False, head=self.head)

    def seen(self, dipole: np.ndarray) -> np.ndarray:
        """Return the moment (3,) at this position (3,) that these sensors see well: sideways."""
        return np.cross(dipole, [1.0, 0.0, 0.0])

    def maps(self, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Return the topography of each dipole, (n_dipoles, n_channels).

        Its RMS over the magnetometers of the full helmet is 40 nT per V.

        Parameters
        ----------
        dipoles, moments : arrays of shape (n_dipoles, 3)
            Positions in m, and moments.

        Returns
        -------
        array of shape (n_dipoles, n_channels), float64
            In the channels' units per V.
        """
        magnetometers = self._radial(self._sites, self._axes, dipoles, moments)
        volts = np.sqrt(np.mean(potential(self._cap, dipoles, moments) ** 2, 1))
        size = np.sqrt(np.mean(magnetometers**2, 1))
        return self._joined(dipoles, moments, size[:, None], volts[:, None])

    def joint_map(self, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Return the topography of dipoles that act together.

        Its peak among the magnetometers of the full helmet is 40 nT per V.

        Parameters
        ----------
        dipoles, moments : arrays of shape (n_dipoles, 3)
            Positions in m, and moments.

        Returns
        -------
        array of shape (n_channels,), float64
            In the channels' units per V.
        """
        magnetometers = self._radial(self._sites, self._axes, dipoles, moments)
        size = np.abs(magnetometers.sum(0)).max()
        volts = np.abs(potential(self._cap, dipoles, moments).sum(0)).max()
        return self._joined(dipoles, moments, size, volts).sum(0)

    def _joined(
        self,
        dipoles: np.ndarray,
        moments: np.ndarray,
        size: np.ndarray | float,
        volts: np.ndarray | float,
    ) -> np.ndarray:
        picks = self._picks(self._n_sites)
        at, out = self._sites[picks], self._axes[picks]
        columns = np.empty((len(dipoles), self._n_sites, 3))
        for k in range(2):  # gradiometers: change of the outward field along the helmet
            step = _HALF * out[:, k]
            ahead = self._radial(at + step, out, dipoles, moments)
            behind = self._radial(at - step, out, dipoles, moments)
            columns[:, :, k] = (ahead - behind) / (2.0 * _HALF)
        columns[:, :, 2] = self._radial(at, out, dipoles, moments)
        gains = columns.reshape(len(dipoles), -1) * (_FIELD / size)
        if not self.references:
            return gains
        return np.column_stack([gains, eye_gains(dipoles, moments) / volts])

    def _radial(
        self, at: np.ndarray, axes: np.ndarray, dipoles: np.ndarray, moments: np.ndarray
    ) -> np.ndarray:
        """Field along each site's third axis, (n_dipoles, n_sites)."""
        return np.einsum("dsk,sk->ds", field(at, dipoles, moments), axes[:, 2])


def _sites(n: int, head: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) of the sites and their axes (n, 3, 3): two along the helmet, one outwards."""
    k = np.arange(n) + 0.5
    z = 1.0 - 1.35 * k / n
    azimuth = np.pi * (1.0 + 5.0**0.5) * k  # golden angle
    r = np.sqrt(1.0 - z**2)
    outwards = np.stack([r * np.sin(azimuth), r * np.cos(azimuth), z], 1)
    around = np.stack([np.cos(azimuth), -np.sin(azimuth), np.zeros(n)], 1)
    places = reshape(_RADIUS * outwards, head)
    if head:  # nobody sits in the centre
        places = places + np.random.default_rng([head, 117]).uniform(-0.005, 0.005, 3)
    return places, np.stack([around, np.cross(outwards, around), outwards], 1)


def field(positions: np.ndarray, dipoles: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Compute the magnetic field outside a conducting sphere, up to a constant factor.

    Dipoles inside the head follow Sarvas [1]_: radial ones are silent. Dipoles outside (eyes, neck,
    chest) are currents in an unbounded medium.

    Parameters
    ----------
    positions : array of shape (n_sites, 3)
        In m.
    dipoles, moments : arrays of shape (n_dipoles, 3)
        Positions in m, and moments.

    Returns
    -------
    array of shape (n_dipoles, n_sites, 3), float64
        In an arbitrary unit.

    References
    ----------
    .. [1] Sarvas (1987), Basic mathematical and electromagnetic concepts of the biomagnetic inverse
       problem, Phys. Med. Biol. 32:11, doi:10.1088/0031-9155/32/1/004
    """
    away = positions[None] - dipoles[:, None]
    a = np.linalg.norm(away, axis=2)[..., None]
    free = np.cross(moments[:, None], away) / a**3
    r = np.linalg.norm(positions, axis=1)[None, :, None]
    along = np.einsum("dsk,sk->ds", away, positions)[..., None]
    f = a * (r * a + along)
    gradient = (a**2 / r + along / a + 2 * a + 2 * r) * positions - (
        a + 2 * r + along / a
    ) * dipoles[:, None]
    turned = np.cross(moments, dipoles)[:, None]
    flux = np.einsum("dsk,sk->ds", np.broadcast_to(turned, away.shape), positions)[..., None]
    inside = (f * turned - flux * gradient) / f**2
    within = np.linalg.norm(dipoles, axis=1) < HEAD_RADIUS
    return np.where(within[:, None, None], inside, free)
