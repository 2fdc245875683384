"""Markers that wait: found, or given up with a reason, whatever clock stamped them."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.timing.align import Align
from rt_decoder.timing.markers import MarkerRules
from rt_decoder.timing.waiting import MOST

SFREQ = 100.0
INFO = SignalInfo(SFREQ, ("Cz",), ("eeg",), ("V",))
START = 500.0
N = 1000
ROWS = np.arange(N)


def play(
    marks: dict[int, list[Marker]],
    stamps: np.ndarray,
    arrivals: np.ndarray | None,
    ends: list[int],
    wait: float = 2.0,
) -> tuple[dict[str, int], dict[str, str], set[str]]:
    """Feed samples; `marks` arrive before the sample of their key. What was found, lost, waits."""
    one = Align(INFO, INFO, MarkerRules(wait=wait), history=wait + 2.0)
    found, lost = {}, {}
    edges = sorted({*range(0, len(stamps), 50), len(stamps), *ends, *marks})  # as `Decoder` cuts
    for a, b in zip(edges, [*edges[1:], edges[-1]], strict=True):
        for marker in marks.get(a, ()):
            one.mark(marker)
        came = None if arrivals is None else arrivals[a:b]
        one.process(np.zeros((b - a, 1)), stamps[a:b], came)
        known, gone = one.markers()
        found |= {marker.label: marker.index for marker in known}
        lost |= {marker.label: why for marker, why in gone}
    return found, lost, {marker.label for marker in one.waiting}


OTHER = {
    "an hour ahead": (3600.0, "3,600 s ahead of the stream: is it stamped with another clock"),
    "Unix time": (1.7e9, "1.7e+09 s ahead of the stream"),
    "Unix time in ms": (1.7e12, "1.7e+12 s ahead"),
    "absurd": (1e300, "1e+300 s ahead"),
    "NaN": (math.nan, "nan, which is no time"),
    "infinite": (math.inf, "inf, which is no time"),
    "minus infinite": (-math.inf, "-inf, which is no time"),
    "an hour behind": (-3600.0, "before the first sample: is it stamped with another clock"),
    "a little more than it may": (3.2, " s ahead of the stream"),
}


@pytest.mark.parametrize("stream", [0.0, 3600.0, -3600.0])
@pytest.mark.parametrize(("offset", "why"), OTHER.values(), ids=OTHER)
def test_a_marker_of_another_clock_is_given_up(stream: float, offset: float, why: str) -> None:
    """Whatever clock the stream itself is on, and the others are found."""
    stamps = START + stream + ROWS / SFREQ
    arrivals = START + ROWS / SFREQ + 0.02
    marks = {
        300: [Marker("right", stamps[298]), Marker("other", stamps[300] + offset)],
        700: [Marker("soon", stamps[740])],
    }
    for ends in ([], [*range(0, N, 7)]):
        found, lost, waiting = play(marks, stamps, arrivals, ends)
        assert found == {"right": 298, "soon": 740}
        assert lost.keys() == {"other"}
        assert why in lost["other"]
        assert not waiting


def test_markers_that_come_while_the_stream_stands_still_are_kept() -> None:
    """Nine seconds of samples come at once: as far ahead as its delay is no other clock."""
    stamps = START + ROWS / SFREQ
    arrivals = stamps + 0.02
    arrivals[300:] = np.maximum(arrivals[300:], START + 12.0)
    marks = {300: [Marker(str(row), stamps[row]) for row in (350, 600, 900)]}
    marks[300].append(Marker("other", START + 12.0 + 100.0))
    found, lost, waiting = play(marks, stamps, arrivals, [*range(300, N, 50)])
    assert found == {"350": 350, "600": 600, "900": 900}
    assert "100 s ahead" in lost["other"]
    assert not waiting


def test_a_file_without_arrivals_gives_up_what_lies_beyond_it() -> None:
    stamps = START + ROWS / SFREQ
    marks = {200: [Marker("other", START + 3600.0), Marker("right", stamps[290])]}
    found, lost, _ = play(marks, stamps, None, [])
    assert found == {"right": 290}
    assert " s ahead of the stream" in lost["other"]


def test_what_came_after_the_last_sample_is_given_up_at_the_end() -> None:
    one = Align(INFO, INFO, MarkerRules(), history=4.0)
    one.process(np.zeros((N, 1)), START + ROWS / SFREQ, None)
    for label, ahead in (("soon", 0.5), ("other", 3600.0)):
        one.mark(Marker(label, START + N / SFREQ + ahead))
    assert one.markers() == ([], [])
    one.end()
    ((marker, why),) = one.markers()[1]
    assert marker.label == "other"
    assert "3,600 s ahead of the stream" in why
    assert [marker.label for marker in one.waiting] == ["soon"]


def test_a_clock_that_is_set_ahead_takes_its_markers_along() -> None:
    """They wait until it is decided, and are no markers of another clock."""
    stamps = START + ROWS / SFREQ
    arrivals = stamps + 0.02
    stamps[500:] += 3600.0
    marks = {502: [Marker("new", stamps[501])], 800: [Marker("old", START + 8.0)]}
    found, lost, waiting = play(marks, stamps, arrivals, [*range(0, N, 5)])
    assert found == {"new": 501}
    assert lost.keys() == {"old"}
    assert not waiting


@given(
    st.lists(st.tuples(st.integers(0, N - 1), st.floats(-5, 30)), max_size=12),
    st.lists(st.integers(1, N - 1), max_size=30),
    st.lists(st.integers(1, N - 1), max_size=4, unique=True),
)
def test_the_answer_does_not_depend_on_how_the_stream_was_cut(
    marks: list[tuple[int, float]], ends: list[int], stalls: list[int]
) -> None:
    stamps = START + ROWS / SFREQ
    arrivals = stamps + 0.02
    for stall in sorted(stalls):
        arrivals[stall:] = np.maximum(arrivals[stall:], arrivals[stall] + 4.0)
    came: dict[int, list[Marker]] = {}
    for number, (row, ahead) in enumerate(marks):
        came.setdefault(row, []).append(Marker(str(number), stamps[row] + ahead))
    whole = play(came, stamps, arrivals, [])
    cut = play(came, stamps, arrivals, ends)
    assert cut[0] == whole[0]
    assert cut[1].keys() == whole[1].keys()
    assert cut[2] == whole[2]


def test_waiting_markers_are_bounded_and_cost_a_hop_nothing() -> None:
    one = Align(INFO, INFO, MarkerRules(wait=600.0), history=1.0)
    for number in range(MOST + 10):
        one.mark(Marker(str(number), START + 500.0))
    stamps = START + ROWS / SFREQ
    one.process(np.zeros((1, 1)), stamps[:1], None)
    assert len(one.markers()[1]) == 10
    assert len(one.waiting) == MOST
    one.process(np.zeros((300, 1)), stamps[1:301], None)
    one.markers()
    began = time.perf_counter()
    for row in range(301, 801):
        one.process(np.zeros((1, 1)), stamps[row : row + 1], None)
        assert one.markers() == ([], [])
    assert time.perf_counter() - began < 0.5  # before: 11 ms a hop


def test_thousands_of_markers_of_another_clock_hold_up_nothing() -> None:
    one = Align(INFO, INFO, MarkerRules(), history=4.0)
    stamps = START + ROWS / SFREQ
    n_lost, began = 0, time.perf_counter()
    for row in range(0, N, 2):
        for number in range(20):
            one.mark(Marker(f"{row}-{number}", START + 3600.0 + row))
        one.process(np.zeros((2, 1)), stamps[row : row + 2], stamps[row + 1])
        n_lost += len(one.markers()[1])
    assert n_lost + len(one.waiting) == 10_000
    assert len(one.waiting) < 50
    assert time.perf_counter() - began < 5.0
