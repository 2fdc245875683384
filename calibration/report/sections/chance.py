"""What chance gives: the permuted scores, and everything that could feign decoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calibration.nuisance import nuisance_line
from calibration.null_table import NULLS
from calibration.report.drawing import AFTER, draw_null, drawn
from calibration.report.page import Heading, Note, Part, Picture, Section, Table, Text
from calibration.report.shown import Shown, interval_text, listed, p_text, score_text
from calibration.report.text import permuted_units
from rt_decoder.counted import counted

__all__ = ["section"]

_HEAD = ("", "rank accuracy", "95 % of its null", "what p tests", "p", "p at best")
_P_IS = {"model": "the model against this", "null": "this against chance"}


def section(shown: Shown) -> Section | None:
    """Draw the null, and make a table of nulls."""
    scores, where = shown.best
    if not shown.model.has_map or not scores:
        return None
    parts: list[Part] = []
    null = shown.detail.get("null")
    if null and scores.get("rank_accuracy") is not None:
        svg = drawn(_histogram, null, scores, shown.detail, size=(7.4, 2.4))
        parts.append(
            Picture(
                svg,
                f"Grey: rank accuracy of {counted(len(null), 'permutation')} of "
                f"{permuted_units(scores)}, in {counted(scores.get('n', 0), 'event')} {where}. Blue: the score, with its 95 % interval; orange, dashed: 95 % of the "
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
    rows = list(
        _rows(
            certificate,
            permuted_units(shown.best[0] if shown.scores is None else certificate.get("final", {})),
        )
    )
    yield Heading("What could feign decoding")
    if not rows:
        yield Note("No other null is in this certificate.")
        return
    score = certificate.get("final", {}).get("rank_accuracy")
    if score is not None:
        yield Text(
            "Each row is a decoder that should fail, in the locked final block, where the model reaches "
            f"{score:.3f}. One that succeeds says what else the score may come from."
        )
    yield Table(_HEAD, rows, 1)
    if nuisance := certificate.get("nuisance"):
        names, beyond = listed(nuisance["covariates"]), nuisance["beyond"]
        yield Text(
            f"With {names} of the words taken out, the model keeps a rank accuracy of "
            f"{beyond['rank_accuracy']:.3f} (95 % of its null: {interval_text((beyond['low'], beyond['high']))}; "
            f"p = {beyond['p']:.2g})."
            if beyond.get("low") is not None
            else nuisance_line(nuisance).strip().capitalize() + "."
        )


def _rows(certificate: Mapping[str, Any], permuted: str) -> Iterator[tuple[str, ...]]:
    nulls = certificate.get("nulls") or {}
    known = nulls if isinstance(nulls, Mapping) else {}
    for name in [*(one for one in NULLS if one in known), *(set(known) - set(NULLS))]:
        one = known[name]
        if not isinstance(one, Mapping):
            continue
        title = NULLS.get(name, name.replace("_", " "))
        if name == "permutation":
            title = f"labels permuted ({permuted})"
        if one.get("note"):
            yield title, "n/a", "", str(one["note"]), "", ""
            continue
        score = one.get("score", one.get("rank_accuracy"))
        low, high = one.get("low"), one.get("high")
        within = "" if low is None or high is None else interval_text((low, high))
        tests = _P_IS.get(one.get("tests", ""), "")
        yield (
            title, score_text(score), within, tests, p_text(one.get("p")), p_text(one.get("p_smallest"))
        )  # fmt: skip
