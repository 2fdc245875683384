"""Which words it names, and whether it does so all the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.report.drawing import AFTER, BEFORE, GREY, drawn, name_channels
from calibration.report.page import Fold, Heading, Note, Part, Picture, Section, Table
from calibration.report.shown import Shown, interval_text, score_text

__all__ = ["section"]

_MOST = 48  # words that are drawn
_HEAD = ("events", "rank accuracy", "95 % interval", "top-1")
_Row = Mapping[str, Any]


def section(shown: Shown) -> Section | None:
    """Draw rank accuracy by word and by block."""
    if not shown.model.has_map or not shown.best[0]:
        return None
    if not shown.detail.get("words") or not shown.detail.get("blocks"):
        return Section("Words and blocks", [Note("Not known: this model keeps no score by word.")])
    return Section("Words and blocks", [*_by_word(shown), *_by_block(shown)])


def _training(shown: Shown) -> Mapping[str, Any]:
    """Return what is known of the held-out groups, beside the locked block; else nothing."""
    if shown.scores is not None or "final" not in shown.certificate:
        return {}
    return shown.certificate.get("out_of_fold", {}).get("detail") or {}


def _by_word(shown: Shown) -> list[Part]:
    words: Mapping[str, _Row] = shown.detail["words"]
    others: Mapping[str, _Row] = _training(shown).get("words", {})
    ranked = sorted(words, key=lambda word: -words[word]["rank_accuracy"])
    names = ranked
    if len(ranked) > _MOST:
        names = ranked[: _MOST // 2] + ranked[-(_MOST // 2) :]
    said = f"the best and worst {_MOST // 2} of {len(ranked)}" if names != ranked else "all"
    rows = [words[name] for name in names]
    beside = [others.get(name) for name in names]
    legend = f"Blue: events {shown.best[1]}, bars from five events on. "
    if any(beside):
        legend += f"Orange: the same {shown.noun}s in the held-out groups. "
    caption = (
        f"Rank accuracy of each {shown.noun} ({said}), with 95 % intervals. {legend}Of many some are "
        "best by chance: points that straddle the grey line of chance are what luck looks like."
    )
    svg = drawn(_points, names, rows, beside, size=(7.4, 2.9))
    head = [shown.noun, *_HEAD]
    table = [[name, *_cells(words[name])] for name in ranked]
    if others:
        head += ["held-out events", "rank accuracy", "95 % interval"]
        table = [[*row, *_cells(others.get(row[0]))[:3]] for row in table]
    return [
        Heading(f"By {shown.noun}"),
        Picture(svg, caption),
        Fold(f"All {shown.noun}s", [Table(head, table)]),
    ]


def _cells(one: _Row | None) -> tuple[str, str, str, str]:
    if one is None:
        return "", "", "", ""
    ranks, within = score_text(one["rank_accuracy"]), interval_text(one["interval"])
    return str(one["n"]), ranks, within, score_text(one["top1"])


def _by_block(shown: Shown) -> list[Part]:
    blocks: Sequence[_Row] = shown.detail["blocks"]
    earlier: Sequence[_Row] = _training(shown).get("blocks", [])
    are = "recordings or groups" if shown.detail.get("blocks_are") == "groups" else "stretches"
    caption = f"Rank accuracy with 95 % intervals. Blue: {len(blocks)} {are} of the events "
    caption += (
        f"{shown.best[1]} (the smallest has {min(one['n'] for one in blocks)}; bars from five on)"
    )
    if earlier:
        caption += f"; orange: {len(earlier)} {are} of the held-out groups, which came before"
    caption += ". A slope or a step would mean that signal or person changed."
    svg = drawn(_over_time, earlier, blocks, size=(7.4, 2.3))
    return [Heading("By block"), Picture(svg, caption)]


def _points(
    canvas: Any, names: Sequence[str], rows: Sequence[_Row], beside: Sequence[_Row | None]
) -> None:
    axes = canvas.subplots()
    axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    apart = 0.18 if any(beside) else 0.0
    for place, (one, other) in enumerate(zip(rows, beside, strict=True)):
        if other:
            _point(axes, place + apart, other, BEFORE, "s", 2.6)
        _point(axes, place - apart, one, AFTER, "o", 3.5)
    axes.set(ylabel="rank accuracy", xlim=(-0.7, len(rows) - 0.3))
    name_channels(axes, names)


def _over_time(canvas: Any, earlier: Sequence[_Row], blocks: Sequence[_Row]) -> None:
    axes = canvas.subplots()
    axes.axhline(0.5, color=GREY, ls="--", lw=0.9)
    for place, one in enumerate([*earlier, *blocks], 1):
        early = place <= len(earlier)
        _point(axes, place, one, *((BEFORE, "s", 3.2) if early else (AFTER, "o", 3.8)))
    n = len(earlier) + len(blocks)
    axes.set(
        ylabel="rank accuracy", xlabel="block, each colour in order of time", xlim=(0.4, n + 0.6)
    )
    axes.set_xticks(np.unique(np.linspace(1, n, min(n, 20)).round().astype(int)))


def _point(axes: Any, x: float, one: _Row, color: str, marker: str, size: float) -> None:
    if one["interval"]:
        axes.plot([x] * 2, one["interval"], color=color, lw=1.2, alpha=0.6)
    axes.plot(x, one["rank_accuracy"], marker, color=color, ms=size, clip_on=False)
