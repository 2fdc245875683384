"""Bring the sums of one person to the channels of another, by name or by position.

The same linear map acts on every bin of the window, so that sums and Gram matrices are carried over
as they are: no sample is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calibration.electrodes import positions_of_both
from rt_decoder.files.sums import PersonSums, RecordingSums, folded, unfolded
from rt_decoder.timing.electrodes import shared_names

__all__ = ["MONTAGES", "carried", "channel_matrix", "common_channels"]

MONTAGES = ("name", "position")
_RIDGE = 1e-2  # of the kernel's diagonal: electrodes are placed to some millimetres
_LEAST = 0.5  # of the channels wanted that must be there by name


def common_channels(people: Sequence[PersonSums]) -> list[str]:
    """List the channels that all people have, by the names and in the order of the first."""
    named = [shared_names(one.layout["channels"]) for one in people]
    shared = set.intersection(*map(set, named))
    pairs = zip(people[0].layout["channels"], named[0], strict=True)
    return [name for name, electrode in pairs if electrode in shared]


def channel_matrix(
    person: PersonSums,
    channels: Sequence[str],
    positions: np.ndarray | None = None,
    montage: str = "name",
) -> np.ndarray | None:
    """Compute the matrix (c, c_person) that makes the signals of wanted channels.

    By name (`rt_decoder.timing.electrodes`: "EEG Fp1" is "Fp1-LE") a channel is copied, and one that
    the person lacks is 0. By position the signals are
    interpolated with a Gaussian kernel twice as wide as the electrodes are apart.

    Parameters
    ----------
    person : PersonSums
    channels : sequence of str
        Wanted, c of them.
    positions : array of shape (c, 3) or None
        Of the wanted channels, in m. Where a position is missing on either side, all are those of
        the electrodes' names.
    montage : {"name", "position"}

    Returns
    -------
    array of shape (c, c_person), float64, or None
        None if nothing is to be done.

    Raises
    ------
    ValueError
        If fewer than half of the channels are there by name, or a position is missing.
    """
    own = list(person.layout["channels"])
    if montage not in MONTAGES:
        raise ValueError(f"need a montage by name or position, got {montage!r}")
    if own == list(channels):
        return None
    if montage == "position":
        return _interpolation(*positions_of_both(channels, positions, own, person.positions))
    place = {name: i for i, name in enumerate(shared_names(own))}
    wanted = shared_names(channels)
    found = [name for name in wanted if name in place]
    if len(found) < _LEAST * len(channels):
        raise ValueError(
            f"need at least half of {len(channels)} channels in common, got {len(found)} by name; "
            "--montage position interpolates where positions are known"
        )
    matrix = np.zeros((len(channels), len(own)))
    for row, name in enumerate(wanted):
        if name in place:
            matrix[row, place[name]] = 1.0
    return matrix


def _interpolation(wanted: np.ndarray, own: np.ndarray) -> np.ndarray:
    if not (np.isfinite(wanted).all() and np.isfinite(own).all()):
        raise ValueError(
            "need the position of every channel to interpolate, got a model without, whose names "
            "are not those of the 10-05 system; use --montage name"
        )
    apart = np.linalg.norm(own[:, None] - own[None], axis=2)
    width = 2 * np.median(np.where(apart > 0, apart, np.inf).min(axis=1))
    across = np.linalg.norm(wanted[:, None] - own[None], axis=2)
    kernel = np.exp(-((apart / width) ** 2)) + _RIDGE * np.eye(len(own))
    matrix = np.linalg.solve(kernel, np.exp(-((across / width) ** 2)).T).T
    # a constant signal stays the same; far from all electrodes there is no signal to tell
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 0.1))


def carried(
    person: PersonSums,
    channels: Sequence[str],
    positions: np.ndarray | None = None,
    montage: str = "name",
    *,
    average: bool = False,
) -> PersonSums:
    """Return a person's sums as if recorded with other channels.

    Parameters
    ----------
    person : PersonSums
    channels : sequence of str
        Wanted, c of them.
    positions : array of shape (c, 3) or None
        Of the wanted channels, in m.
    montage : {"name", "position"}
    average : bool
        Subtract the mean of the wanted channels, which a common reference of fewer channels is.

    Returns
    -------
    PersonSums
        The same object if it has these channels.

    Raises
    ------
    ValueError
        As `channel_matrix`.
    """
    matrix = channel_matrix(person, channels, positions, montage)
    if matrix is None:
        return person
    if average:
        matrix = matrix - matrix.mean(axis=0)
    n_blocks = person.n_features // matrix.shape[1]  # bins, times bands
    spread = np.kron(np.eye(n_blocks), matrix)
    # A feature is scaled by the size of what it is made of; a missing channel by 1.
    scale = np.sqrt(spread**2 @ person.scale**2)
    scale = np.where(scale > 0, scale, 1.0)
    moved = spread * person.scale / scale[:, None]
    recordings = tuple(_moved(one, moved) for one in person.recordings)
    return replace(
        person,
        layout=dict(person.layout) | {"channels": list(channels)},
        center=spread @ person.center,
        scale=scale,
        recordings=recordings,
        positions=positions,
        others=None,
    )


def _moved(one: RecordingSums, moved: np.ndarray) -> RecordingSums:
    gram = moved @ unfolded(one.triangle, moved.shape[1]) @ moved.T
    return replace(one, sums=one.sums @ moved.T, triangle=folded((gram + gram.T) / 2))
