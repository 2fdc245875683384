"""Ideas: what a run of events has in common, beside single events and what pooling alone gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.ideas import WHERE
from calibration.report.page import Note, Part, Section, Table, Text
from calibration.report.shown import Shown, interval_text, p_text, score_text

__all__ = ["section"]

_P_SHOWN = 0.05
_HEAD = ("", "runs", "events a run", "rank accuracy", "95 % interval", "p", "smallest p", "top-1")
_BESIDE = ("", "idea, from a run", "idea, one event", "item, one event", "random groups pooled",
           "items grouped at random", "p of pooling alone")  # fmt: skip


def section(shown: Shown) -> Section | None:
    """Make tables of ideas; None where the events name none."""
    found = (shown.scores or {}).get("ideas") or shown.certificate.get("ideas")
    if not shown.model.has_map or not found:
        return None
    scored = [(where, found[name]) for name, where in WHERE.items() if found.get(name)]
    if not scored:
        few = "Too few runs of events with an idea, or only one idea."
        return Section("Ideas", [Note(few)])
    first = [(where, *_row(one)) for where, one in scored]
    beside = [(where, *_controls(one)) for where, one in scored]
    parts: list[Part] = [Text(_told(*scored[0], found["column"])), Table(_HEAD, first)]
    parts += [Table(_BESIDE, beside), Note(_MEANING)]
    return Section("Ideas", parts)


_MEANING = (
    "A run is a row of events of one idea; its score is the rank of the true idea among all, by the "
    "evidence of all its events (chance .5). Items grouped at random: the same with ideas made of "
    "random items, which is chance. Random groups pooled: items pooled in random groups as large; only "
    "what is above it is due to ideas, and the last p says how often it is as high."
)


def _told(where: str, one: Mapping[str, Any], column: str) -> str:
    if one["p"] > _P_SHOWN:
        shown = "ideas are not shown to be above chance"
    elif one["p_beyond"] > _P_SHOWN:
        shown = "ideas are above chance, but no more than pooling events of any group gives"
    else:
        shown = "ideas are above chance, and beyond what pooling events of any group gives"
    where = where if where.startswith("these") else f"the {where}"
    return (
        f"Ideas come from the events table (column {column}): {one['n_ideas']} of them. In {where}, "
        f"{shown}."
    )


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    within = None if one.get("low") is None else (one["low"], one["high"])
    return (
        str(one["n"]), f"{one['events']:.1f}", score_text(one["rank_accuracy"]),
        interval_text(within), p_text(one["p"]), p_text(one["p_smallest"]),
        f"{score_text(one['top1'])} (chance {score_text(one['chance_top1'])})",
    )  # fmt: skip


def _controls(one: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("rank_accuracy", "single", "items", "pooled", "permuted")
    return (*(score_text(one[name]) for name in names), p_text(one["p_beyond"]))
