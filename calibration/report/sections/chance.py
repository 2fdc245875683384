"""What chance gives: the permuted scores, and everything that could feign decoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calibration.nuisance import nuisance_line
from calibration.report.drawing import AFTER, BEFORE, GREY, drawn
from calibration.report.page import Heading, Note, Part, Picture, Section, Table, Text
from calibration.report.shown import Shown, interval_text, number

__all__ = ["section"]

_KEYS = ("rank_accuracy", "null_rank_accuracy", "p", "p_smallest")


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
        what = "single labels" if unit == 1 else f"units of {unit} events or more"
        parts.append(
            Picture(
                svg,
                f"Grey: rank accuracy of {len(null)} permutations of {what}, in events {where}. "
                "Blue: the score, with its 95 % interval; orange: 95 % of the permutations are below. "
                f"p = {scores['p']:.2g}.",
            )
        )
    else:
        parts.append(Note("No histogram: this model keeps no permuted scores."))
    return Section("What chance gives", [*parts, *_nulls(shown.certificate)])


def _histogram(canvas: Any, null: Any, scores: Mapping[str, Any], detail: Any) -> None:
    axes = canvas.subplots()
    observed, null = scores["rank_accuracy"], np.asarray(null, float)
    low, high = min(null.min(), observed), max(null.max(), observed)
    pad = max(0.08 * (high - low), 1e-3)
    axes.hist(null, bins=np.linspace(low - pad, high + pad, 41), color=GREY, alpha=0.7, lw=0)
    axes.axvline(np.quantile(null, 0.95), color=BEFORE, lw=1, ls="--", label="95 % of permutations")
    axes.axvline(observed, color=AFTER, lw=1.8, label=f"score {observed:.3f}")
    if interval := detail.get("intervals", {}).get("rank_accuracy"):
        axes.axvspan(*interval, color=AFTER, alpha=0.12, lw=0)
    axes.set(xlabel="rank accuracy", ylabel="permutations", title="The null and the score")
    axes.margins(y=0.15)
    axes.legend(loc="best")


def _nulls(certificate: Mapping[str, Any]) -> Iterator[Part]:
    rows = [
        (name, *(number(one.get(key)) for key in _KEYS), interval_text(_interval(one)))
        for name, one in _tables(certificate)
    ]
    yield Heading("What could feign decoding")
    if not rows:
        yield Note("No other null is in this certificate.")
        return
    yield Table(("", "rank accuracy", "null", "p", "smallest p", "95 % interval"), rows)
    if certificate.get("nuisance"):
        yield Text(nuisance_line(certificate["nuisance"]).strip() + ".")
    yield Note(
        'A row "without" says what is left of the score. Every other row is a decoder that should '
        "fail: one that succeeds says what else the score may come from."
    )


def _interval(one: Mapping[str, Any]) -> Any:
    pair = one.get("interval") or (one.get("low"), one.get("high"))
    return pair if len(pair) == 2 and None not in pair else None


def _tables(certificate: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    nulls = certificate.get("nulls") or {}
    named = (
        nulls.items()
        if isinstance(nulls, Mapping)
        else [(one.get("name", "?"), one) for one in nulls if isinstance(one, Mapping)]
    )
    for name, one in named:
        if isinstance(one, Mapping):
            yield name.replace("_", " "), {"rank_accuracy": one.get("score"), **one}
    nuisance = certificate.get("nuisance")
    if nuisance:
        what = ", ".join(nuisance["covariates"])
        yield f"{what} alone", nuisance["alone"]
        yield f"words without {what}", nuisance["beyond"]
