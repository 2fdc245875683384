"""Read where electrodes sit from what BIDS puts beside a recording: electrodes.tsv, coordsystem.json."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.files.sidecar import beside
from rt_decoder.files.tables import read_tsv

__all__ = ["electrode_positions"]

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
# x to the front, y to the left; all others that we take have x to the right, y to the front
_FRONT_LEFT = ("CTF", "4DBti", "KitYokogawa", "EEGLAB", "EEGLAB-HJ")
_LANDMARKS = (("NAS", "Nasion"), ("LPA",), ("RPA",))


def electrode_positions(path: Path, ch_names: Sequence[str]) -> np.ndarray | None:
    """Read positions of electrodes beside a recording.

    Parameters
    ----------
    path : path
        The recording.
    ch_names : sequence of str
        Its channels, n.

    Returns
    -------
    array of shape (n, 3) or None
        In m, x to the right and y to the front as MNE's head; NaN where a channel has none. None
        where nothing is told, or, with a RuntimeWarning, in no unit of length.

    Raises
    ------
    OSError, ValueError
        If a file cannot be read or is no table.
    """
    table = beside(path, "_electrodes.tsv", free=("space",))
    if table is None:
        return None
    system, places = _system(table), _places(table)
    if not np.isfinite(list(places.values())).any():  # as mne-bids writes where none are known
        return None
    kind = next((key[: -len("CoordinateUnits")] for key in system if key.endswith("CoordinateUnits")
                 and key.startswith(("EEG", "iEEG"))), "EEG")  # fmt: skip
    unit = str(system.get(f"{kind}CoordinateUnits", "n/a"))
    if unit not in _METRES:
        warnings.warn(
            f"{table.name}: need CoordinateUnits m, cm or mm in the coordsystem.json beside it, got "
            f"{unit}: positions are left out",
            RuntimeWarning,
            stacklevel=4,
        )
        return None
    found = np.array([places.get(name, (np.nan,) * 3) for name in ch_names], float)
    found *= _METRES[unit]
    landmarks = _landmarks(system, unit)
    if landmarks is not None:
        from mne.transforms import apply_trans, get_ras_to_neuromag_trans

        return np.asarray(apply_trans(get_ras_to_neuromag_trans(*landmarks), found))
    if str(system.get(f"{kind}CoordinateSystem")) in _FRONT_LEFT:
        return np.column_stack((-found[:, 1], found[:, 0], found[:, 2]))
    return found


def _system(table: Path) -> dict[str, Any]:
    """What tells the frame and the unit of a table of electrodes."""
    own = table.with_name(table.name.replace("_electrodes.tsv", "_coordsystem.json"))
    found = own if own.is_file() else beside(table, "_coordsystem.json")
    if found is None:
        return {}
    try:
        told = json.loads(found.read_text(encoding="utf-8-sig"))
    except ValueError:
        raise ValueError(f"{found.name}: need a JSON object in UTF-8 beside {table.name}") from None
    return told if isinstance(told, dict) else {}


def _places(table: Path) -> dict[str, tuple[float, ...]]:
    columns, rows = read_tsv(table)
    if missing := [one for one in ("name", "x", "y", "z") if one not in columns]:
        raise ValueError(
            f"{table.name}: need tab-separated columns name, x, y, z, got no {', '.join(missing)}"
        )
    places = {}
    for number, cells in rows:
        row = dict(zip(columns, cells, strict=False))
        try:
            place = tuple(float(row.get(axis, "n/a").replace("n/a", "nan")) for axis in "xyz")
        except ValueError:
            raise ValueError(
                f"{table.name}, line {number}: need numbers or n/a as x, y, z"
            ) from None
        places[row["name"]] = place
    return places


def _landmarks(system: dict[str, Any], unit: str) -> np.ndarray | None:
    """Nasion, left and right ear point in m, (3, 3); None unless all three are told."""
    told = system.get("AnatomicalLandmarkCoordinates")
    if not isinstance(told, dict):
        return None
    scale = _METRES.get(str(system.get("AnatomicalLandmarkCoordinateUnits", unit)), 0.0)
    known = {str(name).upper(): place for name, place in told.items()}
    found = [next((known[n.upper()] for n in names if n.upper() in known), None) for names in _LANDMARKS]  # fmt: skip
    try:
        points = np.array(found, float) * scale
    except (TypeError, ValueError):
        return None
    if points.shape != (3, 3) or not np.isfinite(points).all():
        return None
    area = np.linalg.norm(np.cross(points[1] - points[0], points[2] - points[0]))
    return points if area > 1e-6 else None
