"""What chance gives: the permuted scores, and everything that could feign decoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calibration.nuisance import nuisance_line
from calibration.null_table import NULLS
from calibration.report.drawing import AFTER, draw_null, drawn
from calibration.report.page import Heading, Note, Part, Picture, Section, Table, Text
from calibration.report.shown import Shown, interval_text, p_text, score_text

__all__ = ["section"]

_HEAD = ("", "its p is", "score", "95 % of the null", "p", "smallest p")
_P_IS = {"model": "how often it scores as high as the model", "null": "how often chance does"}


def section(shown: Shown) -> Section | None:
    """Draw the null, and make a table of nulls."""
    scores, where = shown.best
    if not shown.model.has_map or not scores:
        return None
    parts: list[Part] = []
    null = shown.detail.get("null")
    if null and scores.get("rank_accuracy") is not None:
        svg = drawn(_histogram, null, scores, shown.detail, size=(7.4, 2.4))
        unit = scores.get("null_unit", 1)
        what = (
            scores.get("null_of", "single labels")
            if unit == 1
            else f"units of {unit} events or more"
        )
        parts.append(
            Picture(
                svg,
                f"Grey: rank accuracy of {len(null)} permutations of {what}, in {scores.get('n')} events "
                f"{where}. Blue: the score, with its 95 % interval; orange, dashed: 95 % of the "
                f"permutations are below. p = {scores['p']:.2g}.",
            )
        )
    else:
        parts.append(Note("No histogram: this model keeps no permuted scores."))
    return Section("What chance gives", [*parts, *_nulls(shown)])


def _histogram(canvas: Any, null: Any, scores: Mapping[str, Any], detail: Any) -> None:
    axes = canvas.subplots()
    score = scores["rank_accuracy"]
    draw_null(axes, np.asarray(null, float), score, f"score {score:.3f}")
    if interval := detail.get("intervals", {}).get("rank_accuracy"):
        axes.axvspan(*interval, color=AFTER, alpha=0.12, lw=0)
    axes.set_xlabel("rank accuracy")


def _nulls(shown: Shown) -> Iterator[Part]:
    certificate = shown.certificate
    rows = [*_rows(certificate), *_beyond(certificate.get("nuisance"))]
    yield Heading("What could feign decoding")
    if not rows:
        yield Note("No other null is in this certificate.")
        return
    score = certificate.get("final", {}).get("rank_accuracy")
    if score is not None:
        yield Text(
            f"All are rank accuracies of the locked final block, beside {score:.3f} of the model."
        )
    yield Table(_HEAD, rows, 2)
    if certificate.get("nuisance"):
        yield Text(nuisance_line(certificate["nuisance"]).strip().capitalize() + ".")
    yield Note(
        "Each row is a decoder that should fail: one that succeeds says what else the score may come "
        'from. The row "without" alone says what is left of the score when that is taken out. Labels '
        "are permuted in units as long as words and signal remember."
    )


def _rows(certificate: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    nulls = certificate.get("nulls") or {}
    known = nulls if isinstance(nulls, Mapping) else {}
    for name in [*(one for one in NULLS if one in known), *(set(known) - set(NULLS))]:
        one = known[name]
        if not isinstance(one, Mapping):
            continue
        title = NULLS.get(name, name.replace("_", " "))
        if one.get("note"):
            yield title, str(one["note"]), "n/a", "", "", ""
            continue
        score = one.get("score", one.get("rank_accuracy"))
        yield title, _P_IS.get(one.get("tests", ""), ""), *_figures(score, one)


def _beyond(nuisance: Mapping[str, Any] | None) -> Iterator[tuple[str, ...]]:
    """Yield the score that is left without length and frequency."""
    if nuisance:
        title = f"without {', '.join(nuisance['covariates'])}"
        one = nuisance["beyond"]
        yield title, _P_IS["null"], *_figures(one["rank_accuracy"], one)


def _figures(score: float | None, one: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = one.get("low"), one.get("high")
    within = "" if low is None or high is None else interval_text((low, high))
    return score_text(score), within, p_text(one.get("p")), p_text(one.get("p_smallest"))
