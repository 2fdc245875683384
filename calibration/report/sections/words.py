"""Which words it names, and whether it does so all the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.report.drawing import AFTER, GREY, drawn, name_channels
from calibration.report.page import Fold, Heading, Note, Part, Picture, Section, Table
from calibration.report.shown import Shown, interval_text

__all__ = ["section"]

_MOST = 48  # words that are drawn
_HEAD = ("word", "events", "rank accuracy", "95 % interval", "top-1")


def section(shown: Shown) -> Section | None:
    """Draw rank accuracy by word and by block."""
    if not shown.model.has_map or not shown.best[0]:
        return None
    words, blocks = shown.detail.get("words"), shown.detail.get("blocks")
    if not words or not blocks:
        return Section("Words and blocks", [Note("Not known: this model keeps no score by word.")])
    ranked = sorted(words.items(), key=lambda one: -one[1]["rank_accuracy"])
    drawable = ranked
    if len(ranked) > _MOST:
        drawable = ranked[: _MOST // 2] + ranked[-(_MOST // 2) :]
    said = f"the best and worst {_MOST // 2} of {len(ranked)}" if drawable != ranked else "all"
    svg = drawn(_points, [n for n, _ in drawable], [v for _, v in drawable], size=(7.4, 2.9))
    rows = [
        (word, one["n"], f"{one['rank_accuracy']:.3f}", interval_text(one["interval"]),
         f"{one['top1']:.3f}") for word, one in ranked
    ]  # fmt: skip
    parts: list[Part] = [
        Heading("By word"),
        Picture(
            svg,
            f"Rank accuracy of each word ({said}), {shown.best[1][3:]}; 95 % intervals for words with "
            "five events or more. Of many words some are best by chance: a row of points that "
            "straddles the line is what luck looks like.",
        ),
        Fold("All words", [Table(_HEAD, rows)]),
    ]
    are = shown.detail.get("blocks_are", "stretches")
    names = [f"{k} (n = {one['n']})" for k, one in enumerate(blocks, 1)]
    caption = (
        f"Rank accuracy in {len(blocks)} {'groups' if are == 'groups' else 'stretches of equal length'} "
        "in order of time, with 95 % intervals. A slope would mean that the signal or the person "
        "changed."
    )
    parts += [
        Heading("By block"),
        Picture(drawn(_points, names, blocks, size=(7.4, 2.5)), caption),
    ]
    return Section("Words and blocks", parts)


def _points(canvas: Any, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    axes = canvas.subplots()
    x, y = np.arange(len(rows)), [one["rank_accuracy"] for one in rows]
    axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    for place, one in zip(x, rows, strict=True):
        if one["interval"]:
            axes.plot([place] * 2, one["interval"], color=AFTER, lw=1.2, alpha=0.6)
    axes.plot(x, y, "o", color=AFTER, ms=3.5)
    axes.set(ylabel="rank accuracy", xlim=(-0.7, len(rows) - 0.3))
    name_channels(axes, names)
