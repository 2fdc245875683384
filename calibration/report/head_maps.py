"""Draw values on the head, seen from above, nose up; sensors of different types apart.

Positions are those of the file, else those of the channel names in the 10-05 system, else none: then
nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.electrodes import positions_by_name
from calibration.report.drawing import LEVELS, SIGNED
from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["NONE_DRAWN", "Head", "draw_maps", "heads_of"]

NONE_DRAWN = (
    "No maps of the head: the file has no sensor positions, and the channel names are not "
    "those of the 10-05 system."
)
LEAST = 4  # sensors, for a map
_GRID = 72
_EDGE = 1.12  # of the map, in radii of the outermost sensor


class Head(NamedTuple):
    """Where the sensors of one type are."""

    kind: str  # channel type
    picks: np.ndarray  # (m,) int, channels
    flat: np.ndarray  # (m, 2) seen from above, outermost at radius 1
    source: str  # of the positions


def heads_of(info: SignalInfo, n_picks: int) -> list[Head]:
    """Place the first channels, by type.

    Parameters
    ----------
    info : SignalInfo
    n_picks : int
        Channels that record the brain.

    Returns
    -------
    list of Head
        Types that have four sensors with a known place, or more.
    """
    positions, source = info.positions, "the recording"
    if positions is None or not np.isfinite(positions[:n_picks]).all(axis=1).any():
        positions = positions_by_name(info.ch_names[:n_picks], info.ch_types[:n_picks])
        source = "the channel names, 10-05 system"
    known = np.isfinite(positions[:n_picks]).all(axis=1)
    heads = []
    for kind in DATA_TYPES:
        of_type = [one == kind for one in info.ch_types[:n_picks]]
        picks = np.flatnonzero(known & np.array(of_type, bool))
        if len(picks) >= LEAST:
            flat = _flat(np.asarray(positions, float)[picks])
            if np.ptp(flat, axis=0).min() > 1e-6:
                heads.append(Head(kind, picks, flat, source))
    return heads


def _flat(positions: np.ndarray) -> np.ndarray:
    """Project positions (m, 3) to the plane: the angle from the vertex becomes the radius."""
    centre = _centre(positions)
    away = positions - centre
    away = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    angle = np.arccos(np.clip(away[:, 2], -1.0, 1.0))
    side = away[:, :2] / np.maximum(np.linalg.norm(away[:, :2], axis=1, keepdims=True), 1e-9)
    flat = angle[:, None] * side
    return flat / max(float(np.linalg.norm(flat, axis=1).max()), 1e-9)


def _centre(positions: np.ndarray) -> np.ndarray:
    """Centre (3,) of the sphere through the sensors; 0 where they do not lie on one."""
    ones = np.column_stack([2 * positions, np.ones(len(positions))])
    solution, _, rank, _ = np.linalg.lstsq(ones, np.sum(positions**2, axis=1), rcond=None)
    radius = np.sqrt(max(solution[3] + solution[:3] @ solution[:3], 0.0))
    if rank < 4 or not 0 < np.linalg.norm(solution[:3]) < radius:
        return np.zeros(3)
    return solution[:3]


def draw_maps(
    canvas: Any,
    head: Head,
    columns: Sequence[np.ndarray],
    titles: Sequence[str],
    unit: str,
    signed: bool = True,
) -> None:
    """Draw several maps on one scale, beside the legend of their colours.

    Parameters
    ----------
    canvas : matplotlib figure
    head : Head
    columns : sequence of array of shape (m,)
        Values of the head's sensors, a map each.
    titles : sequence of str
    unit : str
        Of the values.
    signed : bool
        Whether 0 is in the middle of the colours, else they begin at the lowest value.
    """
    values = [np.asarray(column, float) for column in columns]
    most = max(max(float(np.abs(one).max()) for one in values), 1e-30)
    least = -most if signed else min(0.0, min(float(one.min()) for one in values))
    colours = {"cmap": SIGNED if signed else LEVELS, "vmin": least, "vmax": most}
    image = None
    panels = canvas.subplots(1, len(values), squeeze=False)[0]
    for axes, column, title in zip(panels, values, titles, strict=True):
        image = axes.imshow(
            _interpolated(head.flat, column), origin="lower", interpolation="bilinear",
            extent=(-_EDGE, _EDGE, -_EDGE, _EDGE), **colours,
        )  # fmt: skip
        _outline(axes, head.flat)
        axes.set_title(title)
    bar = canvas.colorbar(image, ax=list(panels), shrink=0.75, aspect=14, pad=0.01)
    bar.set_label(unit)
    bar.outline.set_linewidth(0.4)


def _outline(axes: Any, flat: np.ndarray) -> None:
    """Draw the sensors, the edge of the map, and a nose."""
    angle = np.linspace(0, 2 * np.pi, 100)
    axes.plot(_EDGE * np.cos(angle), _EDGE * np.sin(angle), color="#8a9099", lw=0.8)
    axes.plot([-0.12, 0, 0.12], [_EDGE, _EDGE + 0.13, _EDGE], color="#8a9099", lw=0.8)
    axes.scatter(*flat.T, s=max(0.4, 120 / len(flat)) if len(flat) > 32 else 4, c="k", lw=0)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.3), aspect="equal")
    axes.axis("off")


def _interpolated(flat: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values on a grid over the disc, NaN outside; sensors at one place count by their mean square."""
    from scipy.interpolate import RBFInterpolator

    place, number, count = np.unique(flat.round(3), axis=0, return_inverse=True, return_counts=True)
    number = number.ravel()
    if len(place) < len(flat):
        values = np.sqrt(np.bincount(number, values**2) / count)
    else:
        values = np.bincount(number, values)
    line = np.linspace(-_EDGE, _EDGE, _GRID)
    x, y = np.meshgrid(line, line)
    inside = np.hypot(x, y) <= _EDGE
    smooth = RBFInterpolator(place, values, kernel="thin_plate_spline", smoothing=1e-3)
    grid = np.full(x.shape, np.nan)
    found = smooth(np.column_stack([x[inside], y[inside]]))
    grid[inside] = np.clip(found, values.min(), values.max())
    return grid
