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

import numpy as np

from rt_decoder.sinks.text import plain

__all__ = [
    "AFTER",
    "BEFORE",
    "GREY",
    "IN_A_ROW",
    "LEVELS",
    "SIGNED",
    "draw_null",
    "drawn",
    "name_channels",
]

BEFORE, AFTER, GREY = "#d9601a", "#1f83c4", "#8a9099"
LEVELS, SIGNED = "viridis", "RdBu_r"
_INK = "#010203"  # stands for the page's colour of text until the figure is in the page
IN_A_ROW = 72  # names that fit on an axis
_ABREAST = 8  # names that stand side by side
_FEW = 60  # different permuted scores that are a bar each
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


def draw_null(axes: Any, null: np.ndarray, score: float, label: str) -> None:
    """Draw permuted scores, the end of 95 % of them, and the score.

    Parameters
    ----------
    axes : matplotlib axes
    null : array of shape (n,)
    score : float
    label : str
        Of the score.
    """
    values = np.unique(null)
    low, high = min(values[0], score), max(values[-1], score)
    if 1 < len(values) <= min(_FEW, len(null) // 4):  # bars at the values that there can be
        middles = (values[1:] + values[:-1]) / 2
        bins = [2 * values[0] - middles[0], *middles, 2 * values[-1] - middles[-1]]
    else:
        pad = max(0.08 * (high - low), 1e-3)
        bins = np.linspace(low - pad, high + pad, 41).tolist()
    axes.hist(null, bins=bins, color=GREY, alpha=0.7, lw=0)
    edge = np.quantile(null, 0.95)
    axes.axvline(edge, color=BEFORE, lw=1, ls="--", label="95 % of permutations")
    axes.axvline(score, color=AFTER, lw=1.8, label=label)
    axes.set_ylabel("permutations")
    axes.margins(y=0.15)
    axes.legend(loc="best")


def name_channels(axes: Any, names: Sequence[str], *, along: str = "x") -> None:
    """Write names beside the rows or columns of a figure: all of up to 72, else every k-th.

    Parameters
    ----------
    axes : matplotlib axes
    names : sequence of str
    along : {"x", "y"}
    """
    every = -(-len(names) // IN_A_ROW)
    if along == "x" and len(names) <= _ABREAST:
        axes.set_xticks(range(len(names)), [plain(name, 14) for name in names])
        return
    places, shown = range(0, len(names), every), [plain(name, 14) for name in names[::every]]
    if along == "x":
        axes.set_xticks(places, shown, rotation=90, fontsize=6.5)
    else:
        axes.set_yticks(places, shown, fontsize=6.5)
