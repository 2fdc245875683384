"""How early it can answer, and how long one has to calibrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.report.drawing import AFTER, BEFORE, GREY, drawn
from calibration.report.limits import learning_line
from calibration.report.page import Heading, Note, Part, Picture, Section, Table, Text
from calibration.report.sections.encoded import ceiling_text
from calibration.report.shown import Shown, interval_text, p_text, score_text

__all__ = ["learning_parts", "section"]

_HEAD = ("window end, s", "rank accuracy", "95 % interval", "bits", "p")


def section(shown: Shown) -> Section | None:
    """Draw accuracy over window and over training."""
    if not shown.model.has_map:
        return None
    parts = [Heading("Accuracy over the end of the window"), *_windows(shown.certificate)]
    parts += [Heading("Learning curve"), *learning_parts(shown.certificate.get("learning"))]
    parts += [Heading("Ceiling"), ceiling_text(shown.certificate.get("ceiling"))]
    return Section("Time and training", parts)


def _windows(certificate: Mapping[str, Any]) -> list[Part]:
    found = certificate.get("anytime") or {}
    rows = found.get("windows", [])
    if len(rows) < 2:
        return [
            Note("Not measured: this model has a map of one window alone (--anytime fits more).")
        ]
    locked = all(row.get("rank") is not None for row in rows)
    key = "rank" if locked else "rank_out_of_fold"
    within = [
        None if row.get("low") is None else (row["low"], row["high"]) for row in rows
    ]  # fmt: skip
    svg = drawn(_early, [row["end"] for row in rows], [row[key] for row in rows], within,
                size=(7.4, 2.4))  # fmt: skip
    earliest = found.get("earliest")
    shown = (
        "No window is above chance" if earliest is None else
        f"Windows that end {earliest:g} s after the onset or later are above chance"
    )  # fmt: skip
    where = "in the locked final block" if locked else "in held-out groups: no block is locked"
    caption = (
        f"Rank accuracy (chance .5, grey) over the end of the window, {where}; band: 95 % interval. "
        f"{shown}, tested in a fixed order from the longest on."
    )
    table = [
        (f"{row['end']:g}", score_text(row[key]), interval_text(one),
         score_text(row.get("bits")), p_text(row.get("p")))
        for row, one in zip(rows, within, strict=True)
    ]  # fmt: skip
    return [Picture(svg, caption), Table(_HEAD, table, 0)]


def _early(
    canvas: Any, ends: Sequence[float], ranks: Sequence[float], within: Sequence[Any]
) -> None:
    axes = canvas.subplots()
    axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    if all(within):
        low, high = np.array(within, float).T
        axes.fill_between(ends, low, high, color=AFTER, alpha=0.2, lw=0)
    axes.plot(ends, ranks, "o-", color=AFTER, ms=3.5, lw=1.2)
    axes.set(xlabel="end of the window, s after the onset", ylabel="rank accuracy")


def learning_parts(found: Any) -> list[Part]:
    """Draw accuracy over training events, and tell the minutes to more.

    Parameters
    ----------
    found : mapping or None
        As from `calibration.learning.learning_facts`.

    Returns
    -------
    list of Part
    """
    if not isinstance(found, Mapping) or not found.get("n_events"):
        return [Note("Not measured (`rt-calibrate fit --encode` does it), or too few events.")]
    events = np.asarray(found["n_events"], float)
    ranks = np.asarray(found["rank_accuracy"], float)
    law = found["power_law"]
    svg = drawn(_learning, events, ranks, law, size=(7.4, 2.5))
    caption = (
        "Rank accuracy of held-out events over the number of events that train, by a plain map on the "
        "samples around each event, so that it may differ from the model's own; bars: 95 %. Orange, "
        "dashed: a power law through them, followed to four times the events; grey: chance."
    )
    told = learning_line(dict(found)).strip().removeprefix("learning").strip()
    return [Picture(svg, caption), Text(f"{told[:1].upper()}{told[1:]}.")]


def _learning(canvas: Any, events: np.ndarray, ranks: np.ndarray, law: Mapping[str, float]) -> None:
    axes = canvas.subplots()
    more = np.geomspace(events[0], 4 * events[-1], 80)
    curve = law["top"] - law["gain"] * more ** -law["rate"]
    axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    axes.plot(more, curve, color=BEFORE, ls="--", lw=1.1, label="power law")
    below, above = np.maximum(ranks[:, :1] - ranks[:, 1:2], 0), ranks[:, 2:] - ranks[:, :1]
    axes.errorbar(
        events, ranks[:, 0], yerr=np.hstack([below, np.maximum(above, 0)]).T, fmt="o",
        color=AFTER, ms=4, lw=1.2, label="measured",
    )  # fmt: skip
    axes.set_xscale("log")
    ticks = [*events, 4 * events[-1]]
    axes.set_xticks(ticks, [f"{round(n)}" for n in ticks])
    axes.minorticks_off()
    axes.set(xlabel="events that train", ylabel="rank accuracy")
    axes.legend(loc="lower right")
