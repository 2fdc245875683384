"""Every event and every reason has an explanation, and what is wrong has a fix."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rt_decoder.commands.lines import event_text
from rt_decoder.decoding.answering import NOT_FITTED
from rt_decoder.monitor.verdict import CHANGES, UNLIKE_REASON
from rt_decoder.signal import CORRECTED, Reason, reason_names
from rt_decoder.sinks.advice import EVENTS, REASONS, advised
from rt_decoder.timing.timebase import TimeBase

LIBRARY = Path(TimeBase.__module__.replace(".", "/")).parts[0]
HERE = Path(__file__).resolve().parents[1] / LIBRARY
WELL = {  # events after which nothing has to be done
    "above_chance", "added", "aligned", "caught_up", "channel_agrees", "channel_returned", "channels_fit",
    "chosen", "fits_calibration", "live", "live_again", "markers_stream_returned", "paused",
    "reference_as_before", "reference_live_again", "reference_returned", "reference_usable",
    "resumed", "returned", "revoked", "swapped", "truth", "tuned",
}  # fmt: skip
TELLS = ("tell", "_tell", "_event", "_once", "event_line")  # functions that take an event's name


def constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    if isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def told_in(path: Path) -> Iterator[str]:
    """Names of events that a file tells: by a call, or as the first of a pair with details."""
    prefix = "reference_" if path.parent.name == "auxiliary" else ""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yield from (prefix + one for one in constants(node.args[0]) if name in TELLS)
        if (
            isinstance(node, ast.Tuple)
            and len(node.elts) == 2
            and isinstance(node.elts[1], ast.Dict)
        ):
            yield from constants(node.elts[0])


def test_every_event_that_the_code_tells_is_explained() -> None:
    files = [
        file
        for room in ("live", "monitor", "sources/auxiliary")
        for file in (HERE / room).glob("*.py")
    ]
    told = {name for file in files for name in told_in(file)} | set(CHANGES)
    assert len(told) > 35  # the search finds them
    assert not told - EVENTS.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_a_fix_unless_all_is_well(name: str) -> None:
    assert EVENTS[name].explanation
    assert bool(EVENTS[name].fix) == (name not in WELL)
    text = event_text({"type": "event", "event": name, "time": 1.0, "index": 5})
    assert EVENTS[name].explanation in text
    assert EVENTS[name].fix in text


def test_every_reason_is_explained_and_has_a_fix_unless_it_was_put_right() -> None:
    bits = {name for reason in Reason for name in reason_names(reason)}
    assert bits | {"uncertain", "quality", "nothing", NOT_FITTED, UNLIKE_REASON} == REASONS.keys()
    right = {*reason_names(CORRECTED), "annotated", "nothing"}
    assert {name for name, told in REASONS.items() if not told.fix} == right


def test_an_event_keeps_the_words_that_it_brings() -> None:
    line = {"event": "unlike_calibration", "explanation": "polarity is inverted", "fix": "turn it"}
    assert advised(line) == line
    assert advised({"event": "of tomorrow"}) == {"event": "of tomorrow"}
