"""What repeats of a word are worth, and words that were never seen in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.report.page import Note, Part, Section, Table, Text
from calibration.report.shown import Shown, interval_text, score_text
from calibration.unseen import unseen_line

__all__ = ["section"]

_HEAD = ("", "events", "trials", "rank accuracy", "95 % interval", "top-1", "most frequent", "bits",
         "in a row")  # fmt: skip
_WHERE = (("final", "locked final block"), ("out_of_fold", "held-out groups"))


def section(shown: Shown) -> Section | None:
    """Make a table of evidence pooled over repeats, and tell of unseen words."""
    if not shown.model.has_map:
        return None
    certificate = shown.certificate
    parts: list[Part] = _pooled(certificate.get("pooled", {}))
    unseen, where = certificate.get("unseen"), "a tenth of the items left out at a time"
    if not unseen and shown.scores is not None:
        unseen, where = shown.scores.get("unseen"), "ranked among unseen items"
    if unseen:
        told = unseen_line(unseen, where)
        parts.append(Text(f"{told[:1].upper()}{told[1:]}."))
    else:
        parts.append(
            Note(
                "Words that were never seen in training were not tested (`rt-calibrate fit --unseen true`)."
            )
        )
    return Section("Repeats and unseen words", parts)


def _pooled(pooled: Mapping[str, Any]) -> list[Part]:
    rows = [
        (where, n, *_row(of_n))
        for name, where in _WHERE
        for n, of_n in sorted(pooled.get(name, {}).items(), key=lambda one: int(one[0]))
    ]
    if all(n == "1" for _, n, *_ in rows):
        return [Note("Too few repeats of a word to pool their evidence.")]
    note = (
        "Evidence of several events of one word, added up, ranked by probability (prior included), above by "
        "cosine; chance of rank accuracy is .5, and always "
        'naming the word that is most frequent in these trials has the top-1 under "most frequent". '
        "Events that did not come in a row are put together from all events of the word."
    )
    return [Table(_HEAD, rows), Note(note)]


def _row(of_n: Mapping[str, Any]) -> tuple[str, ...]:
    within = None if of_n.get("low") is None else (of_n["low"], of_n["high"])
    return (
        str(of_n["n"]), score_text(of_n["rank_accuracy"]), interval_text(within),
        *(score_text(of_n[key]) for key in ("top1", "chance_top1", "bits_per_word")),
        "yes" if of_n["in_a_row"] else "no",
    )  # fmt: skip
