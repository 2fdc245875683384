"""In short: what a reader wants to know first, a row each."""

from __future__ import annotations

from calibration.report.page import Section, Table
from calibration.report.shown import Shown, interval_text
from calibration.report.verdict import is_above, limits, people_interval, removed
from calibration.splits import split_line

__all__ = ["section"]


def section(shown: Shown) -> Section | None:
    """Answer five questions; None for a model without a map."""
    scores, where = shown.best
    if not shown.model.has_map or not scores:
        return None
    above = {True: "yes", False: "not shown", None: "not tested"}[is_above(shown)]
    p = "" if scores.get("p") is None else f", p = {scores['p']:.2g}"
    out, left = removed(shown)
    rows = [
        ("Above chance?", f"{above}{p}"),
        ("By how much?", _amount(shown)),
        ("On what?", f"{scores.get('n', 'n/a')} events {where}{_split(shown)}"),
        ("What was removed?", ", ".join(out) or "nothing"),
        ("What could not be?", ", ".join(left) or "nothing that was asked for"),
        ("What limits it?", "; ".join(limits(shown)) or "nothing that these figures show"),
    ]
    return Section("In short", [Table((), rows, 2)])


def _amount(shown: Shown) -> str:
    scores, _ = shown.best
    intervals = (scores.get("detail") or {}).get("intervals", {})
    people = shown.certificate.get("people") if shown.scores is None else None
    parts = []
    for name, title in (
        ("rank_accuracy", "rank accuracy"), ("top1", "top-1"), ("bits_per_word", "bits a word"),
    ):  # fmt: skip
        if scores.get(name) is None:
            continue
        found = intervals.get(name)
        if people and name in people["each"][0]:
            found = people_interval([one[name] for one in people["each"]])
        chance = {"rank_accuracy": 0.5, "bits_per_word": 0.0}.get(
            name, scores.get(f"chance_{name}")
        )
        within = f" ({interval_text(found)})" if found else ""
        beside = "" if chance is None else f", chance {chance:.3f}"
        parts.append(f"{title} {scores[name]:.3f}{within}{beside}")
    return "; ".join(parts) or "n/a"


def _split(shown: Shown) -> str:
    split = shown.certificate.get("split")
    return f"; {split_line(split)}" if split and shown.scores is None else ""
