"""Draw a figure as SVG that takes the page's colours, in light and dark, and prints sharp.

Colours are safe for the colour-blind: blue and orange, grey, and maps whose lightness goes one way
(`viridis`) or both ways from white (`RdBu_r`). What is dense is drawn with `rasterized=True`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from rt_decoder.sinks.text import plain

__all__ = ["AFTER", "BEFORE", "GREY", "IN_A_ROW", "LEVELS", "SIGNED", "drawn", "name_channels"]

BEFORE, AFTER, GREY = "#d9601a", "#1f83c4", "#8a9099"
LEVELS, SIGNED = "viridis", "RdBu_r"
_INK = "#010203"  # stands for the page's colour of text until the figure is in the page
IN_A_ROW = 72  # names that fit on an axis
_numbers = count(1)
_STYLE: Any = {
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
    ),
    "axes.titlesize": 9,
    "axes.titlecolor": _INK,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "font.size": 8.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.fonttype": "path",
    "svg.hashsalt": "report",
    "text.parse_math": False,  # a channel's name is no formula
}


def drawn(
    draw: Callable[..., None], *arguments: Any, size: tuple[float, float] = (7.4, 2.7)
) -> str:
    """Return a figure as an SVG element that stands inside a page.

    Parameters
    ----------
    draw : callable
        Takes a matplotlib figure and the arguments, and draws.
    arguments : object
    size : (float, float)
        Width and height in inches; a page of A4 is 7.2 wide inside its margins.

    Returns
    -------
    str
        Without names of files, dates, comments or addresses; its ids are unlike those of others.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        canvas = Figure(figsize=size, layout="constrained")
        draw(canvas, *arguments)
        file = io.BytesIO()
        canvas.savefig(file, format="svg", dpi=150, transparent=True)
    return _inline(file.getvalue().decode(), f"f{next(_numbers)}-")


def _inline(svg: str, prefix: str) -> str:
    """Make an SVG file an element of a page, whose ids begin with the prefix."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'\s+(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href").replace(_INK, "currentColor")
    svg = re.sub(r'(?<=\sid=")', prefix, svg)
    svg = re.sub(r'(?<=href="#)|(?<=url\(#)', prefix, svg)
    return re.sub(r"\n\s*", "\n", svg).strip()


def name_channels(axes: Any, names: Sequence[str], *, along: str = "x") -> None:
    """Write names beside the rows or columns of a figure: all of up to 72, else every k-th.

    Parameters
    ----------
    axes : matplotlib axes
    names : sequence of str
    along : {"x", "y"}
    """
    every = -(-len(names) // IN_A_ROW)
    places, shown = range(0, len(names), every), [plain(name, 14) for name in names[::every]]
    if along == "x":
        axes.set_xticks(places, shown, rotation=90, fontsize=6.5)
    else:
        axes.set_yticks(places, shown, fontsize=6.5)
