"""How early it can answer, and how long one has to calibrate."""

from __future__ import annotations

from typing import Any

from calibration.report.drawing import AFTER, GREY, drawn
from calibration.report.page import Heading, Note, Part, Picture, Section
from calibration.report.series import Series, read_series
from calibration.report.shown import Shown

__all__ = ["section"]

_SCORES = ("rank", "rank_accuracy", "accuracy", "mean", "score", "top1")
_CURVES = (
    (
        "anytime", "Accuracy over the end of the window",
        ("end", "ends", "tmax", "window_end", "time", "times", "s"),
        "s after the onset", "Not measured: this model has maps of one window alone.",
    ),
    (
        "learning", "Learning curve",
        ("minutes", "n_events", "events", "n", "n_train", "share", "shares"),
        "", "Not measured: no learning curve is in this certificate.",
    ),
)  # fmt: skip


def section(shown: Shown) -> Section | None:
    """Draw accuracy over window and over training."""
    if not shown.model.has_map:
        return None
    parts: list[Part] = []
    for key, title, names, unit, without in _CURVES:
        parts.append(Heading(title))
        found = read_series(shown.certificate.get(key), names, _SCORES)
        if found is None:
            parts.append(Note(without))
            continue
        svg = drawn(_curve, found, unit or found.x_name.replace("_", " "), size=(7.4, 2.4))
        band = "" if found.low is None else " Band: 95 % interval."
        parts.append(Picture(svg, f"{title}: {_name(found)}.{band}"))
    return Section("Time and training", parts)


def _name(found: Series) -> str:
    return "rank accuracy" if found.y_name == "rank" else found.y_name.replace("_", " ")


def _curve(canvas: Any, found: Series, unit: str) -> None:
    axes = canvas.subplots()
    if found.low is not None:
        axes.fill_between(found.x, found.low, found.high, color=AFTER, alpha=0.2, lw=0)
    axes.plot(found.x, found.y, "o-", color=AFTER, ms=3.5, lw=1.2)
    if found.y_name != "top1":
        axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    axes.set(xlabel=unit, ylabel=_name(found))
