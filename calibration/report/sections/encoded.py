"""What the network predicts of the brain: r on the head and over time, its null, what limits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.encode import P_SHOWN
from calibration.report.drawing import AFTER, GREY, draw_null, drawn
from calibration.report.limits import ceiling_line, layer_line, order_line
from calibration.report.page import Note, Part, Picture, Table, Text
from calibration.report.shown import interval_text, listed, p_text, score_text
from calibration.report.tables import Axis, head_pictures, images
from rt_decoder.counted import counted
from rt_decoder.model import Model

__all__ = ["ceiling_text", "columns", "layer_parts", "null_parts", "r_parts", "share_parts"]

_TIMES = 6  # maps in a row
_FRAMED = "Framed: p of .05 or less against the largest over all channels and times."


def columns(table: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Take up to six times of a table (c, t), evenly spaced but for its peak, and their titles."""
    at = np.unique(np.linspace(0, len(times) - 1, min(_TIMES, len(times))).round().astype(int))
    peak = int(np.nanargmax(np.nanmax(np.abs(table), axis=0)))
    at[np.argmin(np.abs(at - peak))] = peak
    return table[:, at], [f"{times[k]:.2f} s" for k in at]


def r_parts(model: Model, found: Mapping[str, Any]) -> list[Part]:
    """Draw held-out r over channels and times, and the patterns.

    Parameters
    ----------
    model : Model
        Whose channels they are.
    found : mapping
        As from `calibration.encode.encoding_facts`.

    Returns
    -------
    list of Part
    """
    axis = Axis(list(found["ch_names"]), np.asarray(found["times"], float))
    r, p = np.asarray(found["r"], float), np.asarray(found["p"], float)
    best, info = found["best"], model.info
    parts: list[Part] = [
        Text(
            f"Largest held-out r {best['r']:.3f} (95 % interval {best['low']:.3f} to "
            f"{best['high']:.3f}; p = {best['p']:.2g}), in {best['channel']} at {best['time']:.2f} s; "
            f"above chance at some time: {found['n_channels_above_chance']} of {counted(len(r), 'channel')}."
        )
    ]
    if axis.names == list(info.ch_names[: len(r)]):
        said = "Held-out correlation of the signal with what the network predicts."
        parts += head_pictures(info, *columns(r, axis.times), said, unit="r")
        if found.get("strength") is not None:
            table = np.asarray(found["strength"], float)
            said = "Encoding patterns: spread of the signal that the network predicts."
            parts += head_pictures(info, *columns(table, axis.times), said, signed=False)
    drawings = images(axis, r, "held-out r", signed=True, framed=p <= P_SHOWN)
    return [*parts, *drawings(f"Held-out r, every channel and time. {_FRAMED}")]


def null_parts(found: Mapping[str, Any]) -> list[Part]:
    """Draw the largest r of every permutation beside that of the data."""
    if not found.get("null") or not found.get("tested"):
        return []
    null, tested = np.asarray(found["null"], float), float(np.max(found["tested"]))
    unit = found.get("null_unit", 1)
    moved = "single events" if unit == 1 else f"units of {counted(unit, 'event')} or more"
    svg = drawn(_histogram, null, tested, size=(7.4, 2.3))
    caption = (
        f"Grey: largest r over all channels and times, averaged over penalties, in "
        f"{counted(len(null), 'permutation')} of {moved}, every map refitted. Blue: that of the data, {tested:.3f} (with the "
        f"penalties that were chosen, {found['best']['r']:.3f}); orange, dashed: 95 % of the permutations "
        f"are below. p = {found['best']['p']:.2g}; {found['p_smallest']:.2g} is the smallest that so many "
        "permutations can give."
    )
    return [Picture(svg, caption)]


def _histogram(canvas: Any, null: np.ndarray, tested: float) -> None:
    axes = canvas.subplots()
    draw_null(axes, null, tested, f"data {tested:.3f}")
    axes.set_xlabel("largest r, averaged over penalties")


def share_parts(model: Model, found: Mapping[str, Any]) -> list[Part]:
    """Tell and draw what the network explains beyond nuisance."""
    share = found.get("unique")
    if not share:
        return [Note("Unknown: no nuisance (length, frequency, place, pace, sound) varies.")]
    total, axis = share["total"], Axis(list(found["ch_names"]), np.asarray(found["times"], float))
    told = (
        f"Beyond {listed(share['nuisance'])}, the network explains {100 * total['mean']:.2f} % of the "
        f"variance (95 % interval {100 * total['low']:.2f} to {100 * total['high']:.2f} %; p = "
        f"{total['p']:.2g}), mean over channels and times"
    )
    parts: list[Part] = []
    if share.get("unique") is not None:
        table = np.asarray(share["unique"], float)
        told += f"; these alone explain {100 * np.mean(share['alone']):.2f} %"
        framed = np.asarray(share["p"], float) <= P_SHOWN
        drawings = images(axis, table, "share of variance", signed=True, framed=framed)
        parts += drawings(f"Share beyond nuisance, every channel and time. {_FRAMED}")
        if axis.names == list(model.info.ch_names[: len(table)]):
            said = "Share of variance that the network explains beyond nuisance."
            parts += head_pictures(model.info, *columns(table, axis.times), said, unit="share")
    return [Text(f"{told}."), *parts]


def ceiling_text(found: Mapping[str, Any] | None) -> Part:
    """Say what any map could reach."""
    if not found:
        return Note("Not measured (`rt-calibrate fit --encode` does it).")
    told = ceiling_line(dict(found)).strip().removeprefix("ceiling").strip()
    return Text(f"{told[:1].upper()}{told[1:]}.")


def layer_parts(found: Mapping[str, Any]) -> list[Part]:
    """Make a table and a figure of layers; empty where none were compared."""
    parts: list[Part] = []
    if layers := found.get("layers"):
        parts.append(Text(_told(layer_line(layers), "layers")))
        rows = layers["layers"]
        ranks = np.array([row["rank_accuracy"] for row in rows], float)
        names = [row["name"] for row in rows]
        parts.append(
            Picture(
                drawn(_layers, names, ranks, size=(7.4, 2.3)),
                "Rank accuracy of decoding by the vectors of each layer; bars: 95 %; grey: chance.",
            )
        )
        head = ("layer", "rank accuracy", "95 % interval", "bits", "as good as the best")
        table = [
            (row["name"], score_text(row["rank_accuracy"][0]),
             interval_text(row["rank_accuracy"][1:]), score_text(row["bits_per_word"][0]),
             "yes" if row["as_good_as_best"] else "no")
            for row in rows
        ]  # fmt: skip
        parts += [
            Table(head, table),
            Note(f"p of no difference: {p_text(layers['p_no_difference'])}."),
        ]
    if maps := found.get("layer_maps"):
        parts.append(Text(_told(order_line(maps), "order")))
        axis = Axis(list(found["ch_names"]), np.asarray(found["times"], float))
        best = np.where(np.asarray(maps["shown"], bool), np.asarray(maps["best"], float), np.nan)
        if np.isfinite(best).any():
            drawings = images(
                axis, best, f"number of the best of {counted(len(maps['names']), 'layer')}"
            )
            parts += drawings("Best layer where a layer predicts; nothing is drawn elsewhere.")
    return parts


def _told(line: str, name: str) -> str:
    told = line.strip().removeprefix(name).strip()
    return f"{told[:1].upper()}{told[1:]}."


def _layers(canvas: Any, names: Sequence[str], ranks: np.ndarray) -> None:
    axes = canvas.subplots()
    x = np.arange(len(names))
    axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    axes.vlines(x, ranks[:, 1], ranks[:, 2], color=AFTER, lw=1.2, alpha=0.6)
    axes.plot(x, ranks[:, 0], "o", color=AFTER, ms=4)
    axes.set_xticks(x, [name.removeprefix("layer ") for name in names])
    axes.set(xlabel="layer", ylabel="rank accuracy")
