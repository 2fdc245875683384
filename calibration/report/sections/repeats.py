"""What repeats of a word are worth, and words that were never seen in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.report.page import Note, Part, Section, Table, Text
from calibration.report.shown import Shown, number
from calibration.unseen import unseen_line

__all__ = ["section"]

_POOLED = ("n", "rank_accuracy", "top1", "chance_top1", "bits_per_word")
_HEAD = ("", "repeats", "trials", "rank accuracy", "top-1", "chance top-1", "bits", "in a row")
_WHERE = (("out_of_fold", "held-out groups"), ("final", "locked final block"))


def section(shown: Shown) -> Section | None:
    """Make a table of evidence pooled over repeats, and tell of unseen words."""
    if not shown.model.has_map:
        return None
    certificate = shown.certificate
    parts: list[Part] = _pooled(certificate.get("pooled", {}))
    if certificate.get("unseen"):
        told = unseen_line(certificate["unseen"], "a tenth of the items left out at a time")
        parts.append(Text(f"Unseen words: {told}."))
    elif shown.scores is not None and shown.scores.get("unseen"):
        told = unseen_line(shown.scores["unseen"], "ranked among unseen items")
        parts.append(Text(f"Unseen words: {told}."))
    else:
        parts.append(Note("Words that were never seen in training were not tested."))
    return Section("Repeats and unseen words", parts)


def _pooled(pooled: Mapping[str, Any]) -> list[Part]:
    rows = [
        (where, n, *(number(of_n[key]) for key in _POOLED), "yes" if of_n["in_a_row"] else "no")
        for name, where in _WHERE
        for n, of_n in sorted(pooled.get(name, {}).items(), key=lambda one: int(one[0]))
    ]
    if all(n == "1" for _, n, *_ in rows):
        return [Note("Too few repeats of a word to pool their evidence.")]
    note = "Repeats that did not come in a row are put together from all events of the item."
    return [Table(_HEAD, rows), Note(note)]
