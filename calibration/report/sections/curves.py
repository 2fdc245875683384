"""Whether probabilities can be believed, and what answering fewer events gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.report.drawing import AFTER, BEFORE, GREY, drawn
from calibration.report.page import Note, Part, Picture, Section, Text
from calibration.report.shown import Shown
from calibration.report.verdict import answered
from rt_decoder.counted import counted
from rt_decoder.files.proof import answers_line

__all__ = ["section"]


def section(shown: Shown) -> Section | None:
    """Draw reliability, and precision over coverage."""
    if not shown.model.has_map:
        return None
    title, detail = "Probabilities and abstention", shown.detail
    inner = shown.certificate.get("out_of_fold", {})
    threshold = shown.model.posterior.threshold
    told = f"The model {answers_line(threshold, inner)}."
    if threshold <= 1 and shown.best[0].get("answered") is not None and (share := answered(shown)):
        told += f" It answers {share}."
    said: list[Part] = [Text(told)]
    if not detail.get("reliability"):
        why = "No reliability and risk-coverage curves: they need a locked block scored in detail."
        return Section(title, [*said, Note(why)])
    scores, where = shown.best
    svg = drawn(_both, detail, scores, inner, size=(7.4, 3.1))
    caption = (
        f"Events {where}. Left, reliability: each point is a tenth of the events, in order of the "
        "winner's probability; on the dashed line, a probability of .3 is right in 30 of 100 cases. "
        "Right, risk and coverage: if only the surest share of events is answered, that share of the "
        "answers is right. The dotted line is the precision that was wanted, the ring where the "
        "model's own threshold lies. Bars and band: 95 %, bootstrap over units."
    )
    return Section(title, [*said, Picture(svg, caption)])


def _both(canvas: Any, detail: Any, scores: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    left, right = canvas.subplots(1, 2)
    _reliability(left, detail["reliability"])
    _coverage(right, detail["risk_coverage"])
    wanted, answered = inner.get("wanted_precision"), scores.get("answered")
    if wanted:
        right.axhline(wanted, color=BEFORE, ls=":", lw=1.2, label=f"wanted: {wanted:.2f}")
    if answered and scores.get("precision") is not None:
        ring = {"mfc": "none", "color": BEFORE, "ms": 8, "mew": 1.4, "clip_on": False}
        right.plot(answered, scores["precision"], "o", **ring)
    right.legend(loc="best")


def _reliability(axes: Any, bins: Sequence[Mapping[str, Any]]) -> None:
    x, y = (np.array([one[key] for one in bins]) for key in ("confidence", "right"))
    top = min(1.02, 1.15 * max(x.max(), y.max(), *(_high(one) for one in bins), 0.05))
    axes.plot([0, top], [0, top], color=GREY, ls="--", lw=0.9)
    for one in bins:
        if one["interval"]:
            axes.plot([one["confidence"]] * 2, one["interval"], color=AFTER, lw=1.2, alpha=0.6)
    axes.plot(x, y, "o-", color=AFTER, ms=4, lw=1, clip_on=False)
    axes.set(
        xlabel="probability of the winner", ylabel="share that is right", xlim=(0, top),
        ylim=(-0.02 * top, top), title=f"Reliability ({counted(sum(one['n'] for one in bins), 'event')})",
    )  # fmt: skip


def _high(one: Mapping[str, Any]) -> float:
    return float(one["interval"][1]) if one["interval"] else 0.0


def _coverage(axes: Any, points: Sequence[Mapping[str, Any]]) -> None:
    x, y = (np.array([one[key] for one in points]) for key in ("coverage", "precision"))
    sure = [one for one in points if one["interval"]]
    if sure:
        low, high = np.array([one["interval"] for one in sure]).T
        axes.fill_between(
            [one["coverage"] for one in sure], low, high, color=AFTER, alpha=0.2, lw=0
        )
    axes.plot(x, y, ".-", color=AFTER, lw=1.2, ms=3.5, label="precision")
    axes.set(
        xlabel="coverage: share of events answered", ylabel="precision: share that is right",
        xlim=(0, 1.02), ylim=(0, 1.15 * max(y.max(), 0.05) if y.max() < 0.85 else 1.02), title="Risk and coverage",
    )  # fmt: skip
