"""How well it names words: every score with its interval, beside chance and the prior alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.above import people_interval
from calibration.report.page import Heading, Note, Part, Section, Table, Text
from calibration.report.shown import Shown, interval_text, number, p_text, score_text
from calibration.report.text import SCORES, groups_line, is_sure, people_lines, score_notes
from calibration.splits import split_line
from rt_decoder.counted import counted

__all__ = ["section"]

_TITLES = (
    ("final", "Locked final block, decoded once by the finished model"),
    ("out_of_fold", "Held-out groups, on which penalty and posterior were chosen"),
)
_NAMES = {
    "top1": "top-1", "top5": "top-5", "top10": "top-10", "mrr": "mean reciprocal rank",
    "rank_accuracy": "rank accuracy", "two_vs_two": "two vs two",
}  # fmt: skip
_MORE = (
    ("bits_per_word", "bits a word"), ("answered", "share of events answered"),
    ("precision", "precision of answers"),
)  # fmt: skip
_FEW_UNITS = 10  # of which a bootstrap makes intervals that are too narrow
_HEAD = ("", "micro", "95 % interval", "macro", "95 % interval", "chance", "prior alone")


def section(shown: Shown) -> Section | None:
    """Make tables of scores."""
    model = shown.model
    if not model.has_map:
        return None
    parts: list[Part] = []
    if shown.scores is not None:
        parts += [Heading("These recordings"), *_scores(shown.scores)]
        if shown.scores.get("trained_on"):
            parts.append(Text("The model was trained on this data; the figures prove nothing."))
        parts.append(Heading("How it was fitted"))
    if "people" in model.certificate:
        parts += _people(shown)
    else:
        parts += _fit(model.certificate)
    return Section("How well it decodes words", parts)


def _fit(certificate: Mapping[str, Any]) -> list[Part]:
    split, parts = certificate.get("split"), list[Part]()
    if split:
        parts.append(
            Text(
                f"{split_line(split)}. T{groups_line(split)[1:]}; events within {split['purge_s']:g} s of "
                f"a held-out one do not train. {split['n_muscle']} of the training events contain muscle "
                "activity: they train the map and are not scored."
            )
        )
    for name, title in _TITLES:
        if name in certificate:
            parts += [Heading(title), *_scores(certificate[name])]
    if not parts:
        return [Text("No certificate.")]
    if "final" not in certificate:
        parts.append(Text("No final block was locked: these figures are optimistic."))
    return parts


def _scores(scores: Mapping[str, Any]) -> list[Part]:
    """Make a table of scores and the notes under it."""
    intervals = (scores.get("detail") or {}).get("intervals", {})
    rows = []
    for name in SCORES:
        if name in scores and not is_sure(name, scores):
            cells = [_NAMES[name]]
            for which in (name, f"macro_{name}"):
                cells += [score_text(scores.get(which)), interval_text(intervals.get(which))]
            rows.append(
                (*cells, *(score_text(scores.get(f"{of}{name}")) for of in ("chance_", "prior_")))
            )
    for name, title in _MORE:
        if name in intervals and scores.get(name) is not None:
            told = (score_text(scores[name]), interval_text(intervals[name]))
            zero = "0.000" if name == "bits_per_word" else ""
            rows.append((title, *told, "", "", zero, zero))
    parts: list[Part] = [Table(_HEAD, rows)] if rows else []
    notes = [f"{note[:1].upper()}{note[1:]}." for note in _notes(scores)]
    notes.append(
        _spread(scores["detail"])
        if intervals
        else "No intervals: the model is older than these, or a group's."
    )
    return [*parts, Note(" ".join(notes))]


def _spread(detail: Mapping[str, Any]) -> str:
    n, unit = detail["n_units"], detail["unit"]
    units = (
        f"{counted(n, 'unit')} of neighbouring events, each of at least {unit}" if unit > 1 else
        counted(n, "event or sentence", "events or sentences")
    )  # fmt: skip
    few = " So few give intervals that are too narrow." if n < _FEW_UNITS else ""
    return f"Intervals: 95 %, by drawing from {units} (bootstrap).{few}"


def _notes(scores: Mapping[str, Any]) -> Sequence[str]:
    needed = {"bits_per_word", "calibration_error"}
    return score_notes(dict(scores)) if needed <= scores.keys() else []


def _people(shown: Shown) -> list[Part]:
    """Make the part of a group's model, which was tested on people left out."""
    certificate = shown.certificate
    people, final = certificate["people"], certificate["final"]
    head = ("person", "events", "scored trials", "rank accuracy", "bits a word", "p")
    rows = [
        (str(place), *(number(one[key]) for key in ("n_events", "n")),
         *(score_text(one[key]) for key in ("rank_accuracy", "bits_per_word")), p_text(one["p"]))
        for place, one in enumerate(people["each"], 1)
    ]  # fmt: skip
    interval = people_interval([one["rank_accuracy"] for one in people["each"]])
    said = (
        f"Rank accuracy, mean over people: {final['rank_accuracy']:.3f}, 95 % interval "
        f"{interval_text(interval)} (bootstrap over people)."
        if interval
        else "An interval over people needs three of them or more."
    )
    lines = [Text(line) for line in people_lines(certificate)]
    mean = [Heading("Mean over people left out"), *_scores(final), Note(said)]
    return [*lines, *mean, Heading("Each person"), Table(head, rows)]
