"""Read group, sentence, duration and idea of each event out of the rows of an events table."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from calibration.ideas import COLUMNS
from rt_decoder.recipe import Recipe
from rt_decoder.timing.items import composed

if TYPE_CHECKING:
    from rt_decoder.files.events import EventRow

__all__ = ["Event", "events_of_rows"]


RUN = "run"  # as groups: without such a column, all events of a recording are one group


class Event(NamedTuple):
    """Group and sentence context of one event."""

    group: str = ""  # events of one group are held out together; "" without a group column
    context: tuple[str, int] | None = None  # sentence, and the word's place in it from 0
    duration: float = 0.0  # s; 0 if unknown
    idea: str = ""  # category, sentence, ...; "" without such a column


def events_of_rows(rows: Sequence[EventRow], recipe: Recipe) -> list[Event]:
    """Return what a recipe wants to know of each row of an events table.

    Parameters
    ----------
    rows : sequence of EventRow
    recipe : Recipe
        Names the columns of groups, sentence contexts and ideas.

    Returns
    -------
    list of Event

    Raises
    ------
    ValueError
        If a column is missing.
    """
    groups, context, fold = recipe.fit.groups, recipe.target.context, recipe.target.fold
    ideas = recipe.fit.ideas or next((name for name in COLUMNS if name in rows[0].row), "")
    needed = (groups if groups != RUN else "", context, ideas)
    for column in filter(None, needed):
        if column not in rows[0].row:
            raise ValueError(f"need a column {column}, got {', '.join(rows[0].row)}")
    events, sentence, place = [], None, 0
    for row in rows:
        where = None
        if context:
            text = row.row[context]
            place = place + 1 if text == sentence else 0
            sentence = text
            where = (composed(text) if fold else text, place)
        group = row.row.get(groups, RUN) if groups else ""
        idea = row.row[ideas] if ideas and row.row[ideas] != "n/a" else ""
        events.append(Event(group, where, _duration(row.row.get("duration", "")), idea))
    return events


def _duration(cell: str) -> float:
    """Duration in s of an events table's cell; 0 if there is none."""
    try:
        seconds = float(cell)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < inf else 0.0
