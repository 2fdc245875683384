"""Draw a table of channels and times, and its times on the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.report.drawing import IN_A_ROW, LEVELS, SIGNED, drawn, name_channels
from calibration.report.head_maps import NONE_DRAWN, draw_maps, heads_of
from calibration.report.page import Note, Part, Picture
from rt_decoder.signal import SignalInfo

__all__ = ["KINDS", "Axis", "head_pictures", "images", "unit_of"]

KINDS = {
    "eeg": "EEG", "mag": "magnetometers", "grad": "gradiometers (root mean square of a pair)",
    "seeg": "sEEG", "ecog": "ECoG",
}  # fmt: skip
_COMMON = {"V": ("µV", 1e6), "T": ("fT", 1e15), "T/m": ("fT/cm", 1e13)}
_AT_ONCE = 6  # maps in a row


def unit_of(unit: str) -> tuple[str, float]:
    """Return the unit in which values of an SI unit are shown, and the factor to it."""
    return _COMMON.get(unit, (unit, 1.0))


def head_pictures(
    info: SignalInfo,
    table: np.ndarray,
    titles: Sequence[str],
    caption: str,
    *,
    unit: str = "",
    signed: bool = True,
) -> list[Part]:
    """Draw columns of a table on the head, a picture for each type of sensor.

    Parameters
    ----------
    info : SignalInfo
    table : array of shape (c, m)
        Of the first c channels; in SI units, unless a unit is given.
    titles : sequence of str
        Of the m maps.
    caption : str
        What is shown; the sensors and the source of their positions are added.
    unit : str
        Of all values; empty for the channels' own.
    signed : bool
        Whether values below 0 have a meaning.

    Returns
    -------
    list of Part
        Or a sentence, where no position is known.
    """
    heads = heads_of(info, len(table))
    parts: list[Part] = []
    for head in heads:
        shown, gain = (unit, 1.0) if unit else unit_of(info.units[head.picks[0]])
        columns = list((gain * table[head.picks]).T)
        width = 1.18 * max(len(columns), 2) + 1.1
        size = (min(7.4, width), 1.5)
        svg = drawn(draw_maps, head, columns, titles, shown, signed, size=size)
        what = f"{caption} {len(head.picks)} {KINDS[head.kind]}; positions of {head.source}."
        parts.append(Picture(svg, what))
    return parts or [Note(NONE_DRAWN)]


class Axis(NamedTuple):
    """Rows and columns of a table."""

    names: list[str]  # of c channels
    times: np.ndarray  # (t,) middle of each bin, in s after the onset


def images(
    axis: Axis,
    table: np.ndarray,
    label: str,
    *,
    signed: bool = False,
    framed: np.ndarray | None = None,
) -> Callable[[str], list[Part]]:
    """Draw channels as rows and times as columns, every channel named.

    Parameters
    ----------
    axis : Axis
    table : array of shape (c, t)
        NaN is left blank.
    label : str
        Of the colours.
    signed : bool
        Whether 0 is in the middle of the colours.
    framed : array of shape (c, t), bool, optional
        What is to be framed.

    Returns
    -------
    callable
        Takes a caption, returns the picture: up to 72 channels stand in one column, more in several,
        of which each is to be read downwards.
    """
    n_columns = min(_COLUMNS, -(-len(axis.names) // IN_A_ROW))
    rows = -(-len(axis.names) // n_columns)
    size = (7.4, max(2.2, 1.0 + 0.118 * min(rows, IN_A_ROW)))
    svg = drawn(_images, axis, table, label, signed, framed, rows, size=size)
    more = " Channels go down the columns, from left to right." if n_columns > 1 else ""
    return lambda caption: [Picture(svg, caption + more)]


_COLUMNS = 5


def _images(
    canvas: Any,
    axis: Axis,
    table: np.ndarray,
    label: str,
    signed: bool,
    framed: np.ndarray | None,
    rows: int,
) -> None:
    starts = range(0, len(axis.names), rows)
    panels = canvas.subplots(1, len(starts), squeeze=False)[0]
    known = table[np.isfinite(table)]
    most = max(float(np.abs(known).max()), 1e-30)
    least = -most if signed else min(0.0, float(known.min()))
    colours = {"cmap": SIGNED if signed else LEVELS, "vmin": least, "vmax": most}
    for axes, start in zip(panels, starts, strict=True):
        here = slice(start, start + rows)
        part = Axis(axis.names[here], axis.times)
        image = _panel(axes, part, table[here], colours, None if framed is None else framed[here])
        axes.set_ylim(rows - 0.5, -0.5)
    bar = canvas.colorbar(image, ax=list(panels), pad=0.01, aspect=30)
    bar.set_label(label)
    bar.outline.set_linewidth(0.4)
    canvas.supxlabel("s after the onset", fontsize=8.5)


def _panel(
    axes: Any, axis: Axis, table: np.ndarray, colours: dict[str, Any], framed: np.ndarray | None
) -> Any:
    """Draw some channels."""
    times = axis.times
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.01
    image = axes.imshow(
        table, aspect="auto", interpolation="nearest", **colours,
        extent=(times[0] - half, times[-1] + half, len(axis.names) - 0.5, -0.5),
    )  # fmt: skip
    if framed is not None and framed.any() and not framed.all():
        _frame(axes, framed, times[0] - half, 2 * half)
    if len(times) == 1:
        axes.set_xticks(times)
    name_channels(axes, axis.names, along="y")
    return image


def _frame(axes: Any, framed: np.ndarray, left: float, width: float) -> None:
    """Draw the edges between what is framed (c, t) and what is not."""
    from matplotlib.collections import LineCollection

    inside = np.pad(framed, 1)
    lines = []
    for row, column in np.argwhere(inside[1:] != inside[:-1]).tolist():
        x = left + width * (column - 1)
        lines.append([(x, row - 0.5), (x + width, row - 0.5)])
    for row, column in np.argwhere(inside[:, 1:] != inside[:, :-1]).tolist():
        x = left + width * column
        lines.append([(x, row - 1.5), (x, row - 0.5)])
    axes.add_collection(LineCollection(lines, colors="k", linewidths=0.9), autolim=False)
