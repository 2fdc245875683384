"""Draw a table of channels and times, and its times on the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.report.drawing import LEVELS, SIGNED, drawn, name_channels
from calibration.report.head_maps import NONE_DRAWN, draw_maps, heads_of
from calibration.report.page import Note, Part, Picture
from rt_decoder.signal import SignalInfo

__all__ = ["KINDS", "head_pictures", "image", "unit_of"]

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
        svg = drawn(draw_maps, head, columns, titles, shown, signed, size=(min(7.4, width), 1.75))
        what = f"{caption} {len(head.picks)} {KINDS[head.kind]}; positions of {head.source}."
        parts.append(Picture(svg, what))
    return parts or [Note(NONE_DRAWN)]


def image(
    names: Sequence[str],
    times: np.ndarray,
    table: np.ndarray,
    label: str,
    *,
    signed: bool = False,
    shown: np.ndarray | None = None,
) -> str:
    """Draw channels as rows and times as columns.

    Parameters
    ----------
    names : sequence of str
        Of the c channels.
    times : array of shape (t,)
        Middle of each bin, in s.
    table : array of shape (c, t)
    label : str
        Of the colours.
    signed : bool
        Whether 0 is in the middle of the colours.
    shown : array of shape (c, t), bool, optional
        What is to be framed.

    Returns
    -------
    str
        The figure.
    """
    height = 1.0 + (0.118 * len(names) if len(names) <= _NAMED else 0.118 * _NAMED)
    size = (7.4, max(2.2, height))
    return drawn(_image, names, times, table, label, signed, shown, size=size)


_NAMED = 64


def _image(
    canvas: Any,
    names: Sequence[str],
    times: np.ndarray,
    table: np.ndarray,
    label: str,
    signed: bool,
    shown: np.ndarray | None,
) -> None:
    axes = canvas.subplots()
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.01
    most = max(float(np.abs(table).max()), 1e-30)
    drawn_image = axes.imshow(
        table, aspect="auto", cmap=SIGNED if signed else LEVELS, interpolation="nearest",
        vmin=-most if signed else min(0.0, float(table.min())), vmax=most,
        extent=(times[0] - half, times[-1] + half, len(names) - 0.5, -0.5),
    )  # fmt: skip
    if shown is not None and min(shown.shape) > 1 and shown.any() and not shown.all():
        axes.contour(times, np.arange(len(names)), shown, levels=[0.5], colors="k", linewidths=0.8)
    bar = canvas.colorbar(drawn_image, ax=axes, pad=0.01, aspect=30)
    bar.set_label(label)
    bar.outline.set_linewidth(0.4)
    axes.set_xlabel("s after the onset")
    name_channels(axes, names, along="y")
