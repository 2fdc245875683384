"""Place electrodes by their names, where a recording has no positions.

Positions are those of the 10-05 system on a head of usual size; see `rt_decoder.timing.electrodes`
for names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from rt_decoder.signal import SignalInfo
from rt_decoder.timing.electrodes import electrode_names

__all__ = ["placed", "positions_by_name", "positions_of_both"]


def positions_by_name(names: Sequence[str], types: Sequence[str] = ()) -> np.ndarray:
    """Return the places of the electrodes that channels' names tell.

    Parameters
    ----------
    names : sequence of str
        Of all channels of a recording.
    types : sequence of str
        Their types; empty if not known.

    Returns
    -------
    array of shape (c, 3), float64
        In m; NaN for other names, or without mne.
    """
    table = _table()
    nowhere = (np.nan,) * 3
    found = [table.get(electrode, nowhere) for electrode in electrode_names(names, types)]
    return np.array(found, np.float64).reshape(-1, 3)


@cache
def _table() -> dict[str, tuple[float, ...]]:
    try:
        from mne.channels import get_builtin_montages, make_standard_montage
    except ImportError:
        return {}
    new = "colin27_1005"  # name of the same positions from MNE 1.13 on
    kind = new if new in get_builtin_montages() else "standard_1005"
    places = make_standard_montage(kind).get_positions()["ch_pos"]
    return {name: tuple(place.tolist()) for name, place in places.items()}


def placed(info: SignalInfo) -> np.ndarray | None:
    """Return the positions of a recording's sensors, by their names if it has none.

    Parameters
    ----------
    info : SignalInfo

    Returns
    -------
    array of shape (c, 3), float64, or None
        In m, NaN where unknown; None if none is known.
    """
    own = info.positions
    if own is None or not np.isfinite(own).all(axis=1).any():
        own = positions_by_name(info.ch_names, info.ch_types)
    return own if np.isfinite(own).all(axis=1).any() else None


def positions_of_both(
    wanted: Sequence[str],
    positions: np.ndarray | None,
    own: Sequence[str],
    own_positions: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of two recordings on one head.

    Parameters
    ----------
    wanted, own : sequence of str
        Names of the data channels of each.
    positions, own_positions : array of shape (c, 3), or None
        What is known of each, in m.

    Returns
    -------
    positions, own_positions : array of shape (c, 3), float64
        As given if all are known, else those of the names: two heads would not fit each other.
    """
    known = [x for x in (positions, own_positions) if x is not None and np.isfinite(x).all()]
    if len(known) == 2:
        return known[0], known[1]
    return positions_by_name(wanted), positions_by_name(own)
